/**
 * Stretches of a table's time and what lies in them: which differ between two clusters, how wide they are chosen, and how they are put
 * together for copying. Times are texts in UTC as `formatTime` writes them: they sort as what they mean, and stand so in SQL and in
 * result lines.
 */
import { formatTime, parseTime } from "../cnosdb/time.ts";

/** A stretch of time, `[from, to)`; open where a bound is missing. */
export interface Window {
  readonly from?: string;
  readonly to?: string;
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

/** A stretch on both sides, as result lines show it. */
export interface Part extends Window {
  readonly source: Summary;
  readonly target: Summary;
  /** the columns that differ */
  readonly columns?: readonly string[];
  /** where an export half left it in the stage */
  readonly directory?: string;
}

/** What a statement by `date_bin` tells of one bin. */
export interface Bin extends Summary {
  readonly start: string;
}

export const noRows: Summary = { rows: 0 };

/** Whether both hold the same, as far as both were asked. A digest on one side alone proves nothing. */
export function sameSummary(a: Summary, b: Summary): boolean {
  return a.rows === b.rows && a.first === b.first && a.last === b.last && a.digest === b.digest;
}

export const differs = ({ source, target }: Part): boolean => !sameSummary(source, target);

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

/** A window from two bounds, either of which may be missing. */
export function window(from: string | undefined, to: string | undefined): Window {
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

/** What lies in both of two windows. */
export function overlap(a: Window, b: Window): Window {
  const given = (bounds: (string | undefined)[]) => bounds.filter((bound) => bound !== undefined).sort();
  return window(given([a.from, b.from]).at(-1), given([a.to, b.to])[0]);
}

/** From a summary's first row to its last. */
export function windowOf({ first, last }: Summary): Window {
  return window(first, last === undefined ? undefined : formatTime((parseTime(last) ?? 0n) + 1n));
}

/**
 * How many seconds a bin has to be wide so that it holds some `rowsPerBin` rows, were they spread evenly.
 * @returns undefined where it cannot be cut: bins are whole seconds
 */
export function chooseSeconds(
  { rows, first = "", last = "" }: Summary,
  rowsPerBin: number,
): number | undefined {
  const [start, end] = [parseTime(first), parseTime(last)];
  if (start === undefined || end === undefined) return undefined;
  const spanSeconds = Number((end - start) / 1_000_000_000n) + 1;
  const bins = Math.ceil(rows / rowsPerBin);
  return bins > 1 && spanSeconds > 1 ? Math.ceil(spanSeconds / bins) : undefined;
}

/**
 * Parts that together cover all of `outer`, from the bins of both sides: a bin reaches to where the next one begins, so that rows which
 * come late between two bins belong to one of them.
 */
export function pairBins(source: readonly Bin[], target: readonly Bin[], outer: Window): Part[] {
  const [old, young] = [source, target].map((bins) => new Map(bins.map((bin) => [bin.start, bin])));
  const starts = [...new Set([...old!.keys(), ...young!.keys()])].sort();
  return starts.map((start, i) => ({
    ...window(i === 0 ? outer.from : start, starts[i + 1] ?? outer.to),
    source: withoutStart(old!.get(start)),
    target: withoutStart(young!.get(start)),
  }));
}

function withoutStart({ start: _, ...summary }: Bin = { start: "", ...noRows }): Summary {
  return summary;
}

/** From so many rows on it is worth looking closer at a window of which the target has most rows already. */
const worthLooking = 200_000;

/**
 * How many rows a bin should have where a window is to be looked at more closely: it is too large to be copied at once, or most of it
 * is on the target already. Undefined where it is copied as it is.
 */
export function finerRows({ source, target }: Part, rowsPerWindow: number): number | undefined {
  if (Math.max(source.rows, target.rows) > 1.5 * rowsPerWindow) return rowsPerWindow;
  const worth = source.rows >= worthLooking && target.rows >= source.rows / 2;
  return worth ? Math.ceil(source.rows / 10) : undefined;
}

/** Joins windows that lie next to each other into ones of at most `rowsPerWindow` rows; what is larger stays alone. */
export function joinForCopying(parts: readonly Part[], rowsPerWindow: number): Part[] {
  const joined: Part[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    const touches = last !== undefined && last.to !== undefined && last.to === part.from;
    if (touches && last.source.rows + part.source.rows <= rowsPerWindow) {
      joined[joined.length - 1] = {
        ...window(last.from, part.to),
        source: addUp([last.source, part.source]),
        target: addUp([last.target, part.target]),
      };
    } else joined.push(part);
  }
  return joined;
}

/** What a stretch holds, as an operator reads it. */
export function tellSummary({ rows, first, last }: Summary): string {
  return rows === 0 ? "no rows" : `${rows} rows from ${first} to ${last}`;
}

/** A window, as an operator reads it. */
export function tellWindow({ from, to }: Window): string {
  if (from === undefined) return to === undefined ? "all its time" : `before ${to}`;
  return to === undefined ? `from ${from}` : `from ${from} to before ${to}`;
}
