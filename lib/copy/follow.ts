/**
 * `--follow`: after a first pass, round after round what is new at the end of tables, now and then all of them, as rows may come late;
 * and when the writers have stopped, one last pass over everything. Nothing is remembered of it beyond this process: a run that was
 * killed begins again, and its first pass finds what differs.
 */
import { Failure, messageOf } from "../cli/errors.ts";
import { atOnce } from "../cli/deps.ts";
import { counted } from "../cli/text.ts";
import { pause } from "../cnosdb/http.ts";
import { displayTable, tableKey, type TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";
import { lookAtTables } from "./compare.ts";
import { type RunOptions, TableRun } from "./copy.ts";
import { eachAlone } from "./profile.ts";
import { proven, type TableResult } from "./result.ts";
import { inStatements } from "./statements.ts";
import { TableCopy } from "./table.ts";
import { type Claim, handOut } from "./tables.ts";
import { addUp, noRows, overlap, sameSummary, type Summary, window, windowOf } from "./windows.ts";

/** How a run follows its source. */
export interface FollowOptions {
  /** how often all windows are profiled */
  readonly recheckMs: number;
  /** for how long no row may be new before it ends by itself; undefined: it ends when it is told to */
  readonly quietMs?: number | undefined;
  /** how long a round takes at least; tests take shorter ones */
  readonly roundMs?: number;
  /** how far the source's clock is ahead of ours */
  readonly clockMs: number;
  /** takes how far behind it is, in words, after each round */
  readonly show: (text: string) => void;
}

/** Rows that come so late beside others are found in the next round: writers are not in step with each other. */
const overlapNanos = 5_000_000_000n;
/** A table's end is asked for from a later time on when it has grown to so much. */
const endNanos = 60_000_000_000n;
/** A table that is still is looked at half as often each time, down to this. */
const stillMs = 60_000;
/** How long a table is left alone that cannot be brought. */
const troubleMs = 10_000;
/** How often to ask the ledger for tables that another worker has left. */
const claimMs = 10_000;

/** A table that this worker follows. */
interface Followed {
  readonly name: TableName;
  /** where its end begins: it is equal before that, but for rows that come late; undefined: it is not known to be */
  from: string | undefined;
  /** what its end held on both sides before `upTo` when they were equal last */
  known?: Summary & { upTo: string };
  /** when it was known to be equal */
  equalMs: number;
  lookAtMs: number;
  everyMs: number;
  /** why it could not be brought last */
  trouble?: string;
}

/**
 * Copies a list, and goes on until `end` is aborted or its writers are quiet.
 * @param run results go to its ledger and to `onResult` in the last pass alone
 * @throws why it stopped before that was done
 */
export async function follow(run: RunOptions, options: FollowOptions, end: AbortSignal): Promise<void> {
  await new Follower(run, options).follow(end);
}

class Follower {
  readonly #tables = new Map<string, Followed>();
  readonly #roundMs: number;
  #newMs = Date.now();

  constructor(private readonly run: RunOptions, private readonly options: FollowOptions) {
    this.#roundMs = options.roundMs ?? 1000;
  }

  async follow(end: AbortSignal): Promise<void> {
    const { claim, context, say } = this.run;
    await this.#pass(claim);
    say(
      `the first pass is done: following ${
        counted(this.#tables.size, "table")
      }; Ctrl-C ends it after a last pass`,
    );
    await this.#rounds(end);
    say("the last pass, over everything; Ctrl-C leaves without it");
    this.options.show("");
    for (const side of [context.source, context.target]) side?.forgetColumns();
    await new TableRun({ ...this.run, claim: this.#handOutAll() }).run(new AbortController().signal);
  }

  #handOutAll(): Claim {
    return handOut([...this.#tables.values()].map(({ name }) => name));
  }

  /** Brings tables up to this moment and follows them from then on. What lies in the future is a tail's. */
  async #pass(claim: Claim): Promise<void> {
    const { context, outer } = this.run;
    const to = formatTime(BigInt(Date.now() + this.options.clockMs) * 1_000_000n);
    const startMs = Date.now();
    const copiedBefore = context.tally.rowsCopied;
    await new TableRun({
      ...this.run,
      context: { ...context, full: false },
      outer: overlap(outer, { to }),
      claim,
      ledger: undefined,
      onResult: (result) =>
        Promise.resolve(this.#take(result, proven.has(result.status) ? to : undefined, startMs)),
    }).run(new AbortController().signal);
    if (context.tally.rowsCopied > copiedBefore) this.#newMs = Date.now();
  }

  #take({ tenant, database, table }: TableName, to: string | undefined, equalMs: number): void {
    const name = { tenant, database, table };
    const before = this.#tables.get(tableKey(name));
    // what a pass could not bring is brought from where it was equal last, or from its beginning
    const from = to === undefined ? before?.from : earlier(to);
    this.#tables.set(tableKey(name), {
      ...{ name, from, everyMs: this.#roundMs, lookAtMs: 0 },
      equalMs: to === undefined ? before?.equalMs ?? equalMs : equalMs,
    });
  }

  async #rounds(end: AbortSignal): Promise<void> {
    const { claim, jobs } = this.run;
    let [recheckMs, claimAgainMs] = [Date.now() + this.options.recheckMs, 0];
    for (let round = 1; !end.aborted && !this.#isQuiet(); round++) {
      const startMs = Date.now();
      const news = await this.#look(
        [...this.#tables.values()].filter(({ lookAtMs }) => lookAtMs <= startMs),
      );
      const behindMs = Math.max(0, ...news.map(([{ equalMs }]) => startMs - equalMs));
      let behindRows = 0;
      await atOnce(
        jobs,
        news,
        async ([table, tail]) => void (behindRows += await this.#bring(table, tail)),
      );
      this.#tell(round, news.length, behindRows, behindMs / 1000);
      if (startMs >= recheckMs) {
        await this.#pass(this.#handOutAll());
        recheckMs = Date.now() + this.options.recheckMs;
      } else if (startMs >= claimAgainMs) {
        await this.#pass(claim);
        claimAgainMs = Date.now() + claimMs;
      }
      await pause(Math.max(0, startMs + this.#roundMs - Date.now()), end).catch(() => {});
    }
  }

  #isQuiet(): boolean {
    const { quietMs } = this.options;
    return quietMs !== undefined && Date.now() - this.#newMs >= quietMs;
  }

  /** Tables with something new at their end, with what the source holds there. Still ones are looked at less often. */
  async #look(due: readonly Followed[]): Promise<[Followed, Summary][]> {
    const news: [Followed, Summary][] = [];
    await atOnce(this.run.jobs, inStatements(due, ({ name }) => name.tenant), async (tables) => {
      for (const [i, tail] of (await this.#tails(tables)).entries()) {
        const table = tables[i]!;
        const isNew = tail !== undefined && tail.rows > 0 && !(table.known && sameSummary(table.known, tail));
        if (isNew) news.push([table, tail]);
        else if (tail !== undefined) table.equalMs = Date.now();
        table.everyMs = isNew ? this.#roundMs : Math.min(2 * table.everyMs, stillMs, this.options.recheckMs);
        table.lookAtMs = Date.now() + (isNew ? 0 : table.everyMs);
      }
    });
    return news;
  }

  async #tails(tables: readonly Followed[]): Promise<(Summary | undefined)[]> {
    const { source } = this.run.context;
    const asks = tables.map(({ name, from }) => ({
      name,
      window: overlap(this.run.outer, window(from, undefined)),
    }));
    const tails = await eachAlone(asks, (some) => source!.summaries(some));
    return tails.map((tail, i) => {
      if (!(tail instanceof Failure)) return tail;
      this.#complain(tables[i]!, messageOf(tail));
      return undefined;
    });
  }

  /** Copies what is new at the end of a table. @returns how many rows it was behind */
  async #bring(table: Followed, tail: Summary): Promise<number> {
    const { name, from, known } = table;
    const context = { ...this.run.context, full: false };
    const to = windowOf(tail).to!;
    const startMs = Date.now();
    const look = (begin: string | undefined) =>
      lookAtTables(context, [{ name, window: overlap(this.run.outer, window(begin, to)) }]);
    const isLonger = known !== undefined && known.upTo < to;
    let [seen] = await look(isLonger ? known.upTo : from);
    // what is not behind what was equal lies in it: late rows
    const isLate = isLonger && seen && !(seen instanceof Failure) &&
      known.rows + seen.source.rows < tail.rows;
    if (isLate) [seen] = await look(from);
    if (seen instanceof Failure || !seen) return this.#complain(table, messageOf(seen));
    const result = await new TableCopy(context, seen).run().catch((error) => {
      if (meaningOf(error) !== "expired") throw error;
      return { status: "failed", error: messageOf(error) } as Pick<
        TableResult,
        "status" | "error" | "copied" | "source"
      >;
    });
    const behind = Math.max(0, seen.source.rows - seen.target.rows);
    if (behind > 0 || (result.copied?.rows ?? 0) > 0) this.#newMs = Date.now();
    if (proven.has(result.status)) {
      const held = addUp([...(isLonger && !isLate ? [known] : []), result.source ?? noRows]);
      const isLong = from === undefined || parseTime(to)! - parseTime(from)! > endNanos;
      // what lies in an end that begins later is asked for once more
      if (isLong) Object.assign(table, { from: earlier(to), known: undefined });
      else table.known = { ...held, upTo: to };
      table.equalMs = startMs;
      table.trouble = "";
    } else if (result.status !== "source-changed") this.#complain(table, result.error ?? result.status);
    return behind;
  }

  /** Says why a table cannot be followed, once as long as it is the same, and leaves it alone for a while. */
  #complain(table: Followed, why: string): number {
    if (table.trouble !== why) this.run.say(`${displayTable(table.name)}: ${why}; it is tried again`);
    table.trouble = why;
    table.lookAtMs = Date.now() + troubleMs;
    return 0;
  }

  #tell(round: number, tables: number, rows: number, seconds: number): void {
    const state = tables
      ? `was ${seconds.toFixed(1)} s and ${counted(rows, "row")} behind in ${tables} of`
      : "is not behind in";
    const all = counted(this.#tables.size, "table");
    this.options.show(
      `round ${round} ${state} ${all}, ${counted(this.run.context.tally.rowsCopied, "row")} copied so far`,
    );
  }
}

const earlier = (time: string) => formatTime((parseTime(time) ?? 0n) - overlapNanos);
