/** Puts a dump into a cluster's meta store so that it cannot harm it, and proves that it arrived. */
import type { Say } from "../cli/cli.ts";
import { someOf } from "../dump/compare.ts";
import { type Block, DumpReader, DumpWriter, linesOf } from "../dump/dump.ts";
import { Difference, Failure, Interrupted } from "../cli/errors.ts";
import type { Endpoint } from "../cnosdb/http.ts";
import { atomicFile, chunksOf } from "../cli/io.ts";
import type { Key } from "../dump/key.ts";
import { LeaderWriter } from "./leader.ts";
import { firstPauseMs, MetaClient } from "../cnosdb/meta.ts";
import { MetaGroup, passwordHash } from "../cnosdb/meta_group.ts";
import { canonical } from "../dump/json.ts";
import { describePlan, type Item, makePlan, readItems } from "./plan.ts";
import { atOnce } from "../cli/pool.ts";
import { Problems } from "../cli/problems.ts";
import { describeProgress, describeSeconds } from "../cli/progress.ts";
import { keysBehind, readBack } from "./readback.ts";
import { SqlClient } from "../cnosdb/sql.ts";
import { allEntries, lookAt, type Snapshot, type Target } from "./target.ts";
import { type Format, targetFormat } from "../versions/versions.ts";

export interface RestoreOptions {
  /** META_URLs of the target */
  urls: readonly string[];
  /** a data node of the target */
  sql?: Endpoint | undefined;
  /** PEM of a certificate authority */
  ca?: string | undefined;
  /** the file that keeps what the target holds before the first write */
  backup?: string | undefined;
  force?: boolean;
  unmarked?: boolean;
  dryRun?: boolean;
  jobs: number;
  batchBytes: number;
  /** how long to go on trying while nothing gets through */
  timeoutMs: number;
  /** the first pause before a repeat */
  pauseMs: number;
  signal: AbortSignal;
  say: Say;
  /** shows how far it is until the function that it gives is called */
  progress?: (line: () => string) => () => void;
}

export const defaults = { jobs: 16, batchBytes: 64 << 10, timeoutMs: 120_000, pauseMs: firstPauseMs };

/** Parents before children: a wave is posted when the one before it is written. */
const waves: readonly Key["kind"][][] = [["user", "tenant"], ["role", "limiter", "database"], [
  "member",
  "table",
]];

/**
 * Restores a dump.
 * @returns the dump's entries, to be passed on; undefined under `dryRun`
 * @throws {Failure} where anything speaks against it (nothing is written then), or where writing fails
 * @throws {Difference} where all is written and reads back differently
 */
export async function restore(
  input: AsyncIterable<Uint8Array>,
  options: RestoreOptions,
): Promise<Block[] | undefined> {
  const { force = false, unmarked = false, say } = options;
  const problems = new Problems();
  const blocks = await readDump(input, "stdin", unmarked);
  const items = readItems(blocks, problems);
  const { meta, sql, target } = await connect(options, force, problems);
  const group = groupOf(meta, target, items);
  const { cluster } = target;
  const waitMs = followerMs(options);
  const behind = await keysBehind({ group, cluster, items, waitMs, signal: options.signal }, target.node);
  const plan = makePlan(items, target, force, problems, behind);
  const { backup } = options;
  const backedUp = backup !== undefined && await exists(backup);
  if (backedUp && !await isBackupOf(target, backup)) {
    problems.add(
      `--backup ${backup}: the file is there already, and is no backup of this target`,
      "name another file.",
    );
  }
  if (options.dryRun) describePlan(plan, target).forEach(say);
  problems.throwIfAny();
  if (options.dryRun) {
    const { text, leads } = await group.describe();
    if (leads === false) say(`warning: nothing could be written now, as no meta node leads: ${text}`);
    return undefined;
  }
  if (plan.overwritten.length || plan.behind.length) describePlan(plan, target).forEach(say);
  const toWrite = [...plan.fresh, ...plan.overwritten, ...plan.behind];
  if (backedUp) say(`--backup ${backup}: kept as it is, with the state before an earlier run`);
  else if (backup !== undefined && toWrite.length) await backUp(target, backup);
  await write(group, toWrite, options);
  await check(group, sql, items, target, options);
  const again = plan.behind.length ? `${plan.behind.length} written again, ` : "";
  say(
    `restored into cluster ${cluster}: ${plan.fresh.length} new, ${plan.overwritten.length} overwritten, ${again}` +
      `${plan.equal.length} were equal already`,
  );
  return blocks;
}

/** @throws {Failure} where the dump is not whole, or nothing says that it is */
export async function readDump(
  input: AsyncIterable<Uint8Array>,
  name: string,
  unmarked: boolean,
): Promise<Block[]> {
  const reader = new DumpReader(name);
  const blocks = await Array.fromAsync(reader.blocks(input));
  if (!reader.marked && !unmarked) {
    throw new Failure(
      `${name}: the end mark is missing, so the dump may be cut: nothing was written`,
      "dump_meta and filter_meta write one as their last line; --unmarked takes a dump without.",
    );
  }
  return blocks;
}

