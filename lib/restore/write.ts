/** Writes entries to a meta service: parents before children, in batches, through whichever node leads. */
import { Failure, Interrupted } from "../cli/errors.ts";
import { atOnce } from "../cli/deps.ts";
import { describeProgress, showProgress } from "../cli/say.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { Transient } from "../cnosdb/http.ts";
import type { MetaClient } from "../cnosdb/meta.ts";
import { findLeader } from "../cnosdb/meta_nodes.ts";
import type { Item, RestoreOptions } from "./target.ts";

/** A wave is only posted once the one before it is written. */
const waves = [["user", "tenant"], ["role", "limiter", "database"], ["member", "table"]];
/** entries in a post: a wide table has some 100 kB */
const mostInBatch = 64;

/**
 * Writes items. SIGINT lets the batches in flight finish.
 * @throws {Failure} if a batch is not taken, saying how many entries are written
 */
export async function write(
  meta: MetaClient,
  items: readonly Item[],
  { jobs, signal, timeoutMs, say }: RestoreOptions,
): Promise<void> {
  const startMs = Date.now();
  let done = 0;
  let lastWriteMs = startMs;
  /** looked up again after each failure: the lead may change, and a follower answers 200 but writes nothing */
  let leader: Promise<Endpoint> | undefined;

  async function post(batch: readonly Item[]): Promise<void> {
    const asked = leader ??= findLeader(meta);
    try {
      await meta.restore(await asked, batch, Math.min(timeoutMs, 30_000));
    } catch (error) {
      if (leader === asked) leader = undefined;
      throw error;
    }
    done += batch.length;
    lastWriteMs = Date.now();
  }
  /** Retries until nothing has got through for `timeoutMs`, whichever batch it was. */
  const goesOn = () => Date.now() - lastWriteMs <= timeoutMs;

  const stop = showProgress(() => describeProgress(done, items.length, "entries", startMs), say);
  try {
    for (const kinds of waves) {
      const wave = items.filter(({ object }) => kinds.includes(object.kind));
      // Small enough that all jobs have something to do until the end.
      const size = Math.min(mostInBatch, Math.ceil(wave.length / (jobs * 4)));
      const batches = Map.groupBy(wave, (_, i) => Math.floor(i / size)).values();
      await atOnce(jobs, batches, async (batch) => {
        signal.throwIfAborted();
        await meta.retry(() => post(batch), goesOn);
      });
    }
  } catch (error) {
    const written = `${done} of ${items.length} entries are written`;
    const again = "run the same command again: it sends only what is missing.";
    if (signal.aborted) throw new Interrupted(`interrupted, ${written}`, again);
    if (!(error instanceof Failure)) throw error;
    const long = error instanceof Transient ? `nothing could be written for ${timeoutMs / 1000} s: ` : "";
    throw new Failure(`${long}${error.message} (${written})`, error.hint ?? again, { cause: error });
  } finally {
    stop();
  }
}
