/** How far a run is, by rows: on a terminal a line for each statement at work, elsewhere a log line now and then. */
import { describeBytes, describeSeconds, fit } from "../cli/text.ts";
import { displayTable, type TableName } from "../cnosdb/names.ts";
import type { Step } from "./schedule.ts";
import type { Tally } from "./table.ts";

/** What is known of a run at a moment. */
export interface Standing extends Tally {
  readonly tables: number;
  /** ended, well or not */
  readonly ended: number;
  readonly failed: number;
  readonly elapsedSeconds: number;
}

const verbs = { profile: "comparing", export: "exporting", import: "importing", verify: "checking" };
/** How often it is drawn on a terminal, and logged elsewhere. */
const drawMs = 200;
const logMs = 10_000;
const linesMost = 20;

/** One line: what matters most comes first, as a terminal may be narrow. The time left is that of the rows that are known of. */
export function describeStanding(standing: Standing): string {
  const { tables, ended, failed, rowsPlanned, rowsCopied, bytes } = standing;
  const seconds = Math.max(standing.elapsedSeconds, 0.001);
  const leftSeconds = (rowsPlanned - rowsCopied) * seconds / rowsCopied;
  return [
    ...(rowsPlanned ? [`${Math.floor(100 * rowsCopied / rowsPlanned)} % of ${rowsPlanned} rows`] : []),
    `${ended}/${tables} tables`,
    ...(failed ? [`${failed} not well`] : []),
    ...(rowsCopied && leftSeconds > 0 ? [`${describeSeconds(leftSeconds)} left`] : []),
    ...(rowsCopied
      ? [`${Math.round(rowsCopied / seconds)} rows/s, ${describeBytes(bytes / seconds)}/s`]
      : []),
    `${describeSeconds(seconds)} so far`,
  ].join(", ");
}

/** Counts what a run does, and shows it. */
export class Progress {
  readonly #atWork = new Map<string, { text: string; sinceMs: number }>();
  readonly #startMs = Date.now();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly tally: Tally = { rowsPlanned: 0, rowsCopied: 0, bytes: 0 };
  #ended = 0;
  #failed = 0;
  #drawn = 0;
  #head = "";

  /** @param show where it is written, and how wide that is where it is a terminal */
  constructor(
    private readonly script: string,
    private readonly tables: number,
    private readonly show: { columns: number | undefined; write: (text: string) => void },
  ) {
    this.#timer = setInterval(() => this.#draw(), show.columns ? drawMs : logMs);
  }

  step(name: TableName, step: Step, end?: true): void {
    const key = `${displayTable(name)} ${step}`;
    if (end) this.#atWork.delete(key);
    else this.#atWork.set(key, { text: `${verbs[step]} ${displayTable(name)}`, sinceMs: Date.now() });
  }

  /** Counts a table that ended. */
  ended(well: boolean): void {
    this.#ended++;
    if (!well) this.#failed++;
  }

  /** Shows this in place of how far the run is; "" for that again. */
  head(text: string): void {
    this.#head = text;
  }

  /** Writes a line above what is drawn. */
  say(text: string): void {
    this.hide();
    this.show.write(`${this.script}: ${text}\n`);
  }

  /** Takes away what is drawn, until it is drawn again in a moment. */
  hide(): void {
    if (this.#drawn) this.show.write(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }

  close(): void {
    clearInterval(this.#timer);
    this.hide();
  }

  #draw(): void {
    const { columns, write } = this.show;
    const elapsedSeconds = (Date.now() - this.#startMs) / 1000;
    const text = this.#head || describeStanding({
      ...{ ...this.tally, ended: this.#ended, failed: this.#failed, tables: this.tables, elapsedSeconds },
    });
    if (!columns) return write(`${this.script}: ${text}; at work: ${this.#atWork.size}\n`);
    const lines = [...this.#atWork.values()].slice(0, linesMost).map(({ text, sinceMs }) =>
      `  ${text}, ${describeSeconds((Date.now() - sinceMs) / 1000)}`
    );
    this.hide();
    write([text, ...lines].map((line) => `${fit(line, columns - 1)}\n`).join(""));
    this.#drawn = lines.length + 1;
  }
}
