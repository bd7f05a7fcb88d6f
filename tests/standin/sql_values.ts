/** Values of the stand-in's SQL: times, types, casts, comparisons and how CnosDB prints them. */
import type { Cell, Row } from "./rows.ts";

/** What a statement fails with: status, CnosDB's code and text. */
export class SqlError extends Error {
  constructor(readonly code: string, message: string, readonly status = 422) {
    super(message);
  }
}

/** A point in time: a count of units, and how many of them are in a second. */
export class Time {
  constructor(readonly count: bigint, readonly unit: bigint) {}

  get nanos(): bigint {
    return this.count * (1000000000n / this.unit);
  }

  /** As Rust's chrono prints it: 0, 3, 6 or 9 digits of a second. */
  toString(): string {
    const second = 1000000000n;
    const part = ((this.nanos % second) + second) % second;
    const whole = new Date(Number((this.nanos - part) / 1000000n)).toISOString().slice(0, 19);
    if (part === 0n) return whole;
    const digits = String(part).padStart(9, "0");
    return `${whole}.${digits.slice(0, part % 1000000n === 0n ? 3 : part % 1000n === 0n ? 6 : 9)}`;
  }
}

export type Value = Cell | Time;
export type Type = "STRING" | "DOUBLE" | "BIGINT" | "BIGINT UNSIGNED" | "BOOLEAN" | "TIMESTAMP";

/** A column of a result; `unit` where it holds times. */
export interface Named {
  name: string;
  type: Type;
  unit?: bigint;
}

/** A table to select from. `duplicates` are rows that a count alone counts twice. */
export interface Relation {
  label: string;
  columns: Named[];
  rows: Row[];
  duplicates?: number;
}

/** What a statement answers. */
export interface Result {
  columns: Named[];
  rows: Value[][];
}

/** A double as JSON and CSV answers have it: with a point or an exponent. */
export function printDouble(value: number): string {
  const size = Math.abs(value);
  if (Object.is(value, -0)) return "-0.0";
  if (size >= 1e16 || size !== 0 && size < 1e-5) {
    const [digits, exponent] = value.toExponential().split("e");
    return `${digits}e${exponent!.replace("+", "")}`;
  }
  return withPoint(value);
}

function withPoint(value: number): string {
  let text = String(value);
  if (/e/.test(text)) text = value.toFixed(20).replace(/0+$/, "");
  return /[.NI]/.test(text) ? text : `${text}.0`;
}

/**
 * A double cast to a string, in the form of Rust's lexical: an exponent from 1e10 on and below 1e-5, and always a
 * point. Recorded, and tried on 2.3.5.4 and 2.4.2.1.
 */
function castDouble(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (value === 0 || power >= -5 && power <= 9) {
    return Object.is(value, -0) ? "-0.0" : plainDigits(value, digits, power);
  }
  return `${digits.includes(".") ? digits : `${digits}.0`}e${power}`;
}

function plainDigits(value: number, digits: string, power: number): string {
  if (power >= -4) return withPoint(value);
  // JavaScript itself has an exponent below 1e-6, lexical only below 1e-5.
  return `${value < 0 ? "-" : ""}0.${"0".repeat(-power - 1)}${digits.replace(/[-.]/g, "")}`;
}

/** Any value as the text of an answer. */
export function print(value: Value): string {
  return typeof value === "number" ? printDouble(value) : String(value);
}

/** Any value cast to a string, as functions of text see it: booleans are 1 and 0. */
export function castText(value: Exclude<Value, null>): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return castDouble(value);
  if (typeof value === "boolean") return value ? "1" : "0";
  return String(value);
}

/** The nanoseconds of a written time: `2023-11-14T22:13:21.5`, a blank in place of the T, or a day alone. */
export function parseTime(text: string): bigint {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?Z?$/.exec(text.trim());
  const millis = match === null ? NaN : Date.parse(`${match[1]}T${match[2] ?? "00:00"}Z`);
  if (Number.isNaN(millis)) {
    throw new SqlError(
      "010001",
      `Datafusion: Arrow error: Parser error: Error parsing timestamp from '${text}': error parsing date`,
    );
  }
  return BigInt(millis) * 1000000n + BigInt((match![3] ?? "").padEnd(9, "0"));
}

/** A value as another type; null where it cannot be one. `unit` is that of a time, nanoseconds without. */
export function cast(value: Value, type: Type, unit = 1000000000n): Value {
  if (value === null) return null;
  switch (type) {
    case "STRING":
      return castText(value);
    case "BOOLEAN":
      if (typeof value === "boolean") return value;
      return typeof value === "string" ? value === "true" : value !== 0n && value !== 0;
    case "DOUBLE":
      return value instanceof Time ? Number(value.count) : Number(value);
    case "TIMESTAMP":
      if (typeof value === "bigint") return new Time(value, unit);
      if (typeof value === "string") return new Time(parseTime(value) / (1000000000n / unit), unit);
      return value instanceof Time ? new Time(value.nanos / (1000000000n / unit), unit) : null;
    default: {
      const number = value instanceof Time
        ? value.count
        : typeof value === "string"
        ? (/^-?\d+$/.test(value) ? BigInt(value) : null)
        : typeof value === "number"
        ? (Number.isFinite(value) ? BigInt(Math.trunc(value)) : null)
        : BigInt(value);
      if (number === null) return null;
      const fits = type === "BIGINT" ? BigInt.asIntN(64, number) : BigInt.asUintN(64, number);
      return fits === number ? number : null;
    }
  }
}

/** Below zero, zero or above, as `left` is less than, equal to or more than `right`; null where one is null. */
export function compare(left: Value, right: Value): number | null {
  if (left === null || right === null) return null;
  if (left instanceof Time && typeof right === "string") return compare(left.nanos, parseTime(right));
  if (right instanceof Time && typeof left === "string") return compare(parseTime(left), right.nanos);
  if (left instanceof Time) return compare(right instanceof Time ? left.nanos : left.count, right);
  if (right instanceof Time) return compare(left, typeof left === "bigint" ? right.nanos : right.count);
  if (typeof left === "string" && typeof right !== "string") return compare(left, print(right));
  if (typeof right === "string" && typeof left !== "string") return compare(print(left), right);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** `+ - * / % ||`; null where one side is null. Throws SqlError on a division by zero. */
export function arithmetic(sign: string, left: Value, right: Value): Value {
  if (left === null || right === null) return null;
  if (sign === "||") return castText(left) + castText(right);
  const plain = (value: Value) => value instanceof Time ? value.count : value;
  const [a, b] = [plain(left), plain(right)];
  if (typeof a === "bigint" && typeof b === "bigint") {
    if (b === 0n && "/%".includes(sign)) {
      throw new SqlError("010001", "Datafusion: Arrow error: Divide by zero error");
    }
    return sign === "+" ? a + b : sign === "-" ? a - b : sign === "*" ? a * b : sign === "/" ? a / b : a % b;
  }
  const [x, y] = [Number(a), Number(b)];
  return sign === "+" ? x + y : sign === "-" ? x - y : sign === "*" ? x * y : sign === "/" ? x / y : x % y;
}
