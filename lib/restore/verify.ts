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
import { isUnlisted, namesOf } from "../dump/key.ts";
import { assertReadable, type Format, identify } from "../versions/versions.ts";
import { type Item, readItems, type Target } from "./plan.ts";

/** What to read back, and how. */
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
  nodes: Endpoint[];
  /** items that are missing or different on a node, and a text that says so */
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
  const found = new Map<string, { item: Item; urls: string[] }>();
  const read: Endpoint[] = [];
  let failure: unknown;
  // One after another: each takes a dump's memory.
  for (const node of nodes.length ? nodes : meta.nodes) {
    try {
      for (const [item, how] of await wrongOn(meta, node, items)) {
        const text = `${item.label}: ${item.key} ${how}`;
        found.set(text, { item, urls: [...found.get(text)?.urls ?? [], node.url] });
      }
      read.push(node);
    } catch (error) {
      meta.options.signal.throwIfAborted();
      failure ??= error;
      unread.push(`${node.url}: ${messageOf(error)}`);
    }
  }
  if (!read.length) throw failure;
  const wrong = new Map<Item, string>();
  for (const [text, { item, urls }] of found) {
    wrong.set(item, urls.length < read.length ? `${text} on ${urls.join(", ")}` : text);
  }
  return { nodes: read, wrong, unread };
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

/** The lists of /read: for the cluster and for each tenant, the path that the server parses for it and the kinds that it shows. */
const lists = {
  cluster: { DataNodes: ["data_nodes/", []], Users: ["users/", ["user"]], Tenants: ["tenants/", ["tenant"]] },
  tenant: {
    MetaData: ["", ["database", "table", "member"]],
    CustomRoles: ["roles/", ["role"]],
    Members: ["members/", []],
  },
} as const satisfies Record<string, Record<string, [path: string, kinds: Item["object"]["kind"][]]>>;

/**
 * Has the server parse and list all that it holds: a list with one bad row is an error, and the next restart panics at it or loses the
 * tenant, while running nodes still look healthy.
 * @param nodes to be asked, the first that answers
 * @returns what is wrong, a text each, and how many lists were read
 */
export async function readLists(
  { meta, cluster, format, items }: Expected,
  nodes: readonly Endpoint[],
): Promise<{ findings: string[]; count: number }> {
  const { entries } = await meta.dump(nodes[0] ?? meta.nodes[0]!);
  const tenants = [...readItems(entries).values()].flatMap(({ object }) =>
    object.kind === "tenant" && object.cluster === cluster ? [object.tenant] : []
  );
  const shown = Map.groupBy(
    items.filter(({ object, value }) =>
      !isUnlisted(object) && !(object.kind === "tenant" && isHidden(value))
    ),
    ({ object }) => object.kind === "user" || object.kind === "tenant" ? "" : object.tenant,
  );
  const questions = [
    ...Object.entries(lists.cluster).map(([command, [path, kinds]]) => ({
      ...{ what: command, prefix: `/${cluster}/${path}`, kinds, of: "" },
      ask: () => meta.read({ [command]: cluster }, nodes),
    })),
    ...tenants.flatMap((of) =>
      Object.entries(lists.tenant).map(([command, [path, kinds]]) => ({
        ...{
          what: `${command} of tenant ${displayName(of)}`,
          prefix: `/${cluster}/tenants/${of}/${path}`,
          kinds,
          of,
        },
        ask: () =>
          command === "MetaData"
            ? meta.readTenant(cluster, of, nodes)
            : meta.read({ [command]: [cluster, of] }, nodes),
      }))
    ),
  ];
  const findings: string[] = [];
  await atOnce(8, questions, async ({ what, prefix, kinds, of, ask }) => {
    const answer = await ask();
    if ("ok" in answer) {
      const texts = new Set(JSON.stringify(answer.ok).match(/"(?:[^"\\]|\\.)*"/g));
      const missing = (shown.get(of) ?? []).filter(({ object }) =>
        (kinds as readonly string[]).includes(object.kind) && !texts.has(JSON.stringify(ownName(object)))
      );
      if (missing.length) {
        findings.push(`/read ${what} lacks ${someOf(missing.map(({ label }) => label), 5)}`);
      }
      return;
    }
    const error = "err" in answer ? answer.err : "that it knows no such command";
    const culprits = entries.filter(({ key }) => key.startsWith(prefix)).flatMap(({ key, value }) => {
      try {
        assertReadable(identify(key, value), value, format);
        return [];
      } catch (error) {
        return [`${key}: ${messageOf(error)}`];
      }
    });
    findings.push(
      `/read ${what} answers ${error}: the next restart would panic at it or lose it` +
        (culprits.length ? ` (${someOf(culprits, 3)})` : ""),
    );
  });
  return { findings, count: questions.length };
}

