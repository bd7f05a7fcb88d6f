/**
 * One table: the windows that differ between its two sides are copied until none does. Nothing is remembered,
 * so a run that was killed, rows that came late and a target made anew are all the same case.
 */
import { atOnce } from "../cli/deps.ts";
import { Failure } from "../cli/errors.ts";
import { pause } from "../cnosdb/http.ts";
import { tableKey } from "../cnosdb/names.ts";
import { compareWindows, compareWithExport, type Comparison, differingColumns } from "./compare.ts";
import type { TableProfile } from "./compare.ts";
import type { Status, TableResult } from "./result.ts";
import type { Role, Schedule, Step } from "./schedule.ts";
import { exportWindow, importDirectory, type Route } from "./transfer.ts";
import { ClusterTrouble, concernsTable, Refused, resultOf } from "./trouble.ts";
import { addUp, describeDifferences, describeSummary, describeWindow, differs } from "./windows.ts";
import { type ComparedWindow, hasOtherValues, noRows, sameSummary, type Summary } from "./windows.ts";

/** What to do with the windows that differ; `plan` only reports what would be copied. */
export type Task = "copy" | "compare" | "plan" | "export" | "import";

/** What all tables of a run share. */
export interface CopyContext extends Comparison, Route {
  readonly task: Task;
  readonly schedule: Schedule;
  /** no further statement is sent once it is aborted */
  readonly signal: AbortSignal;
  /** the first pause before looking again for rows that do not show yet; doubled each time */
  readonly lookAgainMs: number;
  /** result lines of an export half, by `tableKey` */
  readonly exported: ReadonlyMap<string, TableResult>;
  readonly tally: Tally;
}

/** What a run has done so far; its tables count it up. */
export interface Tally {
  /** rows to be copied, of the tables that were compared so far */
  rowsPlanned: number;
  /** rows imported; of an export half, rows exported */
  rowsCopied: number;
  bytes: number;
}

/** How often windows are copied that still differ. */
const mostRounds = 4;
/** How often to look again for rows that show late (one new table in 50 on 2.4.0 and 2.4.1), 8 s in all. */
const mostLooks = 4;
/** Windows of a table that are copied at once: one is exported while another is imported. */
const windowsAtOnce = 2;
/** How many windows that differ are reported, and of how many of them the columns. */
const windowsReported = 100;
const columnsReported = 4;

/** Copies, or compares, one table. */
export class TableCopy {
  #windows: ComparedWindow[] = [];
  readonly #copied = { rows: 0, bytes: 0, windows: 0 };
  /** what changed on the source meanwhile */
  readonly #sourceChanges: string[] = [];
  /** why a window did not arrive whole in the last round */
  #failure: Failure | undefined;

  constructor(private readonly context: CopyContext, private readonly table: TableProfile) {}

