/** Which fields differ between two JSON values, for an operator to read: password hashes are masked. */
import { readArray, readObject } from "./json.ts";

/** A field that differs; `before` or `after` is missing where it is not there. JSON texts. */
export interface Change {
  /** names with dots between them, `[n]` for an element; "" for the whole value */
  path: string;
  before?: string;
  after?: string;
}

const secret = /(^|\.)(hash_)?password$/;

/** A value as it may be shown: of a password whether there is one. */
export function masked(path: string, value: string): string {
  return secret.test(path) && value[0] === '"' ? '"***"' : value;
}

/**
 * @param before JSON text; @param after JSON text
 * @returns the outermost fields that differ, members of an object in the order of `before`; empty where the values are equal
 */
export function changes(before: string, after: string, path = ""): Change[] {
  if (before === after) return [];
  const open = before[0] ?? "";
  if (open === after[0] && (open === "{" || open === "[")) {
    const [a, b] = [members(before), members(after)];
    return [...new Set([...a.keys(), ...b.keys()])].flatMap((name) => {
      const inner = open === "[" ? `${path}[${name}]` : path ? `${path}.${name}` : name;
      const [x, y] = [a.get(name), b.get(name)];
      if (x === undefined || y === undefined) {
        return [{
          path: inner,
          ...(x === undefined ? {} : { before: masked(inner, x) }),
          ...(y === undefined ? {} : { after: masked(inner, y) }),
        }];
      }
      return changes(x, y, inner);
    });
  }
  return [{ path, before: masked(path, before), after: masked(path, after) }];
}

function members(text: string): Map<string, string> {
  return text[0] === "{" ? readObject(text) : new Map(readArray(text).map((value, i) => [String(i), value]));
}
