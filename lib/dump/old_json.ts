/**
 * JSON that stays text. Ids in CnosDB's meta store are 128-bit integers written as bare numbers, which
 * JSON.parse rounds; and what a conversion does not touch has to come out byte for byte. So an object is read one level
 * deep, into the source text of its members, and written back from them.
 */

/** The members of an object in their order: name → source text of the value. */
export type RawObject = Map<string, string>;

/** The position of the first character from `at` that is no white space. */
function skipSpace(text: string, at: number): number {
  while (text.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** The position behind the string that starts at `at`. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = end;
    while (text[escapes - 1] === "\\") escapes--;
    if ((end - escapes) % 2 === 0) return end + 1;
  }
  return text.length;
}

/** The position behind the value that starts at `at`. */
function endOfValue(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // "
        i = endOfString(text, i) - 1;
        if (depth === 0) return i + 1;
        break;
      case 0x7b: // {
      case 0x5b: // [
        depth++;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        // At depth 0 it closes what the value stands in.
        if (depth === 0) return i;
        if (--depth === 0) return i + 1;
        break;
      case 0x2c: // ,
      case 0x20:
      case 0x09:
      case 0x0a:
      case 0x0d:
        if (depth === 0) return i;
    }
  }
  return text.length;
}

/**
 * Checks that `text` is one JSON value (RFC 8259).
 * @throws {SyntaxError} where it is not
 */
export function assertJson(text: string): void {
  JSON.parse(text);
}

/**
 * The members of a JSON object, as text.
 * @param text valid JSON (see `assertJson`)
 * @throws {TypeError} where it is no object, or names a member twice (CnosDB refuses that: "duplicate field")
 */
export function readObject(text: string): RawObject {
  const object: RawObject = new Map();
  let at = skipSpace(text, 0);
  if (text[at] !== "{") throw new TypeError(`expected an object, got ${preview(text)}`);
  at = skipSpace(text, at + 1);
  while (text[at] === '"') {
    const nameEnd = endOfString(text, at);
    const name = readString(text.slice(at, nameEnd));
    const valueAt = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const valueEnd = endOfValue(text, valueAt);
    if (object.has(name)) throw new TypeError(`member ${JSON.stringify(name)} is there twice`);
    object.set(name, text.slice(valueAt, valueEnd));
    at = skipSpace(text, valueEnd);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return object;
}

/**
 * The elements of a JSON array, as text.
 * @param text valid JSON (see `assertJson`)
 * @throws {TypeError} where it is no array
 */
export function readArray(text: string): string[] {
  const elements: string[] = [];
  let at = skipSpace(text, 0);
  if (text[at] !== "[") throw new TypeError(`expected an array, got ${preview(text)}`);
  at = skipSpace(text, at + 1);
  while (at < text.length && text[at] !== "]") {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return elements;
}

/**
 * The string that a JSON text stands for.
 * @throws {TypeError} where it is no string
 */
export function readString(text: string): string {
  if (text[0] === '"' && !text.includes("\\")) return text.slice(1, -1);
  const value: unknown = JSON.parse(text);
  if (typeof value !== "string") throw new TypeError(`expected a string, got ${preview(text)}`);
  return value;
}

/** An object in the compact form that CnosDB (serde_json) writes. */
export function writeObject(object: RawObject): string {
  const members: string[] = [];
  for (const [name, value] of object) members.push(`${JSON.stringify(name)}:${value}`);
  return `{${members.join(",")}}`;
}

/** A copy of an object with a member renamed, at its place. */
export function renamed(object: RawObject, from: string, to: string): RawObject {
  return new Map([...object].map(([name, value]) => [name === from ? to : name, value]));
}

/** A copy of an object with a member set: at its place, or at the end where it is new. */
export function withMember(object: RawObject, name: string, value: string): RawObject {
  return new Map(object).set(name, value);
}

/** An object with one of its members, an object too, changed by `change`; the object itself where that changes nothing. */
export function withChanged(
  object: RawObject,
  name: string,
  change: (inner: RawObject) => RawObject,
): RawObject {
  const before = readObject(object.get(name) ?? "null");
  const after = change(before);
  return after === before ? object : withMember(object, name, writeObject(after));
}

/** The start of a text, short enough for a message. */
export function preview(text: string, length = 60): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

/**
 * A text that is the same for two JSON values exactly when they are equal: members sorted, no white space, numbers digit for
 * digit as they were written.
 * @throws {SyntaxError} where `text` is no JSON
 */
export function canonical(text: string): string {
  assertJson(text);
  return canonicalValue(text);
}

function canonicalValue(text: string): string {
  const trimmed = text.trim();
  switch (trimmed[0]) {
    case "{":
      return `{${
        [...readObject(trimmed)].map(([name, value]) => `${JSON.stringify(name)}:${canonicalValue(value)}`)
          .sort().join(
            ",",
          )
      }}`;
    case "[":
      return `[${readArray(trimmed).map(canonicalValue).join(",")}]`;
    case '"':
      return JSON.stringify(JSON.parse(trimmed));
    default:
      return trimmed;
  }
}
