/** How far a copy is: on a terminal a bar for all and a line for each running table, elsewhere a log line now and then. */
import type { CopyEvent } from "./copy_table.ts";
import type { Kind } from "./gate.ts";
import { displayName } from "../dump/key.ts";
import { describeSeconds } from "../cli/progress.ts";

/** How much there is to do, and where to show it. */
export interface CopyProgressOptions {
  /** tables in all, and those that had ended before */
  total: number;
  done: number;
  /** how often a line is logged where there is no terminal */
  everyMs: number;
  terminal: boolean;
  columns: number;
  traffic?: (() => { inBytes: number; outBytes: number }) | undefined;
  write: (text: string) => void;
}

const verbs: Record<Kind, string> = {
  prepare: "comparing",
  export: "exporting",
  import: "importing",
  verify: "counting",
};

interface Running {
  name: string;
  kind: Kind;
  /** of the whole table, where they are known */
  rows: number | undefined;
  sinceMs: number;
}

/** Shows a copy that is told of each event and each end. */
export class CopyProgress {
  readonly #running = new Map<number, Running>();
  readonly #startMs = Date.now();
  readonly #timer: ReturnType<typeof setInterval>;
  #here = 0;
  #failed = 0;
  #rows = 0;
  #drawn = 0;

  constructor(private readonly options: CopyProgressOptions) {
    this.#timer = setInterval(() => this.#show(), options.terminal ? 200 : options.everyMs);
  }

  event({ what, table, step, rows, atMs }: CopyEvent): void {
    if (what === "end") this.#running.delete(table.id);
    if (what !== "begin") return;
    const name = displayName(table.tenant, table.database, table.table);
    this.#running.set(table.id, { name, kind: step, rows, sinceMs: atMs });
  }

  ended(rows: number, failed: boolean): void {
    this.#here++;
    this.#rows += rows;
    if (failed) this.#failed++;
  }

  /** Writes a line above what is drawn. */
  say(text: string): void {
    this.hide();
    this.options.write(`${text}\n`);
    if (this.options.terminal) this.#show();
  }

  close(): void {
    clearInterval(this.#timer);
    this.hide();
  }

  /** Takes away what is drawn, until it is drawn again in a moment. */
  hide(): void {
    if (this.#drawn) this.options.write(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }

  #show(): void {
    const { terminal, columns, write } = this.options;
    if (!terminal) return write(`copy_tables: ${this.#summary()}; at work: ${this.#running.size}\n`);
    const lines = [this.#bar(), ...[...this.#running.values()].slice(0, 20).map((line) => this.#line(line))];
    this.hide();
    write(lines.map((line) => `${fit(line, columns - 1)}\n`).join(""));
    this.#drawn = lines.length;
  }

  /** What matters most comes first, as a terminal may be narrow. */
  #summary(): string {
    const { total, done, traffic } = this.options;
    const seconds = (Date.now() - this.#startMs) / 1000;
    const bytes = traffic?.();
    return [
      `${done + this.#here}/${total} tables`,
      ...(this.#failed ? [`${this.#failed} failed`] : []),
      ...(this.#here ? [`${describeSeconds((total - done - this.#here) * seconds / this.#here)} left`] : []),
      `${this.#rows} rows`,
      ...(bytes ? [`${describeBytes(bytes.inBytes)} in`, `${describeBytes(bytes.outBytes)} out`] : []),
    ].join(", ");
  }

  #bar(): string {
    const { total, done } = this.options;
    const filled = total ? Math.floor((done + this.#here) / total * 12) : 12;
    return `[${"#".repeat(filled).padEnd(12, ".")}] ${this.#summary()}`;
  }

  #line({ name, kind, rows, sinceMs }: Running): string {
    const size = rows === undefined ? "" : ` ${rows} rows,`;
    const tail = ` ${verbs[kind]}${size} ${describeSeconds((Date.now() - sinceMs) / 1000)}`;
    return `  ${fit(name, this.options.columns - 4 - tail.length)}${tail}`;
  }
}

/** `1.2 GB`. */
export function describeBytes(bytes: number): string {
  const unit = Math.min(4, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  const number = bytes / 1000 ** unit;
  return `${number < 10 && unit ? number.toFixed(1) : Math.round(number)} ${
    ["B", "kB", "MB", "GB", "TB"][unit]
  }`;
}

/** Characters that take two columns of a terminal: Chinese, Japanese, Korean, emoji. */
const wide = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\uff60\uffe0-\uffe6]/;
const widthOf = (text: string) =>
  [...text].reduce((width, char) => width + (char.length === 2 || wide.test(char) ? 2 : 1), 0);

/** A text in at most so many columns of a terminal. */
export function fit(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let fitted = "";
  for (const char of text) {
    if (widthOf(fitted + char) > columns - 1) break;
    fitted += char;
  }
  return `${fitted}…`;
}

/** A table as text: columns padded, numbers (all but the first column) to the right. */
export function textTable(rows: (string | number)[][]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => widthOf(String(row[i] ?? "")))));
  return rows.map((row) =>
    row.map((cell, i) => {
      const padding = " ".repeat((widths[i] ?? 0) - widthOf(String(cell)));
      return i === 0 ? cell + padding : padding + cell;
    }).join("  ").trimEnd()
  ).join("\n");
}
