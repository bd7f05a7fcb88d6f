/**
 * `--follow`: after a first pass, round after round what is new at the end of tables, now and then all of
 * them, as rows may come late; and when the writers have stopped, one last pass over everything. Nothing is
 * remembered beyond this process: a run that was killed begins again, and its first pass finds what differs.
 */
import { atOnce } from "../cli/deps.ts";
import { Failure, messageOf } from "../cli/errors.ts";
import { counted } from "../cli/text.ts";
import { pause } from "../cnosdb/http.ts";
import { displayTable, tableKey, type TableName } from "../cnosdb/names.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";
import { type RunOptions, TableRun } from "./copy.ts";
import { proven, type TableResult } from "./result.ts";
import { inStatements, tickNanosOf } from "./statements.ts";
import { type Claim, handOut } from "./tables.ts";
import { addReason, eachAlone, type Reasons } from "./trouble.ts";
import { addUp, noRows, overlap, sameSummary, type Summary, type Window, windowOf } from "./windows.ts";

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
}

/** Rows that come so late are found in the next rounds: writers are not in step with each other. */
const overlapNanos = 5_000_000_000n;
/** A table's end begins anew when it has grown to so much. */
const endNanos = 60_000_000_000n;
/** A table that is still is left alone for twice as long each time, up to this. */
const stillMs = 60_000;
/** How long a table is left alone that cannot be brought. */
const troubleMs = 10_000;
/** How often to ask for tables that another worker has left. */
const claimMs = 10_000;

/** A table that this worker follows. */
interface Followed {
  readonly name: TableName;
  /** where its end begins: before that it is equal, but for late rows; undefined: it is not known to be */
  from?: string;
  /** what both sides held of its end when they were equal last */
  held: Summary;
  /** what the source holds of its end now, while that is brought */
  tail?: Summary | undefined;
  /** the precision of its times, known with the first tail */
  tickNanos?: bigint;
  /** when it was known to be equal, when it is looked at again, and how long it rests if it is still then */
  equalMs: number;
  lookAtMs: number;
  waitMs: number;
}

/** Whether a table's end has become longer. If not, what is new came late, somewhere in it. */
const hasGrown = ({ held, tail }: Followed) => held.last !== undefined && held.last < (tail?.last ?? "");

