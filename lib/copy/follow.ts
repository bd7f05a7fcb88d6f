/**
 * `--follow`: after a first pass, round after round what is new at the end of tables; now and then all of
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
  /** how often everything is compared */
  readonly recheckMs: number;
  /** ends when no row was new for so long; undefined: only when it is stopped */
  readonly quietMs?: number | undefined;
  /** how long a round takes at least; tests take shorter ones */
  readonly roundMs?: number;
  /** how far the source's clock is ahead of ours */
  readonly clockMs: number;
}

/** Rows that come so late are found in the next round: writers are not in step with each other. */
const overlapNanos = 5_000_000_000n;
/** A table's end begins anew when it has grown this long. */
const endNanos = 60_000_000_000n;
/** The longest rest of a table without new rows; it rests twice as long each time. */
const longestRestMs = 60_000;
/** How long a table rests that cannot be copied. */
const troubleMs = 10_000;
/** How often to look for tables that other workers have released. */
const claimMs = 10_000;

/** A table that this worker follows. Its end is what comes after a time up to which both sides were equal. */
interface Followed {
  readonly name: TableName;
  /** where its end begins; undefined: it was not equal yet */
  from?: string;
  /** what both sides held of its end when they were last equal */
  held: Summary;
  /** what is new there and is being copied */
  news?: News | undefined;
  /** when it was last known to be equal */
  equalMs: number;
  lookAtMs: number;
  /** how long it rests if the next look finds nothing new */
  restMs: number;
}

/** The stretch to copy, and how many rows the source has in the whole end. */
type News = Window & { readonly rows: number };

/** What is new at a table's end. @param end what the source holds of it @param tickNanos the times' precision */
function newsOf({ held, from }: Followed, end: Summary, tickNanos: bigint): News | undefined {
  if (end.rows === 0 || sameSummary(end, held)) return undefined;
  const { to } = windowOf(end, tickNanos);
  // only what comes after all that was equal; or if that is nothing all of the end, as rows came late
  const isLonger = held.last !== undefined && held.last < end.last!;
  return { from: isLonger ? windowOf(held, tickNanos).to : from, to, rows: end.rows };
}

/** Copies a list, and goes on until it is stopped or its writers are quiet. */
export class Follower {
  readonly #tables = new Map<string, Followed>();
  /** why tables cannot be copied, since the last recheck */
  readonly #reasons: Reasons = new Map();
  readonly #roundMs: number;
  /** when rows were copied last; later by the time that was spent on rechecks since */
  #newMs = Date.now();
  #claimAtMs = 0;

  /** @param run its ledger and `onResult` get the results of the last pass alone */
  constructor(private readonly run: RunOptions, private readonly options: FollowOptions) {
    this.#roundMs = options.roundMs ?? 1000;
  }

