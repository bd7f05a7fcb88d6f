/**
 * What a version of CnosDB can read. It parses with serde, whose words these are: a struct has required fields
 * and optional ones, which may be missing or null; it ignores unknown fields, unless it is closed.
 */
import { digitsOf, formatJson, InvalidValue, isObject, type Json, type JsonObject } from "../dump/json.ts";
import { preview } from "../cli/text.ts";

/** Throws an `InvalidValue` if a value does not have this schema. `path` is the way to it, for the message. */
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

/** @param bits how many there are @param signed whether one of them is the sign */
function integer(bits: number, signed = false): Schema {
  const most = 1n << BigInt(signed ? bits - 1 : bits);
  const least = signed ? -most : 0n;
  const name = bits === 8 ? "255" : `2^${signed ? bits - 1 : bits}-1`;
  return (value, path) => {
    const digits = digitsOf(value) ?? "";
    if (!/^-?\d+$/.test(digits) || BigInt(digits) < least || BigInt(digits) >= most) {
      refuse(path, `a whole number of ${least} to ${name}`, value);
    }
  };
}

export const [u8, u32, u64, u128] = [integer(8), integer(32), integer(64), integer(128)];
export const [i16, i64] = [integer(16, true), integer(64, true)];

/** A value or null. */
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

/** An object with values of one schema. @param names the names that are allowed; undefined: any */
export function map(schema: Schema, names?: readonly string[]): Schema {
  return (value, path) => {
    for (const [name, inner] of Object.entries(fields(value, path))) {
      if (names && !names.includes(name)) refuse(join(path, name), `a name out of ${names.join(", ")}`, name);
      schema(inner, join(path, name));
    }
  };
}

/**
 * An object with given fields.
 * @param expected a field whose name ends in ? is optional
 * @param closed whether unknown fields are refused
 */
export function struct(expected: Record<string, Schema>, closed = false): Schema {
  const required = Object.keys(expected).filter((name) => !name.endsWith("?"));
  const schemas = new Map(
    Object.entries(expected).map(([name, schema]) =>
      name.endsWith("?") ? [name.slice(0, -1), nullable(schema)] : [name, schema]
    ),
  );
  return (value, path) => {
    const object = fields(value, path);
    const missing = required.find((name) => !Object.hasOwn(object, name));
    if (missing !== undefined) throw new InvalidValue(`${join(path, missing)}: missing`);
    for (const [name, inner] of Object.entries(object)) {
      const schema = schemas.get(name);
      if (schema) schema(inner, join(path, name));
      else if (closed) throw new InvalidValue(`${join(path, name)}: a field that this version refuses`);
    }
  };
}

/** The same schema for several fields of a struct. */
export function each(schema: Schema, ...names: string[]): Record<string, Schema> {
  return Object.fromEntries(names.map((name) => [name, schema]));
}

/** A variant of an enum: a bare name, or an object whose one member is a name with what it holds. */
export function variant(bare: readonly string[], holding: Record<string, Schema> = {}): Schema {
  const expected = `one of ${[...bare, ...Object.keys(holding)].join(", ")}`;
  return (value, path) => {
    if (typeof value === "string" && bare.includes(value)) return;
    const [member, ...more] = isObject(value) ? Object.entries(value) : [];
    const schema = member && Object.hasOwn(holding, member[0]) && holding[member[0]];
    if (!member || !schema || more.length) return refuse(path, expected, value);
    schema(member[1], join(path, member[0]));
  };
}

function fields(value: Json, path: string): JsonObject {
  return isObject(value) ? value : refuse(path, "an object", value);
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name;
}
