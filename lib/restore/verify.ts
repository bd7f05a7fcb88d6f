/** What a target makes of what was restored: its store on every node, its own readings of it, and SQL. */
import { loadBcrypt } from "../cli/deps.ts";
import { messageOf } from "../cli/errors.ts";
import { atOnce } from "../cli/pool.ts";
import { type Endpoint, pause } from "../cnosdb/http.ts";
import type { MetaClient } from "../cnosdb/meta.ts";
import { caughtUp } from "../cnosdb/meta_nodes.ts";
import { displayName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { SqlClient, SqlError } from "../cnosdb/sql.ts";
import { differingFields, someOf } from "../dump/compare.ts";
import { isUnlisted } from "../dump/key.ts";
import type { Format } from "../versions/versions.ts";
import { type Item, readItems, type Target, unreadable } from "./plan.ts";

/** What must be there. */
export interface Expected {
  meta: MetaClient;
  cluster: string;
  format: Format;
  items: readonly Item[];
  /** milliseconds that a follower may take to hold what its leader holds */
  waitMs: number;
}

/** How the stores of the nodes differ from what was restored. */
export interface Stores {
  /** the nodes that were read, the leader first */
  nodes: [Endpoint, ...Endpoint[]];
  /** items that are missing or different on a node, with a text that says so */
  wrong: Map<Item, string>;
  /** nodes that are not proven to hold everything, a text each */
  unread: string[];
}

/**
 * Compares every value on every given meta node: one that was killed between two steps lacks an entry for good, as raft takes it for
 * applied (seen on 2.4.2.1, replication/src/node_store.rs), and may lead the next day.
 * @throws {Failure} where no node can be read
 */
export async function compareStores({ meta, items, waitMs }: Expected): Promise<Stores> {
  const { nodes, behind, others } = await caughtUp(meta, waitMs);
  const unread = [
    ...behind.map((url) => `${url} does not answer or lags behind`),
    ...others.map((address) => `${address} is none of the META_URLs`),
  ];
  const wrong = new Map<Item, string>();
  const read: Endpoint[] = [];
  let failure: unknown;
  // One after another: each takes a dump's memory.
  for (const node of nodes.length ? nodes : meta.nodes) {
    try {
      for (const [item, how] of await wrongOn(meta, node, items)) {
        const before = wrong.get(item);
        wrong.set(
          item,
          before ? `${before}, ${node.url}` : `${item.label}: ${item.key} ${how} on ${node.url}`,
        );
      }
      read.push(node);
    } catch (error) {
      meta.options.signal.throwIfAborted();
      failure ??= error;
      unread.push(`${node.url}: ${messageOf(error)}`);
    }
  }
  const [first, ...more] = read;
  if (!first) throw failure;
  return { nodes: [first, ...more], wrong, unread };
}

/** Which items a node lacks or has differently. Looks three times: the cluster may still be applying a change. */
async function wrongOn(
  meta: MetaClient,
  node: Endpoint,
  items: readonly Item[],
): Promise<[item: Item, how: string][]> {
  let { pauseMs } = meta.options;
  for (let left = 3;; left--, pauseMs *= 2) {
    const values = new Map((await meta.dump(node)).entries.map(({ key, value }) => [key, value]));
    const wrong = items.flatMap((item): [Item, string][] => {
      const value = values.get(item.key);
      if (value === undefined) return [[item, "is not there"]];
      const fields = differingFields(item.key, item.value, value);
      return fields.length ? [[item, `reads back differently in ${someOf(fields, 5)}`]] : [];
    });
    if (!wrong.length || left === 1) return wrong;
    await pause(pauseMs, meta.options.signal);
  }
}

/**
 * Has the server parse all that it holds: a list with one bad row is an error, and the next restart panics at it or loses the tenant,
 * while running nodes still look healthy.
 * @param nodes to be asked, the first that answers
 * @returns what is wrong, a text each, and how many lists were read
 */
export async function readLists(
  { meta, cluster, format }: Expected,
  nodes: readonly [Endpoint, ...Endpoint[]],
): Promise<{ findings: string[]; count: number }> {
  const bad: { key: string; reason: string }[] = [];
  const held = readItems((await meta.dump(nodes[0])).entries, ({ key }, reason) => bad.push({ key, reason }));
  for (const item of held.values()) {
    const reason = unreadable(item, format);
    if (reason) bad.push({ key: item.key, reason });
  }
  const tenants = [...held.values()].flatMap(({ object }) =>
    object.kind === "tenant" && object.cluster === cluster ? [object.tenant] : []
  );
  const lists: [command: string, path: string, tenant?: string][] = [
    ["DataNodes", "data_nodes/"],
    ["Users", "users/"],
    ["Tenants", "tenants/"],
    ...tenants.flatMap((tenant): [string, string, string][] => [
      ["MetaData", `tenants/${tenant}/`, tenant],
      ["CustomRoles", `tenants/${tenant}/roles/`, tenant],
      ["Members", `tenants/${tenant}/members/`, tenant],
    ]),
  ];
  const findings: string[] = [];
  await atOnce(8, lists, async ([command, path, tenant]) => {
    const answer = tenant !== undefined && command === "MetaData"
      ? await meta.readTenant(cluster, tenant, nodes)
      : await meta.read({ [command]: tenant === undefined ? cluster : [cluster, tenant] }, nodes);
    if ("ok" in answer) return;
    const causes = bad.filter(({ key }) => key.startsWith(`/${cluster}/${path}`));
    findings.push(
      `/read ${command}${tenant === undefined ? "" : ` of tenant ${displayName(tenant)}`} answers ${
        "err" in answer ? answer.err : "that it knows no such command"
      }: the next restart would panic at it or lose it` +
        (causes.length ? ` (${someOf(causes.map(({ key, reason }) => `${key}: ${reason}`), 3)})` : ""),
    );
  });
  return { findings, count: lists.length };
}

const ofTenant = ["database", "table"];

/** What SQL does not show, a text each. A data node hears of changes with a delay, so what is missing is looked for again. */
export async function listBySql({ meta, items }: Expected, sql: SqlClient): Promise<string[]> {
  const { signal, pauseMs } = meta.options;
  const gone = items.filter(({ value }) => /"(?:tenant_is_hidden|(?:db_)?is_hidden)":\s*true/.test(value));
  // Lists leave out what is dropped but not yet gone, and names with a slash.
  const listed = items.filter(({ object, key }) =>
    ["user", "tenant", ...ofTenant].includes(object.kind) && !isUnlisted(object) &&
    !gone.some((above) => `${key}/`.startsWith(`${above.key}/`))
  );
  const groups = Map.groupBy(
    listed,
    ({ object }) => ofTenant.includes(object.kind) && "tenant" in object ? object.tenant : "",
  );
  const findings: string[] = [];
  for (const [tenant, wanted] of groups) {
    let missing = wanted;
    try {
      for (let left = 5; left > 0 && missing.length; left--) {
        if (left < 5) await pause(pauseMs * 2, signal);
        const shown = await labelsBySql(sql, tenant);
        missing = missing.filter(({ label }) => !shown.has(label));
      }
      if (missing.length) findings.push(`SQL does not show ${someOf(missing.map(({ label }) => label), 5)}`);
    } catch (error) {
      signal.throwIfAborted();
      findings.push(
        `SQL cannot list ${tenant ? `tenant ${displayName(tenant)}` : "tenants and users"}: ${
          messageOf(error)
        }`,
      );
    }
  }
  return findings;
}

/** What SQL lists in a tenant, or beside all tenants for "". */
async function labelsBySql(sql: SqlClient, tenant: string): Promise<Set<string>> {
  const labels = new Set<string>();
  const list = async (kind: string, statement: string) => {
    for (const row of await sql.query(statement, { tenant: tenant || "cnosdb", timeoutMs: 30_000 })) {
      labels.add(`${kind} ${displayName(...[...tenant ? [tenant] : [], ...Object.values(row).map(String)])}`);
    }
  };
  if (tenant) {
    await list("database", "SELECT database_name FROM information_schema.databases");
    await list("table", "SELECT table_database, table_name FROM information_schema.tables");
  } else {
    await list("tenant", "SELECT tenant_name FROM cluster_schema.tenants");
    await list("user", "SELECT user_name FROM cluster_schema.users");
  }
  return labels;
}

/**
 * Why the user of `--sql` could not log in after the restore, or not see everything: found from the password hashes that the target will
 * hold then, so that nothing has to be written to know it.
 * @param written the items that will be written, by key
 */
export async function loginProblem(
  { url, user = "root", password = "" }: Endpoint,
  { cluster, formats, values }: Target,
  written: ReadonlyMap<string, Item>,
  { signal, ca }: { signal: AbortSignal; ca?: string | undefined },
): Promise<string | undefined> {
  const key = `/${cluster}/users/${user}`;
  const value = written.get(key)?.value ?? values.get(key);
  if (value === undefined) return "neither the target nor the dump has that user";
  const { is_admin, is_root_admin, options } = JSON.parse(value) as UserValue;
  if (!is_admin && !is_root_admin && !options.granted_admin) {
    return "is no administrator, so it cannot list all tenants";
  }
  // Without authentication any password will do, also one that nobody has.
  const nobody = new SqlClient({ url, password: crypto.randomUUID() }, signal, ca);
  try {
    await nobody.query("SELECT 1", { tenant: "cnosdb", timeoutMs: 30_000 });
    return undefined;
  } catch (error) {
    if (!(error instanceof SqlError && meaningOf(error) === "cluster")) throw error;
  }
  const { compare } = await loadBcrypt();
  if (!await compare(password, options.hash_password ?? "")) {
    return `the password is not the one that it will have${written.has(key) ? ", the dump's" : ""}`;
  }
  // 2.4.0 does not look at the mark.
  if (!options.must_change_password || formats.includes("2.4.0")) return undefined;
  return "must change its password before it may do anything else";
}

interface UserValue {
  is_admin?: boolean;
  is_root_admin?: boolean;
  options: {
    hash_password?: string | null;
    must_change_password?: boolean | null;
    granted_admin?: boolean | null;
  };
}
