/** An entry of a dump: what it is about, and what a version reads of it. */
import { InvalidValue, isObject, type Json, type JsonObject, objectIn, parseJson } from "../dump/json.ts";
import { candidates, type Key } from "../dump/key.ts";
import { anyFormat, type Format, positionOf, type Range, rangeOf, schemaOf } from "./versions.ts";
import * as s from "./schema.ts";
import type { Changing } from "./step.ts";

const systemRole = s.variant(["Owner", "Member"]);
const role = s.struct({
  ...{ id: s.u128, name: s.string, system_role: systemRole },
  additional_privileges: s.map(s.variant(["Read", "Write", "Full"])),
});
const member = s.variant([], { System: systemRole, Custom: s.string });
const arrowSchema = s.struct({ fields: s.list(s.anything) });
const external = s.struct({
  ...{ tenant: s.string, db: s.string, name: s.string, file_compression_type: s.string, file_type: s.string },
  ...{ location: s.string, target_partitions: s.u64, table_partition_cols: s.list(s.anything) },
  ...{ has_header: s.bool, delimiter: s.u8, schema: arrowSchema },
});
const stream = s.struct({
  ...{ tenant: s.string, db: s.string, name: s.string, schema: arrowSchema, stream_type: s.string },
  ...{ watermark: s.struct({ column: s.string, delay: s.anything }), extra_options: s.map(s.string) },
});
const tableKinds = ["TsKvTableSchema", "ExternalTableSchema", "StreamTableSchema"] as const;

/** A table's one member: which kind of table it is, and its schema. @throws {InvalidValue} */
export function readTable(value: Json): { kind: (typeof tableKinds)[number]; schema: JsonObject } {
  const [member, ...more] = isObject(value) ? Object.entries(value) : [];
  const kind = tableKinds.find((known) => known === member?.[0]);
  if (!member || !kind || more.length) throw new InvalidValue(`expected one of ${tableKinds.join(", ")}`);
  if (!isObject(member[1])) throw new InvalidValue(`${kind}: expected an object`);
  return { kind, schema: member[1] };
}

/** The names that a value and its key both have. @throws {InvalidValue} if the value lacks one */
function namesIn(key: Key, value: Json): { inValue: string; inKey: string }[] {
  const pairs = (object: JsonObject, names: Record<string, string>) =>
    Object.entries(names).map(([field, inKey]) => {
      const inValue = object[field];
      if (typeof inValue === "string") return { inValue, inKey };
      throw new InvalidValue(`${field}: ${inValue === undefined ? "missing" : "expected a string"}`);
    });
  const object = isObject(value) ? value : {};
  switch (key.kind) {
    case "user":
      return pairs(object, { name: key.user });
    case "tenant":
      return pairs(object, { name: key.tenant });
    case "role":
      return pairs(object, { name: key.role });
    case "database":
      return pairs(object, { tenant: key.tenant, database: key.database });
    case "table":
      return pairs(readTable(value).schema, { tenant: key.tenant, db: key.database, name: key.table });
    default:
      return [];
  }
}

/**
 * What an entry is about, by its key and, if slashes in names leave the key ambiguous, by the names in its value.
 * @throws {InvalidValue} if the key is none of CnosDB's, the value has no names, or the two disagree
 */
export function identify(key: string, value: Json): Key {
  let unnamed: string | undefined;
  let disagrees = false;
  for (const read of candidates(key)) {
    if (read.kind === "internal") return read;
    if (read.kind === "bucket" && !("id" in objectIn({ value }, "value"))) continue;
    try {
      if (namesIn(read, value).every(({ inValue, inKey }) => inValue === inKey)) return read;
      disagrees = true;
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      unnamed ??= error.message;
    }
  }
  throw new InvalidValue((!disagrees && unnamed) || "the names in its value are not those in its key");
}

/** The same of an entry whose value was not parsed. @throws {InvalidValue} also if the value is no JSON */
export function identifyEntry({ key, value }: { readonly key: string; readonly value: string }): Key {
  const [read] = candidates(key);
  if (!read) {
    throw new InvalidValue(
      "an unknown kind of key: expected /CLUSTER/users/…, /CLUSTER/tenants/… or one of CnosDB's internal keys",
    );
  }
  // These are never carried over, and what 2.4's probe writes to /test_alive is no JSON.
  return read.kind === "internal" ? read : identify(key, parseJson(value));
}

/** The part of a value whose form changes between versions, and how to put it back; undefined for kinds that never changed. */
export function changingPart(
  key: Key,
  value: Json,
): { kind: Changing; part: JsonObject; whole: (part: JsonObject) => Json } | undefined {
  if (key.kind === "table") {
    const { kind, schema } = readTable(value);
    if (kind !== "TsKvTableSchema") return undefined;
    return { kind: "table", part: schema, whole: (part) => ({ TsKvTableSchema: part }) };
  }
  if (key.kind !== "user" && key.kind !== "tenant" && key.kind !== "database" && key.kind !== "limiter") {
    return undefined;
  }
  if (!isObject(value)) throw new InvalidValue("the value: expected an object");
  return { kind: key.kind, part: value, whole: (part) => part };
}

/** The forms that an entry's value may have. @throws {InvalidValue} if it is of none at all */
export function formatsOf(key: Key, value: Json): Range {
  const changing = changingPart(key, value);
  return changing ? rangeOf(changing.kind, changing.part) : anyFormat;
}

/**
 * Checks that a server reads an entry: what it could not read would make it panic, or lose the tenant, at its next restart.
 * @param form a form, or its position in the chain
 * @throws {InvalidValue} saying which field, what is expected and what is there
 */
export function assertReadable(key: Key, value: Json, form: Format | number): void {
  if (key.kind === "role") return role(value, "");
  if (key.kind === "member") return member(value, "");
  if (key.kind === "table") {
    const { kind, schema } = readTable(value);
    if (kind === "ExternalTableSchema") return external(schema, kind);
    if (kind === "StreamTableSchema") return stream(schema, kind);
  }
  const changing = changingPart(key, value);
  if (!changing) return;
  const position = typeof form === "number" ? form : positionOf(form);
  schemaOf(changing.kind, position)?.(changing.part, key.kind === "table" ? "TsKvTableSchema" : "");
}
