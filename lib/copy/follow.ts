/**
 * `--follow`: after a first pass, round after round what is new at the end of tables, now and then all of them, as rows may come late;
 * and when the writers have stopped, one last pass over everything. Nothing is remembered of it beyond this process: a run that was
 * killed begins again, and its first pass finds what differs.
 */
import { atOnce } from "../cli/deps.ts";
import { Failure, messageOf } from "../cli/errors.ts";
import { counted } from "../cli/text.ts";
import { pause } from "../cnosdb/http.ts";
import { displayTable, tableKey, type TableName } from "../cnosdb/names.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";
import { type RunOptions, TableRun } from "./copy.ts";
import { eachAlone } from "./profile.ts";
import { proven, type TableResult } from "./result.ts";
import { inStatements } from "./statements.ts";
import { type Claim, handOut } from "./tables.ts";
import { addReason, type Reasons } from "./trouble.ts";
import {
  addUp,
  noRows,
  overlap,
  sameSummary,
  type Summary,
  type Window,
  window,
  windowOf,
} from "./windows.ts";

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
/** A table's end begins anew when it has grown to so much. */
const endNanos = 60_000_000_000n;
/** A table that is still is left alone for as long as it has been so, up to this. */
const stillMs = 60_000;
/** How long a table is left alone that cannot be brought. */
const troubleMs = 10_000;
/** How often to ask for tables that another worker has left. */
const claimMs = 10_000;

/** A table that this worker follows. */
interface Followed {
  readonly name: TableName;
  /** where its end begins: it is equal before that, but for rows that come late; undefined: it is not known to be */
  from?: string;
  /** what both sides held of its end when they were equal last */
  held: Summary;
  /** when it was known to be equal, and when rows of it were copied */
  equalMs: number;
  newMs: number;
  lookAtMs: number;
}

/** What a table's end has that is new. */
interface News {
  readonly table: Followed;
  /** what the source holds of its end */
  readonly tail: Summary;
  /** what both sides held of it before the window */
  readonly before: Summary;
  readonly window: Window;
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
  /** why tables cannot be followed, since the last recheck */
  readonly #reasons: Reasons = new Map();
  #newMs = Date.now();
  #claimAtMs = 0;

  constructor(private readonly run: RunOptions, private readonly options: FollowOptions) {}

