/** Writes entries to a meta service: parents before children, in batches, through whichever node leads by then. */
import { Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { atOnce } from "../cli/deps.ts";
import { describeProgress } from "../cli/say.ts";
import { describeSeconds } from "../cli/text.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { pause } from "../cnosdb/http.ts";
import { isTransient, type MetaClient } from "../cnosdb/meta.ts";
import { findLeader } from "../cnosdb/meta_nodes.ts";
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
const waves = [["user", "tenant"], ["role", "limiter", "database"], ["member", "table"]];
/** entries a post: a wide table has some 100 kB */
const mostInBatch = 64;
const longestPauseMs = 8_000;

/**
 * Writes items. SIGINT lets the batches in flight finish.
 * @throws {Failure} where a batch is not taken, saying how many entries are written
 */
export async function write(meta: MetaClient, items: readonly Item[], options: WriteOptions): Promise<void> {
  const { jobs, signal, progress, timeoutMs } = options;
  const writer = new LeaderWriter(meta, timeoutMs);
  const startMs = Date.now();
  let done = 0;
  const stop = progress?.(() => {
    const { stalledMs } = writer;
    if (stalledMs === undefined) return describeProgress(done, items.length, "entries", startMs);
    const [waited, most] = [stalledMs, timeoutMs].map((ms) => describeSeconds(ms / 1000));
    return `${done} of ${items.length} entries; nothing gets through for ${waited}, giving up after ${most}`;
  });
  try {
    for (const kinds of waves) {
      const wave = items.filter(({ object }) => kinds.includes(object.kind));
      // Small enough that all jobs have something to do until the end.
      const size = Math.min(mostInBatch, Math.ceil(wave.length / (jobs * 4)));
      const starts = Array.from({ length: Math.ceil(wave.length / size) || 0 }, (_, i) => i * size);
      await atOnce(jobs, starts, async (start) => {
        signal.throwIfAborted();
        const batch = wave.slice(start, start + size);
        await writer.post(batch.map(({ key, value }) => `${key}: ${value}\n`).join(""), batch.length);
        done += batch.length;
      });
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
    const { meta, timeoutMs } = this;
    const startMs = Date.now();
    for (let waitMs = meta.options.pauseMs;; waitMs = Math.min(waitMs * 2, longestPauseMs)) {
      const leader = this.#leader ??= findLeader(meta);
      try {
        await meta.restore(await leader, lines, count, Math.min(timeoutMs, 30_000 + 200 * count));
        this.#lastWriteMs = Date.now();
        this.#stalls = false;
        return;
      } catch (error) {
        if (!isTransient(error)) throw error;
        if (this.#leader === leader) this.#leader = undefined;
        if (Date.now() - Math.max(startMs, this.#lastWriteMs) > timeoutMs) {
          const text = `nothing could be written for ${timeoutMs / 1000} s: ${messageOf(error)}`;
          throw new Failure(text, error instanceof Failure ? error.hint : undefined);
        }
        this.#stalls = true;
      }
      await pause(waitMs, meta.options.signal);
    }
  }
}
