/** The copying of all tables of a ledger: takes them, several at once, until none is left or it has to stop. */
import { type CopyRun, databaseKey, SourceChanged, TableCopy, type TableResult } from "./copy_table.ts";
import { Difference, Failure } from "../cli/errors.ts";
import { Gate } from "./gate.ts";
import { pause } from "../cnosdb/http.ts";
import type { LedgerTable } from "./ledger.ts";
import { troubleOf } from "./side.ts";

/** What a run came to, by its tables. */
export interface CopyTotals {
  done: number;
  /** rows imported, or exported with `--only export` */
  rows: number;
  failed: number;
  /** of the failed, those whose reading back found a difference */
  different: number;
  changed: number;
  /** by how much the targets grew that were copied to */
  grown: number;
  /** TTLs that could not be set back */
  ttlFailures: Failure[];
  /** why it ended before all was done */
  stopped?: Failure;
}

export type CopyOptions =
  & Pick<CopyRun, "stage" | "ledger" | "settings" | "onEvent">
  & Partial<Pick<CopyRun, "from" | "to" | "ttls" | "exported" | "pauseMs">>
  & {
    /** takes the line of each table as it ends */
    onResult: (result: TableResult) => Promise<void>;
  };

/** Where others hold what is left, it is looked again so often whether it became free. */
const lookAgainMs = 1_000;

/** A worker. */
export class Copy {
  readonly totals: CopyTotals = {
    done: 0,
    rows: 0,
    failed: 0,
    different: 0,
    changed: 0,
    grown: 0,
    ttlFailures: [],
  };
  /** tables left by database; what other workers take is not known here */
  readonly #left = new Map<string, number>();
  readonly #held = new Map<string, number>();
  readonly #halt = new AbortController();
  readonly #run: CopyRun;
  #staged = { rows: 0, bytes: 0 };

  constructor(private readonly options: CopyOptions) {
    const { jobs, exportJobs, importJobs, aheadBytes } = options.settings;
    const gate = new Gate({
      jobs,
      exportJobs,
      importJobs,
      aheadBytes,
      left: (database) => this.#left.get(database) ?? 0,
      overloaded: (error) => troubleOf(error) === "wait",
    });
    this.#run = {
      pauseMs: 500,
      ...options,
      gate,
      stopped: this.#halt.signal,
      imported: false,
      stop: (reason) => this.#stop(reason),
      estimateBytes: (rows) => this.#staged.rows && Math.ceil(rows * this.#staged.bytes / this.#staged.rows),
      onStaged: (rows, bytes) => {
        this.#staged.rows += rows;
        this.#staged.bytes += bytes;
      },
    };
    this.#halt.signal.addEventListener("abort", () => gate.stop(this.#halt.signal.reason));
  }

  /**
   * Copies until nothing is left. What runs when it has to stop goes on to the end of its statement.
   * @param stop no further statement is begun when it is aborted
   */
  async run(stop: AbortSignal): Promise<CopyTotals> {
    const { ledger } = this.options;
    for (const signal of [stop, ledger.lost]) {
      const halt = () => this.#stop(signal.reason);
      if (signal.aborted) halt();
      signal.addEventListener("abort", halt);
    }
    for (const { tenant, database, step, tables } of await ledger.counts()) {
      if (/^(verified|failed|source-changed)$/.test(step)) continue;
      const key = databaseKey({ tenant, database });
      this.#left.set(key, (this.#left.get(key) ?? 0) + tables);
    }
    await this.#settle((key) => !this.#left.get(key));
    try {
      await this.#takeTables();
    } catch (error) {
      this.#stop(error);
    }
    while (!ledger.lost.aborted) {
      await this.#settle(() => true);
      const over = this.#halt.signal.aborted || this.totals.ttlFailures.length > 0;
      if (over || (await ledger.ttlsRaised()).length === 0) break;
      // Another worker is at it, or died at it and is not known to be dead yet.
      await pause(lookAgainMs, this.#halt.signal).catch(() => {});
    }
    return this.totals;
  }

  async #takeTables(): Promise<void> {
    const { ledger, settings } = this.options;
    // Enough that imports of several databases are ready while others run, few enough to be left to other workers.
    const heldMost = Math.max(8, 4 * settings.jobs);
    const running = new Set<Promise<void>>();
    let ended = Promise.withResolvers<void>();
    const halted = new Promise<void>((resolve) =>
      this.#halt.signal.addEventListener("abort", () => resolve())
    );
    try {
      while (!this.#halt.signal.aborted) {
        const table = running.size < heldMost ? await ledger.claim() : undefined;
        if (table) {
          const work = this.#copy(table).finally(() => {
            running.delete(work);
            ended.resolve();
          });
          running.add(work);
        } else if (running.size) {
          await Promise.race([ended.promise, halted]);
          ended = Promise.withResolvers();
        } else {
          const { waiting, working } = await ledger.pending();
          if (waiting + working === 0) break;
          await pause(lookAgainMs, this.#halt.signal);
        }
      }
    } finally {
      await Promise.all(running);
    }
  }

  /** One table, from its claim to its line. Never throws: what ends the run is remembered. */
  async #copy(table: LedgerTable): Promise<void> {
    const { ledger, settings, onResult } = this.options;
    const key = databaseKey(table);
    this.#held.set(key, (this.#held.get(key) ?? 0) + 1);
    try {
      const copy = new TableCopy(this.#run, table);
      const { result, failure } = await copy.copy();
      const { totals } = this;
      if (failure === undefined) {
        totals.done++;
        totals.rows += result.rows_imported ?? result.rows_exported ?? 0;
        totals.grown += copy.grown;
      } else if (failure instanceof SourceChanged) totals.changed++;
      else totals.failed++;
      if (failure instanceof Difference) totals.different++;
      if (failure !== undefined && settings.failFast) {
        this.#stop(new Failure("stopped at the first failure, as --fail-fast says"));
      }
      await onResult(result);
    } catch (error) {
      this.#stop(error);
      if (!ledger.lost.aborted) await ledger.release(table.id).catch(() => {});
    } finally {
      this.#held.set(key, (this.#held.get(key) ?? 1) - 1);
      this.#left.set(key, (this.#left.get(key) ?? 1) - 1);
      // Other tables of the database may need the TTL still.
      if (!this.#held.get(key)) {
        await this.#settle((other) => other === key && !this.#left.get(key)).catch((e) => this.#stop(e));
      }
    }
  }

  #stop(reason: unknown): void {
    if (this.#halt.signal.aborted) return;
    this.totals.stopped = reason instanceof Failure
      ? reason
      : new Failure(String(reason), undefined, { cause: reason });
    this.#halt.abort(this.totals.stopped);
  }

  /** Sets back the TTLs of databases in which nothing is left to be imported. */
  async #settle(free: (key: string) => boolean): Promise<void> {
    const failures = await this.options.ttls?.settle((ttl) => free(databaseKey(ttl))) ?? [];
    // What fails now is tried once more at the end, and told then.
    this.totals.ttlFailures = failures;
  }
}