  async follow(end: AbortSignal): Promise<void> {
    const { context, say } = this.run;
    const { recheckMs, quietMs = Infinity, roundMs = 1000, show } = this.options;
    let wholeAtMs = 0;
    for (let round = 0; !end.aborted && Date.now() - this.#newMs < quietMs; round++) {
      const startMs = Date.now();
      if (startMs >= wholeAtMs) {
        await this.#pass([...this.#tables.values()], []);
        wholeAtMs = startMs + recheckMs;
        this.#reasons.clear();
      } else show(await this.#round(round));
      if (round === 0) {
        const tables = counted(this.#tables.size, "table");
        say(`the first pass is done: following ${tables}; Ctrl-C ends it after a last pass`);
      }
      await pause(Math.max(0, startMs + roundMs - Date.now()), end).catch(() => {});
    }
    say("the last pass, over everything; Ctrl-C leaves without it");
    show("");
    for (const side of [context.source, context.target]) side?.forgetColumns();
    await new TableRun({ ...this.run, claim: this.#handOut([...this.#tables.values()]) }).run();
  }

  /** Copies what is new. @returns how far behind it was, in words */
  async #round(round: number): Promise<string> {
    const { tally } = this.run.context;
    const [startMs, plannedBefore] = [Date.now(), tally.rowsPlanned];
    const news = await this.#look(startMs);
    const seconds = Math.max(0, ...news.map(({ table }) => startMs - table.equalMs)) / 1000;
    await this.#pass(news.map(({ table }) => table), news);
    const rows = counted(tally.rowsPlanned - plannedBefore, "row");
    const state = news.length
      ? `was ${seconds.toFixed(1)} s and ${rows} behind in ${news.length} of`
      : "is not behind in";
    const all = counted(this.#tables.size, "table");
    return `round ${round} ${state} ${all}, ${counted(tally.rowsCopied, "row")} copied so far`;
  }

  /** What is new at the ends of tables, which the source alone is asked for. Still ones are looked at less and less often. */
  async #look(startMs: number): Promise<News[]> {
    const { bounds, context: { source }, jobs } = this.run;
    const due = [...this.#tables.values()].filter(({ lookAtMs }) => lookAtMs <= startMs);
    const news: News[] = [];
    await atOnce(jobs, inStatements(due, ({ name }) => name.tenant), async (tables) => {
      const asks = await Promise.all(tables.map(async ({ name, from }) => ({
        name,
        window: overlap(await bounds(name), window(from, undefined)),
      })));
      const tails = await eachAlone(asks, (some) => source!.summaries(some));
      for (const [i, table] of tables.entries()) {
        const tail = tails[i]!;
        if (tail instanceof Failure) this.#leaveAlone(table, messageOf(tail));
        else if (tail.rows > 0 && !sameSummary(tail, table.held)) news.push(newsOf(table, tail));
        else {
          table.equalMs = startMs;
          table.lookAtMs = startMs + Math.min(startMs - table.newMs, stillMs, this.options.recheckMs);
        }
      }
    });
    return news;
  }

  /** Brings tables up to date: in their news' windows, and where there are none up to this moment. What lies in the future is a tail's. */
  async #pass(tables: readonly Followed[], news: readonly News[]): Promise<void> {
    const { bounds, context } = this.run;
    const startMs = Date.now();
    const now = { to: formatTime(BigInt(startMs + this.options.clockMs) * 1_000_000n) };
    const newsByKey = new Map(news.map((one) => [tableKey(one.table.name), one]));
    await new TableRun({
      ...this.run,
      context: { ...context, full: false },
      ledger: undefined,
      claim: this.#handOut(tables),
      bounds: async (name) => overlap(await bounds(name), newsByKey.get(tableKey(name))?.window ?? now),
      onResult: (result) => {
        this.#note(result, startMs, newsByKey.get(tableKey(result)), now.to);
        return Promise.resolve();
      },
    }).run();
  }

  /** Hands out tables, and now and then those too that no worker holds. */
  #handOut(tables: readonly Followed[]): Claim {
    const mine = handOut(tables.map(({ name }) => name));
    return async (most) => {
      const names = await mine(most);
      if (names.length || Date.now() < this.#claimAtMs) return names;
      const more = await this.run.claim(most);
      if (!more.length) this.#claimAtMs = Date.now() + claimMs;
      return more;
    };
  }

  /** Notes how far a table is. @param now up to when all of it was compared where it had no news */
  #note(result: TableResult, startMs: number, news: News | undefined, now: string): void {
    const { tenant, database, table: named, status, error, copied, source = noRows } = result;
    const name = { tenant, database, table: named };
    const fresh: Followed = { name, held: noRows, equalMs: startMs, newMs: startMs, lookAtMs: 0 };
    const table = this.#tables.get(tableKey(name)) ?? fresh;
    this.#tables.set(tableKey(name), table);
    table.lookAtMs = 0;
    if (copied?.rows) [table.newMs, this.#newMs] = [startMs, Date.now()];
    if (!proven.has(status)) {
      // what writers wrote meanwhile is brought by the next round
      if (status !== "source-changed") this.#leaveAlone(table, error ?? status);
      return;
    }
    table.equalMs = startMs;
    const to = news?.window.to ?? now;
    const isLong = table.from === undefined || parseTime(to)! - parseTime(table.from)! > endNanos;
    const held = addUp([news?.before ?? noRows, source]);
    // Where the source had more in its end, rows came late in what was equal before: the next round brings all of it.
    table.held = news && !isLong && held.rows === news.tail.rows ? held : noRows;
    if (!news || isLong) table.from = formatTime((parseTime(to) ?? 0n) - overlapNanos);
  }

  /** Leaves a table alone for a while, and says why: each reason once until all is looked at again. */
  #leaveAlone(table: Followed, why: string): void {
    table.lookAtMs = Date.now() + troubleMs;
    if (addReason(this.#reasons, table.name, why)) {
      this.run.say(`${displayTable(table.name)}: ${why}; it is tried again`);
    }
  }
}

/** Of an end that has grown what lies behind that which is equal; where its last row is the same, all of it, as rows came late. */
function newsOf(table: Followed, tail: Summary): News {
  const { from, held } = table;
  const { to } = windowOf(tail);
  const hasGrown = held.last !== undefined && held.last < tail.last!;
  return hasGrown
    ? { table, tail, before: held, window: window(windowOf(held).to, to) }
    : { table, tail, before: noRows, window: window(from, to) };
}
