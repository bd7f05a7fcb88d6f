/**
 * Stretches of a table's time and what lies in them: which differ between two clusters, and how wide they
 * are. Times are texts in UTC as `formatTime` writes them: they sort by time, and stand so in SQL and in
 * result lines.
 */
import { formatTime, parseTime } from "../cnosdb/time.ts";

/** A stretch of time, `[from, to)`; open where a bound is missing. */
export interface Window {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** What a stretch of a table holds. */
export interface Summary {
  readonly rows: number;
  /** time of the first and the last row; missing where there is none */
  readonly first?: string;
  readonly last?: string;
  /** of whole rows, 16 hex digits; missing where none was asked for, or there is no row */
  readonly digest?: string;
}

/** What a stretch holds on both sides. */
export interface Sides {
  readonly source: Summary;
  readonly target: Summary;
}

/** A stretch on both sides, as result lines show it. */
export interface Part extends Window, Sides {
  /** the columns that differ */
  readonly columns?: readonly string[];
  /** where an export half left it in the stage */
  readonly directory?: string;
}

/** What lies in the bins of a stretch, by when each begins; "" for all that is older than 1970. */
export type Bins = ReadonlyMap<string, Summary>;

export const noRows: Summary = { rows: 0 };

/** Whether both hold the same, as far as both were asked. A digest on one side alone proves nothing. */
export function sameSummary(a: Summary, b: Summary): boolean {
  return a.rows === b.rows && a.first === b.first && a.last === b.last && a.digest === b.digest;
}

export const differs = ({ source, target }: Sides): boolean => !sameSummary(source, target);

/** What several stretches hold together: digests are XORs over rows, so they add up too. */
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

/** What lies in both of two windows. */
export function overlap(a: Window, b: Window): Window {
  const given = (bounds: (string | undefined)[]) => bounds.filter((bound) => bound !== undefined).sort();
  return { from: given([a.from, b.from]).at(-1), to: given([a.to, b.to])[0] };
}

/**
 * From a summary's first row to its last.
 * @param tickNanos the precision of the table's times: a server cuts a finer bound to it, towards 1970
 * (recorded/bounds-*.jsonl), so that `last` and one nanosecond would leave the last row out
 */
export function windowOf({ first, last }: Summary, tickNanos: bigint): Window {
  return { from: first, to: last === undefined ? undefined : formatTime(parseTime(last)! + tickNanos) };
}

/** A window of so many rows, most of them on the target, is looked at by so many bins: it saves copying. */
const worthLooking = 200_000;
const binsOfCloserLook = 10;

/**
 * How wide the bins are, in seconds, by which a window is looked at more closely: it is too large to be
 * copied at once, or it differs and most of it is on the target already.
 * @param mostRows of a window that is copied at once; half as many again are not cut
 * @returns undefined if it stays as it is; bins are whole seconds, so one second's rows cannot be cut
 */
export function closerSeconds({ source, target }: Sides, mostRows: number): number | undefined {
  const rows = Math.max(source.rows, target.rows);
  const saves = !sameSummary(source, target) && source.rows >= worthLooking && target.rows >= source.rows / 2;
  const bins = rows > 1.5 * mostRows ? Math.ceil(rows / mostRows) : saves ? binsOfCloserLook : 1;
  const { first = "", last = "" } = addUp([source, target]);
  const [start, end] = [parseTime(first), parseTime(last)];
  if (bins === 1 || start === undefined || end === undefined) return undefined;
  const seconds = Number((end - start) / 1_000_000_000n) + 1;
  return seconds > 1 ? Math.ceil(seconds / bins) : undefined;
}

/**
 * Parts that together cover all of `outer`, from the bins of both sides: a bin reaches to where the next one
 * begins, so that rows which come late between two bins belong to one of them.
 */
export function pairBins(source: Bins = new Map(), target: Bins = new Map(), outer: Window): Part[] {
  const starts = [...new Set([...source.keys(), ...target.keys()])].sort();
  if (!starts.length) starts.push("");
  return starts.map((start, i) => ({
    from: i === 0 ? outer.from : start,
    to: starts[i + 1] ?? outer.to,
    source: source.get(start) ?? noRows,
    target: target.get(start) ?? noRows,
  }));
}

/** What a stretch holds, as an operator reads it. */
export function describeSummary({ rows, first, last }: Summary): string {
  return rows === 0 ? "no rows" : `${rows} rows from ${first} to ${last}`;
}

/** A window, as an operator reads it. */
export function describeWindow({ from, to }: Window): string {
  if (from === undefined) return to === undefined ? "all its time" : `before ${to}`;
  return to === undefined ? `from ${from}` : `from ${from} to before ${to}`;
}

/** Whether both sides have as many rows of the same times, so that it is values that differ. */
export function hasOtherValues({ source, target }: Sides): boolean {
  return describeSummary(source) === describeSummary(target);
}

/** How windows differ, as an operator reads it: the first, and how many more. @param parts at least one */
export function describeDifferences([part, ...more]: readonly Part[]): string {
  const { source, target } = part!;
  const what = hasOtherValues(part!)
    ? `${describeSummary(source)} on both sides, but with other values`
    : `${describeSummary(source)} on the source, ${describeSummary(target)} on the target`;
  return `${describeWindow(part!)}: ${what}${more.length ? `; and in ${more.length} more windows` : ""}`;
}
