/**
 * JSON in which every number keeps its digits. Ids in CnosDB's meta store are 128-bit integers written as bare numbers, which a
 * plain JSON.parse rounds: such a number stays the text that it came in as (JSON.rawJSON).
 */
/** A number whose digits a double would lose, as its source text. */
export interface RawNumber {
  readonly rawJSON: string;
}

/** An object, its members in their order. */
export interface JsonObject {
  readonly [name: string]: Json;
}

/** A JSON value. */
export type Json = null | boolean | number | string | RawNumber | readonly Json[] | JsonObject;

/** A text is no JSON, or none that CnosDB reads. The message says what is wrong, and shows nothing of the text. */
export class InvalidValue extends Error {
  override name = "InvalidValue";
}

/** serde_json, with which CnosDB reads, stops at as many levels of arrays and objects. */
const mostLevels = 128;

/** JSON as Deno has it; TypeScript does not know all of it yet. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver?: (name: string, value: Json, context: { readonly source?: string }) => Json,
  ): Json;
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
};

/** What a number that loses digits looks like; strings may look like it too, which costs time and changes nothing. */
const riskyNumber = /\d{16}|\d[.eE]|-0/;

/**
 * @param text one JSON value (RFC 8259)
 * @throws {InvalidValue} if it is none, is nested too deep, or names a member twice (CnosDB refuses that: "duplicate field")
 */
export function parseJson(text: string): Json {
  const members = countMembers(text);
  let value: Json;
  try {
    value = riskyNumber.test(text) ? json.parse(text, keepDigits) : json.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw new InvalidValue("its value is no JSON: was the line cut?");
    throw error;
  }
  if (membersOf(value) !== members) {
    throw new InvalidValue(`member ${JSON.stringify(memberTwice(text))} is there twice`);
  }
  return value;
}

function keepDigits(_name: string, value: Json, { source }: { readonly source?: string }): Json {
  return typeof value === "number" && String(value) !== source ? json.rawJSON(source!) : value;
}

/** How many members are named in all objects of a JSON text. @throws {InvalidValue} if it is nested too deep */
function countMembers(text: string): number {
  let members = 0;
  let levels = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at);
        break;
      case 0x3a: // :
        members++;
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (++levels > mostLevels) throw new InvalidValue(`nested more than ${mostLevels} levels deep`);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        levels--;
    }
  }
  return members;
}

/** Where the string that starts at `at` has its closing quote. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = end;
    while (text[escapes - 1] === "\\") escapes--;
    if ((end - escapes) % 2 === 0) return end;
  }
  return text.length;
}

/** How many members all objects in a value have. */
function membersOf(value: Json): number {
  let members = 0;
  if (Array.isArray(value)) { for (const element of value) members += membersOf(element); }
  else if (isObject(value)) { for (const name in value) members += 1 + membersOf(value[name]!); }
  return members;
}

/** The first name that an object in a JSON text has twice. */
function memberTwice(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, name] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/gs)) {
    if (name !== undefined) {
      const read = JSON.parse(name) as string;
      if (open.at(-1)?.has(read)) return read;
      open.at(-1)?.add(read);
    } else if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
  }
}

/** A value in the compact form that CnosDB (serde_json) writes, every number as it was read. */
export function formatJson(value: Json): string {
  return JSON.stringify(value);
}

/** Whether a value is an object, and not one of the numbers that are kept as text. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !json.isRawJSON(value);
}

/** A number's digits as they were written; undefined if the value is no number. */
export function digitsOf(value: Json | undefined): string | undefined {
  if (typeof value === "number") return String(value);
  return json.isRawJSON(value) ? value.rawJSON : undefined;
}

/** A whole number of any size as a JSON value. */
export function wholeNumber(value: bigint): Json {
  return Number.isSafeInteger(Number(value)) ? Number(value) : json.rawJSON(String(value));
}

/** A member of a value that is an object; an empty object if it is missing or something else. */
export function objectIn(value: Json | undefined, name: string): JsonObject {
  const inner = isObject(value) ? value[name] : undefined;
  return isObject(inner) ? inner : {};
}

/** Whether two values are equal, whatever the order of their members. */
export function equalJson(a: Json, b: Json): boolean {
  return a === b || formatJson(a) === formatJson(b) || formatJson(sorted(a)) === formatJson(sorted(b));
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name]!)]));
}
