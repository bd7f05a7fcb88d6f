/** What a target makes of what was restored: its store, its own readings of it, and SQL. */
import { differingFields, someOf } from "../dump/compare.ts";
import { entriesOf, toText } from "../dump/dump.ts";
import { messageOf } from "../cli/errors.ts";
import { type Endpoint, pause } from "../cnosdb/http.ts";
import { readObject } from "../dump/json.ts";
import { candidates, displayName, isUnlisted } from "../dump/key.ts";
import type { Answer } from "../cnosdb/meta.ts";
import type { MetaGroup } from "../cnosdb/meta_group.ts";
import { describeObject, type Item } from "./plan.ts";
import { atOnce } from "../cli/pool.ts";
import type { SqlClient } from "../cnosdb/sql.ts";
import { takeSnapshot } from "./target.ts";
import { assertReadable, type Format, identify } from "../versions/versions.ts";

/** What to read back, and how. */
export interface ReadBack {
  group: MetaGroup;
  sql: SqlClient | undefined;
  cluster: string;
  format: Format;
  items: readonly Item[];
  signal: AbortSignal;
  pauseMs: number;
  /** how long a follower may take to hold what its leader holds */
  waitMs: number;
}

/**
 * @returns what is not as it should be, a text each, empty where all is well; how many lists were read; and the addresses of meta nodes
 * that could not be asked
 */
export async function readBack(
  what: ReadBack,
): Promise<{ findings: string[]; lists: number; missing: string[] }> {
  const { findings, tenants, missing } = await compareValues(what);
  const lists = await readLists(what, tenants, findings);
  if (what.sql) findings.push(...await listBySql(what, what.sql));
  return { findings, lists, missing };
}

/** How a store differs from what was restored. */
interface Comparison {
  /** in which fields; none: it is not there */
  wrong: { item: Item; fields: string[] }[];
  tenants: string[];
}

/** Every value in a new dump. @param node asks this one alone */
function compareStore(
  { group: { meta }, cluster, items }: Pick<ReadBack, "group" | "cluster" | "items">,
  node: Endpoint | undefined,
): Promise<Comparison> {
  return meta.dump(
    async ({ blocks }) => {
      const left = new Map(items.map((item) => [item.key, item]));
      const read: Comparison = { wrong: [], tenants: [] };
      for await (const { bytes, line } of blocks) {
        for (const { key, value } of entriesOf({ bytes: toText(bytes), line })) {
          const [object] = candidates(key);
          if (object?.kind === "tenant" && object.cluster === cluster) read.tenants.push(object.tenant);
          const item = left.get(key);
          if (!item || !left.delete(key)) continue;
          const fields = differingFields(key, item.value, value);
          if (fields.length) read.wrong.push({ item, fields });
        }
      }
      for (const item of left.values()) read.wrong.push({ item, fields: [] });
      return read;
    },
    () => true,
    node,
  );
}

/** The same once nothing is wrong, or has stayed wrong for a while: what a cluster is just doing may be on its way. */
async function settled(what: ReadBack, node: Endpoint | undefined): Promise<Comparison> {
  let { pauseMs } = what;
  for (let left = 3;; left--, pauseMs *= 2) {
    const read = await compareStore(what, node);
    if (!read.wrong.length || left === 1) return read;
    await pause(pauseMs, what.signal);
  }
}

/**
 * Every value on every meta node: one that was killed between two steps lacks an entry for good, as raft takes it for applied (seen on
 * 2.4.2.1, replication/src/node_store.rs), and may lead the next day.
 */
async function compareValues(
  what: ReadBack,
): Promise<{ findings: string[]; tenants: string[]; missing: string[] }> {
  const { group, signal } = what;
  const { reached, missing } = await group.members(what.waitMs);
  const nodes = reached.length ? reached : [undefined];
  /** finding → the nodes that it is about */
  const findings = new Map<string, string[]>();
  const tenants = new Set<string>();
  let unread = 0;
  // One after another: each takes a list of all that is to be found.
  for (const node of nodes) {
    let read: Comparison;
    try {
      read = await settled(what, node);
    } catch (error) {
      if (signal.aborted || !node || ++unread === nodes.length) throw error;
      missing.push(new URL(node.url).host);
      continue;
    }
    for (const tenant of read.tenants) tenants.add(tenant);
    for (const { item: { key, object }, fields } of read.wrong) {
      const how = fields.length ? `reads back differently in ${someOf(fields, 5)}` : "is not there";
      const finding = `${describeObject(object)}: ${key} ${how}`;
      findings.set(finding, [...findings.get(finding) ?? [], node?.url ?? ""]);
    }
  }
  return {
    findings: [...findings].map(([finding, urls]) =>
      urls.length < nodes.length ? `${finding} on ${urls.join(", ")}` : finding
    ),
    tenants: [...tenants],
    missing,
  };
}

/**
 * The keys that are not as they should be on a meta node beside the one that was looked at. Written again they are.
 * @param seen the node that was looked at already
 */
export async function keysBehind(
  what: Pick<ReadBack, "group" | "cluster" | "items" | "signal" | "waitMs">,
  seen: Endpoint,
): Promise<Set<string>> {
  const { reached } = await what.group.members(what.waitMs);
  const keys = new Set<string>();
  for (const node of reached.filter(({ url }) => url !== seen.url)) {
    try {
      for (const { item } of (await compareStore(what, node)).wrong) keys.add(item.key);
    } catch {
      what.signal.throwIfAborted(); // else reading back says that it does not answer
    }
  }
  return keys;
}

/** A question to /read, and the names that its answer must hold beside those that it does. */
interface Question {
  what: string;
  /** of the keys that the server parses for it */
  prefix: string;
  ask: () => Promise<Answer>;
  names: (answer: unknown) => [kind: string, expected: string[], found: string[]][];
}

