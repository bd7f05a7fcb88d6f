/**
 * What a server of some version can read of a value. The words are serde's, as CnosDB parses with it: a struct has fields that
 * have to be there and fields that may be missing or null; unknown fields are passed over, unless the struct is closed.
 */
import { digitsOf, formatJson, InvalidValue, isObject, type Json, type JsonObject } from "../dump/json.ts";
import { preview } from "../cli/text.ts";

/** Throws an `InvalidValue` if the value is not of this schema. `path` is where it stands, for the message. */
export type Schema = (value: Json, path: string) => void;

function refuse(path: string, expected: string, value: Json): never {
  const got = /password/.test(path) ? "something else" : preview(formatJson(value));
  throw new InvalidValue(`${path || "the value"}: expected ${expected}, got ${got}`);
}

export const string: Schema = (value, path) => {
  if (typeof value !== "string") refuse(path, "a string", value);
};

export const bool: Schema = (value, path) => {
  if (typeof value !== "boolean") refuse(path, "true or false", value);
};

export const anything: Schema = () => {};

function integer(name: string, least: bigint, most: bigint): Schema {
  return (value, path) => {
    const digits = digitsOf(value) ?? "";
    if (!/^-?\d+$/.test(digits) || BigInt(digits) < least || BigInt(digits) > most) {
      refuse(path, `a whole number of ${least} to ${name}`, value);
    }
  };
}

export const u8 = integer("255", 0n, 255n);
export const u32 = integer("2^32-1", 0n, (1n << 32n) - 1n);
export const u64 = integer("2^64-1", 0n, (1n << 64n) - 1n);
export const u128 = integer("2^128-1", 0n, (1n << 128n) - 1n);
export const i64 = integer("2^63-1", -(1n << 63n), (1n << 63n) - 1n);
export const i16 = integer("2^15-1", -(1n << 15n), (1n << 15n) - 1n);

/** A value or null. A field of this schema may be missing. */
export function nullable(schema: Schema): Schema {
  return (value, path) => value === null || schema(value, path);
}

/** An array of one schema. */
export function list(schema: Schema): Schema {
  return (value, path) => {
    if (!Array.isArray(value)) return refuse(path, "an array", value);
    value.forEach((element, index) => schema(element, `${path}[${index}]`));
  };
}

/** An object with free names and values of one schema. */
export function map(schema: Schema, names?: readonly string[]): Schema {
  return (value, path) => {
    for (const [name, inner] of Object.entries(fields(value, path))) {
      if (names && !names.includes(name)) refuse(join(path, name), `a name out of ${names.join(", ")}`, name);
      schema(inner, join(path, name));
    }
  };
}

/**
 * An object with fields of its own.
 * @param required must be there
 * @param optional may be missing
 * @param closed whether another field is refused
 */
export function struct(
  required: Record<string, Schema>,
  optional: Record<string, Schema> = {},
  closed = false,
): Schema {
  return (value, path) => {
    const object = fields(value, path);
    for (const name of Object.keys(required)) {
      if (!Object.hasOwn(object, name)) throw new InvalidValue(`${join(path, name)}: missing`);
    }
    for (const [name, inner] of Object.entries(object)) {
      const schema = own(required, name) ?? own(optional, name);
      if (schema) schema(inner, join(path, name));
      else if (closed) throw new InvalidValue(`${join(path, name)}: a field that this version refuses`);
    }
  };
}

/** One of an enum's bare names, or an object with one of its names and what that holds. */
export function variant(bare: readonly string[], holding: Record<string, Schema> = {}): Schema {
  const expected = `one of ${[...bare, ...Object.keys(holding)].join(", ")}`;
  return (value, path) => {
    if (typeof value === "string" && bare.includes(value)) return;
    const [member, ...more] = isObject(value) ? Object.entries(value) : [];
    const schema = member && own(holding, member[0]);
    if (!member || !schema || more.length) return refuse(path, expected, value);
    schema(member[1], join(path, member[0]));
  };
}

/** Both shapes hold. */
export function both(first: Schema, second: Schema): Schema {
  return (value, path) => {
    first(value, path);
    second(value, path);
  };
}

/** What a record says of a name that an operator may have chosen, such as "constructor". */
function own(record: Record<string, Schema>, name: string): Schema | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function fields(value: Json, path: string): JsonObject {
  return isObject(value) ? value : refuse(path, "an object", value);
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name;
}
