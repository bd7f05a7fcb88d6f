/**
 * One table: what differs between its two sides is copied until nothing does. Nothing is remembered of it: a run that was killed, rows
 * that came late, a target made anew are all the same case, windows that differ.
 */
import { Failure, messageOf } from "../cli/errors.ts";
import { atOnce } from "../cli/deps.ts";
import { pause } from "../cnosdb/http.ts";
import type { TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { freshDirectory, type Stage } from "../stage/stage.ts";
import { ClusterTrouble, concernsTable } from "./trouble.ts";
import { compareWindows, type Comparison, differingColumns, type Seen } from "./compare.ts";
import { type Profiler, Refused } from "./profile.ts";
import type { Status, TableResult } from "./result.ts";
import type { Hold, Schedule, Step } from "./schedule.ts";
import { exportSql, importSql, readCopied } from "./statements.ts";
import { addUp, differs, noRows, type Part, type Window } from "./windows.ts";
import { sameSummary, tellSummary, tellWindow, window } from "./windows.ts";

/** What is to be done with what differs; `plan`: say what would be copied. */
export type Task = "copy" | "compare" | "plan" | "export" | "import";

/** What all tables of a run share. */
export interface CopyContext extends Comparison {
  readonly task: Task;
  /** whether the target is profiled again after an import */
  readonly proves: boolean;
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
/** How often rows that do not show are looked for again (one new table in 50 on 2.4.0 and 2.4.1): half a second, doubled, 8 s in all. */
const looksAgain = 4;
/** How often an export is made anew where an import took another number of rows. */
const exportsMost = 3;
/** So many differing windows are told, and of so many the columns. */
const windowsTold = 100;
const columnsTold = 4;

/** The copying, or comparing, of one table. */
export class TableCopy {
  /** windows that need nothing more, and those that differ */
  #settled: Part[] = [];
  #left: Part[] = [];
  readonly #copied = { rows: 0, bytes: 0, windows: 0 };
  /** what changed on the source meanwhile */
  readonly #moved: string[] = [];

  /** @param given the windows that an export half told of the table: what they hold, and where they lie */
  constructor(
    private readonly context: CopyContext,
    private readonly seen: Seen,
    private readonly given?: readonly Partial<Part>[] | undefined,
  ) {}

  /**
   * Does all that is to be done with the table.
   * @returns what became of it @throws {Failure} what says nothing about the table, or that its rows have expired
   */
  async run(): Promise<TableResult> {
    const { context, seen: { name } } = this;
    const started = new Date();
    let status: Status;
    let told: Pick<TableResult, "error" | "hint"> = {};
    try {
      status = await this.#bring();
      told = this.#tell(status);
    } catch (error) {
      if (!concernsTable(error)) throw error;
      status = error instanceof Refused ? "refused" : "failed";
      told = { error: messageOf(error), ...(error.hint ? { hint: error.hint } : {}) };
    }
    const all = [...this.#settled, ...this.#left];
    const shown = status === "exported"
      ? all.map(({ target: _, ...part }) => part)
      : await this.#differing(status);
    return {
      ...name,
      status,
      ...(context.source || this.given ? { source: addUp(all.map(({ source }) => source)) } : {}),
      ...(context.target ? { target: addUp(all.map(({ target }) => target)) } : {}),
      verify: !context.proves ? "none" : context.full ? "full" : "count",
      copied: this.#copied,
      started: started.toISOString(),
      seconds: Math.round(Date.now() - started.getTime()) / 1000,
      ...(shown.length || status === "exported" ? { windows: shown } : {}),
      ...told,
    };
  }

  async #bring(): Promise<Status> {
    const { context, seen } = this;
    const { task } = context;
    const done = task === "export" ? "exported" : "equal";
    this.#sort(this.given ? await this.#partsOfExport(this.given) : await compareWindows(context, seen));
    const excess = this.#left.filter(hasMore);
    if (excess.length && task !== "compare" && !context.intoExisting) throw refusal(excess);
    for (let round = 1; this.#left.length; round++) {
      if (task === "compare") return "differs";
      const more = this.#left.filter(hasMore);
      const units = this.#left.filter((part) => !hasMore(part));
      if (task === "plan") return "differs";
      if (round === 1) { for (const { source } of units) context.tally.rowsPlanned += source.rows; }
      const brought: Part[] = [];
      await atOnce(2, units, async (unit) => void brought.push(await this.#copy(unit)));
      if (task === "export") {
        this.#sort(brought, (part) => part.source.rows > 0 && part.directory === undefined);
        return this.#left.length ? "source-changed" : done;
      }
      if (!context.proves) return "imported";
      this.#sort([...more, ...await this.#lookAgain(brought)]);
      if (this.#left.every(hasMore) || round === roundsMost) break;
    }
    if (this.#left.length) return this.#moved.length ? "source-changed" : "differs";
    if (task === "import") { for (const { directory } of this.#settled) await this.#remove(directory); }
    return done;
  }

  /** Parts that differ are left to be done, the others are settled. */
  #sort(parts: readonly Part[], isLeft: (part: Part) => boolean = differs): void {
    this.#left = parts.filter(isLeft);
    this.#settled.push(...parts.filter((part) => !isLeft(part)));
  }

  /** The windows of an export half's line, with what the target holds in them. */
  async #partsOfExport(given: readonly Partial<Part>[]): Promise<Part[]> {
    const told = given.map((part) => ({ ...part, source: part.source ?? noRows, target: noRows }));
    for (const { directory = "", source } of told) {
      // One path part, or anything could be read, and removed, outside of the stage.
      if (source.rows === 0 || /^[A-Za-z0-9_-]+$/.test(directory)) continue;
      throw new Refused(
        `${JSON.stringify(directory)} is no directory of a stage`,
        "expected what --only export prints.",
      );
    }
    if (this.context.full && told.some(({ source }) => source.rows > 0 && source.digest === undefined)) {
      throw new Refused("it was exported without --verify full, so there is no digest to compare with");
    }
    const held = await this.#ask(this.context.target, told);
    return told.map((part, i) => ({ ...part, target: held[i]! }));
  }

  /** Brings one window over, from a directory of its own each time. */
  async #copy(unit: Part): Promise<Part> {
    const { context } = this;
    const { tally } = context;
    for (let tries = 1; tries <= exportsMost && unit.source.rows > 0; tries++) {
      const done = await context.schedule.staged(async (hold) => {
        // as many bytes a row as so far
        hold.bytes = tally.rowsCopied && Math.ceil(unit.source.rows * tally.bytes / tally.rowsCopied);
        const { directory, source: { rows } } = unit;
        if (directory !== undefined) {
          return await this.#import(directory, rows, hold.bytes, true) ? unit : undefined;
        }
        const made = await exportWindow(context, this.seen.name, window(unit.from, unit.to), hold);
        if (context.task === "export") {
          return await this.#keepExport(unit, made.directory, made.rows, hold.bytes);
        }
        try {
          return await this.#import(made.directory, made.rows, hold.bytes, tries === exportsMost)
            ? unit
            : undefined;
        } finally {
          await this.#remove(made.directory);
        }
      });
      if (done) return done;
    }
    return unit;
  }

  /** @returns whether as many rows came in as went out @param last whether it is a failure where not */
  async #import(directory: string, rows: number, bytes: number, last: boolean): Promise<boolean> {
    const { context: { target, stage, raiseTtl }, seen: { name } } = this;
    if (rows === 0) return true;
    const sql = importSql(name, stage!.importUrl(directory), stage!.importConnection);
    const options = { tenant: name.tenant, database: name.database };
    const once = () => target!.inTurn(name, "import", async (send) => readCopied(await send(sql, options)));
    const imported = await once().catch(async (error) => {
      if (meaningOf(error) !== "expired") throw error;
      if (!raiseTtl) throw error;
      await raiseTtl(name);
      return await once();
    });
    if (imported === rows) this.#count(rows, bytes);
    else if (last) throw this.#misses(directory, rows, imported);
    return imported === rows;
  }

  #misses(directory: string, exported: number, imported: number): Failure {
    const { stage, tally } = this.context;
    const told = `${imported} rows were imported of ${exported} that had been exported`;
    if (imported > 0 || tally.rowsCopied > 0) return new Failure(told, stage?.problem());
    return new ClusterTrouble(
      `${told}: the target does not see what the source wrote to ${stage?.exportUrl(directory)}`,
      stage?.problem() ??
        "give --import-stage, the path at which the target's nodes see it; or leave --stage out: then the script is the stage.",
    );
  }

  /** Keeps what an export wrote, if it is what the profile says, or where writers go on, what it says now. */
  async #keepExport(unit: Part, directory: string, rows: number, bytes: number): Promise<Part | undefined> {
    const [source = noRows] = rows === unit.source.rows
      ? [unit.source]
      : await this.#ask(this.context.source, [unit]);
    this.#note(unit, source);
    if (source.rows !== rows) return void await this.#remove(directory);
    this.#count(rows, bytes);
    return rows > 0 ? { ...unit, source, directory } : { ...unit, source };
  }

  #count(rows: number, bytes: number): void {
    this.#copied.rows += rows;
    this.#copied.bytes += bytes;
    this.#copied.windows++;
    this.context.tally.rowsCopied += rows;
    this.context.tally.bytes += bytes;
  }

  async #remove(directory: string | undefined): Promise<void> {
    if (directory !== undefined) await this.context.stage?.remove(directory);
  }

  /** Profiles the target again, and the source too where they differ still. Rows that show late are looked for again. */
  async #lookAgain(units: readonly Part[]): Promise<Part[]> {
    const { source, target, lookAgainMs, signal } = this.context;
    const equal: Part[] = [];
    let left = units;
    for (let look = 0; left.length; look++) {
      const held = await this.#ask(target, left, "verify");
      const now = left.map((part, i): Part => ({ ...part, target: held[i]! }));
      equal.push(...now.filter((part) => !differs(part)));
      left = now.filter(differs);
      const late = left.some((part) => part.target.rows < part.source.rows);
      if (!late || look === looksAgain) break;
      await pause(lookAgainMs * 2 ** look, signal);
    }
    if (!source) return [...equal, ...left];
    const held = await this.#ask(source, left);
    return [
      ...equal,
      ...left.map((part, i): Part => {
        this.#note(part, held[i]!);
        return { ...part, source: held[i]! };
      }),
    ];
  }

  async #ask(side: Profiler | undefined, parts: readonly Part[], step: Step = "profile") {
    const { name, columns } = this.seen;
    const more = this.context.full ? { columns } : {};
    return await side?.summaries(
      parts.map(({ from, to }) => ({ name, window: window(from, to), ...more })),
      step,
    ) ?? [];
  }

  #note(part: Part, now: Part["source"]): void {
    if (sameSummary(now, part.source)) return;
    this.#moved.push(`${tellWindow(part)}: ${tellSummary(part.source)} before, ${tellSummary(now)} now`);
  }

  async #differing(status: Status): Promise<Part[]> {
    const { context, seen } = this;
    const parts = this.#left.filter(differs).slice(0, windowsTold);
    if (!context.full || status !== "differs" || context.task === "plan") return parts;
    return await Promise.all(parts.map(async (part, i) => {
      const columns = i < columnsTold ? await differingColumns(context, seen, part) : [];
      return columns.length ? { ...part, columns } : part;
    }));
  }

  #tell(status: Status): Pick<TableResult, "error" | "hint"> {
    const [part, ...more] = this.#left.filter(differs);
    if (status === "source-changed") {
      return {
        error: `the source changed meanwhile, ${this.#moved.slice(-3).join("; ")}`,
        hint: "stop the writers and run it again, or bound it by --until.",
      };
    }
    if (status !== "differs" || !part || this.context.task === "plan") return {};
    const [source, target] = [tellSummary(part.source), tellSummary(part.target)];
    const what = source === target
      ? `${source} on both sides, but with other values`
      : `${source} on the source, ${target} on the target`;
    const error = `${tellWindow(part)}: ${what}${more.length ? `; and in ${more.length} more windows` : ""}`;
    if (source !== target || !this.#copied.rows) return { error };
    const hint = "null does not overwrite a value: if the target has one where the source has none, " +
      "delete these rows there and run it again.";
    return { error, hint };
  }
}

