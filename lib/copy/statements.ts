/**
 * The SQL of a copy and what its answers say. Only forms that real servers from 2.3.3 to 2.4.3.4 have
 * answered (recorded/windows-*.jsonl), or that are put together from such. No statement is deep: chains of
 * UNION, OR and + grow the stack of a production server.
 */
import { Failure } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { quoteName, quoteText, type Row } from "../cnosdb/sql.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";
import { type Bins, noRows, type Summary, type Window } from "./windows.ts";

/** A column as `information_schema.columns` has it: kind TIME, TAG or FIELD; type such as BIGINT UNSIGNED. */
export interface Column {
  readonly name: string;
  readonly kind: string;
  readonly type: string;
}

/** Tables or windows that are asked for in one statement: 200 killed a 2.4.3.4 server by a stack overflow. */
export const unionMost = 16;

/** Items by statement: at most `most` in one, and of one tenant or database. @param of which that is */
export function inStatements<T>(items: readonly T[], of: (item: T) => string, most = unionMost): T[][] {
  return [...Map.groupBy(items, of).values()].flatMap((some) =>
    Array.from({ length: Math.ceil(some.length / most) }, (_, i) => some.slice(i * most, (i + 1) * most))
  );
}

/** A stretch of a table to be summed up. */
export interface Ask {
  readonly name: TableName;
  readonly window: Window;
  /** its rows are digested, with these columns */
  readonly columns?: readonly Column[] | undefined;
  /** only whether it has a row: any one stands for all, without a scan */
  readonly any?: true;
}

const fullName = ({ database, table }: TableName) => quoteName(database, table);

function where({ from, to }: Window): string {
  const bounds = [from && `time >= ${quoteText(from)}`, to && `time < ${quoteText(to)}`].filter(Boolean);
  return bounds.length ? ` WHERE ${bounds.join(" AND ")}` : "";
}

/** All columns of a database in one statement, as each costs a bcrypt where authentication is on. */
export function columnsSql(database: string): string {
  return "SELECT table_name, column_name, column_type, data_type FROM information_schema.columns " +
    `WHERE database_name = ${quoteText(database)} ORDER BY table_name, column_name`;
}

/**
 * Columns by table, in the order of their names: digests depend on it, and a server's order is not ours.
 * Tables with the same columns share one list, as a database may have a hundred thousand of them.
 */
export function readColumns(rows: readonly Row[]): Map<string, Column[]> {
  const shared = new Map<string, Column[]>();
  return new Map([...Map.groupBy(rows, (row) => String(row.table_name))].map(([table, rows]) => {
    const columns = rows.map(({ column_name: name, column_type: kind, data_type: type }): Column => ({
      ...{ name: String(name), kind: String(kind), type: String(type) },
    })).sort((a, b) => a.name < b.name ? -1 : 1);
    const key = JSON.stringify(columns);
    if (!shared.has(key)) shared.set(key, columns);
    return [table, shared.get(key)!];
  }));
}

/** The precision of a table's times, in nanoseconds. */
export function tickNanosOf(columns: readonly Column[]): bigint {
  const type = columns.find(({ kind }) => kind === "TIME")?.type;
  return { "TIMESTAMP(MILLISECOND)": 1_000_000n, "TIMESTAMP(MICROSECOND)": 1_000n }[type ?? ""] ?? 1n;
}

/** Exact on every version, unlike count(*) or count(time) alone, which count duplicates on 2.4.3. */
const measures = "count(time) AS n, min(time) AS t0, max(time) AS t1";

/**
 * A column's value as text, different for any two values: null is `~`, which no number is; a string has its
 * length before it, so that nothing in it can be taken for the separator, a null or its neighbour.
 */
function textOf({ name, type }: Column): string {
  const column = quoteName(name);
  if (type.startsWith("TIMESTAMP")) return `coalesce(CAST(CAST(${column} AS BIGINT) AS STRING),'~')`;
  if (/^(BIGINT|BIGINT UNSIGNED|DOUBLE|BOOLEAN)$/.test(type)) {
    return `coalesce(CAST(${column} AS STRING),'~')`;
  }
  return `coalesce(CAST(octet_length(${column}) AS STRING),'~'), ':', coalesce(${column},'')`;
}

const textOfRow = (columns: readonly Column[]) => `md5(concat(${columns.map(textOf).join(", '|', ")}))`;

/** Eight hex digits of an md5 as a number, which JSON holds exactly. @param start the first digit, from 1 */
function digits(md5: string, start: number): string {
  const terms = Array.from(
    { length: 8 },
    (_, i) => `(strpos('0123456789abcdef', substr(${md5}, ${start + i}, 1))-1)*${16 ** (7 - i)}`,
  );
  return `bit_xor(${terms.join("+")})`;
}

/**
 * Two times 32 bits of each row's md5, each XORed over the rows: the same whatever their order, and a chance
 * of 1 in 2^64 that other rows give the same. Equal rows would cancel each other out, but no two rows have
 * the same time and tags.
 */
const digestMeasures = `${digits("m", 1)} AS h, ${digits("m", 9)} AS l`;

