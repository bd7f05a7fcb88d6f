/** Which fields differ between two JSON values, for an operator to read: password hashes are masked. */
import { formatJson, isObject, type Json } from "./json.ts";

/** A field that differs; `before` or `after` is missing if it is not there. JSON texts. */
export interface Change {
  /** names with dots between them, `[n]` for an element; "" for the whole value */
  path: string;
  before?: string;
  after?: string;
}

const secret = /(^|\.)(hash_)?password$/;

/** A value as it may be shown: of a password whether there is one. */
function shown(path: string, value: Json): string {
  return secret.test(path) && typeof value === "string" ? '"***"' : formatJson(value);
}

/** The outermost fields that differ, members of an object in the order of `before`; empty if the values are equal. */
export function changes(before: Json, after: Json, path = ""): Change[] {
  if (isObject(before) && isObject(after)) {
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((name) =>
      changesOf(path ? `${path}.${name}` : name, before[name], after[name])
    );
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length);
    return Array.from({ length }, (_, n) => changesOf(`${path}[${n}]`, before[n], after[n])).flat();
  }
  const [a, b] = [formatJson(before), formatJson(after)];
  return a === b ? [] : [{ path, before: shown(path, before), after: shown(path, after) }];
}

function changesOf(path: string, before: Json | undefined, after: Json | undefined): Change[] {
  if (before !== undefined && after !== undefined) return changes(before, after, path);
  if (before !== undefined) return [{ path, before: shown(path, before) }];
  return after === undefined ? [] : [{ path, after: shown(path, after) }];
}
