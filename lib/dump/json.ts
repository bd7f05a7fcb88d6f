/**
 * JSON in which every number keeps its digits. Ids in CnosDB's meta store are 128-bit integers written as bare
 * numbers, which JSON.parse rounds. Here such a number keeps its source text (JSON.rawJSON).
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

/** A text is no JSON, or none that CnosDB can read. The message shows nothing of the text. */
export class InvalidValue extends Error {
  override name = "InvalidValue";
}

/** How many levels of arrays and objects serde_json reads, which CnosDB uses. */
const mostLevels = 128;

/** TypeScript does not know all of Deno's JSON yet. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver?: (name: string, value: Json, context: { readonly source?: string }) => Json,
  ): Json;
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
};

/** Matches every number that would lose digits, and some strings, which costs time but changes nothing. */
const riskyNumber = /\d{16}|\d[.eE]|-0/;

/**
 * @param text one JSON value (RFC 8259)
 * @throws {InvalidValue} if it is none, is nested too deep, or names a member twice (which CnosDB refuses:
 * "duplicate field")
 */
export function parseJson(text: string): Json {
  let value: Json;
  try {
    value = riskyNumber.test(text) ? json.parse(text, keepDigits) : json.parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep();
    if (error instanceof SyntaxError) throw new InvalidValue("its value is no JSON: was the line cut?");
    throw error;
  }
  checkDepth(value, 0);
  // A value that is written as it was read, as CnosDB's own are, has no name twice.
  if (formatJson(value) !== text) checkNames(text);
  return value;
}

function keepDigits(_name: string, value: Json, { source }: { readonly source?: string }): Json {
  return typeof value === "number" && String(value) !== source ? json.rawJSON(source!) : value;
}

function tooDeep(): InvalidValue {
  return new InvalidValue(`nested more than ${mostLevels} levels deep`);
}

function checkDepth(value: Json, levels: number): void {
  if (typeof value !== "object" || value === null || json.isRawJSON(value)) return;
  if (levels === mostLevels) throw tooDeep();
  for (const name in value) checkDepth((value as JsonObject)[name]!, levels + 1);
}

/** @throws {InvalidValue} if an object in a JSON text has a name twice */
function checkNames(text: string): void {
  const open: Set<string>[] = [];
  for (const [token, name] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/gs)) {
    if (name !== undefined) {
      const read = JSON.parse(name) as string;
      if (open.at(-1)?.has(read)) throw new InvalidValue(`member ${JSON.stringify(read)} is there twice`);
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
