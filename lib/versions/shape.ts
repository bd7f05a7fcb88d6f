/**
 * What a server of some version can read of a value. The words are serde's, as CnosDB parses with it: a struct has fields that
 * have to be there and fields that may be missing or null; unknown fields are passed over, unless the struct is closed.
 */
import { preview, readArray, readObject, readString } from "../dump/json.ts";

/** Throws a `ShapeError` where the JSON text is not of this shape. `path` is where it stands, for the message. */
export type Shape = (text: string, path: string) => void;

/** A value that a server could not read. The message says where in it, what is expected and what is there. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

function refuse(path: string, expected: string, text: string): never {
  const secret = /password/.test(path);
  throw new ShapeError(
    `${path || "the value"}: expected ${expected}, got ${secret ? "something else" : preview(text)}`,
  );
}

/** A JSON string. */
export const string: Shape = (text, path) => {
  if (text[0] !== '"') refuse(path, "a string", text);
};

/** `true` or `false`. */
export const bool: Shape = (text, path) => {
  if (text !== "true" && text !== "false") refuse(path, "true or false", text);
};

/** Any JSON value. */
export const anything: Shape = () => {};

function integer(name: string, least: bigint, most: bigint): Shape {
  return (text, path) => {
    if (!/^-?\d+$/.test(text) || BigInt(text) < least || BigInt(text) > most) {
      refuse(path, `a whole number of ${least} to ${name}`, text);
    }
  };
}

export const u8 = integer("255", 0n, 255n);
export const u32 = integer("2^32-1", 0n, (1n << 32n) - 1n);
export const u64 = integer("2^64-1", 0n, (1n << 64n) - 1n);
export const u128 = integer("2^128-1", 0n, (1n << 128n) - 1n);
export const i64 = integer("2^63-1", -(1n << 63n), (1n << 63n) - 1n);
export const i16 = integer("2^15-1", -(1n << 15n), (1n << 15n) - 1n);

/** A value or null. A field of this shape may be missing. */
export function nullable(shape: Shape): Shape {
  return (text, path) => text === "null" || shape(text, path);
}

/** An array of one shape. */
export function list(shape: Shape): Shape {
  return (text, path) => {
    if (text[0] !== "[") refuse(path, "an array", text);
    readArray(text).forEach((element, index) => shape(element, `${path}[${index}]`));
  };
}

/** An object with free names and values of one shape. */
export function map(shape: Shape, names?: readonly string[]): Shape {
  return (text, path) => {
    if (text[0] !== "{") refuse(path, "an object", text);
    for (const [name, value] of readMembers(text, path)) {
      if (names && !names.includes(name)) refuse(join(path, name), `a name out of ${names.join(", ")}`, name);
      shape(value, join(path, name));
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
  required: Record<string, Shape>,
  optional: Record<string, Shape> = {},
  closed = false,
): Shape {
  return (text, path) => {
    if (text[0] !== "{") refuse(path, "an object", text);
    const members = readMembers(text, path);
    for (const name of Object.keys(required)) {
      if (!members.has(name)) throw new ShapeError(`${join(path, name)}: missing`);
    }
    for (const [name, value] of members) {
      const shape = required[name] ?? optional[name];
      if (shape) shape(value, join(path, name));
      else if (closed) throw new ShapeError(`${join(path, name)}: a field that this version refuses`);
    }
  };
}

/** One of an enum's bare names, or an object with one of its names and what that holds. */
export function variant(bare: readonly string[], holding: Record<string, Shape> = {}): Shape {
  const expected = [...bare, ...Object.keys(holding)].join(", ");
  return (text, path) => {
    if (text[0] === '"') {
      if (!bare.includes(readString(text))) refuse(path, `one of ${expected}`, text);
      return;
    }
    if (text[0] !== "{") refuse(path, `one of ${expected}`, text);
    const [member, ...more] = readMembers(text, path);
    const shape = member && holding[member[0]];
    if (!member || !shape || more.length) return refuse(path, `one of ${expected}`, text);
    shape(member[1], join(path, member[0]));
  };
}

/** Both shapes hold. */
export function both(first: Shape, second: Shape): Shape {
  return (text, path) => {
    first(text, path);
    second(text, path);
  };
}

function readMembers(text: string, path: string): ReturnType<typeof readObject> {
  try {
    return readObject(text);
  } catch (error) {
    throw new ShapeError(`${path || "the value"}: ${(error as Error).message}`);
  }
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name;
}