/** Asks the target all that has to be known before a plan is made. */
export async function connect(
  options: RestoreOptions,
  force: boolean,
  problems: Problems,
): Promise<{ meta: MetaClient; sql: SqlClient | undefined; target: Target }> {
  const meta = new MetaClient(options.urls, options);
  const sql = options.sql && new SqlClient(options.sql, options.signal, options.ca);
  let ping: Format | undefined;
  if (sql) {
    const version = await sql.version();
    ping = version.startsWith("2.3.") ? "2.3" : targetFormat(version);
  }
  const target = await lookAt(meta, { ping, force, problems });
  return { meta, sql, target };
}

/** The nodes to write `items` to: root's password is the one that the target has, or that of the items once they are written. */
export function groupOf(
  meta: MetaClient,
  { cluster, identity, node }: Target,
  items: readonly Item[],
): MetaGroup {
  const root = items.find(({ key }) => key === `/${cluster}/users/root`);
  const own = root ? [passwordHash(root.value)] : [];
  return new MetaGroup(meta, { ...identity, rootHashes: new Set([...identity.rootHashes, ...own]) }, node);
}

/** Whether a file is a whole dump of this very cluster: one that an earlier run made before it wrote anything. */
async function isBackupOf({ cluster, identity }: Target, path: string): Promise<boolean> {
  try {
    using file = await Deno.open(path);
    const nodes = new Set<string>();
    for (const { key, value } of allEntries(await readDump(chunksOf(file), path, false))) {
      if (key.startsWith(`/${cluster}/data_nodes/`)) nodes.add(canonical(value));
    }
    return nodes.size > 0 && nodes.symmetricDifference(identity.dataNodes).size === 0;
  } catch {
    return false; // no dump, or not a whole one
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function backUp({ blocks }: Snapshot, path: string): Promise<void> {
  const file = await atomicFile(path);
  const writer = new DumpWriter(file.write);
  for (const block of blocks) await writer.write(block.bytes, linesOf(block));
  await writer.end();
  await file.commit();
}

/** Posts entries, wave by wave. SIGINT lets the batches in flight finish. */
export async function write(group: MetaGroup, items: Item[], options: RestoreOptions): Promise<void> {
  const { jobs, signal, progress } = options;
  const writer = new LeaderWriter(group, options.timeoutMs);
  let done = 0;
  const startMs = Date.now();
  const stop = progress?.(() => {
    const { stalledMs } = writer;
    if (stalledMs === undefined) return describeProgress(done, items.length, "entries", startMs);
    const [waited, most] = [stalledMs, options.timeoutMs].map((ms) => describeSeconds(ms / 1000));
    return `${done} of ${items.length} entries; nothing gets through for ${waited}, trying on for ${most} in all`;
  });
  try {
    for (const kinds of waves) {
      const wave = items.filter(({ object }) => kinds.includes(object.kind));
      await atOnce(jobs, batches(wave, options), async (batch) => {
        signal.throwIfAborted();
        await writer.post(batch.map(({ key, value }) => `${key}: ${value}\n`).join(""), batch.length);
        done += batch.length;
      });
    }
  } catch (error) {
    const written = `${done} of ${items.length} entries are written`;
    const again = "run the same command again: it sends only what is missing.";
    if (signal.aborted) {
      throw new Interrupted(`interrupted, ${written}`, again);
    }
    if (!(error instanceof Failure)) throw error;
    throw new Failure(
      `${error.message} (${written})`,
      error.hint ?? again,
      { cause: error },
    );
  } finally {
    stop?.();
  }
}

/** Cuts entries into posts: by bytes, and small enough that all jobs have something to do until the end. */
function* batches(items: Item[], { jobs, batchBytes }: RestoreOptions): Generator<Item[]> {
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

/** How long a follower may take to hold what its leader holds. */
function followerMs({ timeoutMs }: RestoreOptions): number {
  return Math.min(timeoutMs, 30_000);
}

/** Reads back. @throws {Difference} where the target is not as it should be */
export async function check(
  group: MetaGroup,
  sql: SqlClient | undefined,
  items: Item[],
  { cluster, formats: [format] }: Target,
  options: RestoreOptions,
): Promise<void> {
  if (!format) return;
  const { signal, pauseMs, say } = options;
  const { findings, lists, missing } = await readBack({
    ...{ group, sql, cluster, format, items, signal, pauseMs },
    waitMs: followerMs(options),
  });
  if (missing.length) {
    say(
      `warning: meta node(s) that cannot be reached or lag behind, so what they hold is not read back: ${
        missing.join(", ")
      }; the same command again reads them, once they are there, and writes what they lack`,
    );
  }
  if (findings.length) {
    throw new Difference(
      `all is written, but ${findings.length} thing(s) do not read back as they should:\n  ${
        someOf(findings, 20, "\n  ")
      }`,
      "run the same command again: it writes what is missing on any meta node. Do not restart the target before this is mended; nothing " +
        "is passed on to copy_tables.",
    );
  }
  say(
    `read back: ${items.length} values and ${lists} lists of /read${
      sql ? ", and SQL," : ""
    } are as they should be`,
  );
}
