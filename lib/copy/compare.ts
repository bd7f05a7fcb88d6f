/** What differs between the two sides of a table: looked at many at once first, then one by one where they differ or are large. */
import { Failure } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { concernsTable, GivenUp } from "./trouble.ts";
import { type Profiler, Refused } from "./profile.ts";
import { type Ask, type Column, columnDifferences } from "./statements.ts";
import * as windows from "./windows.ts";
import { addUp, differs, noRows, type Part, type Summary, type Window } from "./windows.ts";

/** What compares: both sides, or one where the other is out of reach. */
export interface Comparison {
  readonly source?: Profiler | undefined;
  readonly target?: Profiler | undefined;
  /** whether every row is digested with every column */
  readonly full: boolean;
  /** windows hold so many rows at most, and so many bytes by a rough guess */
  readonly rowsPerWindow: number;
  readonly bytesPerWindow: number;
  /** whether rows of the target outside of the source's first and last are left alone */
  readonly intoExisting: boolean;
}

/** A table as both sides see it at first sight. */
export interface Seen {
  readonly name: TableName;
  readonly columns: readonly Column[];
  /** what is compared and copied of it */
  readonly outer: Window;
  readonly source: Summary;
  readonly target: Summary;
}

/** A guess of what a value takes in a file of an export: numbers are eight bytes, and Parquet comes uncompressed. */
const bytesPerValue = 12;
/** A window is looked at by finer ones so many times at most. */
const deepest = 6;

/** How many rows of a table a window holds at most. */
export function rowsPerWindow(
  { rowsPerWindow, bytesPerWindow }: Comparison,
  columns: readonly Column[],
): number {
  return Math.max(1, Math.min(rowsPerWindow, Math.floor(bytesPerWindow / (bytesPerValue * columns.length))));
}

/**
 * Looks at tables of one database: columns once, rows of all of them in a statement a side, and for `full` digests of the small ones.
 * @param outer what is compared of each
 * @returns what was seen of each, or why it cannot be compared
 */
export async function lookAtTables(
  comparison: Comparison,
  names: readonly TableName[],
  outer: Window,
): Promise<(Seen | Failure)[]> {
  try {
    const columns = await Promise.all(names.map((name) => commonColumns(comparison, name)));
    return await digestSmall(comparison, await askBoth(comparison, names, columns, outer));
  } catch (error) {
    if (!concernsTable(error)) throw error;
    if (names.length === 1 || error instanceof GivenUp) return names.map(() => error);
  }
  // One by one, so that one table's trouble is its own.
  const looks: (Seen | Failure)[] = [];
  for (const name of names) looks.push(...await lookAtTables(comparison, [name], outer));
  return looks;
}

async function commonColumns({ source, target }: Comparison, name: TableName): Promise<Column[]> {
  const [old, young] = await Promise.all([source?.columns(name), target?.columns(name)]);
  const differences = old && young ? columnDifferences(old, young) : [];
  if (!differences.length) return old ?? young ?? [];
  throw new Refused(
    `its columns differ: ${differences.join("; ")}`,
    "restore its schema first, or add the columns by hand.",
  );
}

async function askBoth(
  { source, target, intoExisting }: Comparison,
  names: readonly TableName[],
  columns: readonly Column[][],
  outer: Window,
): Promise<Seen[]> {
  const asks = names.map((name) => ({ name, window: outer }));
  const [old, young] = await Promise.all([source?.summaries(asks), target?.summaries(asks)]);
  const seen = names.map((name, i): Seen => ({
    ...{ name, columns: columns[i]!, outer },
    ...{ source: old?.[i] ?? noRows, target: young?.[i] ?? noRows },
  }));
  if (!intoExisting || !target) return seen;
  // Beside other rows only what the source holds can be compared.
  const narrower = seen.map((one) => ({
    ...one,
    outer: windows.overlap(outer, windows.windowOf(one.source)),
  }));
  const held = await target.summaries(narrower.map(({ name, outer }) => ({ name, window: outer })));
  return narrower.map((one, i) => ({ ...one, target: one.source.rows ? held[i]! : noRows }));
}

/** Digests for the tables that one window holds: of the source, and of the target where the rest is equal already. */
async function digestSmall(comparison: Comparison, seen: Seen[]): Promise<Seen[]> {
  if (!comparison.full) return seen;
  const small = seen.filter((one) =>
    one.source.rows > 0 && one.source.rows <= rowsPerWindow(comparison, one.columns)
  );
  const even = small.filter((one) => windows.sameSummary(one.source, one.target));
  const ask = (tables: Seen[]) =>
    tables.map(({ name, outer, columns }): Ask => ({ name, window: outer, columns }));
  const [old, young] = await Promise.all([
    comparison.source?.summaries(ask(small)),
    comparison.target?.summaries(ask(even)),
  ]);
  return seen.map((one) => ({
    ...one,
    source: old?.[small.indexOf(one)] ?? one.source,
    target: young?.[even.indexOf(one)] ?? one.target,
  }));
}

/**
 * A table as windows, which together cover all that is compared of it. One that holds little is a single window; where a window differs
 * and it saves copying, it is looked at by finer ones.
 */
export function compareWindows(comparison: Comparison, seen: Seen): Promise<Part[]> {
  const most = rowsPerWindow(comparison, seen.columns);
  const whole: Part = { ...seen.outer, source: seen.source, target: seen.target };
  const isLarge = Math.max(whole.source.rows, whole.target.rows) > most;
  return lookCloser(
    comparison,
    seen,
    whole,
    isLarge ? most : differs(whole) ? windows.finerRows(whole, most) : undefined,
  );
}

/** Looks more closely at a window, until what differs is small enough. @param rows in a bin; undefined: as it is */
async function lookCloser(
  comparison: Comparison,
  seen: Seen,
  part: Part,
  rows: number | undefined,
  depth = 0,
): Promise<Part[]> {
  if (rows === undefined || depth === deepest) return [part];
  const { source, target, full } = comparison;
  const held = { ...addUp([part.source, part.target]), rows: Math.max(part.source.rows, part.target.rows) };
  const seconds = windows.chooseSeconds(held, rows);
  const ask = {
    name: seen.name,
    window: windows.window(part.from, part.to),
    ...(full ? { columns: seen.columns } : {}),
  };
  const early = (held.first ?? "") < "1970";
  const bins = async (side: Profiler | undefined) => {
    if (!side) return [];
    if (seconds !== undefined) return await side.bins(ask, seconds, early);
    return (await side.summaries([ask])).filter(({ rows }) => rows > 0).map((one) => ({
      ...one,
      start: held.first ?? "",
    }));
  };
  const [old, young] = await Promise.all([bins(source), bins(target)]);
  const parts = windows.pairBins(old, young, part);
  const most = rowsPerWindow(comparison, seen.columns);
  const closer: Part[] = [];
  for (const one of parts) {
    const finer = parts.length > 1 && differs(one) ? windows.finerRows(one, most) : undefined;
    closer.push(...await lookCloser(comparison, seen, one, finer, depth + 1));
  }
  return closer.length ? closer : [part];
}

/** Names of the columns that differ in a window that holds as many rows on both sides. */
export async function differingColumns(
  { source, target }: Comparison,
  { name, columns }: Seen,
  part: Part,
): Promise<string[]> {
  if (!source || !target || part.source.rows !== part.target.rows) return [];
  const ask = { name, window: windows.window(part.from, part.to), columns };
  const [old, young] = await Promise.all([source.columnDigests(ask), target.columnDigests(ask)]);
  return [...old].filter(([column, digest]) => young.get(column) !== digest).map(([column]) => column);
}