const hasMore = ({ source, target }: Part) => target.rows > source.rows;

function refusal(excess: readonly Part[]): Refused {
  const [first, ...more] = excess;
  const { source, target } = first!;
  return new Refused(
    `the target has more rows than the source, ${tellWindow(first!)}: ${tellSummary(target)} against ${
      tellSummary(source)
    }` +
      (more.length ? `; and so in ${more.length} more windows` : ""),
    "empty it there, or give --into-existing: rows with the same time and tags are overwritten, others stay.",
  );
}

/** Exports a stretch of a table into a directory of its own. @param hold is told what it takes there */
export async function exportWindow(
  { source, stage }: Pick<CopyContext, "source" | "stage">,
  name: TableName,
  window: Window,
  hold: Hold,
): Promise<{ directory: string; rows: number }> {
  return await source!.inTurn(name, "export", async (send) => {
    const directory = freshDirectory(name);
    try {
      const sql = exportSql(name, window, stage!.exportUrl(directory), stage!.exportConnection);
      const rows = readCopied(await send(sql, { tenant: name.tenant, database: name.database }));
      hold.bytes = rows ? await stage!.bytes(directory) ?? hold.bytes : 0;
      return { directory, rows };
    } catch (error) {
      // What of it arrives later is refused, and not taken for a table's rows.
      await stage!.remove(directory);
      throw error;
    }
  }, hold);
}
