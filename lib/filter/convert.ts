/** One entry's value, from the dump's form into the target's. */
import { Failure } from "../cli/errors.ts";
import { type Change, changes } from "../dump/compare.ts";
import { digitsOf, formatJson, type Json, objectIn, parseJson } from "../dump/json.ts";
import { type Key, namesOf, readKey } from "../dump/key.ts";
import type { Entry } from "../dump/text.ts";
import { identify, identifyEntry } from "../versions/entry.ts";
import type { Context } from "../versions/step.ts";
import { canLogIn } from "../versions/v2_4_0.ts";
import { assertReadable, describeRange, formatsOf, overlap } from "../versions/versions.ts";
import type { FilterOptions, OwnRule, Rules, Survey } from "./rules.ts";

/** What became of an entry. Entries that differ in id and names alone, so most of a dump, share one. */
export interface Outcome {
  readonly kind: Key["kind"] | "unknown";
  readonly action: "kept" | "converted" | "dropped";
  /** the names of the rules that were applied, in their order */
  readonly rules: readonly string[];
  /** the fields that changed, if details are asked for */
  readonly changes: readonly Change[];
  /** the new name of the cluster in its key, if that changes */
  readonly cluster?: string | undefined;
  /** replaces the last `length` characters of the value, if that changed */
  readonly end?: { readonly length: number; readonly text: string } | undefined;
  /** whether a password was hashed, with the user's own salt, so that no other can share the outcome */
  readonly hashed?: boolean;
  /** what an operator should know of a user */
  readonly remarks?: readonly Remark[];
  /** the databases that a role has rights on */
  readonly rights?: readonly string[];
  /** of a database, such as `30d` or `INF` */
  readonly ttl?: string | undefined;
}

/** What an operator should know of a user: `text` follows the user's name. */
export interface Remark {
  /** what such users are, for when there are too many to name */
  readonly sort: string;
  readonly text: string;
}

const withoutPassword: Remark = {
  sort: "users without a password",
  text: "has no password: 2.4 lets it in only where authentication is off",
};
const keepsPassword: Remark = {
  sort: "users who had to change their password",
  text:
    "had to change its password, which nothing before 2.4.1 asked for: it keeps it, and must_change_password is false",
};

/** The key that an entry gets. */
export function keyOf({ key }: Entry, { cluster }: Outcome): string {
  return cluster === undefined ? key : `/${cluster}${key.slice(key.indexOf("/", 1))}`;
}

/** The value that an entry gets. */
export function valueOf({ value }: Entry, { end }: Outcome): string {
  return end ? value.slice(0, value.length - end.length) + end.text : value;
}

/** An entry and the object that it describes. */
export interface Item {
  readonly entry: Entry;
  readonly key: Key;
  /** the length of what its value begins with: id and names, as CnosDB writes them; undefined if it does not */
  readonly headLength: number | undefined;
}

