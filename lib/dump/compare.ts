/** What differs between two dumps, entry by entry and field by field, for an operator to read: password hashes are masked. */
import type { Entry } from "./text.ts";
import { formatJson, InvalidValue, isObject, type Json, parseJson } from "./json.ts";
import { candidates, type Key, readKey } from "./key.ts";

/** A field that differs; `before` or `after` is missing if it is not there. JSON texts. */
export interface Change {
  /** names with dots between them, `[n]` for an element; "" for the whole value */
  path: string;
  before?: string;
  after?: string;
}

const secret = /(^|\.)(hash_)?password$/;

/** A value as it may be shown: of a password whether there is one. */
function shown(path: string, value: Json): string {
  return secret.test(path) && typeof value === "string" ? '"***"' : formatJson(value);
}

/** The outermost fields that differ, members of an object in the order of `before`; empty if the values are equal. */
export function changes(before: Json, after: Json, path = ""): Change[] {
  if (isObject(before) && isObject(after)) {
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((name) =>
      changesOf(path ? `${path}.${name}` : name, before[name], after[name])
    );
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length);
    return Array.from({ length }, (_, n) => changesOf(`${path}[${n}]`, before[n], after[n])).flat();
  }
  const [a, b] = [formatJson(before), formatJson(after)];
  return a === b ? [] : [{ path, before: shown(path, before), after: shown(path, after) }];
}

function changesOf(path: string, before: Json | undefined, after: Json | undefined): Change[] {
  if (before !== undefined && after !== undefined) return changes(before, after, path);
  if (before !== undefined) return [{ path, before: shown(path, before) }];
  return after === undefined ? [] : [{ path, after: shown(path, after) }];
}

/** An entry that is not the same on both sides; `fields` if it is on both. */
export interface Difference {
  key: string;
  side: "here" | "there" | "both";
  fields: string[];
}

/** The databases that a server makes and fills by itself: its metrics and its views. */
const systemDatabases = ["usage_schema", "cluster_schema"];

/** What a running cluster rewrites by itself: counters, nodes and their metrics, queries, buckets, its own databases. */
export function isVolatile(object: Key): boolean {
  if (object.kind === "internal" || object.kind === "bucket") return true;
  return "database" in object && object.tenant === "cnosdb" && systemDatabases.includes(object.database);
}

/** The names of the users among entries, by id: a member row holds the id alone. */
export function userNames(entries: Iterable<Entry>): Map<string, string> {
  const names = new Map<string, string>();
  for (const { key, value } of entries) {
    const object = key.includes("/users/") ? readKey(key) : undefined;
    if (object?.kind !== "user") continue;
    const id = /"id":\s*(\d+)/.exec(value)?.[1];
    if (id !== undefined) names.set(id, object.user);
  }
  return names;
}

/**
 * What a cluster has of its own before anybody has made anything in it: root, the tenant cnosdb with its database public, and what is
 * volatile. 2.4.0 also lists its root as a member; after a restore that overwrote root with another id that row is nobody's (seen on
 * 2.4.0), and so is every member row without a user.
 * @param entries all of that cluster's
 */
export function ownOf(entries: Iterable<Entry>): (object: Key) => boolean {
  const users = userNames(entries);
  return (object) => {
    if (isVolatile(object)) return true;
    if (object.kind === "user") return object.user === "root";
    if (object.kind === "member") {
      const user = users.get(object.userId);
      return user === undefined || object.tenant === "cnosdb" && user === "root";
    }
    if (object.kind === "tenant") return object.tenant === "cnosdb";
    return object.kind === "database" && object.tenant === "cnosdb" && object.database === "public";
  };
}

/**
 * Fields that say nothing about a change: the level of a tenant's token buckets moves with every request, and each meta node gives a
 * role an id of its own, which nothing refers to (2.3.5.4 and 2.4.2.1 with three nodes).
 */
const moving: { [kind in Key["kind"]]?: RegExp } = { limiter: /^buckets\.\w+\.critical(\.|$)/, role: /^id$/ };

/**
 * The fields in which two values of an entry differ, as paths such as `options.ttl.is_inf`; empty if they are equal,
 * whatever the order of their members. `value` stands for the whole. Moving fields are passed over.
 */
export function differingFields(key: string, a: string, b: string): string[] {
  if (a === b) return [];
  const [read] = candidates(key);
  try {
    return changes(parseJson(a), parseJson(b)).map(({ path }) => path || "value")
      .filter((path) => !read || !moving[read.kind]?.test(path));
  } catch (error) {
    if (error instanceof InvalidValue) return ["value"];
    throw error;
  }
}

/**
 * How a cluster differs from a dump. What every cluster has of its own is no difference, so that after a good migration there is none.
 * @param here the cluster's entries
 * @param there the dump's
 */
export function compareDumps(here: readonly Entry[], there: readonly Entry[]): Difference[] {
  const isOwn = ownOf(here);
  const left = new Map(there.map(({ key, value }) => [key, value]));
  const differences: Difference[] = [];
  for (const { key, value } of here) {
    const [object] = candidates(key);
    const other = left.get(key);
    left.delete(key);
    if (object && (other === undefined ? isOwn(object) : isVolatile(object))) continue;
    // A tenant cnosdb that was not overwritten has the cluster's own id, which nothing refers to.
    const fields = other === undefined ? [] : differingFields(key, value, other)
      .filter((field) => field !== "id" || object?.kind !== "tenant" || object.tenant !== "cnosdb");
    if (other === undefined || fields.length) {
      differences.push({ key, side: other === undefined ? "here" : "both", fields });
    }
  }
  for (const key of left.keys()) {
    const [object] = candidates(key);
    if (!object || !isVolatile(object)) differences.push({ key, side: "there", fields: [] });
  }
  return differences;
}
