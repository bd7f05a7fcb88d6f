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

/** How many tables or windows are profiled in one statement: 200 killed a 2.4.3.4 server by a stack overflow. */
export const unionMost = 16;

/** Cuts items into those of one statement each: at most `most`, and all with the same `of`. */
export function inStatements<T>(items: readonly T[], of: (item: T) => string, most = unionMost): T[][] {
  return [...Map.groupBy(items, of).values()].flatMap((some) =>
    Array.from({ length: Math.ceil(some.length / most) }, (_, i) => some.slice(i * most, (i + 1) * most))
  );
}

/** What to ask about a table. */
export interface ProfileRequest {
  readonly name: TableName;
  readonly window: Window;
  /** the columns to digest its rows with; undefined: no digest */
  readonly columns?: readonly Column[] | undefined;
  /** only whether it has a row: one of them is counted, without a scan */
  readonly any?: true;
}

const fullName = ({ database, table }: TableName) => quoteName(database, table);

function where({ from, to }: Window): string {
  const bounds = [from && `time >= ${quoteText(from)}`, to && `time < ${quoteText(to)}`].filter(Boolean);
  return bounds.length ? ` WHERE ${bounds.join(" AND ")}` : "";
}

/** All columns of a database in one statement: with authentication on, each costs a bcrypt. */
export function columnsSql(database: string): string {
  return "SELECT table_name, column_name, column_type, data_type FROM information_schema.columns " +
    `WHERE database_name = ${quoteText(database)} ORDER BY table_name, column_name`;
}

/**
 * Columns by table, sorted by their names: a digest depends on their order, which differs between servers.
 * Tables with the same columns share one list, because a database may have a hundred thousand of them.
 */
export function readColumns(rows: readonly Row[]): Map<string, Column[]> {
  const shared = new Map<string, Column[]>();
  return new Map([...Map.groupBy(rows, (row) => String(row.table_name))].map(([table, rows]) => {
    const columns = rows.map((row): Column => ({
      name: String(row.column_name),
      kind: String(row.column_type),
      type: String(row.data_type),
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
 * length in front, so that nothing in it can pass for the separator, a null or the next column.
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
 * Two times 32 bits of each row's md5, each XORed over the rows: their order does not matter, and other rows
 * pass by chance once in 2^64. Two equal rows would cancel each other out, but no two rows have the same time
 * and tags.
 */
const digestMeasures = `${digits("m", 1)} AS h, ${digits("m", 9)} AS l`;

function selectSql({ name, window, columns, any }: ProfileRequest, label: string): string {
  const rows = `${fullName(name)}${where(window)}`;
  if (columns) {
    const texts = `SELECT time, ${textOfRow(columns)} AS m FROM ${rows}`;
    return `SELECT ${label}, ${measures}, ${digestMeasures} FROM (${texts}) x`;
  }
  return `SELECT ${label}, ${measures} FROM ${any ? `(SELECT time FROM ${rows} LIMIT 1) x` : rows}`;
}

/** Profiles several windows of tables of one tenant in one statement. @param requests at most `unionMost` */
export function summariesSql(requests: readonly ProfileRequest[]): string {
  if (requests.length > unionMost) throw new RangeError(`${requests.length} tables in one statement`);
  return requests.map((request, i) => selectSql(request, `'${i}' AS t`)).join(" UNION ALL ");
}

/** The answer, in the order of the requests. @throws {Failure} if something is missing */
export function readSummaries(rows: readonly Row[], requests: readonly ProfileRequest[]): Summary[] {
  const byLabel = new Map(rows.map((row) => [row.t, row]));
  return requests.map((request, i) => readSummary(byLabel.get(String(i)) ?? {}, request));
}

/**
 * Profiles a window by bins of so many seconds, counted from 1970. It must not reach back before 1970: there
 * DataFusion's date_bin puts the first moment of a bin into the bin before.
 */
export function binsSql(request: ProfileRequest, seconds: number): string {
  const bin = `date_bin(INTERVAL '${seconds} seconds', time, TIMESTAMP '1970-01-01T00:00:00') AS w`;
  return `${selectSql(request, bin)} GROUP BY w ORDER BY w`;
}

/** The answer, by the time each bin begins at. @throws {Failure} if something is missing */
export function readBins(rows: readonly Row[], request: ProfileRequest): Bins {
  return new Map(rows.map((row) => [readTime(row.w) ?? unreadable(request, row), readSummary(row, request)]));
}

function readSummary(row: Row, request: ProfileRequest): Summary {
  const { n: rows, h, l } = row;
  if (rows === 0) return noRows;
  const [first, last] = [readTime(row.t0), readTime(row.t1)];
  if (typeof rows !== "number" || first === undefined || last === undefined) return unreadable(request, row);
  if (!request.columns) return { rows, first, last };
  // Without a digest on both sides they would be taken for equal.
  if (typeof h !== "number" || typeof l !== "number") return unreadable(request, row);
  return { rows, first, last, digest: hex(h) + hex(l) };
}

const hex = (number: number) => number.toString(16).padStart(8, "0");

/** A time as we write it, so that those of both sides can be compared as texts. */
function readTime(value: Row[string]): string | undefined {
  const nanos = typeof value === "string" ? parseTime(value) : undefined;
  return nanos === undefined ? undefined : formatTime(nanos);
}

function unreadable({ name }: ProfileRequest, row: Row): never {
  const answer = JSON.stringify(row).slice(0, 100);
  throw new Failure(`the profile of ${fullName(name)} answered ${answer}, not what it was asked for`);
}

const fileFormat = "FILE_FORMAT = (TYPE = 'PARQUET')";

/**
 * Writes a window of a table into a directory of the stage. Without DELIMITER, which 2.4.1 and later refuse.
 * @param connection `CONNECTION = (…)` and a blank, or nothing; servers take it only before FILE_FORMAT
 */
export function exportSql(name: TableName, window: Window, url: string, connection: string): string {
  const rows = where(window);
  const source = rows ? `(SELECT * FROM ${fullName(name)}${rows})` : fullName(name);
  return `COPY INTO ${quoteText(url)} FROM ${source} ${connection}${fileFormat}`;
}

/** Reads a directory of the stage into a table. Without the last slash the server answers "is directory". */
export function importSql(name: TableName, url: string, connection: string): string {
  return `COPY INTO ${fullName(name)} FROM ${quoteText(`${url}/`)} ${connection}${fileFormat}`;
}

/** Writes one row to the stage, to see whether a side can reach it. */
export function probeSql(url: string, connection: string): string {
  return `COPY INTO ${quoteText(url)} FROM (SELECT 1 AS x) ${connection}${fileFormat}`;
}

/** How many rows a COPY INTO moved. @throws {Failure} if it answers no number, as for a stream table */
export function readCopied(answer: readonly Row[]): number {
  const rows = answer[0]?.rows;
  if (typeof rows === "number") return rows;
  throw new Failure(`COPY INTO answered ${JSON.stringify(answer).slice(0, 100)}, not a number of rows`);
}
