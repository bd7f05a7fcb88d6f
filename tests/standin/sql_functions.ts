/** Functions of one row, and over rows, that DataFusion has in all versions of CnosDB from 2.3 to 2.4. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { arithmetic, castText, compare, parseTime, SqlError, Time, type Value } from "./sql_values.ts";

type Given = Exclude<Value, null>;

/** The characters of a text: an index of it is one of UTF-16 where no character takes two. */
const PAIRS = /[\ud800-\udfff]/;

function substr(text: string, from: number, count?: number): string {
  if (count !== undefined && count < 0) {
    throw new SqlError("010001", "Datafusion: Execution error: negative substring length not allowed");
  }
  const end = count === undefined ? undefined : Math.max(0, from - 1 + count);
  const start = Math.max(0, from - 1);
  return PAIRS.test(text) ? [...text].slice(start, end).join("") : text.slice(start, end);
}

function strpos(text: string, part: string): bigint {
  const at = text.indexOf(part);
  return BigInt(at > 0 && PAIRS.test(text) ? [...text.slice(0, at)].length + 1 : at + 1);
}

const length = (text: string) => BigInt(PAIRS.test(text) ? [...text].length : text.length);

/** What is put before or after a text to make it `count` characters long; a longer one is cut. */
function pad(text: string, count: number, by: string, before: boolean): string {
  const characters = [...text], filling = [...by];
  if (characters.length >= count) return characters.slice(0, count).join("");
  const missing = count - characters.length;
  const added = filling.length === 0
    ? ""
    : Array.from({ length: missing }, (_, i) => filling[i % filling.length]).join("");
  return before ? added + text : text + added;
}

const hash = (name: string) => (text: Given) => createHash(name).update(castText(text)).digest("hex");
const ofText = (work: (text: string) => Value) => (text: Given) => work(castText(text));
const ofNumber = (work: (value: number) => number) => (value: Given) => work(Number(value));

/** Where a time's bin begins. Before the origin the first moment of a bin falls into the bin before (tried on 2.3.5.4). */
function dateBin(stride: Given, time: Given, origin: Given = new Time(0n, 1n)): Value {
  const nanos = (value: Given) => value instanceof Time ? value.nanos : parseTime(castText(value));
  const width = stride as bigint, from = nanos(origin), since = nanos(time) - from;
  const start = since - since % width;
  return new Time(from + (since < 0n && width > 1n ? start - width : start), 1000000000n);
}

/** Functions that give null where an argument is null. */
export const FUNCTIONS: Record<string, (...values: Given[]) => Value> = {
  abs: (value) => typeof value === "bigint" ? (value < 0n ? -value : value) : Math.abs(Number(value)),
  ascii: ofText((text) => BigInt(text.codePointAt(0) ?? 0)),
  bit_length: ofText((text) => BigInt(Buffer.byteLength(text) * 8)),
  btrim: ofText((text) => text.trim()),
  ceil: ofNumber(Math.ceil),
  char_length: ofText(length),
  character_length: ofText(length),
  chr: (value) => String.fromCodePoint(Number(value)),
  date_bin: dateBin,
  exp: ofNumber(Math.exp),
  floor: ofNumber(Math.floor),
  left: (text, count) => [...castText(text)].slice(0, Number(count)).join(""),
  length: ofText(length),
  ln: ofNumber(Math.log),
  lower: ofText((text) => text.toLowerCase()),
  lpad: (text, count, by = " ") => pad(castText(text), Number(count), castText(by), true),
  ltrim: ofText((text) => text.trimStart()),
  md5: hash("md5"),
  octet_length: ofText((text) => BigInt(Buffer.byteLength(text))),
  power: (base, exponent) => Number(base) ** Number(exponent),
  repeat: (text, count) => castText(text).repeat(Math.max(0, Number(count))),
  replace: (text, part, by) => castText(text).replaceAll(castText(part), () => castText(by)),
  reverse: ofText((text) => [...text].reverse().join("")),
  right: (text, count) => Number(count) === 0 ? "" : [...castText(text)].slice(-Number(count)).join(""),
  round: ofNumber((value) => Math.sign(value) * Math.round(Math.abs(value))),
  rpad: (text, count, by = " ") => pad(castText(text), Number(count), castText(by), false),
  rtrim: ofText((text) => text.trimEnd()),
  sha224: hash("sha224"),
  sha256: hash("sha256"),
  sha384: hash("sha384"),
  sha512: hash("sha512"),
  signum: ofNumber(Math.sign),
  split_part: (text, by, at) => castText(text).split(castText(by))[Number(at) - 1] ?? "",
  sqrt: ofNumber(Math.sqrt),
  starts_with: (text, part) => castText(text).startsWith(castText(part)),
  strpos: (text, part) => strpos(castText(text), castText(part)),
  substr: (text, from, count) =>
    substr(castText(text), Number(from), count === undefined ? undefined : Number(count)),
  to_hex: (value) => BigInt.asUintN(64, BigInt(value as bigint)).toString(16),
  translate: (text, from, to) => {
    const [froms, tos] = [[...castText(from)], [...castText(to)]];
    return [...castText(text)].map((one) => froms.includes(one) ? tos[froms.indexOf(one)] ?? "" : one).join(
      "",
    );
  },
  trim: ofText((text) => text.trim()),
  trunc: ofNumber(Math.trunc),
  upper: ofText((text) => text.toUpperCase()),
};

/** Functions that see nulls. */
export const NULL_FUNCTIONS: Record<string, (...values: Value[]) => Value> = {
  coalesce: (...values) => values.find((value) => value !== null) ?? null,
  concat: (...values) => {
    let text = "";
    for (const value of values) if (value !== null) text += castText(value);
    return text;
  },
  concat_ws: (by, ...values) =>
    by === null
      ? null
      : values.flatMap((value) => value === null ? [] : [castText(value)]).join(castText(by)),
  nullif: (value, other) => compare(value, other) === 0 ? null : value,
};

/** Functions of all values that are not null; there is at least one. */
export const AGGREGATES: Record<string, (values: Given[]) => Value> = {
  count: (values) => BigInt(values.length),
  min: (values) => values.reduce((a, b) => compare(b, a)! < 0 ? b : a),
  max: (values) => values.reduce((a, b) => compare(b, a)! > 0 ? b : a),
  bit_xor: (values) => (values as bigint[]).reduce((a, b) => a ^ b),
  bit_and: (values) => (values as bigint[]).reduce((a, b) => a & b),
  bit_or: (values) => (values as bigint[]).reduce((a, b) => a | b),
  avg: (values) => Number(sum(values)) / values.length,
  sum,
};

function sum(values: Given[]): Value {
  const total = values.reduce((a, b) => arithmetic("+", a, b) as Given);
  // Sums of BIGINT wrap around.
  return typeof total === "bigint" && values.some((value) => (value as bigint) < 0n)
    ? BigInt.asIntN(64, total)
    : total;
}
