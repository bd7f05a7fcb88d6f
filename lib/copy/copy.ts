/** All tables of a list: some at a time, spread over databases, until none is left or it has to stop. */
import { atOnce } from "../cli/deps.ts";
import { Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { pause } from "../cnosdb/http.ts";
import { tableKey, type TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { lookAtTables, type Seen } from "./compare.ts";
import type { Ledger } from "./ledger.ts";
import { proven, type TableResult } from "./result.ts";
import { inStatements, unionMost } from "./statements.ts";
import { type CopyContext, TableCopy } from "./table.ts";
import type { Claim } from "./tables.ts";
import { concernsTable, eachAlone, Refused, tellFailure } from "./trouble.ts";
import type { Ttls } from "./ttl.ts";
import type { Window } from "./windows.ts";

/** A run over all tables. */
export interface RunOptions extends CopyContext {
  /** aborts the signal */
  readonly halt: AbortController;
  /** hands out what is to be done */
  readonly claim: Claim;
  /** what others did, and where this run writes what it did; missing: it works alone, and keeps nothing */
  readonly ledger?: Ledger | undefined;
  /** what of a table is compared */
  readonly bounds: (name: TableName) => Promise<Window>;
  /** what an export half told, by `tableKey` */
  readonly told: ReadonlyMap<string, TableResult>;
  readonly ttls?: Ttls | undefined;
  readonly jobs: number;
  /** takes a table's line; the run ends where it throws */
  readonly onResult: (result: TableResult) => Promise<void>;
  readonly say: (text: string) => void;
}

/** How often to look for tables that other workers have released. */
const lookAgainMs = 1_000;
/** How often a table is looked at where rows expire on their way. */
const looksMost = 4;

/** Copies, or compares, all tables of a list. */
export class TableRun {
  /** why it has to end before all is done */
  #stopped: { reason: unknown } | undefined;
  readonly #printed = new Set<string>();
  readonly #ended: TableResult[] = [];
  #written: Promise<void> = Promise.resolve();

  constructor(private readonly options: RunOptions) {}

  /**
   * Works until nothing is left. What runs when it has to stop goes on to the end of its statement.
   * @param stop no further statement is begun when it is aborted
   * @throws why it ended before all was done
   */
  async run(stop = new AbortController().signal): Promise<void> {
    const halt = () => this.#stop(stop.reason);
    stop.addEventListener("abort", halt);
    try {
      stop.throwIfAborted();
      await this.#tellEarlier();
      await this.#takeTables();
      await this.#tellOthers();
    } catch (error) {
      this.#stop(error);
    }
    stop.removeEventListener("abort", halt);
    if (this.#stopped) throw this.#stopped.reason;
  }

  /** Lines of tables that are proven already, unless the target has no row now where there were rows. */
  async #tellEarlier(): Promise<void> {
    const { ledger, jobs } = this.options;
    const results: TableResult[] = [];
    const tell = () =>
      atOnce(jobs, inStatements(results.splice(0), ({ tenant }) => tenant), (some) => this.#tellGroup(some));
    for await (const { status, result } of ledger?.rows() ?? []) {
      if (proven.has(status) && result !== null) results.push(JSON.parse(result));
      if (results.length === jobs * unionMost) await tell();
    }
    await tell();
  }

  async #tellGroup(results: readonly TableResult[]): Promise<void> {
    const { ledger, target, task } = this.options;
    const filled = task === "export" ? [] : results.filter(({ source }) => source?.rows);
    const asks = filled.map((name) => ({ name, window: {}, any: true as const }));
    const there = await eachAlone(asks, async (some) => await target?.summaries(some) ?? []);
    const gone = new Set(filled.filter((_, i) => there[i] instanceof Failure || !there[i]?.rows));
    if (gone.size) await ledger?.reopen([...gone]);
    for (const result of results) if (!gone.has(result)) await this.#print({ ...result, earlier: true });
  }

  /**
   * Works on tables of one database for each job, and leaves the rest to other workers: more of one database
   * would gain nothing, as the target takes one import into it after another.
   */
  async #takeTables(): Promise<void> {
    const { claim, jobs, ledger, signal } = this.options;
    const running = new Set<Promise<void>>();
    try {
      while (!signal.aborted) {
        const names = running.size < jobs ? await claim(unionMost) : [];
        if (names.length) {
          const work = this.#work(names).catch((error) => this.#stop(error)).finally(() =>
            running.delete(work)
          );
          running.add(work);
        } else if (running.size) await Promise.race(running);
        else if (await ledger?.others()) await pause(lookAgainMs, signal);
        else break;
      }
    } finally {
      await Promise.all(running);
    }
  }

  /** Tables of one database. Each is awaited, whatever becomes of the others, so that its statement ends. */
  async #work(names: readonly TableName[]): Promise<void> {
    const seen = await this.#lookAt(names);
    await Promise.all(
      names.map((name, i) => this.#one(name, seen[i]!).catch((error) => this.#stop(error))),
    );
    await restoreTtls(this.options);
  }

  #lookAt(names: readonly TableName[]): Promise<(Seen | Failure)[]> {
    const { bounds } = this.options;
    return eachAlone(names, async (some) => {
      const asks = await Promise.all(some.map(async (name) => ({ name, window: await bounds(name) })));
      return await lookAtTables(this.options, asks);
    });
  }

  /** One table; where rows expired on their way it is looked at once more, with a later beginning. */
  async #one(name: TableName, first: Seen | Failure): Promise<void> {
    let seen = first;
    for (let look = 1;; look++) {
      const result = await this.#bring(name, seen).catch((error) => {
        const isExpired = meaningOf(error) === "expired";
        if (isExpired && look < looksMost) return undefined;
        if (isExpired || concernsTable(error)) return { ...name, ...tellFailure(error) };
        throw error;
      });
      if (result) return await this.#end(result);
      seen = (await this.#lookAt([name]))[0]!;
    }
  }

  async #bring(name: TableName, seen: Seen | Failure): Promise<TableResult> {
    const { task, told } = this.options;
    if (seen instanceof Failure) throw seen;
    if (task !== "import") return await new TableCopy(this.options, seen).run();
    const given = told.get(tableKey(name))?.windows;
    if (!given) throw new Refused("it was not exported: its line has no windows");
    return await new TableCopy(this.options, seen, given).run();
  }

  /** Writes down what became of a table, together with those that end while others are written. */
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

  /** Lines of tables that other workers ended meanwhile. */
  async #tellOthers(): Promise<void> {
    if (this.options.signal.aborted) return;
    for await (const row of this.options.ledger?.rows() ?? []) {
      if (row.status === "" || row.result === null || this.#printed.has(tableKey(row))) continue;
      await this.#print({ ...JSON.parse(row.result), earlier: true });
    }
  }

  #stop(reason: unknown): void {
    if (this.options.halt.signal.aborted) return;
    this.#stopped = { reason };
    this.options.halt.abort(reason instanceof Failure ? reason : new Interrupted(messageOf(reason)));
  }
}

/** Sets back the TTLs of databases that are done. @returns how many could not be */
export async function restoreTtls({ ttls, say }: Pick<RunOptions, "ttls" | "say">): Promise<number> {
  const failures = await ttls?.restore() ?? [];
  for (const { message, hint } of failures) say(`error: ${message}; ${hint}`);
  return failures.length;
}
