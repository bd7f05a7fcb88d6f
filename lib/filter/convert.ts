/** One entry's value, from the dump's form into the target's. */
import { Failure } from "../cli/errors.ts";
import { type Change, changes } from "../dump/compare.ts";
import { digitsOf, formatJson, type Json, objectIn, parseJson } from "../dump/json.ts";
import { type Key, namesOf, readKey } from "../dump/key.ts";
import type { Entry } from "../dump/text.ts";
import { assertReadable, formatsOf, identify, identifyEntry } from "../versions/entry.ts";
import type { Context } from "../versions/step.ts";
import { canLogIn } from "../versions/v2_4_0.ts";
import { describeRange, overlap } from "../versions/versions.ts";
import type { FilterOptions, OwnRule, Rule } from "./rules.ts";
import type { Survey } from "./survey.ts";

/** What became of an entry; shared by all that differ in id and names alone, so by most of a large dump. */
export interface Outcome {
  readonly kind: Key["kind"] | "unknown";
  readonly action: "kept" | "converted" | "dropped";
  /** the rules that were applied, in their order */
  readonly rules: readonly string[];
  /** what differs in the value, if details are asked for */
  readonly changes: readonly Change[];
  /** the cluster that its key gets, if that is another */
  readonly cluster?: string | undefined;
  /** what the value's last `length` characters are replaced by, if it changed */
  readonly end?: { readonly length: number; readonly text: string };
  /** whether a password was hashed: with a salt of the user's own, so that it is shared with no other */
  readonly hashed?: boolean;
  /** what to say of the user that it is */
  readonly remarks?: readonly Remark[];
  /** the databases that a role has rights on */
  readonly rights?: readonly string[];
  /** a database's, such as `30d` or `INF` */
  readonly ttl?: string;
}

export type Remark = "users without a password" | "users who had to change their password";

/** The key that an entry gets. */
export function keyOf({ key }: Entry, { cluster }: Outcome): string {
  return cluster === undefined ? key : `/${cluster}${key.slice(key.indexOf("/", 1))}`;
}

/** The value that an entry gets. */
export function valueOf({ value }: Entry, { end }: Outcome): string {
  return end ? value.slice(0, value.length - end.length) + end.text : value;
}

/** An entry and what it is about. */
export interface Item {
  readonly entry: Entry;
  readonly key: Key;
  /** how long the id and names are that its value begins with, if it begins as CnosDB writes it */
  readonly headLength?: number;
}

