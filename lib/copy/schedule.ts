/**
 * Which statement may run next. The target takes one import into a database after another (they wait for each other there, one raft
 * group a shard, on 2.3 to 2.4.3), while imports into different databases run side by side; and an import takes about five times as
 * long as its export. So the longest database decides how long it all takes: its imports go first.
 */

/** What a statement is for: profile and export load the source; import and verify load the target, and so does its profile. */
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
  /** whether a failure means that its cluster has too much to do */
  readonly overloaded: (error: unknown) => boolean;
}

/** What one window takes of the stage; it is given back when the action that it was made for ends, however it ends. */
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
  readonly hold?: Hold;
}

interface Waiter {
  readonly turn: Turn;
  readonly start: (leave: (overloaded: boolean) => void) => void;
  readonly reject: (reason: unknown) => void;
}

/** After so many good statements a limit that was halved goes up by one. */
const goodToRecover = 8;

/** Statements at once on one side: halved when it has too much to do, and slowly raised again. */
class Limit {
  now: number;
  running = 0;
  #good = 0;
  #halvings = 0;

  constructor(readonly most: number) {
    this.now = most;
  }

  /** Counts a statement in; gives what to call at its end. Of those that ran together only one can halve the limit. */
  enter(): (overloaded: boolean) => void {
    const before = this.#halvings;
    this.running++;
    return (overloaded) => {
      this.running--;
      if (!overloaded) {
        if (this.now < this.most && ++this.#good % goodToRecover === 0) this.now++;
      } else if (before === this.#halvings) {
        this.now = Math.max(1, this.now >> 1);
        this.#halvings++;
      }
    };
  }
}

/** Lets statements through, the most urgent first. */
export class Schedule {
  readonly #limits: Record<Role, Limit>;
  readonly #waiting = new Set<Waiter>();
  readonly #running = new Set<Turn>();
  readonly #holds = new Map<Hold, string>();
  #stopped: { reason: unknown } | undefined;
  #paused = false;

  constructor(private readonly options: ScheduleOptions) {
    this.#limits = { source: new Limit(options.jobs), target: new Limit(options.jobs) };
  }

  /** Runs `action` when its turn comes. */
  async turn<T>(turn: Turn, action: () => Promise<T>): Promise<T> {
    const leave = await new Promise<(overloaded: boolean) => void>((start, reject) => {
      if (this.#stopped) return reject(this.#stopped.reason);
      this.#waiting.add({ turn, start, reject });
      this.#pump();
    });
    let overloaded = false;
    try {
      return await action();
    } catch (error) {
      overloaded = this.options.overloaded(error);
      throw error;
    } finally {
      this.#running.delete(turn);
      leave(overloaded);
      this.#pump();
    }
  }

  /**
   * Runs what exports one window and imports it. What it holds of the stage is known for as long as it runs and no longer.
   * @param action sets the hold's bytes before its export's turn and after it
   */
  async staged<T>(action: (hold: Hold) => Promise<T>): Promise<T> {
    const hold = { bytes: 0 };
    try {
      return await action(hold);
    } finally {
      this.#holds.delete(hold);
      this.#pump();
    }
  }

  /** Lets nothing through any more: whoever waits gets `reason`, what runs goes on. */
  stop(reason: unknown): void {
    this.#stopped = { reason };
    for (const waiter of this.#waiting) waiter.reject(reason);
    this.#waiting.clear();
  }

  /** Lets nothing through for a while; what runs goes on. */
  pause(paused: boolean): void {
    this.#paused = paused;
    this.#pump();
  }

  #pump(): void {
    while (!this.#paused && this.#limits.source.running + this.#limits.target.running < this.options.jobs) {
      const next = this.#best();
      if (!next) return;
      const { role, hold, database } = next.turn;
      this.#waiting.delete(next);
      this.#running.add(next.turn);
      if (hold) this.#holds.set(hold, database);
      next.start(this.#limits[role].enter());
    }
  }

  #best(): Waiter | undefined {
    const lanes = this.#lanes();
    let best: { waiter: Waiter; rank: number[] } | undefined;
    for (const waiter of this.#waiting) {
      if (!this.#fits(waiter.turn)) continue;
      const rank = this.#rank(waiter.turn, lanes.get(waiter.turn.database) ?? 0);
      if (!best || isBefore(rank, best.rank)) best = { waiter, rank };
    }
    return best?.waiter;
  }

  /** How many windows of a database are staged, on their way out or in. */
  #lanes(): Map<string, number> {
    const lanes = new Map<string, number>();
    for (const database of this.#holds.values()) lanes.set(database, (lanes.get(database) ?? 0) + 1);
    return lanes;
  }

  #fits({ role, step, database, hold }: Turn): boolean {
    const limit = this.#limits[role];
    if (limit.running >= limit.now) return false;
    if (step === "import") {
      return ![...this.#running].some((r) => r.step === "import" && r.database === database);
    }
    if (!hold) return true;
    let staged = 0;
    for (const { bytes } of this.#holds.keys()) staged += bytes;
    return staged === 0 || staged + hold.bytes <= this.options.aheadBytes;
  }

  /** Smaller goes first: what keeps the imports going, of the longest database first; what ends a table; then exports ahead. */
  #rank({ step, database }: Turn, lane: number): number[] {
    if (step === "verify") return [1];
    if (step === "export" && lane >= 2) return [2, lane];
    return [0, -this.options.left(database), { import: 0, export: 1, profile: 2 }[step]];
  }
}

function isBefore(a: number[], b: number[]): boolean {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference) return difference < 0;
  }
  return false;
}
