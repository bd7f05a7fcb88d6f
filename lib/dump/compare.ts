/** What differs between two values or two dumps, field by field, with password hashes masked. */
import { formatJson, InvalidValue, isObject, type Json, parseJson } from "./json.ts";
import { type Key, readKey } from "./key.ts";
import type { Entry } from "./text.ts";

/** A field that differs; `before` or `after` is undefined if it is not there. JSON texts. */
export interface Change {
  /** names with dots between them, `[n]` for an element; "" for the whole value */
  path: string;
  before: string | undefined;
  after: string | undefined;
}

const secret = /(^|\.)(hash_)?password$/;

/** A value as it may be shown: of a password only that there is one. */
function shown(path: string, value: Json | undefined): string | undefined {
  if (value === undefined) return undefined;
  return secret.test(path) && typeof value === "string" ? '"***"' : formatJson(value);
}

/** The outermost fields that differ, in the order of `before`; empty if the values are equal. */
export function changes(before: Json | undefined, after: Json | undefined, path = ""): Change[] {
  if (isObject(before) && isObject(after)) {
    return Object.keys({ ...before, ...after }).flatMap((name) =>
      changes(before[name], after[name], path ? `${path}.${name}` : name)
    );
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const longer = before.length > after.length ? before : after;
    return longer.flatMap((_, n) => changes(before[n], after[n], `${path}[${n}]`));
  }
  const equal = before === after ||
    before !== undefined && after !== undefined && formatJson(before) === formatJson(after);
  return equal ? [] : [{ path, before: shown(path, before), after: shown(path, after) }];
}

/**
 * Fields that differ although nobody changed anything: the level of a tenant's token buckets changes with every
 * request, and a role has another id on each meta node, which nothing refers to (seen on 2.3.5.4 and 2.4.2.1
 * with three nodes).
 */
const moving: { [kind in Key["kind"]]?: RegExp } = { limiter: /^buckets\.\w+\.critical(\.|$)/, role: /^id$/ };

/**
 * The fields in which two values of an entry differ, as paths such as `options.ttl.is_inf`, or `value` for the
 * whole; empty if they are equal, whatever the order of their members. `moving` fields are left out.
 */
export function differingFields(key: string, a: string, b: string): string[] {
  if (a === b) return [];
  const kind = readKey(key)?.kind;
  try {
    const paths = changes(parseJson(a), parseJson(b)).map(({ path }) => path || "value");
    return paths.filter((path) => !kind || !moving[kind]?.test(path));
  } catch (error) {
    if (error instanceof InvalidValue) return ["value"];
    throw error;
  }
}

/** The databases that a server makes and fills by itself: its metrics and its views. */
export const systemDatabases = ["usage_schema", "cluster_schema"];

/** Whether a running cluster rewrites it by itself: counters, nodes, metrics, queries, buckets, its own databases. */
export function isVolatile(object: Key): boolean {
  if (object.kind === "internal" || object.kind === "bucket") return true;
  return "database" in object && object.tenant === "cnosdb" && systemDatabases.includes(object.database);
}

/** The names of the users among entries, by id: a member row holds the id alone. */
export function userNames(entries: Iterable<Entry>): Map<string, string> {
  const names = new Map<string, string>();
  for (const { key, value } of entries) {
    const object = key.includes("/users/") ? readKey(key) : undefined;
    const id = /"id":\s*(\d+)/.exec(value)?.[1];
    if (object?.kind === "user" && id !== undefined) names.set(id, object.user);
  }
  return names;
}

/**
 * Returns a test for what every new cluster has: root, the tenant cnosdb with its database public, and what is
 * volatile. 2.4.0 also lists its root as a member. After a restore that overwrote root with another id, that
 * row belongs to no user (seen on 2.4.0); no member row without a user counts as the operator's.
 * @param entries all entries of the cluster
 */
export function ownOf(entries: Iterable<Entry>): (object: Key) => boolean {
  const users = userNames(entries);
  return (object) => {
    if (isVolatile(object)) return true;
    if (object.kind === "user") return object.user === "root";
    const isOfCnosdb = "tenant" in object && object.tenant === "cnosdb";
    if (object.kind === "member") {
      const user = users.get(object.userId);
      return user === undefined || isOfCnosdb && user === "root";
    }
    return isOfCnosdb &&
      (object.kind === "tenant" || object.kind === "database" && object.database === "public");
  };
}

/** An entry that is on one side only, or on both with different `fields`. */
export interface Difference {
  key: string;
  side: "here" | "there" | "both";
  fields: string[];
}

/**
 * How a cluster differs from a dump. What every new cluster has is no difference, so there is none after a
 * successful migration.
 * @param here the cluster's entries
 * @param there the dump's entries
 */
export function compareDumps(here: readonly Entry[], there: readonly Entry[]): Difference[] {
  const isOwn = ownOf(here);
  const byKey = (entries: readonly Entry[]) => new Map(entries.map(({ key, value }) => [key, value]));
  const [left, right] = [byKey(here), byKey(there)];
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((key): Difference[] => {
    const [mine, theirs, object] = [left.get(key), right.get(key), readKey(key)];
    if (object && (theirs === undefined ? isOwn(object) : isVolatile(object))) return [];
    if (mine === undefined) return [{ key, side: "there", fields: [] }];
    if (theirs === undefined) return [{ key, side: "here", fields: [] }];
    // A tenant cnosdb that was not overwritten has the cluster's own id, which nothing refers to.
    const isCnosdb = object?.kind === "tenant" && object.tenant === "cnosdb";
    const fields = differingFields(key, mine, theirs).filter((field) => field !== "id" || !isCnosdb);
    return fields.length ? [{ key, side: "both", fields }] : [];
  });
}
