/** One entry's value, from the dump's form into the target's. */
import { type Change, changes } from "../dump/compare.ts";
import { formatJson, type Json, objectIn, parseJson } from "../dump/json.ts";
import { Failure } from "../cli/errors.ts";
import { describeRange, type Format, overlap, type Range } from "../versions/versions.ts";
import { assertReadable, formatsOf, identify } from "../versions/entry.ts";
import { canLogIn } from "../versions/v2_4_0.ts";
import type { Item } from "./item.ts";
import type { Rule } from "./rule.ts";

/** What became of a value, or of all that differ from it in id and names alone. */
export interface Converted {
  /** the JSON text that comes out for a value that was converted so */
  textFor: (value: string) => string;
  about: About;
}

/** How a value was converted: the same for values that differ in id and names alone. */
export interface About {
  /** the rules that changed it, in their order */
  rules: string[];
  /** what they changed; empty unless details are asked for */
  changes: Change[];
  /** it depends on the entry's id or names */
  personal: boolean;
  /** what the operator should know of the user it belongs to */
  remarks: Remark[];
  /** the databases that a role has rights on */
  rights: string[];
  /** a database's, such as `30d` or `INF` */
  ttl?: string;
}

export type Remark = "no password" | "password kept";

/** What the conversion of any entry of a dump needs. */
export interface Conversion {
  /** the dump's form, and the line that shows it */
  source: Range;
  sourceLine: number;
  target: Format;
  rules: readonly Rule[];
  details: boolean;
}

/**
 * @throws {InvalidValue} if the value is not one that the dump's version wrote, or that the target reads
 * @throws {Failure} if it has the form of another version than the dump
 */
export function convert(item: Item, { source, sourceLine, target, rules, details }: Conversion): Converted {
  const { key, entry } = item;
  const before = parseJson(entry.value);
  identify(entry.key, before);
  const range = formatsOf(key, before);
  const form = overlap(range, source);
  if (!form) {
    throw new Failure(
      `line ${entry.line}: this ${key.kind} has the form of ${
        describeRange(range)
      }, line ${sourceLine} that of ${describeRange(source)}`,
      "a dump is of one version: was it put together from two, or edited half-way?",
    );
  }
  assertReadable(key, before, form.first);
  let after = before;
  const applied: string[] = [];
  let personal = false;
  for (const rule of rules) {
    if (!rule.change || !rule.applies(item)) continue;
    const next = rule.change(item, after, () => personal = true);
    if (!rule.own && !changes(after, next).length) continue;
    after = next;
    applied.push(rule.name);
  }
  assertReadable(key, after, target);
  const text = applied.length ? formatJson(after) : entry.value;
  return {
    textFor: () => text,
    about: {
      rules: applied,
      changes: details && applied.length ? changes(before, after) : [],
      personal,
      remarks: key.kind === "user" ? remarksOn(before, after) : [],
      rights: key.kind === "role" ? Object.keys(objectIn(after, "additional_privileges")) : [],
      ...(key.kind === "database" ? { ttl: ttlOf(after) } : {}),
    },
  };
}

function remarksOn(before: Json, after: Json): Remark[] {
  const [was, is] = [objectIn(before, "options"), objectIn(after, "options")];
  const kept = was.must_change_password === true && is.must_change_password === false;
  return [...(canLogIn(is) ? [] : ["no password" as const]), ...(kept ? ["password kept" as const] : [])];
}

/** A database's TTL in any form, shortly. */
function ttlOf(database: Json): string {
  const ttl = objectIn(objectIn(database, "options"), "ttl");
  if ("is_inf" in ttl) {
    const seconds = Number(objectIn(ttl, "duration").secs);
    return ttl.is_inf === true ? "INF" : seconds % 86_400 ? `${seconds}s` : `${seconds / 86_400}d`;
  }
  const { time_num: count, unit } = objectIn(objectIn(database, "config"), "ttl");
  return count === undefined || unit === "Inf" ? "INF" : `${count}${String(unit)[0]?.toLowerCase()}`;
}
