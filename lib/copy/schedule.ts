/**
 * Decides which statement runs next. The target takes one import into a database after another (they wait for
 * each other there, one raft group a shard, on 2.3 to 2.4.3), while imports into different databases run side
 * by side; and an import takes about five times as long as its export. So the database with most left decides
 * how long it all takes, and its imports go first. No statement begins outside of `--hours`, or while SIGUSR1
 * has paused the run; those that run go on.
 */
import { meaningOf } from "../cnosdb/refusals.ts";

/** What a statement is for. A profile loads either side, an export the source, the others the target. */
export type Step = "profile" | "export" | "import" | "verify";
export type Role = "source" | "target";

export interface ScheduleOptions {
  /** statements at once, on both sides together */
  readonly jobs: number;
  /** how many bytes may lie in the stage before an export has to wait */
  readonly aheadBytes: number;
  /** how many tables are left in a database */
  readonly left: (database: string) => number;
  /** once aborted no statement begins: those that wait are rejected with its reason, those that run go on */
  readonly signal: AbortSignal;
}

/** The room that one window takes in the stage, from its export to the end of its import. */
export interface Hold {
  /** estimated before the export, measured after it */
  bytes: number;
}

/** A statement that wants to run. */
export interface Turn {
  readonly role: Role;
  readonly step: Step;
  /** by `databaseKey` */
  readonly database: string;
  /** of an export: the room that it fills */
  readonly hold?: Hold | undefined;
}

/** By how much each good statement raises the limit of a side that was overloaded. */
const recovery = 1 / 4;
/** With so many staged windows a database's exports make way: one is imported, the next is ready. */
const enoughStaged = 2;

/** Lets statements run, the most urgent first. */
export class Schedule {
  /** how many statements a side takes at once: `jobs`, or fewer if it was overloaded */
  readonly #most: Record<Role, number>;
  readonly #waiting = new Map<Turn, PromiseWithResolvers<void>>();
  readonly #running = new Set<Turn>();
  /** room that is taken in the stage, and by which database */
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
    this.#startWaiting();
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
      this.#startWaiting();
    }
  }

  /**
   * Runs what exports one window and imports it, and gives the window's room in the stage back at its end.
   * @param action sets the bytes of its hold before the export's turn, and again after the export
   */
  async staged<T>(action: (hold: Hold) => Promise<T>): Promise<T> {
    const hold = { bytes: 0 };
    try {
      return await action(hold);
    } finally {
      this.#staged.delete(hold);
      this.#startWaiting();
    }
  }

  /** Whether a further statement could run at once. */
  get isIdle(): boolean {
    return this.#waiting.size === 0 && this.#running.size < this.options.jobs;
  }

  /** Lets no statement begin, or lets them begin again. */
  pause(paused: boolean): void {
    this.#paused = paused;
    this.#startWaiting();
  }

  /** Halves the limit of a side that is overloaded, but not below what still runs there. */
  #adapt(role: Role, isOverloaded: boolean): void {
    const most = this.#most[role];
    this.#most[role] = isOverloaded
      ? Math.max(1, most / 2, this.#runningOn(role))
      : Math.min(this.options.jobs, most + recovery);
  }

  #runningOn(role: Role): number {
    return [...this.#running].filter((turn) => turn.role === role).length;
  }

  #startWaiting(): void {
    while (!this.#paused && this.#running.size < this.options.jobs) {
      const fitting = [...this.#waiting.keys()].filter((turn) => this.#fits(turn));
      if (!fitting.length) return;
      const next = fitting.reduce((a, b) => this.#urgency(b) > this.#urgency(a) ? b : a);
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

  /** Most urgent are imports of the database with most left, and what prepares them; verifying can wait. */
  #urgency({ step, database }: Turn): number {
    if (step === "verify") return -1;
    const staged = [...this.#staged.values()].filter((one) => one === database).length;
    if (step === "export" && staged >= enoughStaged) return -staged;
    return 3 * this.options.left(database) + { profile: 0, export: 1, import: 2 }[step];
  }
}

/** Hours of the day by the local clock, `[from, to)` as HH:MM; over midnight if `to` is not after `from`. */
export interface Hours {
  readonly from: string;
  readonly to: string;
}

/** Reads `02:00-06:00`. @returns undefined for anything else, also if it ends when it begins */
export function readHours(text: string): Hours | undefined {
  const found = /^((?:[01]?\d|2[0-3]):[0-5]\d)-((?:[01]?\d|2[0-3]):[0-5]\d|24:00)$/.exec(text);
  if (!found) return undefined;
  const [from = "", to = ""] = found.slice(1).map((time) => time.padStart(5, "0"));
  return from === to ? undefined : { from, to };
}

/** Whether a moment lies within the hours. */
export function isWithin({ from, to }: Hours, at: Date): boolean {
  const time = at.toTimeString().slice(0, 5);
  return from < to ? from <= time && time < to : from <= time || time < to;
}

/** How often to look at the clock. */
const lookEveryMs = 15_000;

/** Pauses a schedule by SIGUSR1 and outside of the hours, until what it returns is disposed of. */
export function keepPauses(schedule: Schedule, say: (text: string) => void, hours?: Hours): Disposable {
  let byHand = false;
  let byHours = false;
  const apply = () => schedule.pause(byHand || byHours);
  const toggle = () => {
    byHand = !byHand;
    say(byHand ? "paused: what runs goes on, nothing is begun; SIGUSR1 again goes on" : "goes on");
    apply();
  };
  const look = () => {
    if (!hours || isWithin(hours, new Date()) !== byHours) return;
    byHours = !byHours;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    say(
      byHours ? `waits until ${hours.from} (${zone}), as --hours says` : `works until ${hours.to} (${zone})`,
    );
    apply();
  };
  look();
  const timer = setInterval(look, lookEveryMs);
  const isUnix = Deno.build.os !== "windows";
  if (isUnix) Deno.addSignalListener("SIGUSR1", toggle);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      if (isUnix) Deno.removeSignalListener("SIGUSR1", toggle);
    },
  };
}
