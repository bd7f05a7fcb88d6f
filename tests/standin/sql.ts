/**
 * A little SQL: as much of CnosDB's as a migration asks (statements, expressions, SELECT over one table or
 * subquery, aggregates without groups), and the forms in which results are answered.
 */
import { createHash } from "node:crypto";
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
/** A result, or a table to select from. `duplicates` are rows that count(*) alone counts twice. */
export interface Relation {
  label: string;
  columns: { name: string; type: Type; unit?: bigint }[];
  rows: Row[];
  duplicates?: number;
}
export interface Result {
  columns: { name: string; type: Type; unit?: bigint }[];
  rows: Value[][];
}

// ---- words ----

interface Token {
  kind: "word" | "quoted" | "string" | "number" | "sign" | "end";
  text: string;
}

const TOKEN =
  /\s+|--[^\n]*|\/\*[\s\S]*?\*\/|(?<string>'(?:[^']|'')*')|(?<quoted>"(?:[^"]|"")*"|`[^`]*`)|(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|(?<sign><=|>=|<>|!=|\|\||::|[^\s])/gu;

function tokens(sql: string): Token[] {
  const found: Token[] = [];
  for (const { groups } of sql.matchAll(TOKEN)) {
    const [kind, text] = Object.entries(groups ?? {}).find(([, text]) => text !== undefined) ?? [];
    if (kind === "string") found.push({ kind, text: text!.slice(1, -1).replaceAll("''", "'") });
    else if (kind === "quoted") {
      found.push({ kind, text: text!.slice(1, -1).replaceAll(text![0]!.repeat(2), text![0]!) });
    } else if (kind !== undefined) found.push({ kind: kind as Token["kind"], text: text! });
  }
  return found;
}

/** Reads words of a statement. */
export class Parser {
  readonly #tokens: Token[];
  #next = 0;

  constructor(sql: string) {
    this.#tokens = tokens(sql);
  }

