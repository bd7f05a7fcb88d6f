/** Writes entries to a meta service: parents before children, in batches, through whichever node leads by then. */
import { Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { atOnce } from "../cli/pool.ts";
import { describeProgress, describeSeconds } from "../cli/progress.ts";
import { type Endpoint, pause } from "../cnosdb/http.ts";
import { isTransient, type MetaClient } from "../cnosdb/meta.ts";
import { findLeader } from "../cnosdb/meta_nodes.ts";
import type { Key } from "../dump/key.ts";
import type { Item } from "./plan.ts";

/** How to write. */
export interface WriteOptions {
  /** posts at once: on three nodes 131 entries a second by 1, 516 by 16 (2.4.2.1) */
  jobs: number;
  /** milliseconds to go on trying while nothing gets through */
  timeoutMs: number;
  signal: AbortSignal;
  /** shows how far it is until the function that it returns is called */
  progress?: (line: () => string) => () => void;
}

/** A wave is posted when the one before it is written. */
const waves: readonly Key["kind"][][] = [
  ["user", "tenant"],
  ["role", "limiter", "database"],
  ["member", "table"],
];
const batchBytes = 64 << 10;
const longestPauseMs = 8_000;

/**
 * Writes items. SIGINT lets the batches in flight finish.
 * @throws {Failure} where a batch is not taken, saying how many entries are written
 */
export async function write(meta: MetaClient, items: readonly Item[], options: WriteOptions): Promise<void> {
  const { jobs, signal, progress } = options;
  const leader = new LeaderWriter(meta, options.timeoutMs);
  const startMs = Date.now();
  let done = 0;
  const stop = progress?.(() => {
    const { stalledMs } = leader;
    if (stalledMs === undefined) return describeProgress(done, items.length, "entries", startMs);
    const [waited, most] = [stalledMs, options.timeoutMs].map((ms) => describeSeconds(ms / 1000));
    return `${done} of ${items.length} entries; nothing gets through for ${waited}, giving up after ${most}`;
  });
  try {
    for (const kinds of waves) {
      await atOnce(
        jobs,
        batches(items.filter(({ object }) => kinds.includes(object.kind)), jobs),
        async (batch) => {
          signal.throwIfAborted();
          await leader.post(batch.map(({ key, value }) => `${key}: ${value}\n`).join(""), batch.length);
          done += batch.length;
        },
      );
    }
  } catch (error) {
    const written = `${done} of ${items.length} entries are written`;
    const again = "run the same command again: it sends only what is missing.";
    if (signal.aborted) throw new Interrupted(`interrupted, ${written}`, again);
    if (!(error instanceof Failure)) throw error;
    throw new Failure(`${error.message} (${written})`, error.hint ?? again, { cause: error });
  } finally {
    stop?.();
  }
}

/** Cuts entries into posts: by bytes, and small enough that all jobs have something to do until the end. */
function* batches(items: readonly Item[], jobs: number): Generator<Item[]> {
  const most = Math.ceil(items.length / (jobs * 4));
  let batch: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const itemBytes = item.key.length + item.value.length + 3;
    if (batch.length && (batch.length === most || bytes + itemBytes > batchBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += itemBytes;
  }
  if (batch.length) yield batch;
}

/** Posts to the leader, which may change at any time: a follower answers 200 and writes nothing. */
class LeaderWriter {
  #leader: Promise<Endpoint> | undefined;
  #lastWriteMs = Date.now();
  #stalls = false;

  constructor(readonly meta: MetaClient, readonly timeoutMs: number) {}

  /** For how many milliseconds nothing has got through; undefined while all is well. */
  get stalledMs(): number | undefined {
    return this.#stalls ? Date.now() - this.#lastWriteMs : undefined;
  }

  /**
   * Posts a batch, again and again until nothing at all has got through for `timeoutMs`: a key gets the same value each time.
   * @throws {Failure} where a repeat cannot help, or none did
   */
  async post(lines: string, count: number): Promise<void> {
    const { signal, pauseMs } = this.meta.options;
    const postMs = Math.min(this.timeoutMs, 30_000 + 200 * count);
    const startMs = Date.now();
    for (let waitMs = pauseMs;; waitMs = Math.min(waitMs * 2, longestPauseMs)) {
      const leader = this.#leader ??= findLeader(this.meta);
      try {
        await this.meta.restore(await leader, lines, count, postMs);
        this.#lastWriteMs = Date.now();
        this.#stalls = false;
        return;
      } catch (error) {
        if (!isTransient(error)) throw error;
        if (this.#leader === leader) this.#leader = undefined;
        if (Date.now() - Math.max(startMs, this.#lastWriteMs) > this.timeoutMs) {
          throw new Failure(
            `nothing could be written for ${this.timeoutMs / 1000} s: ${messageOf(error)}`,
            error instanceof Failure ? error.hint : undefined,
          );
        }
        this.#stalls = true;
      }
      await pause(waitMs, signal);
    }
  }
}
