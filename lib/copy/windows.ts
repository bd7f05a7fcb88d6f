/**
 * Windows of a table's time and what they hold: which differ between two clusters, and how wide they are.
 * Times are texts in UTC as `formatTime` writes them: as such they sort by time, and stand in SQL and in
 * result lines.
 */
import { counted } from "../cli/text.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";

/** A stretch of time, `[from, to)`; without a bound it is open on that side. */
export interface Window {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** What a window of a table holds. */
export interface Summary {
  readonly rows: number;
  /** times of the first and the last row; undefined without rows */
  readonly first?: string;
  readonly last?: string;
  /** of whole rows, 16 hex digits; undefined if none was asked for, or without rows */
  readonly digest?: string;
}

/** What both sides hold. */
export interface Sides {
  readonly source: Summary;
  readonly target: Summary;
}

/** A window and what both sides hold in it, as in a result line. */
export interface ComparedWindow extends Window, Sides {
  /** the columns that differ */
  readonly columns?: readonly string[];
  /** where an export half left it in the stage */
  readonly directory?: string;
}

/** What the bins of a window hold, by the time each begins at; "" for all before 1970. */
export type Bins = ReadonlyMap<string, Summary>;

export const noRows: Summary = { rows: 0 };

/** Whether two summaries are the same. A digest of only one of them is a difference: it proves nothing. */
export function sameSummary(a: Summary, b: Summary): boolean {
  return a.rows === b.rows && a.first === b.first && a.last === b.last && a.digest === b.digest;
}

export const differs = ({ source, target }: Sides): boolean => !sameSummary(source, target);

/** The summary of several windows together: a digest is an XOR over rows, so digests add up too. */
export function addUp(summaries: readonly Summary[]): Summary {
  const [one, ...more] = summaries.filter(({ rows }) => rows > 0);
  if (!one) return noRows;
  return more.reduce((sum, { rows, first, last, digest }) => ({
    rows: sum.rows + rows,
    first: [sum.first!, first!].sort()[0]!,
    last: [sum.last!, last!].sort()[1]!,
    ...(sum.digest && digest ? { digest: xorHex(sum.digest, digest) } : {}),
  }), one);
}

const xorHex = (a: string, b: string) => (BigInt(`0x${a}`) ^ BigInt(`0x${b}`)).toString(16).padStart(16, "0");

/** The time that is in both windows. */
export function overlap(a: Window, b: Window): Window {
  const given = (bounds: (string | undefined)[]) => bounds.filter((bound) => bound !== undefined).sort();
  return { from: given([a.from, b.from]).at(-1), to: given([a.to, b.to])[0] };
}

/**
 * The window from a summary's first row to its last; an open one without rows.
 * @param tickNanos the precision of the table's times. Servers cut a finer bound to it, towards 1970
 * (recorded/bounds-*.jsonl): one nanosecond after the last row would leave that row out
 */
export function windowOf({ first, last }: Summary, tickNanos: bigint): Window {
  return { from: first, to: last === undefined ? undefined : formatTime(parseTime(last)! + tickNanos) };
}

/** Cutting a window that differs saves copying if it has so many rows and the target most of them. */
const rowsWorthCutting = 200_000;
/** Into how many bins such a window is cut. */
const binsOfDifference = 10;

/**
 * How wide the bins are into which a window is cut: because it is too large to be copied at once, or because
 * it differs and most of it is on the target already.
 * @param mostRows that are copied at once; a window of up to half as many again is not cut
 * @returns whole seconds, so the rows of one second stay together; undefined if the window is not cut
 */
export function binSeconds({ source, target }: Sides, mostRows: number): number | undefined {
  const rows = Math.max(source.rows, target.rows);
  const savesCopying = !sameSummary(source, target) && source.rows >= rowsWorthCutting &&
    target.rows >= source.rows / 2;
  const bins = rows > 1.5 * mostRows ? Math.ceil(rows / mostRows) : savesCopying ? binsOfDifference : 1;
  if (bins === 1) return undefined;
  const { first, last } = addUp([source, target]);
  const seconds = Number((parseTime(last!)! - parseTime(first!)!) / 1_000_000_000n) + 1;
  return seconds > 1 ? Math.ceil(seconds / bins) : undefined;
}

/**
 * Windows that together cover all of `outer`, from the bins of both sides. Each reaches to where the next one
 * begins, so that a row which comes late between two bins is in one of them.
 */
export function pairBins(
  source: Bins | undefined,
  target: Bins | undefined,
  outer: Window,
): ComparedWindow[] {
  const starts = [...new Set([...source?.keys() ?? [], ...target?.keys() ?? []])].sort();
  if (!starts.length) starts.push("");
  return starts.map((start, i) => ({
    from: i === 0 ? outer.from : start,
    to: starts[i + 1] ?? outer.to,
    source: source?.get(start) ?? noRows,
    target: target?.get(start) ?? noRows,
  }));
}

/** A summary in a message. */
export function describeSummary({ rows, first, last }: Summary): string {
  return rows === 0 ? "no rows" : `${rows} rows from ${first} to ${last}`;
}

/** A window in a message. */
export function describeWindow({ from, to }: Window): string {
  if (from === undefined) return to === undefined ? "all its time" : `before ${to}`;
  return to === undefined ? `from ${from}` : `from ${from} to before ${to}`;
}

/** Whether both sides have as many rows of the same times, so that values differ. */
export function hasOtherValues({ source, target }: Sides): boolean {
  return describeSummary(source) === describeSummary(target);
}

/** How windows differ, in a message: the first one, and how many more. @param windows at least one */
export function describeDifferences([window, ...more]: readonly ComparedWindow[]): string {
  const { source, target } = window!;
  const what = hasOtherValues(window!)
    ? `${describeSummary(source)} on both sides, but with other values`
    : `${describeSummary(source)} on the source, ${describeSummary(target)} on the target`;
  const others = more.length ? `; and in ${counted(more.length, "more window")}` : "";
  return `${describeWindow(window!)}: ${what}${others}`;
}
