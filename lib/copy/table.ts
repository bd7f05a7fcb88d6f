/** One table in SQL: what it is made of, how it goes out and comes in, and what proves that two are equal. */
import { Failure } from "../cli/errors.ts";
import type { Summary, TableName } from "./ledger.ts";
import type { Side } from "./side.ts";
import { quoteName, quoteText, type Row } from "../cnosdb/sql.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";

/** A column as `information_schema.columns` tells: kind TIME, TAG or FIELD; type such as STRING or TIMESTAMP(NANOSECOND). */
export interface Column {
  name: string;
  kind: string;
  type: string;
}

/** A stretch of time, `[from, to)`, as written in SQL; open where a bound is missing. */
export interface Span {
  from?: string | undefined;
  to?: string | undefined;
}

const fileFormat = "FILE_FORMAT = (TYPE = 'PARQUET')";

const full = ({ database, table }: TableName) => quoteName(database, table);

function where({ from, to }: Span): string {
  const bounds = [
    ...(from === undefined ? [] : [`time >= ${quoteText(from)}`]),
    ...(to === undefined ? [] : [`time < ${quoteText(to)}`]),
  ];
  return bounds.length ? ` WHERE ${bounds.join(" AND ")}` : "";
}

/**
 * Writes a table, or a stretch of it, into a directory of the stage. Never DELIMITER: 2.4.1 and later refuse it.
 * @param connection `CONNECTION = (…)` and a blank, or nothing; every version takes it before FILE_FORMAT alone
 */
export function exportSql(name: TableName, url: string, connection: string, span: Span = {}): string {
  const rows = where(span);
  const source = rows ? `(SELECT * FROM ${full(name)}${rows})` : full(name);
  return `COPY INTO ${quoteText(url)} FROM ${source} ${connection}${fileFormat}`;
}

/** Reads a directory of the stage into a table; without the last slash it would be "is directory". */
export function importSql(name: TableName, url: string, connection: string): string {
  return `COPY INTO ${full(name)} FROM ${quoteText(`${url}/`)} ${connection}${fileFormat}`;
}

/** A statement that writes one row to the stage, to see whether a side can reach it. */
export function probeSql(url: string, connection: string): string {
  return `COPY INTO ${quoteText(url)} FROM (SELECT 1 AS x) ${connection}${fileFormat}`;
}

/**
 * Exact on every version, unlike count(*) or count(time) alone, which count duplicates on 2.4.3.
 * @param more what else is selected
 */
export function summarySql(name: TableName, span: Span = {}, more: string[] = []): string {
  const columns = ["count(time) AS n", "min(time) AS t0", "max(time) AS t1", ...more].join(", ");
  return `SELECT ${columns} FROM ${full(name)}${where(span)}`;
}

/** The rows that a COPY INTO says it moved. @throws {Failure} where it says something else, as for a stream table */
export function rowsOf(answer: Row[], name: TableName): number {
  const rows = answer[0]?.rows;
  if (typeof rows !== "number") {
    throw new Failure(
      `COPY of ${full(name)} answered ${JSON.stringify(answer).slice(0, 100)}, not a number of rows`,
    );
  }
  return rows;
}

/** The columns of a TSKV table, in the order of their names. @throws {Failure} where there is no such table */
export async function columnsOf(side: Side, { tenant, database, table }: TableName): Promise<Column[]> {
  const sql = "SELECT column_name, column_type, data_type FROM information_schema.columns " +
    `WHERE database_name = ${quoteText(database)} AND table_name = ${quoteText(table)}`;
  const columns = (await side.run(sql, { tenant })).map((row): Column => ({
    name: String(row.column_name),
    kind: String(row.column_type),
    type: String(row.data_type),
  })).sort((a, b) => a.name < b.name ? -1 : 1);
  if (columns.length === 0) {
    throw new Failure(`there is no such table on the ${side.role} cluster, or it may not be read`);
  }
  // Of stream and external tables every column is a FIELD. COPY of a stream table starts a query that never ends.
  if (!columns.some(({ kind }) => kind === "TIME")) {
    throw new Failure(
      `it is a stream or an external table on the ${side.role} cluster; only TSKV tables are copied`,
    );
  }
  return columns;
}

/** What differs between the columns of a table on both sides; what only one has would be lost or null in silence. */
export function columnDifferences(old: Column[], young: Column[]): string[] {
  const told = ({ kind, type }: Column) => `${kind} ${type}`;
  const there = new Map(young.map((column) => [column.name, column]));
  const differences = old.flatMap((column) => {
    const other = there.get(column.name);
    there.delete(column.name);
    if (!other) return [`column ${JSON.stringify(column.name)} is on the old cluster only`];
    return told(column) === told(other) ? [] : [
      `column ${JSON.stringify(column.name)} is ${told(column)} on the old cluster, ${
        told(other)
      } on the new`,
    ];
  });
  return [
    ...differences,
    ...[...there.keys()].map((name) => `column ${JSON.stringify(name)} is on the new cluster only`),
  ];
}