/** The stretch of a table's end that holds what is new; undefined where nothing is known to be. */
function newWindow(table: Followed | undefined): Window | undefined {
  if (!table?.tail) return undefined;
  const end = (summary: Summary) => windowOf(summary, table.tickNanos!).to;
  return { from: hasGrown(table) ? end(table.held) : table.from, to: end(table.tail) };
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
  readonly #roundMs: number;
  /** when rows were copied last; later by the time that passes over everything took since */
  #newMs = Date.now();
  #claimAtMs = 0;

  constructor(private readonly run: RunOptions, private readonly options: FollowOptions) {
    this.#roundMs = options.roundMs ?? 1000;
  }

  async follow(end: AbortSignal): Promise<void> {
    const { source, target, say, show } = this.run;
    const { recheckMs, quietMs = Infinity } = this.options;
    let recheckAtMs = 0;
    for (let round = 0; !end.aborted && Date.now() - this.#newMs < quietMs; round++) {
      const startMs = Date.now();
      if (startMs >= recheckAtMs) {
        this.#reasons.clear();
        await this.#pass([...this.#tables.values()], startMs);
        recheckAtMs = startMs + recheckMs;
        // Meanwhile nobody looked for new rows.
        this.#newMs += Date.now() - startMs;
      } else show(`round ${round} ${await this.#round(startMs)}`);
      if (round === 0) {
        const tables = counted(this.#tables.size, "table");
        say(`the first pass is done: following ${tables}; Ctrl-C ends it after a last pass`);
      }
      await pause(Math.max(0, startMs + this.#roundMs - Date.now()), end).catch(() => {});
    }
    say("the last pass, over everything; Ctrl-C leaves without it");
    show("");
    for (const side of [source, target]) side?.forgetColumns();
    await new TableRun({ ...this.run, claim: this.#handOut([...this.#tables.values()], true) }).run();
  }

  /** Copies what is new. @returns how far behind it was, in words */
  async #round(startMs: number): Promise<string> {
    const { tally } = this.run;
    const plannedBefore = tally.rowsPlanned;
    const news = await this.#look(startMs);
    const seconds = news.reduce((most, { equalMs }) => Math.max(most, startMs - equalMs), 0) / 1000;
    await this.#pass(news, startMs);
    const rows = counted(tally.rowsPlanned - plannedBefore, "row");
    const state = news.length
      ? `was ${seconds.toFixed(1)} s and ${rows} behind in ${news.length} of`
      : "is not behind in";
    const all = counted(this.#tables.size, "table");
    return `${state} ${all}, ${counted(tally.rowsCopied, "row")} copied so far`;
  }

  /** Tables with something new at their ends. Only the source is asked, for still ones less and less often. */
  async #look(startMs: number): Promise<Followed[]> {
    const { bounds, source, jobs } = this.run;
    const due = [...this.#tables.values()].filter(({ lookAtMs }) => lookAtMs <= startMs);
    await atOnce(jobs, inStatements(due, ({ name }) => name.tenant), async (tables) => {
      const tails = await eachAlone(tables, async (some) =>
        await source!.summaries(
          await Promise.all(some.map(async (table) => {
            const { name, from } = table;
            table.tickNanos ??= tickNanosOf(await source!.columns(name));
            return { name, window: overlap(await bounds(name), { from }) };
          })),
        ));
      for (const [i, table] of tables.entries()) {
        const tail = tails[i]!;
        if (tail instanceof Failure) this.#leaveAlone(table, messageOf(tail));
        else if (tail.rows > 0 && !sameSummary(tail, table.held)) table.tail = tail;
        else {
          table.equalMs = startMs;
          table.lookAtMs = startMs + table.waitMs;
          table.waitMs = Math.min(2 * table.waitMs, stillMs, this.options.recheckMs);
        }
      }
    });
    return due.filter(({ tail }) => tail);
  }

  /** Brings what is new of tables, or where nothing is known to be new all there is up to this moment. */
  async #pass(tables: readonly Followed[], startMs: number): Promise<void> {
    const { bounds, verify } = this.run;
    const alsoFree = startMs >= this.#claimAtMs;
    if (alsoFree) this.#claimAtMs = startMs + claimMs;
    const now = formatTime(BigInt(startMs + this.options.clockMs) * 1_000_000n);
    const stretchOf = (name: TableName) => newWindow(this.#tables.get(tableKey(name))) ?? { to: now };
    await new TableRun({
      ...this.run,
      verify: verify === "full" ? "count" : verify,
      ledger: undefined,
      claim: this.#handOut(tables, alsoFree),
      bounds: async (name) => overlap(await bounds(name), stretchOf(name)),
      onResult: (result) => Promise.resolve(this.#note(result, startMs, stretchOf(result).to!)),
    }).run();
  }

  /** Hands out tables. @param alsoFree and then those that no worker holds */
  #handOut(tables: readonly Followed[], alsoFree: boolean): Claim {
    const mine = handOut(tables.map(({ name }) => name));
    return async (most) => {
      const names = await mine(most);
      return names.length || !alsoFree ? names : await this.run.claim(most);
    };
  }

  /** Notes how far a table is. @param to up to when it was compared */
  #note(result: TableResult, startMs: number, to: string): void {
    const { tenant, database, table: named, status, error, copied, source = noRows } = result;
    const name = { tenant, database, table: named };
    const fresh: Followed = { name, held: noRows, equalMs: startMs, lookAtMs: 0, waitMs: 0 };
    const table = this.#tables.get(tableKey(name)) ?? fresh;
    this.#tables.set(tableKey(name), table);
    const { from, held, tail } = table;
    Object.assign(table, { lookAtMs: 0, waitMs: this.#roundMs });
    if (copied?.rows) this.#newMs = Date.now();
    if (proven.has(status)) {
      const isNewEnd = !tail || from === undefined || parseTime(to)! - parseTime(from)! > endNanos;
      if (isNewEnd) table.from = formatTime((parseTime(to) ?? 0n) - overlapNanos);
      const sum = hasGrown(table) ? addUp([held, source]) : source;
      // Where the source had more, rows came late in what was equal: the next round brings all of the end.
      table.held = isNewEnd || sum.rows !== tail.rows ? noRows : sum;
      table.equalMs = startMs;
      // what writers wrote meanwhile is no trouble, and brought by the next round
    } else if (status !== "source-changed") this.#leaveAlone(table, error ?? status);
    table.tail = undefined;
  }

  /** Leaves a table alone for a while, and says why: each reason once until all is looked at again. */
  #leaveAlone(table: Followed, why: string): void {
    table.lookAtMs = Date.now() + troubleMs;
    if (addReason(this.#reasons, table.name, why)) {
      this.run.say(`${displayTable(table.name)}: ${why}; it is tried again`);
    }
  }
}