/** A name within its parent; of a member the user's id. */
function ownName(object: Item["object"]): string {
  return object.kind === "member" ? object.userId : namesOf(object).at(-1) ?? "";
}

/** Whether a tenant or a database is dropped but not yet gone, so that lists leave it out. */
function isHidden(value: string): boolean {
  return /"(?:tenant_is_hidden|db_is_hidden|is_hidden)":\s*true/.test(value);
}

/**
 * Whether the user of `--sql` may log in after the restore, and see everything: found from the password hashes that the target will hold
 * then, so that nothing has to be written to know it.
 * @param after items as they will be, by key
 * @returns what speaks against it
 */
export async function loginProblem(
  { url, user = "root", password = "" }: Endpoint,
  { cluster, formats, items }: Target,
  after: ReadonlyMap<string, Item>,
  signal: AbortSignal,
  ca: string | undefined,
): Promise<string | undefined> {
  const value = (after.get(`/${cluster}/users/${user}`) ?? items.get(`/${cluster}/users/${user}`))?.value;
  const who = `user ${displayName(user)} of --sql`;
  if (value === undefined) return `${who}: neither the target nor the dump has that user`;
  const { is_admin, is_root_admin, options } = JSON.parse(value) as UserValue;
  if (!is_admin && !is_root_admin && !options.granted_admin) {
    return `${who} is no administrator: it cannot list all tenants`;
  }
  if (!await needsPassword(new SqlClient({ url, password: crypto.randomUUID() }, signal, ca))) {
    return undefined;
  }
  if (!options.hash_password) return `${who} will have no password, and the target has authentication on`;
  const { compare } = await loadBcrypt();
  if (!await compare(password, options.hash_password)) {
    return `${who}: the password is not the one that it will have${
      after.has(`/${cluster}/users/${user}`) ? " (the dump's)" : ""
    }`;
  }
  // 2.4.0 does not look at the mark.
  if (!options.must_change_password || formats.includes("2.4.0")) return undefined;
  return `${who} must change its password before it may do anything else`;
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

/** Whether authentication is on: without it any password will do. @param nobody a client with a password that nobody has */
async function needsPassword(nobody: SqlClient): Promise<boolean> {
  try {
    await nobody.query("SELECT 1", { tenant: "cnosdb", timeoutMs: 30_000 });
    return false;
  } catch (error) {
    if (error instanceof SqlError && meaningOf(error) === "cluster") return true;
    throw error;
  }
}

/** The lists of SQL: kind of object, statement, columns. */
const sqlLists = {
  everywhere: [
    ["tenant", "SELECT tenant_name FROM cluster_schema.tenants", ["tenant_name"]],
    ["user", "SELECT user_name FROM cluster_schema.users", ["user_name"]],
  ],
  inTenant: [
    ["database", "SELECT database_name FROM information_schema.databases", ["database_name"]],
    ["table", "SELECT table_database, table_name FROM information_schema.tables", [
      "table_database",
      "table_name",
    ]],
  ],
} as const;

/** What SQL does not show, a text each. A data node hears of changes with a delay, so what is missing is looked for again. */
export async function listBySql({ meta, items }: Expected, sql: SqlClient): Promise<string[]> {
  const { signal, pauseMs } = meta.options;
  const hidden = items.filter(({ object: { kind }, value }) =>
    (kind === "tenant" || kind === "database") && isHidden(value)
  );
  const groups = Map.groupBy(
    items.filter(({ key, object }) =>
      ["user", "tenant", "database", "table"].includes(object.kind) && !isUnlisted(object) &&
      !hidden.some((above) => key === above.key || key.startsWith(`${above.key}/`))
    ),
    ({ object }) => object.kind === "user" || object.kind === "tenant" ? undefined : object.tenant,
  );
  const findings: string[] = [];
  for (const [tenant, wanted] of groups) {
    let missing = wanted;
    try {
      for (let left = 5; left > 0 && missing.length; left--) {
        const shown = new Set<string>();
        for (const [kind, statement, columns] of sqlLists[tenant === undefined ? "everywhere" : "inTenant"]) {
          for (const row of await sql.query(statement, { tenant: tenant ?? "cnosdb", timeoutMs: 30_000 })) {
            const names = columns.map((column) => String(row[column]));
            shown.add(`${kind} ${displayName(...tenant === undefined ? names : [tenant, ...names])}`);
          }
        }
        missing = missing.filter(({ label }) => !shown.has(label));
        if (missing.length && left > 1) await pause(pauseMs * 2, signal);
      }
    } catch (error) {
      signal.throwIfAborted();
      findings.push(
        `SQL cannot list ${tenant === undefined ? "tenants and users" : `tenant ${tenant}`}: ${
          messageOf(error)
        }`,
      );
      continue;
    }
    if (missing.length) findings.push(`SQL does not show ${someOf(missing.map(({ label }) => label), 5)}`);
  }
  return findings;
}