/** A name with one of these is written in JSON in another way than in a key. */
// deno-lint-ignore no-control-regex
const mustBeEscaped = /["\\\x00-\x1f]/;
const largestId = String((1n << 128n) - 1n);

/** @throws {InvalidValue} if the key is none of CnosDB's, or does not fit the value */
export function readItem(entry: Entry): Item {
  const key = mustBeEscaped.test(entry.key) ? undefined : readKey(entry.key);
  const headLength = key && headLengthOf(key, entry.value);
  return { entry, key: key && headLength !== undefined ? key : identifyEntry(entry), headLength };
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

/** The end of `parts`, if they stand in `value` one after another; undefined if they do not. */
function endOf(value: string, at: number, ...parts: string[]): number | undefined {
  for (const part of parts) {
    if (!value.startsWith(part, at)) return undefined;
    at += part.length;
  }
  return at;
}

/** What a table's value begins with, up to its schema: `{"TsKvTableSchema":` or another kind. */
function wrapperOf(table: string): string {
  return table.slice(0, table.indexOf("{", 1));
}

/** What the conversion of every entry of a dump needs. */
interface Given {
  options: FilterOptions;
  facts: Survey;
  rules: Rules;
  hash: Context["hash"];
}

/**
 * @param patches the operator's own for this entry
 * @throws {InvalidValue} if the value is not one that the dump's version wrote, or that the target reads
 * @throws {Failure} if it has the form of another version than the dump
 */
export function convert({ entry, key }: Item, patches: readonly OwnRule[], given: Given): Outcome {
  const { target, cluster, details } = given.options;
  const before = parseJson(entry.value);
  identify(entry.key, before);
  assertReadable(key, before, formOf(key, before, entry.line, given.facts));
  let hashed = false;
  const hash: Context["hash"] = (password, id) => {
    hashed = true;
    return given.hash(password, id);
  };
  let after = before;
  const rules: string[] = [];
  for (const { name, change } of given.rules.conversions) {
    const next = change(after, key, hash);
    if (!changes(after, next).length) continue;
    after = next;
    rules.push(name);
  }
  for (const { name, change } of patches) {
    after = change!(after);
    rules.push(name);
  }
  if (patches.length) identify(entry.key, after);
  assertReadable(key, after, target);
  const end = rules.length ? { length: entry.value.length, text: formatJson(after) } : undefined;
  const isRenamed = cluster !== undefined && cluster !== key.cluster;
  if (isRenamed) rules.push("--cluster");
  return {
    kind: key.kind,
    action: rules.length ? "converted" : "kept",
    rules,
    changes: details && end ? changes(before, after) : [],
    cluster: isRenamed ? cluster : undefined,
    end,
    hashed,
    remarks: key.kind === "user" ? remarksOn(before, after) : [],
    rights: key.kind === "role" ? Object.keys(objectIn(after, "additional_privileges")) : [],
    ttl: key.kind === "database" ? ttlOf(after) : undefined,
  };
}

/** The earliest form that both the value and the dump may have, as a position. @throws {Failure} if there is none */
function formOf(key: Key, value: Json, line: number, { source, sourceLine }: Survey): number {
  const range = formatsOf(key, value);
  const both = overlap(range, source);
  if (both) return both.first;
  throw new Failure(
    `line ${line}: this ${key.kind} has the form of ${describeRange(range)}, line ${sourceLine} that of ${
      describeRange(source)
    }`,
    "a dump is of one version: was it put together from two, or edited half-way?",
  );
}

function remarksOn(before: Json, after: Json): Remark[] {
  const options = objectIn(after, "options");
  const remarks = canLogIn(options) ? [] : [withoutPassword];
  const hadToChange = objectIn(before, "options").must_change_password === true;
  if (hadToChange && options.must_change_password === false) remarks.push(keepsPassword);
  return remarks;
}

/** A database's TTL, in a short form. */
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

export type Convert = (item: Item, patches: readonly OwnRule[]) => Outcome;

/** Values that differ in id and names alone convert alike, so that only the first of them is converted. */
export function remember(convert: Convert): Convert {
  /** outcomes by kind and patches, and then by what follows id and names */
  let outcomes = new Map<string, Map<string, Outcome>>();
  let currentCluster: string | undefined;
  return (item, patches) => {
    const { entry: { value }, key: { kind, cluster }, headLength } = item;
    if (headLength === undefined) return convert(item, patches);
    // --cluster may change the keys of one cluster and not those of another.
    if (cluster !== currentCluster) [outcomes, currentCluster] = [new Map(), cluster];
    let group = kind === "table" ? wrapperOf(value) : kind;
    for (const { name } of patches) group += `/${name}`;
    const known = outcomes.getOrInsertComputed(group, () => new Map());
    const rest = value.slice(headLength);
    const alike = known.get(rest);
    if (alike) return alike;
    const outcome = convert(item, patches);
    const { end, hashed } = outcome;
    const keepsHead = valueOf(item.entry, outcome).startsWith(value.slice(0, headLength));
    if (hashed || !keepsHead) return outcome;
    const shared = end
      ? { ...outcome, end: { length: rest.length, text: end.text.slice(headLength) } }
      : outcome;
    known.set(rest, shared);
    return shared;
  };
}