  /**
   * Does the run's task with the table.
   * @throws {Failure} if it concerns more than this table (see `concernsTable`), or rows have expired
   */
  async run(): Promise<TableResult> {
    const { context: { target, verify }, table: { name, columns } } = this;
    const started = new Date();
    const { status, ...reason } = await this.#copy().then((status) => this.#explain(status), (error) => {
      if (!concernsTable(error)) throw error;
      return resultOf(error);
    });
    const windows = await this.#reportedWindows(status);
    const isCompared = this.#windows.length > 0;
    // What was imported and not verified says nothing of the target.
    const knowsTarget = isCompared && target && status !== "imported";
    return {
      ...name,
      status,
      source: isCompared ? addUp(this.#windows.map(({ source }) => source)) : undefined,
      target: knowsTarget ? addUp(this.#windows.map(({ target }) => target)) : undefined,
      verify,
      copied: this.#copied,
      started: started.toISOString(),
      seconds: Math.round(Date.now() - started.getTime()) / 1000,
      windows: windows.length ? windows : undefined,
      schema: status === "exported" ? columns : undefined,
      ...reason,
    };
  }

  async #copy(): Promise<Status> {
    const { context: { task, source, exported, intoExisting, verify, stage, tally }, table } = this;
    this.#windows = source
      ? await compareWindows(this.context, table)
      : await compareWithExport(this.context, table, exported.get(tableKey(table.name)));
    const excess = this.#windows.filter(hasMoreOnTarget);
    if (excess.length && task !== "compare" && !intoExisting) {
      throw new Refused(
        `the target has more rows than the source, ${describeDifferences(excess)}`,
        "empty it there, or give --into-existing: rows with the same time and tags are overwritten, others stay.",
      );
    }
    if (task === "compare" || task === "plan") return this.#windows.some(differs) ? "differs" : "equal";
    let left = this.#windows.filter((window) => differs(window) && window.source.rows > 0);
    for (const { source } of left) tally.rowsPlanned += source.rows;
    for (let round = 0; left.length && round < mostRounds; round++) {
      await this.#copyWindows(left);
      // A window with other rows on the target can never be proven equal: once is enough.
      left = this.#windows.filter((window) => differs(window) && !hasMoreOnTarget(window));
    }
    if (this.#failure) throw this.#failure;
    if (this.#windows.some(differs)) return this.#sourceChanges.length ? "source-changed" : "differs";
    if (task === "export") return "exported";
    if (task === "import") {
      for (const { directory } of this.#windows) if (directory) await stage!.remove(directory);
    }
    return verify === "none" && this.#copied.windows ? "imported" : "equal";
  }

  /** Copies windows once, and profiles them on the target again. */
  async #copyWindows(windows: readonly ComparedWindow[]): Promise<void> {
    const { task, verify } = this.context;
    this.#failure = undefined;
    const copied = new Map<ComparedWindow, ComparedWindow>();
    await atOnce(windowsAtOnce, windows, async (window) => {
      const arrived = await this.#transfer(window);
      if (arrived) copied.set(window, { ...arrived, target: arrived.source });
    });
    if (task !== "export" && verify !== "none") {
      await atOnce(windows.length, [...copied], async ([window, arrived]) => {
        copied.set(window, await this.#verify(arrived));
      });
    }
    this.#windows = this.#windows.map((window) => copied.get(window) ?? window);
  }

  /**
   * Exports a window, unless the stage has it already, and imports it, unless the other half does.
   * @returns the window if it arrived whole
   */
  async #transfer(window: ComparedWindow): Promise<ComparedWindow | undefined> {
    const { context, table: { name } } = this;
    const { task, tally, stage } = context;
    return await context.schedule.staged(async (hold) => {
      // as many bytes a row as so far
      hold.bytes = tally.rowsCopied && Math.ceil(window.source.rows * tally.bytes / tally.rowsCopied);
      let { directory = "", source: { rows } } = window;
      if (task === "import") hold.bytes = await stage!.bytes(directory) ?? 0;
      else ({ directory, rows } = await exportWindow(context, name, window, hold));
      let arrived: ComparedWindow | undefined;
      try {
        arrived = task === "export"
          ? await this.#keep(window, directory, rows)
          : await this.#import(window, directory, rows);
      } finally {
        // What a half has exported stays until the other one has verified all of the table.
        const isNeeded = task === "import" || arrived?.directory === directory;
        if (!isNeeded) await stage!.remove(directory);
      }
      if (arrived) {
        this.#copied.windows++;
        this.#copied.rows += rows;
        this.#copied.bytes += hold.bytes;
        tally.rowsCopied += rows;
        tally.bytes += hold.bytes;
      }
      return arrived;
    });
  }

  /** Keeps an export if it has as many rows as the source, which may have changed since it was profiled. */
  async #keep(window: ComparedWindow, directory: string, rows: number): Promise<ComparedWindow | undefined> {
    const now = rows === window.source.rows ? window : await this.#withSourceNow(window);
    if (now.source.rows === rows) return rows > 0 ? { ...now, directory } : now;
    if (!this.#sourceChanges.length) {
      this.#failure = new Failure(`${rows} rows were exported of ${now.source.rows}`);
    }
    return undefined;
  }

  /** Imports what was exported. @returns the window if as many rows came in as went out */
  async #import(
    window: ComparedWindow,
    directory: string,
    rows: number,
  ): Promise<ComparedWindow | undefined> {
    const { context, table: { name } } = this;
    const { stage, tally } = context;
    const imported = rows && await importDirectory(context, name, directory);
    if (imported === rows) return window;
    const what = `${imported} rows were imported of ${rows} that had been exported`;
    this.#failure = imported > 0 || tally.rowsCopied > 0
      ? new Failure(what, stage!.problem())
      : new ClusterTrouble(
        `${what}: the target does not see what the source wrote to ${stage!.source.url(directory)}`,
        stage!.problem() ??
          "give --import-stage, the path at which the target's nodes see it; or leave --stage out: then the script is the stage.",
      );
    return undefined;
  }

  /** Profiles the target again, waiting for rows that show late, and the source too if they still differ. */
  async #verify(window: ComparedWindow): Promise<ComparedWindow> {
    const { source, lookAgainMs, signal } = this.context;
    for (let look = 0;; look++) {
      const [target = noRows] = await this.#profile("target", [window], "verify");
      const now = { ...window, target };
      if (target.rows >= window.source.rows || look === mostLooks) {
        return source && differs(now) ? await this.#withSourceNow(now) : now;
      }
      await pause(lookAgainMs * 2 ** look, signal);
    }
  }

  /** A window with what the source holds now. */
  async #withSourceNow(window: ComparedWindow): Promise<ComparedWindow> {
    const [source = noRows] = await this.#profile("source", [window]);
    if (!sameSummary(source, window.source)) {
      const before = describeSummary(window.source);
      this.#sourceChanges.push(`${describeWindow(window)}: ${before} before, ${describeSummary(source)} now`);
    }
    return { ...window, source };
  }

  async #profile(role: Role, windows: readonly ComparedWindow[], step?: Step): Promise<Summary[]> {
    const { context, table: { name, columns } } = this;
    const digested = context.verify === "full" ? columns : undefined;
    return await context[role]!.summaries(
      windows.map((window) => ({ name, window, columns: digested })),
      step,
    );
  }

  /** The windows of a table's line: the first that differ, of a plan all that do, of an export half all. */
  async #reportedWindows(status: Status): Promise<Partial<ComparedWindow>[]> {
    const { context, table } = this;
    if (status === "exported") return this.#windows.map(({ target: _, ...window }) => window);
    const windows = this.#windows.filter(differs);
    if (context.task === "plan") return windows;
    const first = windows.slice(0, windowsReported);
    if (context.verify !== "full" || status !== "differs") return first;
    return await Promise.all(first.map(async (window, i) => {
      if (i >= columnsReported) return window;
      const columns = await differingColumns(context, table, window).catch((error) => {
        if (!concernsTable(error)) throw error;
        return []; // that the window differs is known all the same
      });
      return columns.length ? { ...window, columns } : window;
    }));
  }

  /** What a table's line says of its status. */
  #explain(status: Status): Pick<TableResult, "status" | "error" | "hint"> {
    if (status === "source-changed") {
      const error = `the source changed meanwhile, ${this.#sourceChanges.slice(-3).join("; ")}`;
      return { status, error, hint: "stop the writers and run it again, or bound it by --until." };
    }
    if (status !== "differs" || this.context.task === "plan") return { status };
    const windows = this.#windows.filter(differs);
    const error = describeDifferences(windows);
    if (!this.#copied.rows || !hasOtherValues(windows[0]!)) return { status, error };
    const hint = "null does not overwrite a value: if the target has one where the source has none, " +
      "delete these rows there and run it again.";
    return { status, error, hint };
  }
}

const hasMoreOnTarget = ({ source, target }: ComparedWindow) => target.rows > source.rows;
