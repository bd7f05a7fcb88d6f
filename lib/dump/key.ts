/**
 * The keys of CnosDB's meta store (meta/src/store/key_path.rs), read into what they name. Names hold whatever
 * a user typed: spaces, dots, slashes, quotes, Chinese. A slash makes a key ambiguous (`/c/tenants/a/dbs/b`: the database b, or a
 * tenant called "a/dbs/b"), so a key has candidates, the plain one first, and the value decides.
 */

/** What an entry of the meta store is about. `cluster` is missing for the three keys that stand above all clusters. */
export type Key =
  | { kind: "user"; cluster: string; user: string }
  | { kind: "tenant"; cluster: string; tenant: string }
  | { kind: "role"; cluster: string; tenant: string; role: string }
  | { kind: "member"; cluster: string; tenant: string; userId: string }
  | { kind: "limiter"; cluster: string; tenant: string }
  | { kind: "database"; cluster: string; tenant: string; database: string }
  | { kind: "table"; cluster: string; tenant: string; database: string; table: string }
  | { kind: "bucket"; cluster: string; tenant: string; database: string; id: string }
  /** The cluster's own bookkeeping, which is never carried over: ids, nodes, running queries, pending DDL. */
  | { kind: "internal"; cluster?: string };

/** The kinds in the order in which one needs another: what a restore has to post first comes first. */
export const kinds = [
  "user",
  "tenant",
  "role",
  "member",
  "limiter",
  "database",
  "table",
  "bucket",
  "internal",
] as const satisfies Key["kind"][];

const aboveClusters = /^\/(?:data_version|already_init_key|test_alive)$/;
const internal =
  /^(?:auto_incr_id|resourceinfosmark|(?:data_nodes|data_nodes_metrics|resourceinfos|queries)\/.+|[^/]+\/queries\/.+)$/s;

/** Every way to cut `text` in two at `separator`, first cut first. Neither half is empty. */
function* cuts(text: string, separator: string): Generator<[string, string]> {
  for (let at = text.indexOf(separator, 1); at >= 0; at = text.indexOf(separator, at + 1)) {
    const rest = text.slice(at + separator.length);
    if (rest) yield [text.slice(0, at), rest];
  }
}

function* tenantKeys(cluster: string, path: string): Generator<Key> {
  for (const [tenant, inside] of cuts(path, "/dbs/")) {
    for (const [database, table] of cuts(inside, "/schemas/")) {
      yield { kind: "table", cluster, tenant, database, table };
    }
    for (const [database, id] of cuts(inside, "/buckets/")) {
      if (/^\d+$/.test(id)) yield { kind: "bucket", cluster, tenant, database, id };
    }
    yield { kind: "database", cluster, tenant, database: inside };
  }
  for (const [tenant, userId] of cuts(path, "/members/")) {
    if (/^\d+$/.test(userId)) yield { kind: "member", cluster, tenant, userId };
  }
  for (const [tenant, role] of cuts(path, "/roles/")) yield { kind: "role", cluster, tenant, role };
  if (path.endsWith("/limiter") && path.length > 8) {
    yield { kind: "limiter", cluster, tenant: path.slice(0, -8) };
  }
  yield { kind: "tenant", cluster, tenant: path };
}

/**
 * Everything that a key may name, the reading without slashes in names first. Empty if it is no key of CnosDB 2.3 or 2.4.
 * @param key as in a dump, with its leading slash
 */
export function* candidates(key: string): Generator<Key> {
  const slash = key.indexOf("/", 1);
  if (slash < 0 && aboveClusters.test(key)) yield { kind: "internal" };
  if (key[0] !== "/" || slash < 2) return;
  const cluster = key.slice(1, slash);
  const path = key.slice(slash + 1);
  if (path.startsWith("users/") && path.length > 6) yield { kind: "user", cluster, user: path.slice(6) };
  else if (path.startsWith("tenants/") && path.length > 8) yield* tenantKeys(cluster, path.slice(8));
  else if (internal.test(path)) yield { kind: "internal", cluster };
}

/** The first of `candidates`. A database and what is in it, so most of a dump, is read without trying every cut. */
export function readKey(key: string): Key | undefined {
  const group = key.indexOf("/", 1);
  const tenantAt = group + 9;
  const tenantEnd = key.startsWith("/tenants/", group) ? key.indexOf("/", tenantAt) : -1;
  if (group > 1 && tenantEnd > tenantAt && key.startsWith("/dbs/", tenantEnd)) {
    const [cluster, tenant] = [key.slice(1, group), key.slice(tenantAt, tenantEnd)];
    const databaseEnd = key.indexOf("/", tenantEnd + 5);
    if (databaseEnd < 0 && tenantEnd + 5 < key.length) {
      return { kind: "database", cluster, tenant, database: key.slice(tenantEnd + 5) };
    }
    const last = key.indexOf("/", databaseEnd + 1) + 1;
    if (databaseEnd > tenantEnd + 5 && last > 0 && last < key.length && !key.includes("/", last)) {
      const database = key.slice(tenantEnd + 5, databaseEnd);
      const name = key.slice(last);
      if (key.startsWith("/schemas/", databaseEnd)) {
        return { kind: "table", cluster, tenant, database, table: name };
      }
      if (key.startsWith("/buckets/", databaseEnd) && /^\d+$/.test(name)) {
        return { kind: "bucket", cluster, tenant, database, id: name };
      }
    }
  }
  const [first] = candidates(key);
  return first;
}

/**
 * Whether CnosDB leaves an object out of its lists, for a slash in its own name (children_data of meta/src/store/storage.rs).
 * A user or a tenant is found by name all the same; a database, a table or a role cannot be used at all, on no version (seen
 * on 2.3.5.4 and 2.4.2.1).
 */
export function isUnlisted(key: Key): boolean {
  switch (key.kind) {
    case "user":
      return key.user.includes("/");
    case "tenant":
      return key.tenant.includes("/");
    case "role":
      return key.role.includes("/");
    case "database":
    case "bucket":
      return key.database.includes("/");
    case "table":
      return key.database.includes("/") || key.table.includes("/");
    default:
      return false;
  }
}

/** The names in a key, outermost first. */
export function namesOf(object: Key): string[] {
  const { user, tenant, role, database, table } = object as Record<string, string | undefined>;
  return [user, tenant, role, database, table].filter((name) => name !== undefined);
}
