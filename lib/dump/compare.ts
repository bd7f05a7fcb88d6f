/** What differs between two dumps, entry by entry and field by field. */
import { changes } from "./changes.ts";
import type { Entry } from "./dump.ts";
import { assertJson } from "./json.ts";
import { candidates, type Key } from "./key.ts";

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
  try {
    assertJson(a);
    assertJson(b);
  } catch {
    return ["value"];
  }
  const [read] = candidates(key);
  return changes(a, b).map(({ path }) => path || "value")
    .filter((path) => exact || !read || !moving[read.kind]?.test(path));
}

/**
 * Compares a stream of entries with a dump that is in memory.
 * @param there key → value; entries are taken out as they are met
 * @param exact volatile entries and fields too
 */
export async function* compareDumps(
  here: AsyncIterable<Entry>,
  there: Map<string, string>,
  exact = false,
): AsyncGenerator<Difference> {
  for await (const { key, value } of here) {
    if (!exact && isVolatile(key)) continue;
    const other = there.get(key);
    there.delete(key);
    if (other === undefined) yield { key, side: "here", fields: [] };
    else {
      const fields = differingFields(key, value, other, exact);
      if (fields.length) yield { key, side: "both", fields };
    }
  }
  for (const key of there.keys()) {
    if (exact || !isVolatile(key)) yield { key, side: "there", fields: [] };
  }
}

/** The first of many texts, and how many more there are. */
export function someOf(texts: readonly string[], most: number, separator = ", "): string {
  const more = texts.length - most;
  return texts.slice(0, most).join(separator) + (more > 0 ? `${separator}… and ${more} more` : "");
}
