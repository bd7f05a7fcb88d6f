/**
 * Which statement may run next. The target takes one import into a database after another (they wait for each
 * other there, one raft group a shard, on 2.3 to 2.4.3), while imports into different databases run side by
 * side; and an import takes about five times as long as its export. So the longest database decides how long
 * it all takes: its imports go first. Statements are begun within the hours of `--hours`, and not while
 * SIGUSR1 has paused the run; what runs goes on.
 */
import { meaningOf } from "../cnosdb/refusals.ts";

/** What a statement is for. A profile loads either side, an export the source, the others the target. */
export type Step = "profile" | "export" | "import" | "verify";
export type Role = "source" | "target";

/** What a schedule goes by. */
export interface ScheduleOptions {
  /** statements at once, on both sides together */
  readonly jobs: number;
  /** how many bytes may lie in the stage before an export has to wait */
  readonly aheadBytes: number;
  /** how much is left to do in a database; the most goes first */
  readonly left: (database: string) => number;
  /** nothing is let through any more when it is aborted: whoever waits gets its reason, what runs goes on */
  readonly signal: AbortSignal;
}

/** What one window takes of the stage; given back when the action that it was made for ends. */
export interface Hold {
  /** expected before the export, then what really lies there */
  bytes: number;
}

/** A statement's place in the queue. */
export interface Turn {
  readonly role: Role;
  readonly step: Step;
  /** tenant and database as one text */
  readonly database: string;
  /** of an export: what it fills */
  readonly hold?: Hold | undefined;
}

/** By how much a good statement raises the limit of a side that had too much to do. */
const recovery = 1 / 4;
/** So many windows of a database may be staged before its exports make way: one is imported, one is ready. */
const inStep = 2;

/** Lets statements through, the most urgent first. */
export class Schedule {
  /** how many statements a side bears: as many as `jobs`, unless it said that it had too much to do */
  readonly #most: Record<Role, number>;
  readonly #waiting = new Map<Turn, PromiseWithResolvers<void>>();
  readonly #running = new Set<Turn>();
  readonly #staged = new Map<Hold, string>();
  #paused = false;

  constructor(private readonly options: ScheduleOptions) {
    const { jobs, signal } = options;
    this.#most = { source: jobs, target: jobs };
    signal.addEventListener("abort", () => {
      for (const { reject } of this.#waiting.values()) reject(signal.reason);
      this.#waiting.clear();
    });
  }

  /** Runs `action` when its turn comes. */
  async turn<T>(turn: Turn, action: () => Promise<T>): Promise<T> {
    this.options.signal.throwIfAborted();
    const place = Promise.withResolvers<void>();
    this.#waiting.set(turn, place);
    this.#pump();
    await place.promise;
    let isOverloaded = false;
    try {
      return await action();
    } catch (error) {
      isOverloaded = meaningOf(error) === "overloaded";
      throw error;
    } finally {
      this.#running.delete(turn);
      this.#adapt(turn.role, isOverloaded);
      this.#pump();
    }
  }

  /**
   * Runs what exports one window and imports it, and knows what it holds of the stage for as long.
   * @param action sets the hold's bytes before its export's turn and after it
   */
  async staged<T>(action: (hold: Hold) => Promise<T>): Promise<T> {
    const hold = { bytes: 0 };
    try {
      return await action(hold);
    } finally {
      this.#staged.delete(hold);
      this.#pump();
    }
  }

  /** Lets nothing through for a while; what runs goes on. */
  pause(paused: boolean): void {
    this.#paused = paused;
    this.#pump();
  }

  /** A side that has too much to do bears what still runs there, and half of what was thought at least. */
  #adapt(role: Role, isOverloaded: boolean): void {
    const most = this.#most[role];
    this.#most[role] = isOverloaded
      ? Math.max(1, most / 2, this.#runningOn(role))
      : Math.min(this.options.jobs, most + recovery);
  }

  #runningOn(role: Role): number {
    return [...this.#running].filter((turn) => turn.role === role).length;
  }

  #pump(): void {
    while (!this.#paused && this.#running.size < this.options.jobs) {
      let next: Turn | undefined;
      for (const turn of this.#waiting.keys()) {
        if (this.#fits(turn) && !(next && this.#urgency(turn) <= this.#urgency(next))) next = turn;
      }
      if (!next) return;
      this.#waiting.get(next)!.resolve();
      this.#waiting.delete(next);
      this.#running.add(next);
      if (next.hold) this.#staged.set(next.hold, next.database);
    }
  }

  #fits({ role, step, database, hold }: Turn): boolean {
    if (this.#runningOn(role) + 1 > this.#most[role]) return false;
    if (step === "import") {
      return ![...this.#running].some((turn) => turn.step === "import" && turn.database === database);
    }
    if (!hold) return true;
    // An export that is sent again holds its own room already.
    const others = [...this.#staged.keys()].filter((other) => other !== hold);
    const bytes = others.reduce((sum, { bytes }) => sum + bytes, 0);
    return bytes === 0 || bytes + hold.bytes <= this.options.aheadBytes;
  }

  /** More goes first: what keeps the longest database's imports going; what ends a table; exports ahead. */
  #urgency({ step, database }: Turn): number {
    if (step === "verify") return -1;
    const staged = [...this.#staged.values()].filter((one) => one === database).length;
    if (step === "export" && staged >= inStep) return -staged;
    return 3 * this.options.left(database) + { profile: 0, export: 1, import: 2 }[step];
  }
}

/** Hours of the day in local time, `[from, to)` as HH:MM; over midnight where `to` is not after `from`. */
export interface Hours {
  readonly from: string;
  readonly to: string;
}

/** Reads `02:00-06:00`. @returns undefined for anything else */
export function readHours(text: string): Hours | undefined {
  const found = /^((?:[01]?\d|2[0-3]):[0-5]\d)-((?:[01]?\d|2[0-3]):[0-5]\d|24:00)$/.exec(text) ?? [];
  const [from = "", to = ""] = found.slice(1).map((time) => time.padStart(5, "0"));
  return from === to ? undefined : { from, to };
}

/** Whether a moment lies within the hours, by the local clock. */
export function isWithin({ from, to }: Hours, at: Date): boolean {
  const time = at.toTimeString().slice(0, 5);
  return from < to ? from <= time && time < to : from <= time || time < to;
}

/** How often it is looked whether it is time. */
const lookEveryMs = 15_000;

/** Pauses a schedule and lets it go on, until what it returns is called. */
export function keepPauses(schedule: Schedule, say: (text: string) => void, hours?: Hours): () => void {
  let [byHand, byHours] = [false, false];
  const apply = () => schedule.pause(byHand || byHours);
  const toggle = () => {
    byHand = !byHand;
    say(byHand ? "paused: what runs goes on, nothing is begun; SIGUSR1 again goes on" : "goes on");
    apply();
  };
  const look = () => {
    const isOut = hours !== undefined && !isWithin(hours, new Date());
    if (isOut === byHours) return;
    byHours = isOut;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    say(
      isOut ? `waits until ${hours.from} (${zone}), as --hours says` : `works until ${hours?.to} (${zone})`,
    );
    apply();
  };
  look();
  const timer = setInterval(look, lookEveryMs);
  const isUnix = Deno.build.os !== "windows";
  if (isUnix) Deno.addSignalListener("SIGUSR1", toggle);
  return () => {
    clearInterval(timer);
    if (isUnix) Deno.removeSignalListener("SIGUSR1", toggle);
  };
}