/** Counts a table, or a stretch of it. A full scan. */
export async function summarize(side: Side, name: TableName, span: Span = {}): Promise<Summary> {
  const row = (await side.run(summarySql(name, span), { tenant: name.tenant, database: name.database }))[0];
  if (typeof row?.n !== "number") {
    throw new Failure(`${side.url}: count(time) of ${full(name)} gave no number`);
  }
  const time = (value: Row[string]) => {
    if (typeof value !== "string") return undefined;
    const nanos = parseTime(value);
    return nanos === undefined ? value : formatTime(nanos);
  };
  const [min, max] = [time(row.t0), time(row.t1)];
  return { rows: row.n, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
}

/** Whether two summaries tell the same. */
export function sameSummary(a: Summary, b: Summary): boolean {
  return a.rows === b.rows && a.min === b.min && a.max === b.max;
}

/** What differs between the summaries of both sides: one text, or none. */
export function summaryDifferences(old: Summary, young: Summary): string[] {
  return sameSummary(old, young)
    ? []
    : [`${tellSummary(old)} on the old cluster, ${tellSummary(young)} on the new`];
}

/** A summary as an operator reads it. */
export function tellSummary({ rows, min, max }: Summary): string {
  return rows === 0 ? "no rows" : `${rows} rows from ${min} to ${max}`;
}

/**
 * What is computed over a column for `--verify full`; each is the same on 2.3 and 2.4 whatever the order of the rows.
 * Integers of 64 bits go as text, as JSON's readers round them.
 */
function digestsOf({ name, type }: Column): Record<string, string> {
  const column = quoteName(name);
  const count = `count(${column})`;
  if (type.startsWith("TIMESTAMP")) {
    return { count, xor: `CAST(bit_xor(CAST(${column} AS BIGINT)) AS STRING)` };
  }
  switch (type) {
    case "BIGINT":
    case "BIGINT UNSIGNED":
      return { count, xor: `CAST(bit_xor(${column}) AS STRING)` };
    case "BOOLEAN":
      return { count, true: `sum(CAST(${column} AS BIGINT))` };
    case "DOUBLE":
      return { count, min: `min(${column})`, max: `max(${column})` };
    default:
      return {
        count,
        octets: `sum(octet_length(${column}))`,
        md5: `sum(ascii(substr(md5(${column}), 1, 1)))`,
      };
  }
}

/** Digests by `column what`, such as `temperature max`. @param columns of both sides */
export async function digest(
  side: Side,
  name: TableName,
  columns: Column[],
  span: Span = {},
): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  const wanted = columns.flatMap((column) =>
    Object.entries(digestsOf(column)).map(([what, sql]) => ({ label: `${column.name} ${what}`, sql }))
  );
  // A hundred at a time: a table may have thousands of columns, and a statement has its limits.
  for (let at = 0; at < wanted.length; at += 100) {
    const part = wanted.slice(at, at + 100);
    const sql = summarySql(name, span, part.map(({ sql }, i) => `${sql} AS d${i}`));
    const row = (await side.run(sql, { tenant: name.tenant, database: name.database }))[0] ?? {};
    for (const [i, { label }] of part.entries()) digests.set(label, String(row[`d${i}`] ?? "none"));
  }
  return digests;
}

/** What differs between the digests of both sides. */
export function digestDifferences(old: Map<string, string>, young: Map<string, string>): string[] {
  return [...old].flatMap(([label, value]) => {
    const other = young.get(label);
    return value === other ? [] : [`${label} is ${value} on the old cluster, ${other} on the new`];
  });
}

/**
 * Cuts a table's time at whole multiples of a duration. The first piece is open to the past (to `from` where that is given),
 * the last one to the future, so that every row is in one of them whatever is written meanwhile.
 * @param source its rows, of which those before `from` are left out
 * @param seconds 0: one piece
 * @throws {Failure} where that makes too many pieces to be of use
 */
export function cutSpan(source: Summary, seconds: number, from?: string): Span[] {
  const [min, max] = [parseTime(source.min ?? ""), parseTime(source.max ?? "")];
  if (!seconds || min === undefined || max === undefined) return [{ from }];
  const nanos = BigInt(seconds) * 1_000_000_000n;
  const floor = (time: bigint) => time - ((time % nanos) + nanos) % nanos;
  const bound = from === undefined ? min : parseTime(from) ?? min;
  const start = floor(bound > min ? bound : min);
  const count = max < start ? 1n : (floor(max) - start) / nanos + 1n;
  if (count > 10_000n) {
    throw new Failure(
      `its rows from ${formatTime(start)} to ${source.max} would be ${count} pieces`,
      "take a longer --split.",
    );
  }
  const cuts = Array.from({ length: Number(count) - 1 }, (_, i) => formatTime(start + nanos * BigInt(i + 1)));
  return [from, ...cuts].map((begin, i) => ({ from: begin, to: cuts[i] }));
}
