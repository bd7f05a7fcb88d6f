/**
 * The versions of CnosDB and how a value gets from the form of one into that of another: a chain of small steps. A
 * further version is one more module in versions/ and one more line in `chain`.
 */
import { UsageError } from "../cli/errors.ts";
import { assertJson, type RawObject, readObject, readString, withMember, writeObject } from "../dump/json.ts";
import { candidates, type Key } from "../dump/key.ts";
import * as s from "./shape.ts";
import type { Changing, Context, VersionStep } from "./common.ts";
import { v2_3_2 } from "./v2_3_2.ts";
import { v2_3_4 } from "./v2_3_4.ts";
import { v2_4_0 } from "./v2_4_0.ts";
import { v2_4_1 } from "./v2_4_1.ts";
import { v2_4_2 } from "./v2_4_2.ts";
import { v2_4_3 } from "./v2_4_3.ts";

const chain: readonly VersionStep[] = [v2_3_2, v2_3_4, v2_4_0, v2_4_1, v2_4_2, v2_4_3];

/** The forms that values have; a patch release has the form of the release before it. */
export const formats = ["2.3", "2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const;
export type Format = (typeof formats)[number];

/** The releases that a dump can be converted for, by their form. */
export const targets = {
  "2.4.0": ["2.4.0", "2.4.0.1"],
  "2.4.1": ["2.4.1"],
  "2.4.2": ["2.4.2", "2.4.2.1"],
  "2.4.3": ["2.4.3", "2.4.3.1", "2.4.3.2", "2.4.3.3", "2.4.3.4"],
} as const satisfies Record<string, string[]>;

/** The releases that a dump can come from. */
export const sources: readonly string[] = [
  ...["2.3.0", "2.3.1", "2.3.2", "2.3.3"],
  ...[
    "2.3.4",
    "2.3.4.1",
    "2.3.4.2",
    "2.3.4.3",
    "2.3.4.4",
    "2.3.5",
    "2.3.5.1",
    "2.3.5.2",
    "2.3.5.3",
    "2.3.5.4",
  ],
  ...Object.values(targets).flat(),
];

/** @param version a release such as 2.4.2.1 @throws {UsageError} where it is none that a dump can be converted for */
export function targetFormat(version: string): Exclude<Format, "2.3"> {
  for (const format of ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const) {
    if ((targets[format] as readonly string[]).includes(version)) return format;
  }
  const like = Object.values(targets).flat().filter((known) => known.startsWith(`${version}.`));
  throw new UsageError(
    `target ${JSON.stringify(version)}: ${
      like.length ? "ambiguous" : "not a version that can be converted for"
    }`,
    `one of ${(like.length ? like : Object.values(targets).flat()).join(", ")}.`,
  );
}

/** What a release's `wal_max_file_size` is where nobody set it, in bytes (CREATE DATABASE's value). */
export function walMaxFileSizeBytes(format: Format): number {
  return format === "2.4.3" ? 134_217_728 : 1_073_741_824;
}

const role = s.struct({
  id: s.u128,
  name: s.string,
  system_role: s.variant(["Owner", "Member"]),
  additional_privileges: s.map(s.variant(["Read", "Write", "Full"])),
});
const member = s.variant([], { System: s.variant(["Owner", "Member"]), Custom: s.string });
const arrowSchema = s.struct({ fields: s.list(s.anything) });
const externalTable = s.struct({
  ...{ tenant: s.string, db: s.string, name: s.string, file_compression_type: s.string, file_type: s.string },
  ...{
    location: s.string,
    target_partitions: s.u64,
    table_partition_cols: s.list(s.anything),
    has_header: s.bool,
  },
  ...{ delimiter: s.u8, schema: arrowSchema },
});
const streamTable = s.struct({
  ...{ tenant: s.string, db: s.string, name: s.string, schema: arrowSchema, stream_type: s.string },
  ...{ watermark: s.struct({ column: s.string, delay: s.anything }), extra_options: s.map(s.string) },
});
const tableKinds = ["TsKvTableSchema", "ExternalTableSchema", "StreamTableSchema"] as const;

/** What `format` reads, by kind. */
const shapesOf = new Map<Format, Record<Changing, s.Shape>>();
{
  let known: { [kind in Changing]?: s.Shape } = {};
  for (const step of chain) {
    known = { ...known, ...step.shapes };
    const format = formats.find((f) => f === step.version || (f === "2.3" && step === v2_3_4));
    if (format) shapesOf.set(format, known as Record<Changing, s.Shape>);
  }
}

/** A table's one member: which kind of table it is, and its schema. */
export function readTable(value: string): { kind: (typeof tableKinds)[number]; schema: string } {
  const [member, ...more] = readObject(value);
  const kind = tableKinds.find((k) => k === member?.[0]);
  if (!member || !kind || more.length) throw new s.ShapeError(`expected one of ${tableKinds.join(", ")}`);
  return { kind, schema: member[1] };
}

function names(object: RawObject, ...fields: string[]): string[] {
  return fields.map((field) => {
    const value = object.get(field);
    if (value?.[0] !== '"') {
      throw new s.ShapeError(`${field}: ${value === undefined ? "missing" : "expected a string"}`);
    }
    return readString(value);
  });
}

/** Whether the names in a value are those in its key. */
function agrees(key: Key, value: string): boolean {
  const same = (inValue: string[], ...inKey: string[]) => inKey.every((name, i) => name === inValue[i]);
  switch (key.kind) {
    case "user":
      return same(names(readObject(value), "name"), key.user);
    case "tenant":
      return same(names(readObject(value), "name"), key.tenant);
    case "role":
      return same(names(readObject(value), "name"), key.role);
    case "database":
      return same(names(readObject(value), "tenant", "database"), key.tenant, key.database);
    case "table":
      return same(
        names(readObject(readTable(value).schema), "tenant", "db", "name"),
        key.tenant,
        key.database,
        key.table,
      );
    case "bucket":
      return false;
    default:
      return true;
  }
}

/**
 * What an entry is about, by its key and, where slashes in names leave the key ambiguous, by the names in its value.
 * @param value JSON text
 * @throws {ShapeError} where the key is none of CnosDB's, the value is no JSON or has no names, or the two disagree
 */
export function identify(key: string, value: string): Key {
  const readings = [...candidates(key)];
  const [plain] = readings;
  if (!plain) {
    throw new s.ShapeError(
      "an unknown kind of key: expected /CLUSTER/users/…, /CLUSTER/tenants/… or one of CnosDB's internal keys",
    );
  }
  // Neither is ever carried over, so nothing more is asked of them; what 2.4's probe writes to /test_alive is no JSON.
  if (plain.kind === "internal" || (plain.kind === "bucket" && value.startsWith('{"id":'))) return plain;
  try {
    assertJson(value);
  } catch {
    throw new s.ShapeError("its value is no JSON: was the line cut?");
  }
  let first: unknown;
  let disagrees = false;
  for (const reading of readings) {
    try {
      if (agrees(reading, value)) return reading;
      disagrees = true;
    } catch (error) {
      first ??= error;
    }
  }
  if (disagrees || !first) throw new s.ShapeError("the names in its value are not those in its key");
  throw first;
}

/** The changing part of an entry's value, or nothing where its kind never changed. */
function changing(
  key: Key,
  value: string,
): { kind: Changing; text: string; wrap: (text: string) => string } | undefined {
  if (key.kind === "table") {
    const table = readTable(value);
    if (table.kind !== "TsKvTableSchema") return undefined;
    return { kind: "table", text: table.schema, wrap: (text) => `{"TsKvTableSchema":${text}}` };
  }
  if (key.kind === "user" || key.kind === "tenant" || key.kind === "database" || key.kind === "limiter") {
    return { kind: key.kind, text: value, wrap: (text) => text };
  }
  return undefined;
}

/**
 * The first and the last form that an entry's value may be in, by its shape; undefined where the shape says nothing.
 * @throws {ShapeError} where it is of no form at all
 */
export function formatsOf(key: Key, value: string): readonly [Format, Format] | undefined {
  const part = changing(key, value);
  if (!part || part.kind === "limiter") return undefined;
  const object = readObject(part.text);
  const inner = (name: string) => {
    const text = object.get(name);
    return text?.[0] === "{" ? readObject(text) : new Map<string, string>();
  };
  switch (part.kind) {
    case "user": {
      if (object.has("is_root_admin")) return ["2.4.1", "2.4.3"];
      if (!inner("options").has("password")) {
        return inner("options").has("hash_password") ? ["2.4.0", "2.4.0"] : undefined;
      }
      return ["2.3", "2.3"];
    }
    case "tenant": {
      const options = inner("options");
      if (!options.has("tenant_is_hidden")) return ["2.3", "2.3"];
      const dropAfter = options.get("drop_after");
      if (dropAfter === undefined) return ["2.4.0", "2.4.3"];
      if (dropAfter === "null") return ["2.4.0", "2.4.3"];
      return dropAfter.includes("time_num") ? ["2.4.0", "2.4.1"] : ["2.4.2", "2.4.3"];
    }
    case "database":
      if (object.has("options")) return ["2.4.2", "2.4.3"];
      return inner("config").has("db_is_hidden") ? ["2.4.0", "2.4.1"] : ["2.3", "2.3"];
    case "table":
      return object.has("schema_version") ? ["2.4.1", "2.4.3"] : ["2.3", "2.4.0"];
  }
}

/**
 * Checks that a server reads an entry: what it could not read would make it panic, or lose the tenant, at its next restart.
 * @throws {ShapeError} saying which field, what is expected and what is there
 */
export function assertReadable(key: Key, value: string, format: Format): void {
  if (key.kind === "role") return role(value, "");
  if (key.kind === "member") return member(value, "");
  if (key.kind === "table") {
    const table = readTable(value);
    if (table.kind === "ExternalTableSchema") return externalTable(table.schema, table.kind);
    if (table.kind === "StreamTableSchema") return streamTable(table.schema, table.kind);
  }
  const part = changing(key, value);
  if (!part) return;
  const shape = shapesOf.get(format)?.[part.kind];
  shape?.(part.text, part.kind === "table" ? "TsKvTableSchema" : "");
}

/**
 * The steps from a release to a form.
 * @param source what the dump is of: a release such as 2.3.1, or a form (`2.3` is 2.3.2 or later)
 */
export function stepsBetween(source: string, target: Format): VersionStep[] {
  const from = source === "2.3" ? "2.3.2" : source;
  return chain.filter(({ version }) =>
    compareVersions(version, from) > 0 && compareVersions(version, target) <= 0
  );
}

/** The form of a release. */
export function formatOf(release: string): Format {
  return [...formats].reverse().find((format) => compareVersions(format, release) <= 0) ?? "2.3";
}

/** Whether a text names a release that a dump can come from, or the form of all 2.3. */
export function isSource(text: string): boolean {
  return text === "2.3" || sources.includes(text);
}

/** Orders releases by their numbers: 2.3.5.4 before 2.4.0. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * An entry's value in a later form; the same text where nothing has to change.
 * @param value JSON text that `identify` took
 */
export function convert(key: Key, value: string, steps: readonly VersionStep[], context: Context): string {
  const part = changing(key, value);
  if (!part) return value;
  const before = readObject(part.text);
  let after = before;
  for (const { conversions } of steps) after = conversions[part.kind]?.(after, context) ?? after;
  return after === before ? value : part.wrap(writeObject(after));
}

/** A database with at most `most` replicas, in whichever form it is; for a cluster with fewer nodes. */
export function capReplica(value: string, most: number): string {
  const database = readObject(value);
  const member = database.has("options") ? "options" : "config";
  const settings = readObject(database.get(member) ?? "{}");
  const replica = settings.get("replica") ?? "null";
  if (replica === "null" || BigInt(replica) <= BigInt(most)) return value;
  return writeObject(
    withMember(database, member, writeObject(withMember(settings, "replica", String(most)))),
  );
}
