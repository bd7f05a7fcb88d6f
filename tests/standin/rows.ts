/** The rows of the stand-in's tables, and the rows that the recorded servers held. */
import { type Fields, shapesOf, VERSIONS } from "./shapes.ts";
import { decode, type Variant } from "./serde.ts";
import type { Column } from "./shapes.ts";

/** A value of a column; a time is a number in the unit of its column. */
export type Cell = null | boolean | bigint | number | string;
/** A row by column name; what is not there is null. */
export type Row = Record<string, Cell>;
/** Rows by `rowsKey`. */
export type Rows = Map<string, Row[]>;

/** Where a table's rows are: no name that a server can see holds a slash. */
export const rowsKey = (tenant: string, database: string, table: string) => `${tenant}/${database}/${table}`;

/** Time units by name, as their number in a second. */
export const UNITS: Record<string, bigint> = {
  Second: 1n,
  Millisecond: 1000n,
  Microsecond: 1000000n,
  Nanosecond: 1000000000n,
};

/** A column's kind and type: TAG, FIELD or TIME and STRING, DOUBLE, BIGINT, BIGINT UNSIGNED, BOOLEAN or TIMESTAMP(…). */
export function columnType({ column_type: type }: Column): { kind: string; type: string; unit: bigint } {
  if (typeof type === "string") return { kind: "TAG", type: "STRING", unit: 1n };
  const content = type.content as string;
  if (type.name === "Time") {
    return { kind: "TIME", type: `TIMESTAMP(${content.toUpperCase()})`, unit: UNITS[content]! };
  }
  const types: Record<string, string> = {
    Float: "DOUBLE",
    Integer: "BIGINT",
    Unsigned: "BIGINT UNSIGNED",
    Boolean: "BOOLEAN",
    String: "STRING",
  };
  return { kind: "FIELD", type: types[content] ?? "GEOMETRY", unit: 1n };
}

const indexes = new WeakMap<Row[], Map<string, Row>>();

/** Writes rows into a table: same time and tags overwrite, null leaves what is there. Gives how many overwrote. */
export function upsert(table: Row[], incoming: readonly Row[], columns: readonly Column[]): number {
  const keys = columns.filter((column) => columnType(column).kind !== "FIELD").map((column) => column.name);
  const identity = (row: Row) => keys.map((key) => String(row[key] ?? "\0")).join("\t");
  let index = indexes.get(table);
  if (index === undefined || index.size !== table.length) {
    index = new Map(table.map((row) => [identity(row), row]));
    indexes.set(table, index);
  }
  let overwritten = 0;
  for (const row of incoming) {
    const there = index.get(identity(row));
    if (there === undefined) {
      const copy = { ...row };
      table.push(copy);
      index.set(identity(copy), copy);
    } else {
      overwritten++;
      for (const [name, cell] of Object.entries(row)) if (cell !== null) there[name] = cell;
    }
  }
  return overwritten;
}

const EVERY_TYPE: Row[] = [
  { time: 1n, t1: "a", t2: "b", f: 1.5, i: 9223372036854775807n, u: 18446744073709551615n, b: true, s: "x" },
  { time: 2n, t1: "a", f: -2.25, i: -9223372036854775807n, u: 0n, b: false, s: "" },
  { time: 3n, i: 1n, s: 'tab\tnewline\nquote"comma,' },
  {
    time: 1700000000123456789n,
    t1: "中文",
    t2: "é",
    f: 3.141592653589793,
    i: 0n,
    u: 1n,
    b: true,
    s: "中文 🎉",
  },
];

/** When the recorded rows begin: 2023-11-14T22:13:20, in seconds. */
const START = 1700000000n;

function made(i: number, column: Column): Cell {
  const { kind, type, unit } = columnType(column);
  if (kind === "TIME") return START * unit + BigInt(i);
  if (kind === "TAG") return `${column.name}-${i % 3}`;
  if (type === "DOUBLE") return ((i * 7919) % 1000) / 8;
  if (type === "BOOLEAN") return i % 2 === 0;
  if (type === "STRING") return `${column.name} ${i}`;
  return BigInt(i) * 1000003n;
}

/**
 * The recorded data set for the TSKV tables of a dump: `airRows` rows in public.air (5000, and 2000 in the cluster
 * recordings of 2.3.3 and 2.4.3.4), the four rows of every_type, none in empty_table, ten in the others, and none
 * in the system's databases.
 */
export function seedRows(dump: string, airRows = 5000): Rows {
  const rows: Rows = new Map();
  const shapes = VERSIONS.map((version) => shapesOf(version).table).reverse();
  for (const line of dump.split("\n")) {
    const entry = /^(?:\* )?\/[^/]+\/tenants\/([^/]+)\/dbs\/([^/]+)\/schemas\/([^/]+?): (.*)$/s.exec(line);
    if (entry === null) continue;
    const [, tenant, database, name, text] = entry as unknown as [string, string, string, string, string];
    if (!text.startsWith('{"TsKv') || database.endsWith("_schema") || name === "empty_table") continue;
    const shape = shapes.find((shape) => readable(shape, text))!;
    const { content } = decode(shape, text) as Exclude<Variant, string>;
    const columns = (content as Fields).columns as Column[];
    const key = rowsKey(tenant, database, name);
    if (key === "cnosdb/public/every_type") {
      rows.set(key, EVERY_TYPE.map((row) => ({ ...row })));
    } else if (key === "cnosdb/public/air") {
      rows.set(key, Array.from({ length: airRows }, (_, i) => ({ ...airRow(i) })));
    } else {
      const row = (i: number) => Object.fromEntries(columns.map((column) => [column.name, made(i, column)]));
      rows.set(key, Array.from({ length: 10 }, (_, i) => row(i)));
    }
  }
  return rows;
}

function readable(shape: ReturnType<typeof shapesOf>["table"], text: string): boolean {
  try {
    decode(shape, text);
    return true;
  } catch {
    return false;
  }
}

/** Row `i` of air; its times are those of the recorded servers. */
export function airRow(i: number): Row {
  return {
    time: START * 1000000000n + BigInt(i) * 1000003n,
    station: i % 2 === 0 ? "XiaoMaiDao" : "LianYunGang",
    visibility: 50 + (i % 31) / 4,
    temperature: 60 + (i % 17) / 8,
    pressure: 70 + (i % 11) / 2,
  };
}
