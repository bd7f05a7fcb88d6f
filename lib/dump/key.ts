/**
 * The keys of CnosDB's meta store (meta/src/store/key_path.rs). Names hold whatever a user typed: spaces, dots,
 * slashes, quotes, Chinese. A slash makes a key ambiguous: `/c/tenants/a/dbs/b` is the database b, or a tenant
 * called "a/dbs/b". So a key has candidates, the one without slashes in names first, and the value decides.
 */

/** The object that an entry describes. Three keys stand above all clusters, so they have no `cluster`. */
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

/** All kinds, in the order in which plans and reports list them. */
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

/** What stands under a tenant: the words between its names, in the order in which a key is read. */
const underTenant = [
  { kind: "table", words: ["/dbs/", "/schemas/"], names: ["tenant", "database", "table"] },
  { kind: "bucket", words: ["/dbs/", "/buckets/"], names: ["tenant", "database", "id"] },
  { kind: "database", words: ["/dbs/"], names: ["tenant", "database"] },
  { kind: "member", words: ["/members/"], names: ["tenant", "userId"] },
  { kind: "role", words: ["/roles/"], names: ["tenant", "role"] },
] as const;

/** Every way to cut a text at these words, in this order, early cuts first. No part is empty. */
function* cuts(text: string, [word, ...more]: readonly string[]): Generator<string[]> {
  if (word === undefined) {
    if (text) yield [text];
    return;
  }
  for (let at = text.indexOf(word, 1); at > 0; at = text.indexOf(word, at + 1)) {
    for (const parts of cuts(text.slice(at + word.length), more)) yield [text.slice(0, at), ...parts];
  }
}

function* tenantKeys(cluster: string, path: string): Generator<Key> {
  for (const { kind, words, names } of underTenant) {
    for (const parts of cuts(path, words)) {
      if ((kind === "bucket" || kind === "member") && !/^\d+$/.test(parts.at(-1)!)) continue;
      yield { kind, cluster, ...Object.fromEntries(names.map((name, n) => [name, parts[n]])) } as Key;
    }
  }
  if (/.\/limiter$/s.test(path)) yield { kind: "limiter", cluster, tenant: path.slice(0, -8) };
  yield { kind: "tenant", cluster, tenant: path };
}

/**
 * Everything that a key may mean, the reading without slashes in names first. Nothing for a key that neither
 * 2.3 nor 2.4 has.
 * @param key as in a dump, with its leading slash
 */
export function* candidates(key: string): Generator<Key> {
  if (aboveClusters.test(key)) yield { kind: "internal" };
  const [, cluster, path = ""] = /^\/([^/]+)\/(.*)$/s.exec(key) ?? [];
  if (cluster === undefined) return;
  if (/^users\/./s.test(path)) yield { kind: "user", cluster, user: path.slice(6) };
  else if (/^tenants\/./s.test(path)) yield* tenantKeys(cluster, path.slice(8));
  else if (internal.test(path)) yield { kind: "internal", cluster };
}

/** A database, table or bucket without a slash in its names: most keys of a dump. */
const plainKey = /^\/([^/]+)\/tenants\/([^/]+)\/dbs\/([^/]+)(?:\/schemas\/([^/]+)|\/buckets\/(\d+))?$/;

/** The first of `candidates`, faster. */
export function readKey(key: string): Key | undefined {
  const [, cluster, tenant, database, table, id] = plainKey.exec(key) ?? [];
  if (cluster !== undefined && tenant !== undefined && database !== undefined) {
    if (table !== undefined) return { kind: "table", cluster, tenant, database, table };
    if (id !== undefined) return { kind: "bucket", cluster, tenant, database, id };
    return { kind: "database", cluster, tenant, database };
  }
  const [first] = candidates(key);
  return first;
}

/**
 * Whether CnosDB leaves an object out of its lists, because of a slash in its own name (children_data of
 * meta/src/store/storage.rs). A user or a tenant can still be used by name, a database, a table or a role not
 * at all, in no version (seen on 2.3.5.4 and 2.4.2.1).
 */
export function isUnlisted(key: Key): boolean {
  const own = key.kind === "user" || key.kind === "tenant" ? namesOf(key) : namesOf(key).slice(1);
  return own.some((name) => name.includes("/"));
}

/** Whether CnosDB's /restore cuts a line inside of this key, and writes another one. */
export function isCutByRestore(key: string): boolean {
  return /: |\n/.test(key);
}

/** The names in a key, outermost first. */
export function namesOf(object: Key): string[] {
  const { user, tenant, role, database, table } = object as Record<string, string | undefined>;
  return [user, tenant, role, database, table].filter((name) => name !== undefined);
}
