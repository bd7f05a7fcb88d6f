/** What a run prints: a line for every table, its progress, and the exit code. */
import { hostname } from "node:os";
import { version } from "../cli/command.ts";
import { Difference, Failure, messageOf } from "../cli/errors.ts";
import { jsonLine, printJson, writeAll } from "../cli/files.ts";
import { hideProgress, type Say, showProgress } from "../cli/say.ts";
import { counted, describeBytes, describeSeconds } from "../cli/text.ts";
import { displayTable, type TableName } from "../cnosdb/names.ts";
import { proven, type TableResult } from "./result.ts";
import type { Step } from "./schedule.ts";
import type { Tally } from "./table.ts";
import { addReason, type Reasons } from "./trouble.ts";

/** How far a run is: the rows of tables at work, and what became of the tables that ended. */
export class Standing implements Tally {
  rowsPlanned = 0;
  rowsCopied = 0;
  bytes = 0;
  tables = 0;
  /** tables that ended, and those of them that are not equal */
  ended = 0;
  failed = 0;
  /** how many tables ended, by status, whichever worker did them */
  readonly byStatus: Record<string, number> = {};

  /** Counts a table that ended. */
  count(status: string): void {
    this.ended++;
    if (!proven.has(status)) this.failed++;
    this.byStatus[status] = (this.byStatus[status] ?? 0) + 1;
  }

  /** `3 equal, 1 failed`. */
  describeStatuses(): string {
    return Object.entries(this.byStatus).map(([status, tables]) => `${tables} ${status}`).join(", ");
  }

  /** The most important comes first, as a terminal may be narrow. The time left is for rows known so far. */
  describe(elapsedSeconds: number): string {
    const { tables, ended, failed, rowsCopied, bytes } = this;
    // A window that writers change meanwhile is copied more than once.
    const rows = Math.max(this.rowsPlanned, rowsCopied);
    const seconds = Math.max(elapsedSeconds, 0.001);
    const leftSeconds = (rows - rowsCopied) * seconds / rowsCopied;
    return [
      rows && `${Math.floor(100 * rowsCopied / rows)} % of ${rows} rows`,
      `${ended}/${tables} tables`,
      failed && `${failed} not equal`,
      rowsCopied && leftSeconds > 0 && `${describeSeconds(leftSeconds)} left`,
      rowsCopied && `${Math.round(rowsCopied / seconds)} rows/s, ${describeBytes(bytes / seconds)}/s`,
      `${describeSeconds(seconds)} so far`,
    ].filter(Boolean).join(", ");
  }
}

/** Prints lines of results to stdout, or to the file at `path`. */
export function printer(path: string | undefined): typeof printJson {
  if (path === undefined) return printJson;
  let file: Deno.FsFile | undefined;
  return async (line) => {
    try {
      file ??= await Deno.open(path, { write: true, create: true, truncate: true });
      await writeAll(file, jsonLine(line));
    } catch (error) {
      throw new Failure(`${path}: cannot be written: ${messageOf(error)}`, "is the disk full?");
    }
  };
}

const verbs = { profile: "comparing", export: "exporting", import: "importing", verify: "checking" };

/** Prints a run's lines, counts its tables, and shows progress and which statement has run the longest. */
export class RunOutput {
  readonly standing = new Standing();
  readonly #reasons: Reasons = new Map();
  /** when each statement at work began, the oldest first */
  readonly #atWork = new Map<string, number>();
  readonly #startMs = Date.now();
  #endProgress = () => {};
  #printed: Promise<void> = Promise.resolve();
  /** shown in place of the progress, if it is not empty */
  head = "";

  constructor(private readonly script: string, readonly say: Say, private readonly print: typeof printJson) {}

  /** Prints the first line. @param tables how many will follow @param run what is compared with what */
  async begin(tables: number, run: Record<string, unknown>): Promise<void> {
    this.standing.tables = tables;
    this.#endProgress = showProgress(() => this.#describe(), this.say);
    const started = new Date(this.#startMs);
    await this.#print({ run: { script: this.script, version, ...run, started, host: hostname() } });
  }

  /** Prints a table's line, and says why it is not equal: each reason once, and at the end for how many. */
  async result(result: TableResult): Promise<void> {
    const { status, error, hint, earlier } = result;
    this.standing.count(status);
    if (error !== undefined && !earlier && addReason(this.#reasons, result, error)) {
      this.say(`${displayTable(result)}: ${status}: ${error}${hint ? ` (${hint})` : ""}`);
    }
    await this.#print(result);
  }

  /** Notes that a statement begins or, with `end`, that it ended. */
  step(name: TableName, step: Step, end?: true): void {
    const text = `${verbs[step]} ${displayTable(name)}`;
    if (end) this.#atWork.delete(text);
    else this.#atWork.set(text, Date.now());
  }

  /**
   * Prints the last line, and sums up what became of the tables.
   * @param stopped why the run ended before all was done
   * @param isPlan only asked what differs, so that a difference is no failure
   * @returns the exit code @throws why the run stopped early, or that not all is well
   */
  async end(stopped: unknown, isPlan: boolean): Promise<number> {
    this.#endProgress();
    for (const [why, { tables }] of this.#reasons) {
      if (tables > 1) this.say(`${counted(tables, "table")} in all: ${why}`);
    }
    const { tables, ended, byStatus, rowsCopied: rows, bytes } = this.standing;
    const seconds = this.#seconds();
    const notDone = `${tables - ended} of ${tables} tables are not done`;
    if (ended < tables && stopped !== undefined) this.say(notDone);
    const problem = stopped ??
      (ended < tables ? new Failure(notDone, "run the same again.") : this.#problem(isPlan));
    const exit = problem === undefined ? 0 : problem instanceof Failure ? problem.exitCode : 1;
    const end = { tables: ended, ...byStatus, rows, bytes, seconds, exit };
    // If this fails, the reader is gone or the disk is full, which has stopped the run already: report that.
    await this.#print({ end: { ...end, ended: new Date() } }).catch((error) => {
      throw stopped ?? error;
    });
    const parts = this.standing.describeStatuses() || "none";
    this.say(`tables: ${parts}; ${counted(rows, "row")} copied, in ${describeSeconds(seconds)}`);
    if (problem !== undefined) throw problem;
    return exit;
  }

  /** What is wrong with the tables: a Difference only if some differ and nothing else is wrong. */
  #problem(isPlan: boolean): Failure | undefined {
    const { failed, byStatus: { differs = 0 } } = this.standing;
    if (failed === differs) return failed && !isPlan ? new Difference("the two clusters differ") : undefined;
    return new Failure(
      "not all tables are well",
      "their lines tell why; run the same again to try them once more.",
    );
  }

  #print(line: unknown): Promise<void> {
    return this.#printed = this.#printed.then(() => {
      hideProgress();
      return this.print(line);
    });
  }

  #seconds(): number {
    return (Date.now() - this.#startMs) / 1000;
  }

  #describe(): string {
    const standing = this.head || this.standing.describe(this.#seconds());
    const [oldest] = this.#atWork;
    if (!oldest) return standing;
    const [text, sinceMs] = oldest;
    const others = this.#atWork.size > 1 ? ` and ${this.#atWork.size - 1} more` : "";
    return `${standing}; ${text} for ${describeSeconds((Date.now() - sinceMs) / 1000)}${others}`;
  }
}
