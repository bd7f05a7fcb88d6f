/** Which object an entry of a dump describes, and which part of its value has a form. */
import { InvalidValue, isObject, type Json, type JsonObject, objectIn, parseJson } from "../dump/json.ts";
import { candidates, type Key, namesOf } from "../dump/key.ts";
import type { ValueKind } from "./step.ts";

/** A table's value has one member, whose name says which kind of table it is. */
const tableKinds: Readonly<Record<string, ValueKind>> = {
  TsKvTableSchema: "table",
  ExternalTableSchema: "external",
  StreamTableSchema: "stream",
};

/** The part of a value that has a form: all of it, or what is inside a table's one member. */
interface Part {
  kind: ValueKind;
  part: JsonObject;
  /** the name of a table's one member, else "" */
  member: string;
}

/** @returns undefined for buckets and internals, which are never carried over @throws {InvalidValue} */
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

/** The fields in which a value holds the last names of its key. */
const namingFields: { readonly [kind in Key["kind"]]?: readonly string[] } = {
  user: ["name"],
  tenant: ["name"],
  role: ["name"],
  database: ["tenant", "database"],
  table: ["tenant", "db", "name"],
};

/** Whether a value has the names of its key. @throws {InvalidValue} if it lacks one */
function hasNamesOf(key: Key, value: Json): boolean {
  const object = partOf(key, value)?.part ?? {};
  const fields = namingFields[key.kind] ?? [];
  const missing = fields.find((field) => typeof object[field] !== "string");
  if (missing !== undefined) {
    throw new InvalidValue(`${missing}: ${missing in object ? "expected a string" : "missing"}`);
  }
  const names = namesOf(key).slice(-fields.length);
  return fields.every((field, i) => object[field] === names[i]);
}

/**
 * The object that an entry describes, by its key and, if slashes in names make the key ambiguous, by the names
 * in its value.
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

/** The same for an entry whose value is not parsed yet. @throws {InvalidValue} also if the value is no JSON */
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
