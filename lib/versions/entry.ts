/** An entry of a dump: what it is about, and what a version reads of it. */
import { InvalidValue, isObject, type Json, type JsonObject, objectIn, parseJson } from "../dump/json.ts";
import { candidates, type Key } from "../dump/key.ts";
import type { ValueKind } from "./step.ts";
import { anyFormat, type Format, positionOf, type Range, rangeOf, schemaOf } from "./versions.ts";

/** What a table's value has as its one member, and which kind of value that is. */
const tableKinds: Readonly<Record<string, ValueKind>> = {
  TsKvTableSchema: "table",
  ExternalTableSchema: "external",
  StreamTableSchema: "stream",
};

/** A value of a kind that has a form, without what stands around it. */
interface Part {
  kind: ValueKind;
  part: JsonObject;
  /** what stands around it, "" if nothing does */
  member: string;
}

/** @returns undefined for what no version reads: buckets and internals @throws {InvalidValue} if no object */
export function partOf({ kind }: Key, value: Json): Part | undefined {
  if (kind === "bucket" || kind === "internal") return undefined;
  if (!isObject(value)) throw new InvalidValue("the value: expected an object");
  if (kind !== "table") return { kind, part: value, member: "" };
  const [member = "", ...more] = Object.keys(value);
  const tableKind = Object.hasOwn(tableKinds, member) && !more.length && tableKinds[member];
  if (!tableKind) throw new InvalidValue(`expected one of ${Object.keys(tableKinds).join(", ")}`);
  const part = value[member];
  if (!isObject(part)) throw new InvalidValue(`${member}: expected an object`);
  return { kind: tableKind, part, member };
}

/** The fields in which a value has the names of its key, and what those are called in a `Key`. */
const namingFields: { readonly [kind in Key["kind"]]?: Readonly<Record<string, string>> } = {
  user: { name: "user" },
  tenant: { name: "tenant" },
  role: { name: "role" },
  database: { tenant: "tenant", database: "database" },
  table: { tenant: "tenant", db: "database", name: "table" },
};

/** Whether a value has the names of its key. @throws {InvalidValue} if it lacks one */
function hasNamesOf(key: Key, value: Json): boolean {
  const object = partOf(key, value)?.part ?? {};
  const inKey: Record<string, string | undefined> = key;
  const differing = Object.entries(namingFields[key.kind] ?? {}).filter(([field, part]) => {
    const name = object[field];
    if (typeof name === "string") return name !== inKey[part];
    throw new InvalidValue(`${field}: ${name === undefined ? "missing" : "expected a string"}`);
  });
  return !differing.length;
}

/**
 * What an entry is about, by its key and, if slashes in names leave the key ambiguous, by the names in its
 * value.
 * @throws {InvalidValue} if the key is none of CnosDB's, the value has no names, or the two disagree
 */
export function identify(key: string, value: Json): Key {
  let unnamed: string | undefined;
  let disagrees = false;
  for (const read of candidates(key)) {
    if (read.kind === "internal") return read;
    if (read.kind === "bucket" && !("id" in objectIn({ value }, "value"))) continue;
    try {
      if (hasNamesOf(read, value)) return read;
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

/** The forms that an entry's value may have. @throws {InvalidValue} if it is of none at all */
export function formatsOf(key: Key, value: Json): Range {
  const read = partOf(key, value);
  return read ? rangeOf(read.kind, read.part) : anyFormat;
}

/**
 * Checks that a server reads an entry: what it could not read would make it panic, or lose the tenant, at its
 * next restart.
 * @param form a form, or its position in the chain
 * @throws {InvalidValue} saying which field, what is expected and what is there
 */
export function assertReadable(key: Key, value: Json, form: Format | number): void {
  const read = partOf(key, value);
  if (!read) return;
  const position = typeof form === "number" ? form : positionOf(form);
  schemaOf(read.kind, position)?.(read.part, read.member);
}
