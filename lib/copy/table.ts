/**
 * One table: what differs between its two sides is copied until nothing does. Nothing is remembered: a run
 * that was killed, rows that came late and a target made anew are all the same case, windows that differ.
 */
import { Failure } from "../cli/errors.ts";
import { atOnce } from "../cli/deps.ts";
import { pause } from "../cnosdb/http.ts";
import type { TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { assertDirectory, freshDirectory, type Stage } from "../stage/stage.ts";
import { ClusterTrouble, concernsTable, Refused, tellFailure } from "./trouble.ts";
import { compareWindows, type Comparison, differingColumns, type Seen } from "./compare.ts";
import type { Status, TableResult } from "./result.ts";
import type { Hold, Role, Schedule, Step } from "./schedule.ts";
import { exportSql, importSql, readCopied } from "./statements.ts";
import { addUp, differs, hasOtherValues, noRows, type Part, sameSummary, type Summary } from "./windows.ts";
import { tellDifferences, tellSummary, tellWindow, type Window } from "./windows.ts";

/** What is to be done with what differs; `plan`: say what would be copied. */
export type Task = "copy" | "compare" | "plan" | "export" | "import";

/** What all tables of a run share. */
export interface CopyContext extends Comparison {
  readonly task: Task;
  readonly stage?: Stage | undefined;
  readonly schedule: Schedule;
  /** no further statement is begun when it is aborted */
  readonly signal: AbortSignal;
  /** the first pause before rows that do not show are looked for again; doubled each time */
  readonly lookAgainMs: number;
  /** lets rows in that are older than the database's TTL; missing where they are to be skipped */
  readonly raiseTtl?: ((name: TableName) => Promise<void>) | undefined;
  readonly tally: Tally;
}

/** What a run has done so far, counted up by its tables. */
export interface Tally {
  /** rows that are to be copied, of the tables that were looked at so far */
  rowsPlanned: number;
  /** what has arrived; of an export half, what was written */
  rowsCopied: number;
  bytes: number;
}

/** How often what differs is copied before it is said that it differs. */
const roundsMost = 4;
/** How often rows that show late are looked for again (one new table in 50 on 2.4.0 and 2.4.1), 8 s in all. */
const looksAgain = 4;
/** So many windows of a table are on their way at once: one is exported while another is imported. */
const windowsAtOnce = 2;
/** So many differing windows are told, and of so many the columns. */
const windowsTold = 100;
const columnsTold = 4;

/** The copying, or comparing, of one table. */
export class TableCopy {
  #parts: Part[] = [];
  readonly #copied = { rows: 0, bytes: 0, windows: 0 };
  /** what changed on the source meanwhile */
  readonly #moved: string[] = [];
  /** why a window did not arrive whole in this round */
  #missed: Failure | undefined;

  /** @param given the windows that an export half told of the table: what they hold, and where they lie */
  constructor(
    private readonly context: CopyContext,
    private readonly seen: Seen,
    private readonly given?: readonly Partial<Part>[] | undefined,
  ) {}

  /**
   * Does all that is to be done with the table.
   * @returns what became of it @throws {Failure} if it says nothing about the table, or its rows have expired
   */
  async run(): Promise<TableResult> {
    const { context, seen: { name } } = this;
    const started = new Date();
    const { status, ...told } = await this.#bring().then((status) => this.#tell(status), (error) => {
      if (!concernsTable(error)) throw error;
      return tellFailure(error);
    });
    const windows = await this.#windows(status);
    // What was imported and not compared says nothing of the target.
    const isKnown = context.target && status !== "imported";
    return {
      ...name,
      status,
      ...(context.source || this.given ? { source: addUp(this.#parts.map(({ source }) => source)) } : {}),
      ...(isKnown ? { target: addUp(this.#parts.map(({ target }) => target)) } : {}),
      verify: context.verify,
      copied: this.#copied,
      started: started.toISOString(),
      seconds: Math.round(Date.now() - started.getTime()) / 1000,
      ...(windows.length ? { windows } : {}),
      ...told,
    };
  }

  async #bring(): Promise<Status> {
    const { context: { task, intoExisting, verify, tally }, given, seen } = this;
    this.#parts = given ? await this.#windowsOfExport(given) : await compareWindows(this.context, seen);
    const excess = this.#parts.filter(hasMore);
    if (excess.length && task !== "compare" && !intoExisting) {
      throw new Refused(
        `the target has more rows than the source, ${tellDifferences(excess)}`,
        "empty it there, or give --into-existing: rows with the same time and tags are overwritten, others stay.",
      );
    }
    const copies = task !== "compare" && task !== "plan";
    let round = 0;
    for (; copies && round < roundsMost; round++) {
      // Among more rows of others what the source holds is copied once, and cannot be proven.
      const units = this.#parts.filter((part) =>
        differs(part) && part.source.rows > 0 && (round === 0 || !hasMore(part))
      );
      if (!units.length) break;
      if (round === 0) { for (const { source } of units) tally.rowsPlanned += source.rows; }
      this.#missed = undefined;
      const arrived = new Map<Part, Part>();
      await atOnce(windowsAtOnce, units, async (unit) => {
        const part = await this.#carry(unit);
        if (part) arrived.set(unit, { ...part, target: part.source });
      });
      if (task !== "export" && verify !== "none") {
        const look = async ([unit, part]: [Part, Part]) =>
          void arrived.set(unit, await this.#lookAgain(part));
        await atOnce(units.length, [...arrived], look);
      }
      this.#parts = this.#parts.map((part) => arrived.get(part) ?? part);
    }
    if (this.#missed) throw this.#missed;
    if (this.#parts.some(differs)) return this.#moved.length ? "source-changed" : "differs";
    if (task === "export") return "exported";
    if (task === "import") { for (const { directory } of this.#parts) await this.#remove(directory); }
    return round > 0 && verify === "none" ? "imported" : "equal";
  }

  /** The windows of an export half's line, with what the target holds in them. */
  async #windowsOfExport(given: readonly Partial<Part>[]): Promise<Part[]> {
    const parts = given.map((part) => ({ ...part, source: part.source ?? noRows, target: noRows }));
    for (const { directory = "", source } of parts.filter(({ source }) => source.rows > 0)) {
      assertDirectory(directory, Refused);
      if (this.context.verify === "full" && source.digest === undefined) {
        throw new Refused("it was exported without --verify full, so there is no digest to compare with");
      }
    }
    const held = await this.#ask("target", parts);
    return parts.map((part, i) => ({ ...part, target: held[i]! }));
  }

  /**
   * Exports a window, unless the stage has it already, and imports it, unless that is the other half's work.
   * @returns the window where it arrived whole, else undefined
   */
  async #carry(unit: Part): Promise<Part | undefined> {
    const { context, seen: { name } } = this;
    const { task, tally } = context;
    return await context.schedule.staged(async (hold) => {
      // as many bytes a row as so far
      hold.bytes = tally.rowsCopied && Math.ceil(unit.source.rows * tally.bytes / tally.rowsCopied);
      const { directory, rows } = unit.directory === undefined
        ? await exportWindow(context, name, unit, hold)
        : { directory: unit.directory, rows: unit.source.rows };
      let part: Part | undefined;
      try {
        part =
          await (task === "export" ? this.#keep(unit, directory, rows) : this.#import(unit, directory, rows));
      } finally {
        if ((part ?? unit).directory !== directory) await this.#remove(directory);
      }
      if (part) {
        this.#copied.windows++;
        this.#copied.rows += rows;
        this.#copied.bytes += hold.bytes;
        tally.rowsCopied += rows;
        tally.bytes += hold.bytes;
      }
      return part;
    });
  }

  /** Keeps what an export wrote, if it is what the profile says, or where writers go on, what it says now. */
  async #keep(unit: Part, directory: string, rows: number): Promise<Part | undefined> {
    const part = rows === unit.source.rows ? unit : await this.#sourceNow(unit);
    if (part.source.rows === rows) return rows > 0 ? { ...part, directory } : part;
    if (!this.#moved.length) this.#missed = new Failure(`${rows} rows were exported of ${part.source.rows}`);
    return undefined;
  }

  /** Imports what was exported. @returns the window where as many rows came in as went out */
  async #import(unit: Part, directory: string, rows: number): Promise<Part | undefined> {
    const { context: { target, stage, raiseTtl, tally }, seen: { name } } = this;
    if (rows === 0) return unit;
    const sql = importSql(name, stage!.target.url(directory), stage!.target.connection);
    const once = () =>
      target!.inTurn(name, "import", async (query) => {
        const begunMs = performance.now();
        const usedMs = () => Math.max(begunMs, stage!.usedMs?.(directory) ?? Infinity);
        return readCopied(await query(sql, () => performance.now() - usedMs()));
      });
    const imported = await once().catch(async (error) => {
      if (meaningOf(error) !== "expired" || !raiseTtl) throw error;
      await raiseTtl(name);
      return await once();
    });
    if (imported === rows) return unit;
    const told = `${imported} rows were imported of ${rows} that had been exported`;
    this.#missed = imported > 0 || tally.rowsCopied > 0
      ? new Failure(told, stage!.problem())
      : new ClusterTrouble(
        `${told}: the target does not see what the source wrote to ${stage!.source.url(directory)}`,
        stage!.problem() ??
          "give --import-stage, the path at which the target's nodes see it; or leave --stage out: then the script is the stage.",
      );
    return undefined;
  }

  async #remove(directory: string | undefined): Promise<void> {
    if (directory !== undefined) await this.context.stage?.remove(directory);
  }

  /** Profiles the target again, waiting for rows that show late, and the source if they still differ. */
  async #lookAgain(unit: Part): Promise<Part> {
    const { source, lookAgainMs, signal } = this.context;
    for (let look = 0;; look++) {
      const [target = noRows] = await this.#ask("target", [unit], "verify");
      const part = { ...unit, target };
      const isLate = target.rows < unit.source.rows && look < looksAgain;
      if (!isLate) return source && differs(part) ? await this.#sourceNow(part) : part;
      await pause(lookAgainMs * 2 ** look, signal);
    }
  }

  /** A window with what the source holds now. */
  async #sourceNow(part: Part): Promise<Part> {
    const [source = noRows] = await this.#ask("source", [part]);
    if (!sameSummary(source, part.source)) {
      this.#moved.push(`${tellWindow(part)}: ${tellSummary(part.source)} before, ${tellSummary(source)} now`);
    }
    return { ...part, source };
  }

  async #ask(role: Role, parts: readonly Part[], step?: Step): Promise<Summary[]> {
    const { context, seen: { name, columns } } = this;
    const digested = context.verify === "full" ? columns : undefined;
    const asks = parts.map((window) => ({ name, window, columns: digested }));
    return await context[role]!.summaries(asks, step);
  }

  /** The windows that a table's line tells: those that differ, or of an export half all. */
  async #windows(status: Status): Promise<Partial<Part>[]> {
    const { context, seen } = this;
    if (status === "exported") return this.#parts.map(({ target: _, ...part }) => part);
    const parts = this.#parts.filter(differs).slice(0, windowsTold);
    if (context.verify !== "full" || status !== "differs" || context.task === "plan") return parts;
    return await Promise.all(parts.map(async (part, i) => {
      const columns = i < columnsTold ? await differingColumns(context, seen, part) : [];
      return columns.length ? { ...part, columns } : part;
    }));
  }

  #tell(status: Status): Pick<TableResult, "status" | "error" | "hint"> {
    if (status === "source-changed") {
      const error = `the source changed meanwhile, ${this.#moved.slice(-3).join("; ")}`;
      return { status, error, hint: "stop the writers and run it again, or bound it by --until." };
    }
    if (status !== "differs" || this.context.task === "plan") return { status };
    const parts = this.#parts.filter(differs);
    const error = tellDifferences(parts);
    if (!this.#copied.rows || !hasOtherValues(parts[0]!)) return { status, error };
    const hint = "null does not overwrite a value: if the target has one where the source has none, " +
      "delete these rows there and run it again.";
    return { status, error, hint };
  }
}

const hasMore = ({ source, target }: Part) => target.rows > source.rows;

/** Exports a stretch of a table into a directory of its own. @param hold is told what it takes there */
export async function exportWindow(
  { source, stage }: Pick<CopyContext, "source" | "stage">,
  name: TableName,
  window: Window,
  hold: Hold,
): Promise<{ directory: string; rows: number }> {
  return await source!.inTurn(name, "export", async (query) => {
    const directory = freshDirectory(name);
    try {
      const sql = exportSql(name, window, stage!.source.url(directory), stage!.source.connection);
      const rows = readCopied(await query(sql));
      hold.bytes = rows ? await stage!.bytes(directory) ?? hold.bytes : 0;
      return { directory, rows };
    } catch (error) {
      // What of it arrives later is refused, and not taken for a table's rows.
      await stage!.remove(directory);
      throw error;
    }
  }, hold);
}