  get peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "end", text: "EOF" };
  }

  /** How many statements there are. */
  get statements(): number {
    const semicolons = (token: Token) => token.kind === "sign" && token.text === ";";
    let count = 0, empty = true;
    for (const token of this.#tokens) {
      if (!semicolons(token) && empty) count++;
      empty = semicolons(token);
    }
    return count;
  }

  fail(expected: string): never {
    throw new SqlError("010009", `sql parser error: Expected ${expected}, found: ${this.peek.text}`);
  }

  take(): Token {
    const token = this.peek;
    this.#next++;
    return token;
  }

  #is(text: string, token: Token | undefined): boolean {
    return token !== undefined && (token.kind === "word" ? token.text.toUpperCase() : token.text) === text &&
      (token.kind === "word" || token.kind === "sign");
  }

  /** Takes these words or signs if they are next. */
  accept(...texts: string[]): boolean {
    if (!texts.every((text, i) => this.#is(text, this.#tokens[this.#next + i]))) return false;
    this.#next += texts.length;
    return true;
  }

  expect(...texts: string[]): void {
    if (!this.accept(...texts)) this.fail(texts.join(" "));
  }

  /** A name: as it is in quotes, in small letters without. */
  name(): string {
    const token = this.peek;
    if (token.kind !== "word" && token.kind !== "quoted") this.fail("identifier");
    this.#next++;
    return token.kind === "word" ? token.text.toLowerCase() : token.text;
  }

  /** Names with dots between. */
  path(): string[] {
    const names = [this.name()];
    while (this.accept(".")) names.push(this.name());
    return names;
  }

  string(): string {
    if (this.peek.kind !== "string") this.fail("literal string");
    return this.take().text;
  }

  number(): bigint {
    if (this.peek.kind !== "number") this.fail("literal int");
    return BigInt(this.take().text);
  }

  /** A list in brackets. */
  list<T>(item: () => T): T[] {
    this.expect("(");
    const items: T[] = [];
    do items.push(item()); while (this.accept(","));
    this.expect(")");
    return items;
  }

  /** `= (key = value, …)`, keys in small letters. */
  options(): Map<string, string> {
    this.accept("=");
    return new Map(this.list(() => {
      const key = this.name();
      this.expect("=");
      return [key, this.take().text] as const;
    }));
  }

  /** Takes the end, after a semicolon or none. */
  end(): void {
    while (this.accept(";"));
    if (this.peek.kind !== "end") this.fail("end of statement");
  }

  // ---- expressions ----

  expression(): Expression {
    let left = this.#and();
    while (this.accept("OR")) left = { is: "binary", sign: "OR", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.accept("AND")) left = { is: "binary", sign: "AND", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    return this.accept("NOT") ? { is: "unary", sign: "NOT", of: this.#not() } : this.#comparison();
  }

  #comparison(): Expression {
    const left = this.#sum();
    if (this.accept("IS", "NOT", "NULL")) {
      return { is: "unary", sign: "NOT", of: { is: "unary", sign: "IS NULL", of: left } };
    }
    if (this.accept("IS", "NULL")) return { is: "unary", sign: "IS NULL", of: left };
    if (this.accept("IN")) {
      const items = this.list(() => this.expression());
      return items.map((right): Expression => ({ is: "binary", sign: "=", left, right }))
        .reduce((left, right) => ({ is: "binary", sign: "OR", left, right }));
    }
    for (const sign of ["<=", ">=", "<>", "!=", "=", "<", ">"]) {
      if (this.accept(sign)) return { is: "binary", sign, left, right: this.#sum() };
    }
    return left;
  }

  #sum(): Expression {
    let left = this.#product();
    for (;;) {
      const sign = ["+", "-", "||"].find((sign) => this.accept(sign));
      if (sign === undefined) return left;
      left = { is: "binary", sign, left, right: this.#product() };
    }
  }

  #product(): Expression {
    let left = this.#unary();
    for (;;) {
      const sign = ["*", "/", "%"].find((sign) => this.accept(sign));
      if (sign === undefined) return left;
      left = { is: "binary", sign, left, right: this.#unary() };
    }
  }

  #unary(): Expression {
    if (this.accept("-")) return { is: "unary", sign: "-", of: this.#unary() };
    let value = this.#primary();
    while (this.accept("::")) value = { is: "cast", of: value, type: this.type() };
    return value;
  }

  /** The name of a type. */
  type(): Type {
    const word = this.name().toUpperCase();
    if (word === "BIGINT") return this.accept("UNSIGNED") ? "BIGINT UNSIGNED" : "BIGINT";
    if (word === "TIMESTAMP") {
      if (this.accept("(")) {
        this.number();
        this.expect(")");
      }
      return "TIMESTAMP";
    }
    const types: Record<string, Type> = {
      DOUBLE: "DOUBLE",
      STRING: "STRING",
      VARCHAR: "STRING",
      BOOLEAN: "BOOLEAN",
    };
    return types[word] ?? this.fail("a data type name");
  }

  #primary(): Expression {
    const token = this.peek;
    if (token.kind === "number") {
      this.take();
      const value = /[.eE]/.test(token.text) ? Number(token.text) : BigInt(token.text);
      return {
        is: "value",
        value,
        label: `${typeof value === "bigint" ? "Int64" : "Float64"}(${token.text})`,
      };
    }
    if (token.kind === "string") {
      return { is: "value", value: this.take().text, label: `Utf8(${JSON.stringify(token.text)})` };
    }
    if (this.accept("(")) {
      const inner = this.expression();
      this.expect(")");
      return inner;
    }
    for (const [word, value] of [["NULL", null], ["TRUE", true], ["FALSE", false]] as const) {
      if (this.accept(word)) return { is: "value", value, label: word };
    }
    if (this.accept("CAST", "(")) {
      const of = this.expression();
      this.expect("AS");
      const type = this.type();
      this.expect(")");
      return { is: "cast", of, type };
    }
    if (token.kind !== "word" && token.kind !== "quoted") this.fail("an expression:");
    const path = this.path();
    if (token.kind === "word" && path.length === 1 && this.accept("(")) {
      if (this.accept("*", ")")) return { is: "call", name: path[0]!, of: [], star: true };
      if (this.accept(")")) return { is: "call", name: path[0]!, of: [] };
      const of: Expression[] = [];
      do of.push(this.expression()); while (this.accept(","));
      this.expect(")");
      return { is: "call", name: path[0]!, of };
    }
    return { is: "column", name: path.at(-1)! };
  }

  /** A SELECT, the word itself being next. */
  select(): Select {
    this.expect("SELECT");
    const select: Select = { items: [], order: [] };
    do {
      if (this.accept("*")) select.items.push("*");
      else {
        const expression = this.expression();
        const { kind, text } = this.peek;
        const named = this.accept("AS") || kind === "quoted" ||
          kind === "word" && !/^(FROM|WHERE|ORDER|LIMIT|OFFSET)$/i.test(text);
        select.items.push({ expression, ...(named ? { alias: this.name() } : {}) });
      }
    } while (this.accept(","));
    if (this.accept("FROM")) {
      if (this.accept("(")) {
        select.from = this.select();
        this.expect(")");
      } else select.from = this.path();
      if (this.accept("AS") || this.peek.kind === "quoted") this.name();
    }
    if (this.accept("WHERE")) select.where = this.expression();
    if (this.accept("ORDER", "BY")) {
      do {
        const of = this.expression();
        select.order.push({ of, down: this.accept("DESC") || (this.accept("ASC"), false) });
      } while (this.accept(","));
    }
    if (this.accept("LIMIT")) select.limit = Number(this.number());
    if (this.accept("OFFSET")) select.offset = Number(this.number());
    return select;
  }
}

export type Expression =
  | { is: "value"; value: Value; label: string }
  | { is: "column"; name: string }
  | { is: "call"; name: string; of: Expression[]; star?: boolean }
  | { is: "cast"; of: Expression; type: Type }
  | { is: "unary"; sign: string; of: Expression }
  | { is: "binary"; sign: string; left: Expression; right: Expression };

export interface Select {
  items: ("*" | { expression: Expression; alias?: string })[];
  from?: string[] | Select;
  where?: Expression;
  order: { of: Expression; down: boolean }[];
  limit?: number;
  offset?: number;
}

// ---- values ----

/** A double as Rust prints it: with a point or an exponent. */
export function printDouble(value: number): string {
  const text = String(value);
  const size = Math.abs(value);
  if (size >= 1e16) {
    const [digits, exponent] = value.toExponential().split("e+");
    return `${digits}e${exponent}`;
  }
  return /[.eNI]/.test(text) ? text : `${text}.0`;
}

/** Any value as text. */
export function print(value: Value): string {
  return typeof value === "number" ? printDouble(value) : String(value);
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
      return print(value);
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

function compare(left: Value, right: Value): number | null {
  if (left === null || right === null) return null;
  if (left instanceof Time && typeof right === "string") return compare(left.nanos, parseTime(right));
  if (right instanceof Time && typeof left === "string") return compare(parseTime(left), right.nanos);
  if (left instanceof Time) return compare(right instanceof Time ? left.nanos : left.count, right);
  if (right instanceof Time) return compare(left, typeof left === "bigint" ? right.nanos : right.count);
  if (typeof left === "string" && typeof right !== "string") return compare(left, print(right));
  if (typeof right === "string" && typeof left !== "string") return compare(print(left), right);
  return left < right ? -1 : left > right ? 1 : 0;
}

function arithmetic(sign: string, left: Value, right: Value): Value {
  if (left === null || right === null) return null;
  if (sign === "||") return print(left) + print(right);
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

const FUNCTIONS: Record<string, (...values: Exclude<Value, null>[]) => Value> = {
  octet_length: (text) => BigInt(new TextEncoder().encode(print(text)).length),
  char_length: (text) => BigInt([...print(text)].length),
  length: (text) => BigInt([...print(text)].length),
  ascii: (text) => BigInt(print(text).codePointAt(0) ?? 0),
  md5: (text) => createHash("md5").update(print(text)).digest("hex"),
  substr: (text, from, count) => {
    const first = Number(from) - 1;
    return [...print(text)].slice(first, count === undefined ? undefined : first + Number(count)).join("");
  },
  lower: (text) => print(text).toLowerCase(),
  upper: (text) => print(text).toUpperCase(),
  abs: (value) => typeof value === "bigint" ? (value < 0n ? -value : value) : Math.abs(Number(value)),
};
const AGGREGATES = ["count", "min", "max", "sum", "avg", "bit_xor"];

const isAggregate = (of: Expression): boolean =>
  of.is === "call"
    ? AGGREGATES.includes(of.name) || of.of.some(isAggregate)
    : of.is === "cast" || of.is === "unary"
    ? isAggregate(of.of)
    : of.is === "binary" && (isAggregate(of.left) || isAggregate(of.right));

/** A selection from one relation. */
class Query {
  readonly #columns: Map<string, Relation["columns"][number]>;

  constructor(readonly relation: Relation) {
    this.#columns = new Map(relation.columns.map((column) => [column.name, column]));
  }

  /** The value of an expression in a row, or over all rows where it has aggregates. */
  value(of: Expression, row: Row, rows: readonly Row[]): Value {
    switch (of.is) {
      case "value":
        return of.value;
      case "column": {
        const column = this.#columns.get(of.name);
        if (column === undefined) {
          const known = this.relation.columns.map(({ name }) => `${this.relation.label}.${name}`).join(", ");
          throw new SqlError(
            "010001",
            `Datafusion: Schema error: No field named ${of.name}. Valid fields are ${known}.`,
          );
        }
        const cell = row[of.name] ?? null;
        return cell !== null && column.unit !== undefined ? new Time(cell as bigint, column.unit) : cell;
      }
      case "cast":
        return cast(this.value(of.of, row, rows), of.type);
      case "unary": {
        const value = this.value(of.of, row, rows);
        if (of.sign === "IS NULL") return value === null;
        if (of.sign === "NOT") return value === null ? null : !value;
        return value === null ? null : typeof value === "bigint" ? -value : -Number(value);
      }
      case "binary": {
        const left = this.value(of.left, row, rows), right = this.value(of.right, row, rows);
        if (of.sign === "AND") {
          return left === false || right === false ? false : left === null ? null : right;
        }
        if (of.sign === "OR") return left === true || right === true ? true : left === null ? null : right;
        if (!/[=<>]/.test(of.sign)) return arithmetic(of.sign, left, right);
        const order = compare(left, right);
        if (order === null) return null;
        const tests: Record<string, boolean> = {
          "=": order === 0,
          "<>": order !== 0,
          "!=": order !== 0,
          "<": order < 0,
          "<=": order <= 0,
          ">": order > 0,
          ">=": order >= 0,
        };
        return tests[of.sign]!;
      }
      case "call": {
        if (AGGREGATES.includes(of.name)) return this.#aggregate(of, rows);
        if (of.name === "coalesce") {
          return of.of.map((part) => this.value(part, row, rows)).find((value) => value !== null) ?? null;
        }
        const fn = FUNCTIONS[of.name];
        if (fn === undefined) {
          throw new SqlError("010001", `Datafusion: Error during planning: Invalid function '${of.name}'.`);
        }
        const values = of.of.map((part) => this.value(part, row, rows));
        return values.includes(null) ? null : fn(...values as Exclude<Value, null>[]);
      }
    }
  }

  #aggregate({ name, of, star }: Extract<Expression, { is: "call" }>, rows: readonly Row[]): Value {
    if (star) return BigInt(rows.length);
    const values: Exclude<Value, null>[] = [];
    for (const row of rows) {
      const value = this.value(of[0]!, row, []);
      if (value !== null) values.push(value);
    }
    if (name === "count") return BigInt(values.length);
    if (values.length === 0) return null;
    if (name === "min") return values.reduce((a, b) => compare(b, a)! < 0 ? b : a);
    if (name === "max") return values.reduce((a, b) => compare(b, a)! > 0 ? b : a);
    if (name === "bit_xor") return values.map((value) => BigInt(value as bigint)).reduce((a, b) => a ^ b);
    const sum = values.reduce((a, b) => arithmetic("+", a, b) as bigint);
    if (name === "avg") return Number(sum) / values.length;
    return typeof sum === "bigint" && values.some((value) => (value as bigint) < 0n)
      ? BigInt.asIntN(64, sum)
      : sum;
  }

  /** The name of a result's column. */
  label(of: Expression, inside = false): string {
    switch (of.is) {
      case "value":
        return of.label;
      case "column":
        return inside && this.relation.label !== "" ? `${this.relation.label}.${of.name}` : of.name;
      case "cast":
        return this.label(of.of, inside);
      case "unary":
        return of.sign === "IS NULL"
          ? `${this.label(of.of, true)} IS NULL`
          : `(${of.sign} ${this.label(of.of, true)})`;
      case "binary":
        return `${this.label(of.left, true)} ${of.sign} ${this.label(of.right, true)}`;
      case "call": {
        const name = AGGREGATES.includes(of.name) ? of.name.toUpperCase() : of.name;
        return `${name}(${of.star ? "UInt8(1)" : of.of.map((part) => this.label(part, true)).join(",")})`;
      }
    }
  }
}

function typeOf(value: Value | undefined): Type {
  if (value instanceof Time) return "TIMESTAMP";
  const types: Record<string, Type> = { bigint: "BIGINT", number: "DOUBLE", boolean: "BOOLEAN" };
  return types[typeof value] ?? "STRING";
}

/**
 * Carries out a SELECT; `table` finds a relation by its name. `emptyIsNull`: count(*) of an empty table is null, as
 * in 2.3 and 2.4.0. Duplicates are counted by count(*) and count(time) where each stands alone, as in 2.4.3.
 */
export function runSelect(select: Select, table: (path: string[]) => Relation, emptyIsNull: boolean): Result {
  let relation: Relation = { label: "", columns: [], rows: [{}] };
  if (Array.isArray(select.from)) relation = table(select.from);
  else if (select.from !== undefined) relation = asRelation(runSelect(select.from, table, emptyIsNull));
  const query = new Query(relation);
  const { where } = select;
  let rows = where === undefined
    ? relation.rows
    : relation.rows.filter((row) => query.value(where, row, []) === true);
  const items = select.items.flatMap((item) =>
    item === "*"
      ? relation.columns.map(({ name }) => ({ expression: { is: "column" as const, name }, alias: name }))
      : [item]
  );
  for (const { of, down } of select.order) {
    rows = rows.toSorted((a, b) =>
      (down ? -1 : 1) * (compare(query.value(of, a, []), query.value(of, b, [])) ?? 0)
    );
  }
  const grouped = items.some(({ expression }) => isAggregate(expression));
  const from = select.offset ?? 0;
  const shown = grouped
    ? [{}]
    : rows.slice(from, select.limit === undefined ? undefined : from + select.limit);
  const values = shown.map((row) => items.map(({ expression }) => query.value(expression, row, rows)));

  const only = items.length === 1 ? items[0]!.expression : undefined;
  if (only?.is === "call" && only.name === "count" && where === undefined) {
    if (only.star && rows.length === 0 && emptyIsNull) values[0]![0] = null;
    const alone = only.star || only.of[0]?.is === "column" && only.of[0].name === "time";
    if (alone && relation.duplicates) values[0]![0] = BigInt(rows.length + relation.duplicates);
  }
  const columns = items.map(({ expression, alias }, i) => {
    const source = expression.is === "column"
      ? relation.columns.find(({ name }) => name === expression.name)
      : undefined;
    const example = values.find((row) => row[i] !== null)?.[i];
    return {
      name: alias ?? query.label(expression),
      type: source?.type ?? typeOf(example),
      ...(example instanceof Time ? { unit: example.unit } : {}),
      ...(source?.unit === undefined ? {} : { unit: source.unit }),
    };
  });
  return { columns, rows: values };
}

function asRelation({ columns, rows }: Result): Relation {
  const cell = (value: Value): Cell => value instanceof Time ? value.count : value;
  return {
    label: "",
    columns,
    rows: rows.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, cell(row[i]!)]))),
  };
}

