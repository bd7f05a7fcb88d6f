/** All tables of a list: takes them a few at a time, spread over databases, until none is left or the run has to stop. */
import { Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { atOnce } from "../cli/deps.ts";
import { counted } from "../cli/text.ts";
import { pause } from "../cnosdb/http.ts";
import { databaseKey, displayTable, tableKey, type TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { concernsTable, gistOf } from "./trouble.ts";
import { lookAtTables, type Seen } from "./compare.ts";
import { Refused } from "./profile.ts";
import type { Ledger } from "./ledger.ts";
import { proven, type TableResult } from "./result.ts";
import { unionMost } from "./statements.ts";
import { type CopyContext, TableCopy } from "./table.ts";
import type { Claim } from "./tables.ts";
import type { Ttls } from "./ttl.ts";
import { overlap, type Window } from "./windows.ts";

/** A run over all tables. */
export interface RunOptions {
  readonly context: CopyContext;
  /** aborts the context's signal */
  readonly halt: AbortController;
  /** hands out what is to be done */
  readonly claim: Claim;
  /** what others have done of it, and where this run writes what it did; missing: nothing is kept, and nobody else works on it */
  readonly ledger?: Ledger | undefined;
  /** what of each table is compared */
  readonly outer: Window;
  /** what the target still lets in, where rows that expired are to be skipped */
  readonly notExpired?: ((name: TableName) => Promise<Window>) | undefined;
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
/** How often a table is looked at again because rows expired on their way. */
const expiriesMost = 3;

/** Copies, or compares, all tables of a list. */
export class TableRun {
  /** why it has to end before all is done */
  #stopped: { reason: unknown } | undefined;
  /** tables at work by database */
  readonly #held = new Map<string, number>();
  /** resolved when a table, or all that were taken with it, has ended */
  #tableEnded = Promise.withResolvers<void>();
  readonly #printed = new Set<string>();
  readonly #complaints = new Map<string, number>();
  #ended: TableResult[] = [];
  #writing: Promise<void> | undefined;

  constructor(private readonly options: RunOptions) {}

  /**
   * Works until nothing is left. What runs when it has to stop goes on to the end of its statement.
   * @param stop no further statement is begun when it is aborted
   * @throws why it ended before all was done
   */
  async run(stop: AbortSignal): Promise<void> {
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
    for (const [text, tables] of this.#complaints) {
      if (tables > 1) this.options.say(`${counted(tables, "table")} in all: ${text}`);
    }
    if (this.#stopped) throw this.#stopped.reason;
  }

  /** Lines of tables that are proven already, unless the target has no row now where there were rows. */
  async #tellEarlier(): Promise<void> {
    const { ledger, jobs } = this.options;
    const groups: TableResult[][] = [];
    const tell = () => atOnce(jobs, groups.splice(0), (results) => this.#tellGroup(results));
    for await (const { status, result } of ledger?.rows() ?? []) {
      if (!proven.has(status) || result === undefined) continue;
      const one = JSON.parse(result) as TableResult;
      const group = groups.at(-1);
      if (group && group.length < unionMost && group[0]!.tenant === one.tenant) group.push(one);
      else groups.push([one]);
      if (groups.length > jobs) await tell();
    }
    await tell();
  }

  async #tellGroup(results: readonly TableResult[]): Promise<void> {
    const { ledger, context: { target, task } } = this.options;
    const filled = task === "export" ? [] : results.filter(({ source }) => source?.rows);
    // Where one of them is gone, the statement is refused, and none is believed.
    const asks = filled.map((name) => ({ name, window: {}, any: true as const }));
    const there = await target?.summaries(asks).catch((error) => {
      if (!concernsTable(error)) throw error;
      return [];
    }) ?? [];
    const gone = new Set(filled.filter((_, i) => !there[i]?.rows));
    if (gone.size) await ledger?.reopen([...gone]);
    for (const result of results) if (!gone.has(result)) await this.#print({ ...result, earlier: true });
  }

  async #takeTables(): Promise<void> {
    const { claim, ledger, context: { signal } } = this.options;
    const running = new Set<Promise<void>>();
    try {
      while (!signal.aborted) {
        const names = this.#mayTakeMore() ? await claim(unionMost) : [];
        if (names.length) {
          const work = this.#work(names).finally(() => {
            running.delete(work);
            this.#tableEnded.resolve();
          });
          running.add(work);
        } else if (running.size) await this.#anyEnded();
        else if (await ledger?.others()) await pause(lookAgainMs, signal);
        else break;
      }
    } finally {
      await Promise.all(running);
    }
  }

  /** Enough that imports of several databases are ready while others run, few enough to be left to other workers. */
  #mayTakeMore(): boolean {
    const { jobs } = this.options;
    const tables = [...this.#held.values()].reduce((sum, n) => sum + n, 0);
    return tables < Math.max(2 * unionMost, 6 * jobs) || this.#held.size < jobs && tables < jobs * unionMost;
  }

  /** Tables of one database, from their claim to their lines. Never throws: what ends the run is remembered. */
  async #work(names: readonly TableName[]): Promise<void> {
    this.#hold(names[0]!, names.length);
    let left = names.length;
    try {
      const seen = await this.#lookAt(names);
      // Each is awaited, whatever becomes of the others: its statement runs to its end.
      await Promise.all(names.map(async (name, i) => {
        await this.#one(name, seen[i]!).catch((error) => this.#stop(error));
        this.#hold(name, -1);
        left--;
      }));
    } catch (error) {
      this.#stop(error);
      this.#hold(names[0]!, -left);
    }
    await restoreTtls(this.options);
  }

  /** Counts tables as at work, or as ended. */
  #hold(name: TableName, change: number): void {
    const [key, tables] = [databaseKey(name), (this.#held.get(databaseKey(name)) ?? 0) + change];
    if (tables > 0) this.#held.set(key, tables);
    else this.#held.delete(key);
    this.#tableEnded.resolve();
  }

  async #anyEnded(): Promise<void> {
    await this.#tableEnded.promise;
    this.#tableEnded = Promise.withResolvers();
  }

  async #lookAt(names: readonly TableName[]): Promise<(Seen | Failure)[]> {
    const { context, outer, notExpired } = this.options;
    const bound = notExpired ? overlap(outer, await notExpired(names[0]!)) : outer;
    return await lookAtTables(context, names.map((name) => ({ name, window: bound })));
  }

  async #one(name: TableName, seen: Seen | Failure, expiries = 0): Promise<void> {
    const { context, told } = this.options;
    const given = told.get(tableKey(name))?.windows;
    try {
      if (seen instanceof Failure) throw seen;
      if (context.task === "import" && !given) {
        throw new Refused("it was not exported: its line has no windows");
      }
      await this.#end(
        await new TableCopy(context, seen, context.task === "import" ? given : undefined).run(),
      );
    } catch (error) {
      const isExpired = meaningOf(error) === "expired";
      const again = isExpired && expiries < expiriesMost;
      if (again) await this.#one(name, (await this.#lookAt([name]))[0]!, expiries + 1);
      else if (concernsTable(error) || isExpired) await this.#end(failed(name, error as Failure));
      else throw error;
    }
  }

  /** Writes down what became of a table, together with those that end meanwhile. */
  #end(result: TableResult): Promise<void> {
    this.#ended.push(result);
    return this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    try {
      while (this.#ended.length) {
        const results = this.#ended.splice(0);
        await this.options.ledger?.finish(results.map((one) => ({
          name: { tenant: one.tenant, database: one.database, table: one.table },
          status: one.status,
          result: JSON.stringify(one),
          rows: one.source?.rows ?? 0,
        })));
        for (const one of results) {
          this.#complain(one);
          await this.#print(one);
        }
      }
    } finally {
      // in the same moment in which nothing is left: what is added later begins another one
      this.#writing = undefined;
    }
  }

  /** Says why a table is not well; what is said of many is said once, and counted. */
  #complain({ error, hint, status, ...name }: TableResult): void {
    if (error === undefined) return;
    const gist = gistOf(error.replaceAll(displayTable(name), "it"));
    const before = this.#complaints.get(gist) ?? 0;
    this.#complaints.set(gist, before + 1);
    if (before === 0) {
      this.options.say(`${displayTable(name)}: ${status}: ${error}${hint ? ` (${hint})` : ""}`);
    }
  }

  async #print(result: TableResult): Promise<void> {
    this.#printed.add(tableKey(result));
    await this.options.onResult(result);
  }

  /** Lines of tables that other workers ended meanwhile. */
  async #tellOthers(): Promise<void> {
    if (this.options.context.signal.aborted) return;
    for await (const { name, result, status } of this.options.ledger?.rows() ?? []) {
      if (status === "" || result === undefined || this.#printed.has(tableKey(name))) continue;
      await this.#print({ ...JSON.parse(result), earlier: true });
    }
  }

  #stop(reason: unknown): void {
    if (this.options.halt.signal.aborted) return;
    this.#stopped = { reason };
    const failure = reason instanceof Failure ? reason : new Interrupted(messageOf(reason));
    this.options.halt.abort(failure);
  }
}

/** Sets back the TTLs of databases that are done. @returns how many could not be */
export async function restoreTtls({ ttls, say }: Pick<RunOptions, "ttls" | "say">): Promise<number> {
  const failures = await ttls?.restore() ?? [];
  for (const { message, hint } of failures) say(`error: ${message}; ${hint}`);
  return failures.length;
}

function failed({ tenant, database, table }: TableName, failure: Failure): TableResult {
  const status = failure instanceof Refused ? "refused" : "failed";
  const hint = failure.hint ? { hint: failure.hint } : {};
  return { tenant, database, table, status, error: messageOf(failure), ...hint };
}