/**
 * Has the server parse all that it holds: a list with one bad row is an error, and the next restart panics at it or loses the
 * tenant, while running nodes still look healthy. Adds to `findings`.
 */
async function readLists(what: ReadBack, tenants: string[], findings: string[]): Promise<number> {
  const { group: { meta }, cluster, items } = what;
  const listed = (answer: unknown) => (answer as { name: string }[]).map(({ name }) => name);
  const byTenant = Map.groupBy(items, ({ object }) => object.kind === "user" ? "" : object.tenant);
  const userNames = new Map<string, string>();
  for (const { object, value } of items) {
    if (object.kind === "user" && !isUnlisted(object)) {
      userNames.set(readObject(value).get("id") ?? "", object.user);
    }
  }
  const shown = items.flatMap(({ object, value }) =>
    object.kind === "tenant" && !isHidden(value) && !isUnlisted(object) ? [object.tenant] : []
  );
  const questions: Question[] = [
    {
      ...{ what: "DataNodes", prefix: "data_nodes/", ask: () => meta.read({ DataNodes: cluster }) },
      names: () => [],
    },
    {
      ...{ what: "Users", prefix: "users/", ask: () => meta.read({ Users: cluster }) },
      names: (answer) => [["user", [...userNames.values()], listed(answer)]],
    },
    {
      ...{ what: "Tenants", prefix: "tenants/", ask: () => meta.read({ Tenants: cluster }) },
      names: (answer) => [["tenant", shown, listed(answer)]],
    },
    ...tenants.flatMap((tenant): Question[] => {
      const own = (byTenant.get(tenant) ?? []).map(({ object }) => object);
      const members = own.flatMap((object) => object.kind === "member" ? [object.userId] : []);
      const [prefix, of] = [`tenants/${tenant}/`, `of tenant ${displayName(tenant)}`];
      return [{
        ...{ what: `${meta.metaDataCommand} ${of}`, prefix, ask: () => meta.readTenant(cluster, tenant) },
        names: (answer) => {
          const { dbs, members: ids } = answer as {
            dbs: Record<string, { tables: Record<string, unknown> }>;
            members: Record<string, unknown>;
          };
          const tables = Object.entries(dbs).flatMap(([database, { tables }]) =>
            Object.keys(tables).map((table) => displayName(database, table))
          );
          return [
            ["database", own.flatMap((o) => o.kind === "database" ? [o.database] : []), Object.keys(dbs)],
            [
              "table",
              own.flatMap((o) => o.kind === "table" ? [displayName(o.database, o.table)] : []),
              tables,
            ],
            ["member", members, Object.keys(ids)],
          ];
        },
      }, {
        what: `CustomRoles ${of}`,
        prefix: `${prefix}roles/`,
        ask: () => meta.read({ CustomRoles: [cluster, tenant] }),
        names: (answer) => [["role", own.flatMap((o) => o.kind === "role" ? [o.role] : []), listed(answer)]],
      }, {
        what: `Members ${of}`,
        prefix: `${prefix}members/`,
        ask: () => meta.read({ Members: [cluster, tenant] }),
        // By name here, and without the ids that no user has.
        names: (answer) => [
          ["member", members.flatMap((id) => userNames.get(id) ?? []), Object.keys(answer as object)],
        ],
      }];
    }),
  ];
  await atOnce(8, questions, async ({ what: name, prefix, ask, names }) => {
    const answer = await ask();
    if (!("ok" in answer)) {
      const error = "err" in answer ? answer.err : "that it knows no such command";
      const cause = await culprits(what, `/${cluster}/${prefix}`);
      findings.push(`/read ${name} answers ${error}: the next restart would panic at it or lose it${cause}`);
      return;
    }
    for (const [kind, expected, found] of names(answer.ok)) {
      const there = new Set(found);
      const missing = expected.filter((name) => !there.has(name));
      if (missing.length) {
        findings.push(`/read ${name} lacks ${missing.length} ${kind}(s): ${someOf(missing, 5)}`);
      }
    }
  });
  return questions.length;
}

/** The entries under a prefix that this version cannot read, and why. */
async function culprits({ group: { meta }, format }: ReadBack, prefix: string): Promise<string> {
  const found: string[] = [];
  for (const { key, value } of (await takeSnapshot(meta)).entries.values()) {
    if (!key.startsWith(prefix)) continue;
    try {
      assertReadable(identify(key, value), value, format);
    } catch (error) {
      found.push(`${key}: ${messageOf(error)}`);
    }
  }
  return found.length ? ` (${someOf(found, 3)})` : "";
}

/** Whether a tenant or a database is dropped but not yet gone, so that lists leave it out. */
function isHidden(value: string): boolean {
  return /"(?:tenant_is_hidden|db_is_hidden|is_hidden)":\s*true/.test(value);
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

/** What SQL shows. A data node hears of changes with a delay, so what is missing is looked for again. */
async function listBySql({ items, signal, pauseMs }: ReadBack, sql: SqlClient): Promise<string[]> {
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
        missing = missing.filter(({ object }) => !shown.has(describeObject(object)));
        if (missing.length && left > 1) await pause(pauseMs * 2, signal);
      }
    } catch (error) {
      signal.throwIfAborted();
      findings.push(
        `SQL could not be asked (root's password is the dump's now, where the dump has a root): ${
          messageOf(error)
        }`,
      );
      continue;
    }
    if (missing.length) {
      findings.push(`SQL does not show ${someOf(missing.map(({ object }) => describeObject(object)), 5)}`);
    }
  }
  return findings;
}