// ---- answers ----

function json(value: Value): string {
  if (value instanceof Time || typeof value === "string") return JSON.stringify(String(value));
  return print(value);
}

const FORMATS: Record<string, (result: Result) => string> = {
  json: (result) => `[${FORMATS["nd-json"]!(result).trimEnd().replaceAll("\n", ",")}]`,
  "nd-json": ({ columns, rows }) => {
    const order = columns.map(({ name }, i) => ({ name, i })).sort((a, b) => a.name < b.name ? -1 : 1);
    return rows.map((row) => {
      const fields = order.filter(({ i }) => row[i] !== null);
      return `{${fields.map(({ name, i }) => `${JSON.stringify(name)}:${json(row[i]!)}`).join(",")}}\n`;
    }).join("");
  },
  csv: (result) => separated(result, ","),
  tsv: (result) => separated(result, "\t"),
  table: ({ columns, rows }) => {
    const lines = [
      columns.map(({ name }) => name),
      ...rows.map((row) => row.map((v) => v === null ? "" : print(v))),
    ];
    const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
    const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
    const [head, ...body] = lines.map((line) =>
      `|${line.map((cell, i) => ` ${cell.padEnd(widths[i]!)} `).join("|")}|`
    );
    return [rule, head, rule, ...body, rule].join("\n");
  },
};

function separated({ columns, rows }: Result, comma: string): string {
  const quote = (text: string) =>
    text.includes(comma) || /["\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = [
    columns.map(({ name }) => name),
    ...rows.map((row) => row.map((v) => v === null ? "" : print(v))),
  ];
  return lines.map((line) => line.map(quote).join(comma) + "\n").join("");
}

/** A result as `json`, `nd-json`, `csv`, `tsv` or `table`; no rows are an empty body. */
export function format(result: Result, as: string): string {
  return result.rows.length === 0 ? "" : FORMATS[as]!(result);
}

/** The formats that there are. */
export const FORMAT_NAMES = Object.keys(FORMATS);
