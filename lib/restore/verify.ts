/** What a target makes of what was restored: its store on every node, its own readings of it, and SQL. */
import { atOnce, loadBcrypt } from "../cli/deps.ts";
import { messageOf } from "../cli/errors.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { pause } from "../cnosdb/http.ts";
import type { MetaClient } from "../cnosdb/meta.ts";
import { caughtUp } from "../cnosdb/meta_nodes.ts";
import { displayName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { SqlClient, SqlError } from "../cnosdb/sql.ts";
import { someOf } from "../cli/text.ts";
import { isUnlisted } from "../dump/key.ts";
import type { Format } from "../versions/versions.ts";
import { fieldsBefore, type Item, readItems, type Target, tenantOf, unreadable } from "./plan.ts";

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
  /** the nodes that were read, at least one, the leader first */
  nodes: Endpoint[];
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
      const { entries } = await meta.dump(node);
      const values = new Map(entries.map(({ key, value }) => [key, value]));
      for (const item of items) {
        const fields = fieldsBefore(item, { values });
        if (fields?.length === 0) continue;
        const how = fields ? `reads back differently in ${someOf(fields, 5)}` : "is not there";
        const before = wrong.get(item);
        wrong.set(item, `${before ? `${before},` : `${item.label}: ${item.key} ${how} on`} ${node.url}`);
      }
      read.push(node);
    } catch (error) {
      meta.options.signal.throwIfAborted();
      failure ??= error;
      unread.push(`${node.url}: ${messageOf(error)}`);
    }
  }
  if (!read.length) throw failure;
  return { nodes: read, wrong, unread };
}

/**
 * Has the server parse all that it holds: a list with one bad row is an error, and the next restart panics at it or loses the tenant,
 * while running nodes still look healthy.
 * @param nodes to be asked, the first that answers
 * @returns what is wrong, a text each, and how many lists were read
 */
export async function readLists(
  { meta, cluster, format }: Expected,
  nodes: readonly Endpoint[],
): Promise<{ findings: string[]; count: number }> {
  /** `key: why it cannot be read` */
  const bad: string[] = [];
  const { entries } = await meta.dump(nodes[0]!);
  const held = [...readItems(entries, ({ key }, reason) => bad.push(`${key}: ${reason}`)).values()];
  for (const item of held) {
    const reason = unreadable(item, format);
    if (reason) bad.push(`${item.key}: ${reason}`);
  }
  const read = (command: string, of: unknown) => () => meta.read({ [command]: of }, nodes);
  const lists: [name: string, prefix: string, ask: () => Promise<string | undefined>][] = [
    ["DataNodes", "data_nodes/", read("DataNodes", cluster)],
    ["Users", "users/", read("Users", cluster)],
    ["Tenants", "tenants/", read("Tenants", cluster)],
  ];
  for (const { object } of held) {
    if (object.kind !== "tenant" || object.cluster !== cluster) continue;
    const { tenant } = object;
    const [prefix, of] = [`tenants/${tenant}/`, `of tenant ${displayName(tenant)}`];
    lists.push(
      [`MetaData ${of}`, prefix, () => meta.readTenant(cluster, tenant, nodes)],
      [`CustomRoles ${of}`, `${prefix}roles/`, read("CustomRoles", [cluster, tenant])],
      [`Members ${of}`, `${prefix}members/`, read("Members", [cluster, tenant])],
    );
  }
  const findings: string[] = [];
  await atOnce(8, lists, async ([name, prefix, ask]) => {
    const error = await ask();
    if (error === undefined) return;
    const causes = bad.filter((text) => text.startsWith(`/${cluster}/${prefix}`));
    const why = causes.length ? ` (${someOf(causes, 3)})` : "";
    findings.push(`/read ${name} answers ${error}: the next restart would panic at it or lose it${why}`);
  });
  return { findings, count: lists.length };
}

/** What SQL does not show, a text each. A data node hears of changes with a delay, so what is missing is looked for again. */
export async function listBySql({ meta, items }: Expected, sql: SqlClient): Promise<string[]> {
  const { signal, pauseMs } = meta.options;
  const gone = items.filter(({ value }) => /"(?:tenant_is_hidden|(?:db_)?is_hidden)":\s*true/.test(value));
  // Lists leave out what is dropped but not yet gone, and names with a slash.
  const listed = items.filter(({ object, key }) =>
    !["role", "member", "limiter"].includes(object.kind) && !isUnlisted(object) &&
    !gone.some((above) => `${key}/`.startsWith(`${above.key}/`))
  );
  const missing: Item[] = [];
  for (const [tenant, wanted] of Map.groupBy(listed, tenantOf)) {
    let left = wanted;
    for (let tries = 5; tries > 0 && left.length; tries--) {
      if (tries < 5) await pause(pauseMs * 2, signal);
      const shown = await labelsBySql(sql, tenant);
      left = left.filter(({ label }) => !shown.has(label));
    }
    missing.push(...left);
  }
  return missing.length ? [`SQL does not show ${someOf(missing.map(({ label }) => label), 5)}`] : [];
}

const listings = {
  database: "SELECT database_name FROM information_schema.databases",
  table: "SELECT table_database, table_name FROM information_schema.tables",
  tenant: "SELECT tenant_name FROM cluster_schema.tenants",
  user: "SELECT user_name FROM cluster_schema.users",
};

/** The databases and tables that SQL lists in a tenant; for "" all tenants and users. */
async function labelsBySql(sql: SqlClient, tenant: string): Promise<Set<string>> {
  const labels = new Set<string>();
  for (const kind of tenant ? ["database", "table"] as const : ["tenant", "user"] as const) {
    for (const row of await sql.query(listings[kind], { tenant: tenant || "cnosdb", timeoutMs: 30_000 })) {
      labels.add(`${kind} ${displayName(...tenant ? [tenant] : [], ...Object.values(row).map(String))}`);
    }
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