  /** @param stop ends the rounds; the last pass comes then @throws why it ended before that was done */
  async follow(stop: AbortSignal): Promise<void> {
    const { source, target, say, show } = this.run;
    const { recheckMs, quietMs = Infinity } = this.options;
    let recheckAtMs = 0;
    for (let round = 0; !stop.aborted && Date.now() - this.#newMs < quietMs; round++) {
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
      await pause(Math.max(0, startMs + this.#roundMs - Date.now()), stop).catch(() => {});
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
    const behind = await this.#look(startMs);
    const seconds = behind.reduce((most, { equalMs }) => Math.max(most, startMs - equalMs), 0) / 1000;
    await this.#pass(behind, startMs);
    const rows = counted(tally.rowsPlanned - plannedBefore, "row");
    const state = behind.length
      ? `was ${seconds.toFixed(1)} s and ${rows} behind in ${behind.length} of`
      : "is not behind in";
    const all = counted(this.#tables.size, "table");
    return `${state} ${all}, ${counted(tally.rowsCopied, "row")} copied so far`;
  }

  /** Asks the source for the ends of the tables that are due. @returns those with something new */
  async #look(startMs: number): Promise<Followed[]> {
    const { bounds, source, jobs } = this.run;
    const due = [...this.#tables.values()].filter(({ lookAtMs }) => lookAtMs <= startMs);
    await atOnce(jobs, inStatements(due, ({ name }) => name.tenant), async (tables) => {
      const news = await eachAlone(tables, async (some) => {
        const asks = await Promise.all(some.map(async ({ name, from }) => ({
          name,
          window: overlap(await bounds(name), { from }),
          tickNanos: tickNanosOf(await source!.columns(name)),
        })));
        const ends = await source!.summaries(asks);
        return some.map((table, i) => newsOf(table, ends[i]!, asks[i]!.tickNanos));
      });
      for (const [i, table] of tables.entries()) {
        const found = news[i];
        if (found instanceof Failure) this.#leaveAlone(table, messageOf(found));
        else if (found) table.news = found;
        else {
          table.equalMs = startMs;
          table.lookAtMs = startMs + table.restMs;
          table.restMs = Math.min(2 * table.restMs, longestRestMs, this.options.recheckMs);
        }
      }
    });
    return due.filter(({ news }) => news);
  }

  /** Copies what is new of tables, or if nothing is known to be new all that there is up to now. */
  async #pass(tables: readonly Followed[], startMs: number): Promise<void> {
    const { bounds, verify } = this.run;
    const alsoFree = startMs >= this.#claimAtMs;
    if (alsoFree) this.#claimAtMs = startMs + claimMs;
    const now = formatTime(BigInt(startMs + this.options.clockMs) * 1_000_000n);
    const windowFor = (name: TableName) => this.#tables.get(tableKey(name))?.news ?? { to: now };
    await new TableRun({
      ...this.run,
      verify: verify === "full" ? "count" : verify,
      ledger: undefined,
      claim: this.#handOut(tables, alsoFree),
      bounds: async (name) => overlap(await bounds(name), windowFor(name)),
      onResult: (result) => Promise.resolve(this.#note(result, startMs, windowFor(result).to!)),
    }).run();
  }

  /** Hands out tables. @param alsoFree and then those that no worker holds */
  #handOut(tables: readonly Followed[], alsoFree: boolean): Claim {
    const own = handOut(tables.map(({ name }) => name));
    return async (most) => {
      const names = await own(most);
      return names.length || !alsoFree ? names : await this.run.claim(most);
    };
  }

  /** Notes what became of a table. @param to up to when it was compared */
  #note({ tenant, database, table: named, ...result }: TableResult, startMs: number, to: string): void {
    const name = { tenant, database, table: named };
    const { status, error, copied, source = noRows } = result;
    const added: Followed = { name, held: noRows, equalMs: startMs, lookAtMs: 0, restMs: 0 };
    const table = this.#tables.getOrInsert(tableKey(name), added);
    const { from, held, news } = table;
    table.news = undefined;
    table.lookAtMs = 0;
    table.restMs = this.#roundMs;
    if (copied?.rows) this.#newMs = Date.now();
    // What writers wrote meanwhile is no trouble, and comes with the next round.
    if (status === "source-changed") return;
    if (!proven.has(status)) return this.#leaveAlone(table, error ?? status);
    table.equalMs = startMs;
    const toNanos = parseTime(to)!;
    if (!news || from === undefined || toNanos - parseTime(from)! > endNanos) {
      table.from = formatTime(toNanos - overlapNanos);
      table.held = noRows;
      return;
    }
    const heldNow = news.from === from ? source : addUp([held, source]);
    // If the source has more, rows came late in what was equal: the next round copies the whole end.
    table.held = heldNow.rows === news.rows ? heldNow : noRows;
  }

  /** Lets a table rest for a while, and says why: each reason once until the next recheck. */
  #leaveAlone(table: Followed, why: string): void {
    table.lookAtMs = Date.now() + troubleMs;
    if (addReason(this.#reasons, table.name, why)) {
      this.run.say(`${displayTable(table.name)}: ${why}; it is tried again`);
    }
  }
}
