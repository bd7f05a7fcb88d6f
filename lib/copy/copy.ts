/** Works on all tables of a list, spread over databases, until none is left or it has to stop. */
import { atOnce } from "../cli/deps.ts";
import { Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { pause } from "../cnosdb/http.ts";
import { databaseKey, tableKey, type TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { profileTables, type TableProfile } from "./compare.ts";
import type { Ledger } from "./ledger.ts";
import { proven, type TableResult } from "./result.ts";
import { inStatements, unionMost } from "./statements.ts";
import { type CopyContext, TableCopy } from "./table.ts";
import type { Claim } from "./tables.ts";
import { concernsTable, eachAlone, resultOf } from "./trouble.ts";
import type { Ttls } from "./ttl.ts";

/** What a run over all tables needs. */
export interface RunOptions extends CopyContext {
  /** aborts the signal */
  readonly halt: AbortController;
  /** hands out what is to be done */
  readonly claim: Claim;
  /** missing: it works alone, and keeps nothing */
  readonly ledger?: Ledger | undefined;
  readonly ttls?: Ttls | undefined;
  readonly jobs: number;
  /** prints a table's line; if it throws the run ends */
  readonly onResult: (result: TableResult) => Promise<void>;
  readonly say: (text: string) => void;
  /** shows how far behind a run is that follows */
  readonly show: (text: string) => void;
}

/** How often to look for tables that other workers have released, and whether there is room for more. */
const lookAgainMs = 1_000;
/** Groups of tables at work for each job, if most of them wait to be retried. */
const groupsMost = 16;
/** How many times a table is compared if rows of it expire on their way. */
const comparisonsMost = 4;

/** Copies, or compares, all tables of a list. */
export class TableRun {
  /** why it has to stop before all is done; undefined if its signal was aborted by others */
  #cause: unknown;
  readonly #printed = new Set<string>();
  readonly #ended: TableResult[] = [];
  #written: Promise<void> = Promise.resolve();

  constructor(private readonly options: RunOptions) {}

  /**
   * Works until nothing is left, or its signal is aborted; a statement that runs then goes on to its end.
   * @throws why it ended before all was done
   */
  async run(): Promise<void> {
    const { signal } = this.options;
    try {
      signal.throwIfAborted();
      await this.#printEarlier();
      await this.#takeTables();
      await this.#printOthers();
    } catch (error) {
      this.#stop(error);
    }
    if (signal.aborted) throw this.#cause ?? signal.reason;
  }

  /** Prints the tables that an earlier run has proven, many at a time. */
  async #printEarlier(): Promise<void> {
    const { ledger, jobs } = this.options;
    const results: TableResult[] = [];
    const print = () =>
      atOnce(
        jobs,
        inStatements(results.splice(0), ({ tenant }) => tenant),
        (some) => this.#printProven(some),
      );
    for await (const { status, result } of ledger?.rows() ?? []) {
      if (proven.has(status) && result !== null) results.push(JSON.parse(result));
      if (results.length === jobs * unionMost) await print();
    }
    await print();
  }

  /** Opens tables again that had rows and are empty on the target now, or gone; the others are printed. */
  async #printProven(results: readonly TableResult[]): Promise<void> {
    const { ledger, target, task } = this.options;
    const filled = task === "export" ? [] : results.filter(({ source }) => source?.rows);
    const asks = filled.map((name) => ({ name, window: {}, any: true as const }));
    const held = await eachAlone(asks, async (some) => await target?.summaries(some) ?? []);
    const empty = new Set(filled.filter((_, i) => held[i] instanceof Failure || !held[i]?.rows));
    if (empty.size) await ledger?.reopen([...empty]);
    for (const result of results) if (!empty.has(result)) await this.#print({ ...result, earlier: true });
  }

  /**
   * Works on one database for each job, and leaves the others to other workers. While tables only wait to be
   * retried, it takes more.
   */
  async #takeTables(): Promise<void> {
    const { claim, jobs, ledger, schedule, signal } = this.options;
    const running = new Set<Promise<void>>();
    let isIdle = false;
    try {
      while (!signal.aborted) {
        // Of one database as many as keep all jobs busy: others could not import into it meanwhile anyway.
        const names = running.size < jobs || isIdle ? await claim(jobs * unionMost) : [];
        isIdle = false;
        if (names.length) {
          const work = this.#work(names).catch((error) => this.#stop(error));
          running.add(work);
          work.then(() => running.delete(work));
        } else if (running.size) {
          const look = new AbortController();
          await Promise.race([...running, pause(lookAgainMs, look.signal)]);
          look.abort();
          isIdle = schedule.isIdle && running.size < jobs * groupsMost;
        } else if (await ledger?.others()) await pause(lookAgainMs, signal);
        else break;
      }
    } finally {
      await Promise.all(running);
    }
  }

  /** Works on tables of one database. All are awaited, whatever becomes of one: no statement is cut. */
  async #work(names: readonly TableName[]): Promise<void> {
    await Promise.all(
      inStatements(names, databaseKey).map(async (some) => {
        try {
          const profiles = await profileTables(this.options, some);
          await Promise.all(
            some.map((name, i) => this.#one(name, profiles[i]!).catch((error) => this.#stop(error))),
          );
        } catch (error) {
          this.#stop(error);
        }
      }),
    );
    await restoreTtls(this.options);
  }

  /** Works on one table. If rows of it expire on their way it is compared again, without them. */
  async #one(name: TableName, first: TableProfile | Failure): Promise<void> {
    let profile = first;
    for (let comparisons = 1;; comparisons++) {
      const done = profile instanceof Failure
        ? Promise.reject(profile)
        : new TableCopy(this.options, profile).run();
      const result = await done.catch((error) => {
        const isExpired = meaningOf(error) === "expired";
        if (isExpired && comparisons < comparisonsMost) return undefined;
        if (isExpired || concernsTable(error)) return { ...name, ...resultOf(error) };
        throw error;
      });
      if (result) return await this.#end(result);
      profile = (await profileTables(this.options, [name]))[0]!;
    }
  }

  /** Writes what became of a table into the ledger, with others that end meanwhile, and prints it. */
  #end(result: TableResult): Promise<void> {
    this.#ended.push(result);
    return this.#written = this.#written.then(async () => {
      const results = this.#ended.splice(0);
      if (results.length) await this.options.ledger?.finish(results);
      for (const one of results) await this.#print(one);
    });
  }

  async #print(result: TableResult): Promise<void> {
    this.#printed.add(tableKey(result));
    await this.options.onResult(result);
  }

  /** Prints the tables that other workers finished meanwhile. */
  async #printOthers(): Promise<void> {
    if (this.options.signal.aborted) return;
    for await (const row of this.options.ledger?.rows() ?? []) {
      if (row.status === "" || row.result === null || this.#printed.has(tableKey(row))) continue;
      await this.#print({ ...JSON.parse(row.result), earlier: true });
    }
  }

  /** Stops the run. Other tables end by an Interrupted, whatever the cause: they are not done, not failed. */
  #stop(cause: unknown): void {
    const { halt, signal } = this.options;
    if (signal.aborted) return;
    this.#cause = cause;
    halt.abort(new Interrupted(messageOf(cause)));
  }
}

/** Restores the TTLs of databases that are done. @returns how many could not be */
export async function restoreTtls({ ttls, say }: Pick<RunOptions, "ttls" | "say">): Promise<number> {
  const failures = await ttls?.restore() ?? [];
  for (const { message, hint } of failures) say(`error: ${message}; ${hint}`);
  return failures.length;
}