/** Names with one of these stand otherwise in JSON than in a key. */
// deno-lint-ignore no-control-regex
const mustBeEscaped = /["\\\x00-\x1f]/;
const largestId = String((1n << 128n) - 1n);

/** @throws {InvalidValue} if the key is none of CnosDB's, or does not fit the value */
export function readItem(entry: Entry): Item {
  const key = mustBeEscaped.test(entry.key) ? undefined : readKey(entry.key);
  const headLength = key && headLengthOf(key, entry.value);
  return key && headLength !== undefined ? { entry, key, headLength } : { entry, key: identifyEntry(entry) };
}

function headLengthOf(key: Key, value: string): number | undefined {
  switch (key.kind) {
    case "user":
    case "tenant":
    case "role": {
      const id = /^\{"id":(0|[1-9]\d{0,38}),/.exec(value)?.[1];
      if (id === undefined || (id.length === largestId.length && id > largestId)) return undefined;
      return endOf(value, 6 + id.length, ',"name":"', namesOf(key).at(-1)!, '",');
    }
    case "database":
      return endOf(value, 0, '{"tenant":"', key.tenant, '","database":"', key.database, '",');
    case "table": {
      const names = ['{"tenant":"', key.tenant, '","db":"', key.database, '","name":"', key.table, '",'];
      return endOf(value, wrapperOf(value).length, ...names);
    }
    case "bucket":
      return endOf(value, 0, '{"id":');
    case "internal":
      return undefined;
    default:
      return 0;
  }
}

/** Where all of `parts` end that stand in `value` one after another; undefined if they do not. */
function endOf(value: string, at: number, ...parts: string[]): number | undefined {
  for (const part of parts) {
    if (!value.startsWith(part, at)) return undefined;
    at += part.length;
  }
  return at;
}

/** What stands before a table's schema: its kind, such as TsKvTableSchema. */
function wrapperOf(table: string): string {
  return table.slice(0, table.indexOf("{", 1));
}

/** What the conversion of any entry of a dump needs. */
interface Conversion
  extends Pick<Survey, "source" | "sourceLine">, Pick<FilterOptions, "target" | "cluster" | "details"> {
  /** those that change values */
  readonly rules: readonly Rule[];
  readonly hash: Context["hash"];
}

/**
 * @param patches the operator's own for this entry
 * @throws {InvalidValue} if the value is not one that the dump's version wrote, or that the target reads
 * @throws {Failure} if it has the form of another version than the dump
 */
export function convert({ entry, key }: Item, patches: readonly OwnRule[], given: Conversion): Outcome {
  const before = parseJson(entry.value);
  identify(entry.key, before);
  const range = formatsOf(key, before);
  const form = overlap(range, given.source);
  if (!form) {
    throw new Failure(
      `line ${entry.line}: this ${key.kind} has the form of ${
        describeRange(range)
      }, line ${given.sourceLine} that of ${describeRange(given.source)}`,
      "a dump is of one version: was it put together from two, or edited half-way?",
    );
  }
  assertReadable(key, before, form.first);
  let after = before;
  let hashed = false;
  const applied: string[] = [];
  for (const rule of [...given.rules, ...patches]) {
    if (!rule.change || !rule.applies(entry, key)) continue;
    const next = rule.change(after, key, (password, id) => {
      hashed = true;
      return given.hash(password, id);
    });
    if (!("pattern" in rule) && !changes(after, next).length) continue;
    after = next;
    applied.push(rule.name);
  }
  assertReadable(key, after, given.target);
  const cluster = given.cluster === key.cluster ? undefined : given.cluster;
  const rules = cluster === undefined ? applied : [...applied, "--cluster"];
  return {
    kind: key.kind,
    action: rules.length ? "converted" : "kept",
    rules,
    changes: given.details && applied.length ? changes(before, after) : [],
    cluster,
    ...(applied.length ? { end: { length: entry.value.length, text: formatJson(after) } } : {}),
    ...(key.kind === "user" ? { hashed, remarks: remarksOn(before, after) } : {}),
    ...(key.kind === "role" ? { rights: Object.keys(objectIn(after, "additional_privileges")) } : {}),
    ...(key.kind === "database" ? { ttl: ttlOf(after) } : {}),
  };
}

function remarksOn(before: Json, after: Json): Remark[] {
  const [was, is] = [objectIn(before, "options"), objectIn(after, "options")];
  return [
    ...(canLogIn(is) ? [] : ["users without a password" as const]),
    ...(was.must_change_password === true && is.must_change_password === false
      ? ["users who had to change their password" as const]
      : []),
  ];
}

/** A database's TTL in any form, shortly. */
function ttlOf(database: Json): string {
  const ttl = objectIn(objectIn(database, "options"), "ttl");
  if ("is_inf" in ttl) {
    if (ttl.is_inf === true) return "INF";
    const seconds = BigInt(digitsOf(objectIn(ttl, "duration").secs) ?? "0");
    return seconds % 86_400n ? `${seconds}s` : `${seconds / 86_400n}d`;
  }
  const { time_num: count, unit } = objectIn(objectIn(database, "config"), "ttl");
  const digits = digitsOf(count);
  return digits === undefined || unit === "Inf" ? "INF" : digits + String(unit).charAt(0).toLowerCase();
}

type Convert = (item: Item, patches: readonly OwnRule[]) => Outcome;

/** Values that differ in id and names alone convert alike, so what follows those is converted once. */
export function remember(convert: Convert): Convert {
  let groups = new Map<string, Map<string, Outcome>>();
  let of: string | undefined;
  return (item, patches) => {
    const { entry: { value }, key: { kind, cluster }, headLength } = item;
    if (headLength === undefined) return convert(item, patches);
    // In another cluster --cluster may leave the keys as they are.
    if (cluster !== of) [groups, of] = [new Map(), cluster];
    let group = kind === "table" ? wrapperOf(value) : kind;
    for (const { name } of patches) group += `/${name}`;
    const known = groups.getOrInsertComputed(group, () => new Map());
    const rest = value.slice(headLength);
    const before = known.get(rest);
    if (before) return before;
    const outcome = convert(item, patches);
    const { end, hashed } = outcome;
    if (hashed || !valueOf(item.entry, outcome).startsWith(value.slice(0, headLength))) return outcome;
    const shared = end
      ? { ...outcome, end: { length: rest.length, text: end.text.slice(headLength) } }
      : outcome;
    known.set(rest, shared);
    return shared;
  };
}
