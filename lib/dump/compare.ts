/** What differs between two dumps, entry by entry and field by field. */
import { changes } from "./changes.ts";
import { InvalidValue, parseJson } from "./json.ts";
import { candidates, type Key } from "./key.ts";
import type { Entry } from "./text.ts";

/** An entry that is not the same on both sides; `fields` where it is on both. */
export interface Difference {
  key: string;
  side: "here" | "there" | "both";
  fields: string[];
}

/** What a running cluster rewrites by itself: counters, metrics of nodes, running queries, pending DDL. */
export function isVolatile(key: string): boolean {
  const [first] = candidates(key);
  return first?.kind === "internal" && !/^\/[^/]+\/data_nodes\//.test(key);
}

/**
 * Whether every cluster has an object of this key by itself, so that having it says nothing: its own bookkeeping, and what the
 * first start makes.
 * @param rootIds the ids of users called root; a cluster has members rows of its own root (2.4.0 those of a former root too)
 */
export function isBuiltIn(key: Key, rootIds: ReadonlySet<string>): boolean {
  switch (key.kind) {
    case "internal":
    case "bucket":
      return true;
    case "user":
      return key.user === "root";
    case "tenant":
      return key.tenant === "cnosdb";
    case "member":
      return key.tenant === "cnosdb" && rootIds.has(key.userId);
    case "database":
      return key.tenant === "cnosdb" && ["public", ...systemDatabases].includes(key.database);
    case "table":
      return isSystem(key);
    default:
      return false;
  }
}

const systemDatabases = ["usage_schema", "cluster_schema"];

/** Whether a key is about the server's own metrics and views, or about what is in them. */
export function isSystem(key: Key): boolean {
  return "database" in key && key.tenant === "cnosdb" && systemDatabases.includes(key.database);
}

/**
 * Fields that say nothing about a change: the level of a tenant's token buckets moves with every request, and each meta node gives a
 * role an id of its own, which nothing refers to (2.3.5.4 and 2.4.2.1 with three nodes).
 */
const moving: { [kind in Key["kind"]]?: RegExp } = { limiter: /^buckets\.\w+\.critical(\.|$)/, role: /^id$/ };

/**
 * The fields in which two values of an entry differ, as paths such as `options.ttl.is_inf`; empty where they are equal,
 * whatever the order of their members. `value` stands for the whole. Without `exact` the moving fields are passed over.
 */
export function differingFields(key: string, a: string, b: string, exact = false): string[] {
  if (a === b) return [];
  const [read] = candidates(key);
  try {
    return changes(parseJson(a), parseJson(b)).map(({ path }) => path || "value")
      .filter((path) => exact || !read || !moving[read.kind]?.test(path));
  } catch (error) {
    if (error instanceof InvalidValue) return ["value"];
    throw error;
  }
}

/**
 * Compares a cluster's entries with a dump's.
 * @param here the cluster's; @param there the dump's
 * @param exact volatile entries and fields too, and what only the cluster has because every cluster has it
 */
export function* compareEntries(
  here: readonly Entry[],
  there: readonly Entry[],
  exact = false,
): Generator<Difference> {
  const others = new Map(there.map(({ key, value }) => [key, value]));
  const rootIds = new Set(
    here.filter(({ key }) => /^\/[^/]+\/users\/root$/.test(key)).map(({ value }) =>
      /"id":(\d+)/.exec(value)?.[1] ?? ""
    ),
  );
  for (const { key, value } of here) {
    const other = others.get(key);
    others.delete(key);
    if (!exact && isVolatile(key)) continue;
    if (other !== undefined) {
      const fields = differingFields(key, value, other, exact);
      if (fields.length) yield { key, side: "both", fields };
    } else {
      const [read] = candidates(key);
      if (exact || !read || !isBuiltIn(read, rootIds)) yield { key, side: "here", fields: [] };
    }
  }
  for (const key of others.keys()) {
    if (exact || !isVolatile(key)) yield { key, side: "there", fields: [] };
  }
}

/** Compares a stream of entries with a dump that is in memory; goes once dump_meta.ts uses `compareEntries`. */
export async function* compareDumps(
  here: AsyncIterable<Entry>,
  there: Map<string, string>,
  exact = false,
): AsyncGenerator<Difference> {
  const entries = [...there].map(([key, value]) => ({ key, value, line: 0 }));
  yield* compareEntries(await Array.fromAsync(here), entries, exact);
}

/** The first of many texts, and how many more there are. */
export function someOf(texts: readonly string[], most: number, separator = ", "): string {
  const more = texts.length - most;
  return texts.slice(0, most).join(separator) + (more > 0 ? `${separator}… and ${more} more` : "");
}
