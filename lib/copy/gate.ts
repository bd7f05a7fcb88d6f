/**
 * Which statement may run next. The new cluster takes one import into a database after another (they wait for each other there, one
 * raft group a shard, on 2.3 to 2.4.3), while imports into different databases run side by side; and an import
 * takes about five times as long as its export. So the longest database decides how long it all takes: its imports go first.
 */

/** What a table has to be let through for: prepare and export load the old cluster, import and verify the new one. */
export type Kind = "prepare" | "export" | "import" | "verify";

/** What a gate goes by. */
export interface GateOptions {
  /** statements at once in all, on the old cluster, on the new one */
  jobs: number;
  exportJobs: number;
  importJobs: number;
  /** how many bytes may lie in the stage before an export has to wait */
  aheadBytes: number;
  /** how much is left to do in a database; the most goes first */
  left: (database: string) => number;
  /** whether a failure means that its cluster has too much to do */
  overloaded: (error: unknown) => boolean;
}

interface Waiter {
  kind: Kind;
  database: string;
  /** what an export is going to stage */
  bytes: number;
  start: (leave: (overloaded: boolean) => void) => void;
  reject: (reason: unknown) => void;
}

/** After so many good statements a limit that was halved goes up by one. */
const goodToRecover = 8;

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
export class Gate {
  readonly #old: Limit;
  readonly #new: Limit;
  readonly #waiters: Waiter[] = [];
  /** databases into which an import runs, and how many tables of each are being exported, staged or imported */
  readonly #importing = new Set<string>();
  readonly #lanes = new Map<string, number>();
  #stagedBytes = 0;
  #stopped: unknown;

  constructor(private readonly options: GateOptions) {
    this.#old = new Limit(options.exportJobs);
    this.#new = new Limit(options.importJobs);
  }

  /** Runs `action` when its turn comes. @param bytes that an export is expected to stage */
  async run<T>(kind: Kind, database: string, bytes: number, action: () => Promise<T>): Promise<T> {
    const leave = await new Promise<(overloaded: boolean) => void>((start, reject) => {
      if (this.#stopped !== undefined) return reject(this.#stopped);
      this.#waiters.push({ kind, database, bytes, start, reject });
      this.#pump();
    });
    let overloaded = false;
    try {
      return await action();
    } catch (error) {
      overloaded = this.options.overloaded(error);
      throw error;
    } finally {
      leave(overloaded);
      this.#stagedBytes -= bytes;
      if (kind === "import") this.#importing.delete(database);
      if (kind === "export" || kind === "import") this.#lane(database, -1);
      this.#pump();
    }
  }

  /** Counts what really came to lie in the stage (or, negative, left it). */
  staged(bytes: number): void {
    this.#stagedBytes += bytes;
    this.#pump();
  }

  /** Lets nothing through any more: whoever waits gets `reason`, what runs goes on. */
  stop(reason: unknown): void {
    this.#stopped = reason;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
  }

  #limit(kind: Kind): Limit {
    return kind === "prepare" || kind === "export" ? this.#old : this.#new;
  }

  #lane(database: string, change: number): void {
    const tables = (this.#lanes.get(database) ?? 0) + change;
    if (tables) this.#lanes.set(database, tables);
    else this.#lanes.delete(database);
  }

  #pump(): void {
    while (this.#old.running + this.#new.running < this.options.jobs) {
      const next = this.#best();
      if (!next) return;
      this.#waiters.splice(this.#waiters.indexOf(next), 1);
      this.#stagedBytes += next.bytes;
      if (next.kind === "import") this.#importing.add(next.database);
      if (next.kind === "export" || next.kind === "import") this.#lane(next.database, 1);
      next.start(this.#limit(next.kind).enter());
    }
  }

  #best(): Waiter | undefined {
    const waiting = new Map<string, number>();
    for (const { kind, database } of this.#waiters) {
      if (kind === "import") waiting.set(database, (waiting.get(database) ?? 0) + 1);
    }
    let best: Waiter | undefined;
    let bestRank: number[] = [];
    for (const waiter of this.#waiters) {
      if (!this.#fits(waiter)) continue;
      const rank = this.#rank(waiter, waiting.get(waiter.database) ?? 0);
      if (!best || isBefore(rank, bestRank)) [best, bestRank] = [waiter, rank];
    }
    return best;
  }

  #fits({ kind, database, bytes }: Waiter): boolean {
    const limit = this.#limit(kind);
    if (limit.running >= limit.now) return false;
    if (kind === "import") return !this.#importing.has(database);
    return kind !== "export" || this.#stagedBytes === 0 ||
      this.#stagedBytes + bytes <= this.options.aheadBytes;
  }

  /** Smaller goes first: what ends a table, then what keeps the imports of the longest database going, then exports ahead. */
  #rank({ kind, database }: Waiter, importsWaiting: number): number[] {
    if (kind === "verify") return [0];
    const step = kind === "import" ? 0 : kind === "export" ? 1 : 2;
    const lane = (this.#lanes.get(database) ?? 0) + importsWaiting;
    return kind === "import" || lane < 2 ? [1, -this.options.left(database), step] : [2, lane, step];
  }
}

function isBefore(a: number[], b: number[]): boolean {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference) return difference < 0;
  }
  return false;
}
