/** What differs between both sides: of many tables at once, then by windows of those that differ or are large. */
import type { Failure } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import type { Profiler } from "./profile.ts";
import type { Verify } from "./result.ts";
import { type Ask, type Column, columnDifferences, tickNanosOf } from "./statements.ts";
import { eachAlone, Refused } from "./trouble.ts";
import { addUp, closerSeconds, differs, noRows, overlap, pairBins, type Part } from "./windows.ts";
import { sameSummary, type Sides, type Summary, type Window, windowOf } from "./windows.ts";

/** What compares: both sides, or one where the other is out of reach. */
export interface Comparison {
  readonly source?: Profiler | undefined;
  readonly target?: Profiler | undefined;
  readonly verify: Verify;
  /** a window holds some so many rows at most, and fewer where they have many columns */
  readonly rowsPerWindow: number;
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

/** What a window takes in the stage at most, by a rough guess: Parquet comes uncompressed. */
const bytesPerWindow = 1_000_000_000;
const bytesPerValue = 12;

/** How wide the bins are by which a table is looked at more closely; undefined: it stays one window. */
function closer({ rowsPerWindow }: Comparison, { columns }: Seen, sides: Sides): number | undefined {
  const fitting = Math.floor(bytesPerWindow / (bytesPerValue * columns.length));
  return closerSeconds(sides, Math.max(1, Math.min(rowsPerWindow, fitting)));
}

/**
 * Looks at tables of one database: columns once, rows of all of them in a statement a side, and for `full`
 * digests of those that stay one window.
 * @param asks what is compared of each
 * @returns what was seen of each, or why it cannot be compared
 */
export function lookAtTables(comparison: Comparison, asks: readonly Ask[]): Promise<(Seen | Failure)[]> {
  return eachAlone(asks, async (some) => {
    const columns = await Promise.all(some.map(({ name }) => commonColumns(comparison, name)));
    const seen = await askBoth(comparison, some, columns);
    return comparison.verify === "full" ? await withDigests(comparison, seen) : seen;
  });
}

async function commonColumns({ source, target }: Comparison, name: TableName): Promise<Column[]> {
  const [old, young] = await Promise.all([source?.columns(name), target?.columns(name)]);
  if (old && young) assertSameColumns(old, young);
  return old ?? young ?? [];
}

/** @throws {Refused} if columns differ: what only one side has would be lost, or null, in silence */
export function assertSameColumns(source: readonly Column[], target: readonly Column[]): void {
  const differences = columnDifferences(source, target);
  if (!differences.length) return;
  throw new Refused(
    `its columns differ: ${differences.join("; ")}`,
    "restore its schema first, or add the columns by hand.",
  );
}

async function askBoth(
  { source, target, intoExisting }: Comparison,
  asks: readonly Ask[],
  columns: readonly Column[][],
): Promise<Seen[]> {
  const asked = source?.summaries(asks);
  // Beside other rows only what the source holds can be compared.
  const held = intoExisting && target ? await asked : undefined;
  const narrow = asks.map(({ name, window }, i) => ({
    name,
    window: held ? overlap(window, windowOf(held[i]!, tickNanosOf(columns[i]!))) : window,
  }));
  const [old, young] = await Promise.all([asked, target?.summaries(narrow)]);
  return narrow.map(({ name, window }, i) => ({
    ...{ name, columns: columns[i]!, outer: window, source: old?.[i] ?? noRows },
    target: held?.[i]?.rows === 0 ? noRows : young?.[i] ?? noRows,
  }));
}

/** With digests of the tables that stay one window: of the source, and if the rest is equal of the target. */
async function withDigests(comparison: Comparison, seen: readonly Seen[]): Promise<Seen[]> {
  const whole = seen.filter((one) => one.source.rows > 0 && closer(comparison, one, one) === undefined);
  const even = whole.filter((one) => !differs(one));
  const ask = (side: Profiler | undefined, tables: Seen[]) =>
    side?.summaries(tables.map(({ name, outer, columns }) => ({ name, window: outer, columns })));
  const [old, young] = await Promise.all([ask(comparison.source, whole), ask(comparison.target, even)]);
  return seen.map((one) => ({
    ...one,
    source: old?.[whole.indexOf(one)] ?? one.source,
    target: young?.[even.indexOf(one)] ?? one.target,
  }));
}

/**
 * A table as windows, which together cover all that is compared of it. One that holds little is a single
 * window; a window that differs is cut into finer ones if that saves copying.
 * @param part what is looked at, all of the table unless told
 */
export async function compareWindows(
  comparison: Comparison,
  seen: Seen,
  part: Part = { ...seen.outer, source: seen.source, target: seen.target },
): Promise<Part[]> {
  const seconds = closer(comparison, seen, part);
  if (seconds === undefined) return [part];
  const { source, target, verify } = comparison;
  const ask = { name: seen.name, window: part, columns: verify === "full" ? seen.columns : undefined };
  const early = addUp([part.source, part.target]).first! < "1970";
  const bins = await Promise.all([source, target].map((side) => side?.bins(ask, seconds, early)));
  const parts = pairBins(bins[0], bins[1], part);
  if (parts.length === 1) return parts;
  const finer: Part[] = [];
  for (const one of parts) finer.push(...differs(one) ? await compareWindows(comparison, seen, one) : [one]);
  return finer;
}

/** Columns that differ in a window of as many rows on both sides: each is digested with time and tags. */
export async function differingColumns(
  { source, target }: Comparison,
  { name, columns }: Seen,
  part: Part,
): Promise<string[]> {
  if (!source || !target || part.source.rows !== part.target.rows) return [];
  const key = columns.filter(({ kind }) => kind !== "FIELD");
  const fields = columns.filter(({ kind }) => kind === "FIELD");
  const asks = fields.map((column) => ({ name, window: part, columns: [...key, column] }));
  const [old, young] = await Promise.all([source.summaries(asks), target.summaries(asks)]);
  return fields.filter((_, i) => !sameSummary(old[i]!, young[i]!)).map(({ name }) => name);
}