function measured({ name, window, columns, any }: Ask, label: string): string {
  const rows = `${fullName(name)}${where(window)}`;
  if (columns) {
    const texts = `SELECT time, ${textOfRow(columns)} AS m FROM ${rows}`;
    return `SELECT ${label}, ${measures}, ${digestMeasures} FROM (${texts}) x`;
  }
  return `SELECT ${label}, ${measures} FROM ${any ? `(SELECT time FROM ${rows} LIMIT 1) x` : rows}`;
}

/** Sums up several stretches of tables of one tenant in one statement. @param asks at most `unionMost` */
export function summariesSql(asks: readonly Ask[]): string {
  if (asks.length > unionMost) throw new RangeError(`${asks.length} tables in one statement`);
  return asks.map((ask, i) => measured(ask, `'${i}' AS t`)).join(" UNION ALL ");
}

/** The answer, in the order of what was asked. @throws {Failure} where something is missing */
export function readSummaries(rows: readonly Row[], asks: readonly Ask[]): Summary[] {
  const byLabel = new Map(rows.map((row) => [row.t, row]));
  return asks.map((ask, i) => readSummary(byLabel.get(String(i)) ?? {}, ask));
}

/**
 * Sums up a stretch of a table by bins of so many seconds, counted from 1970. For times since 1970 alone: of
 * earlier ones DataFusion's date_bin puts the first moment of a bin into the bin before.
 */
export function binsSql(ask: Ask, seconds: number): string {
  const bin = `date_bin(INTERVAL '${seconds} seconds', time, TIMESTAMP '1970-01-01T00:00:00') AS w`;
  return `${measured(ask, bin)} GROUP BY w ORDER BY w`;
}

export function readBins(rows: readonly Row[], ask: Ask): Bins {
  return new Map(rows.map((row) => [timeOf(row.w) ?? unreadable(ask, row), readSummary(row, ask)]));
}

function readSummary(row: Row, ask: Ask): Summary {
  const { n: rows, h, l } = row;
  if (rows === 0) return noRows;
  const [first, last] = [timeOf(row.t0), timeOf(row.t1)];
  if (typeof rows !== "number" || first === undefined || last === undefined) return unreadable(ask, row);
  if (!ask.columns) return { rows, first, last };
  // Without a digest on either side the two would be taken for equal.
  if (typeof h !== "number" || typeof l !== "number") return unreadable(ask, row);
  return { rows, first, last, digest: hex(h) + hex(l) };
}

const hex = (number: number) => number.toString(16).padStart(8, "0");
/** As we write times, so that both sides' are compared as texts. */
const timeOf = (value: Row[string]) => {
  const nanos = typeof value === "string" ? parseTime(value) : undefined;
  return nanos === undefined ? undefined : formatTime(nanos);
};

function unreadable({ name }: Ask, row: Row): never {
  const answer = JSON.stringify(row).slice(0, 100);
  throw new Failure(`the profile of ${fullName(name)} answered ${answer}, not what it was asked for`);
}

const fileFormat = "FILE_FORMAT = (TYPE = 'PARQUET')";

/**
 * Writes a stretch of a table into a directory of the stage. Never DELIMITER: 2.4.1 and later refuse it.
 * @param connection `CONNECTION = (…)` and a blank, or nothing; versions take it only before FILE_FORMAT
 */
export function exportSql(name: TableName, window: Window, url: string, connection: string): string {
  const rows = where(window);
  const source = rows ? `(SELECT * FROM ${fullName(name)}${rows})` : fullName(name);
  return `COPY INTO ${quoteText(url)} FROM ${source} ${connection}${fileFormat}`;
}

/** Reads a directory of the stage into a table; without the last slash it would be "is directory". */
export function importSql(name: TableName, url: string, connection: string): string {
  return `COPY INTO ${fullName(name)} FROM ${quoteText(`${url}/`)} ${connection}${fileFormat}`;
}

/** Writes one row to the stage, to see whether a side can reach it. */
export function probeSql(url: string, connection: string): string {
  return `COPY INTO ${quoteText(url)} FROM (SELECT 1 AS x) ${connection}${fileFormat}`;
}

/** The rows that a COPY INTO says it moved. @throws {Failure} if it says no number, as for a stream table */
export function readCopied(answer: readonly Row[]): number {
  const rows = answer[0]?.rows;
  if (typeof rows === "number") return rows;
  throw new Failure(`COPY INTO answered ${JSON.stringify(answer).slice(0, 100)}, not a number of rows`);
}

/** How a table's columns differ between both sides; what only one has would be lost, or null, in silence. */
export function columnDifferences(source: readonly Column[], target: readonly Column[]): string[] {
  const kinds = (columns: readonly Column[]) =>
    new Map(columns.map(({ name, kind, type }) => [name, `${kind} ${type}`]));
  const [old, young] = [kinds(source), kinds(target)];
  const names = [...new Set([...old.keys(), ...young.keys()])];
  return names.filter((name) => old.get(name) !== young.get(name)).map((name) => {
    const column = `column ${JSON.stringify(name)}`;
    if (!young.has(name)) return `${column} is on the source only`;
    if (!old.has(name)) return `${column} is on the target only`;
    return `${column} is ${old.get(name)} on the source, ${young.get(name)} on the target`;
  });
}
