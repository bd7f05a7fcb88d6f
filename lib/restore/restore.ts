/** Puts a dump into a cluster's meta store so that it cannot harm it, proves that it arrived, and takes it back. */
import type { Say } from "../cli/say.ts";
import { Difference, Failure, messageOf } from "../cli/errors.ts";
import { readInput } from "../cli/files.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { firstPauseMs, MetaClient } from "../cnosdb/meta.ts";
import { displayName } from "../cnosdb/names.ts";
import { SqlClient } from "../cnosdb/sql.ts";
import { someOf } from "../cli/text.ts";
import { type Dump, readDump, saveDump } from "../dump/text.ts";
import { targetFormat } from "../versions/versions.ts";
import { describePlan, type Item, lookAt, makePlan, Problems, readDumpItems, type Target } from "./plan.ts";
import { isBackupOf, planUndo } from "./undo.ts";
import { compareStores, type Expected, listBySql, loginProblem, readLists } from "./verify.ts";
import { write, type WriteOptions } from "./write.ts";

/** What to restore into, and how. */
export interface RestoreOptions extends WriteOptions {
  /** META_URLs of the target */
  urls: readonly string[];
  /** a data node of the target */
  sql?: Endpoint | undefined;
  /** PEM of a certificate authority */
  ca?: string | undefined;
  /** the file that keeps what the target holds before the first write */
  backup?: string | undefined;
  /** restore only what is not there yet */
  add?: boolean;
  /** overwrite what differs */
  force?: boolean;
  dryRun?: boolean;
  /** milliseconds before the first repeat */
  pauseMs: number;
  say: Say;
}

export const defaults = { jobs: 16, timeoutMs: 120_000, pauseMs: firstPauseMs };

/**
 * Restores a dump.
 * @returns the entries that the target holds now as the dump has them, to be passed on; undefined under `dryRun`
 * @throws {Failure} where anything speaks against it (nothing is written then), or where writing fails
 * @throws {Difference} where all is written and reads back differently
 */
export async function restore(dump: Dump, options: RestoreOptions): Promise<Item[] | undefined> {
  const { backup, say } = options;
  const problems = new Problems();
  const items = readDumpItems(dump, problems);
  const { meta, sql, target } = await connect(options, options.add || options.force || false, problems);
  const plan = makePlan(items, target, options, problems);
  const toWrite = [...plan.create, ...plan.overwrite];
  if (options.sql) {
    const written = new Map(toWrite.map((item) => [item.key, item]));
    const problem = await loginProblem(options.sql, target, written, options);
    if (problem) {
      problems.add(
        `--sql as ${displayName(options.sql.user ?? "root")}: ${problem}`,
        "give a user and a password that hold after the restore, or leave out --sql.",
      );
    }
  }
  const kept = backup !== undefined && await keepsBackup(backup, target, problems);
  const described = describePlan(plan, target);
  if (options.dryRun) described.forEach(say);
  problems.throwIfAny();
  if (options.dryRun) {
    say("--dry-run: nothing was written");
    return undefined;
  }
  if (plan.overwrite.length || plan.left.length) described.forEach(say);
  if (kept) say(`--backup ${backup}: kept as it is, with the state before an earlier run`);
  else if (backup !== undefined && toWrite.length) await saveDump(target.dump.entries, backup);
  await write(meta, toWrite, options);
  const left = new Set(plan.left);
  const restored = items.filter((item) => !left.has(item));
  await verify(meta, sql, target, restored, options);
  const counts = [
    `${plan.create.length} created, ${plan.overwrite.length} overwritten, ${plan.unchanged.length} unchanged`,
    ...left.size ? [`${left.size} left as they were`] : [],
  ];
  say(`restored into cluster ${target.cluster}: ${counts.join(", ")}`);
  return restored;
}

/**
 * Gives what a restore overwrote its former value, and tells what removes the rest.
 * @param yes whether to write; else the plan is shown
 * @returns SQL, a statement or a comment a line
 */
export async function undo(backup: Dump, yes: boolean, options: RestoreOptions): Promise<string[]> {
  const { say } = options;
  const problems = new Problems();
  const { meta, sql, target } = await connect(options, true, problems);
  const { changed, gone, sql: removal } = planUndo(backup, target, problems);
  problems.throwIfAny();
  for (const label of gone) say(`gone since the backup, not brought back: ${label}`);
  if (!yes) {
    for (const { label } of changed) say(`would get back its former value: ${label}`);
    say("nothing was written: --undo writes with --yes");
    return removal;
  }
  await write(meta, changed, options);
  await verify(meta, sql, target, changed, options);
  for (const { label } of changed) say(`has its former value again: ${label}`);
  return removal;
}

/** Asks the target all that has to be known before a plan is made. */
async function connect(
  options: RestoreOptions,
  force: boolean,
  problems: Problems,
): Promise<{ meta: MetaClient; sql: SqlClient | undefined; target: Target }> {
  const meta = new MetaClient(options.urls, options);
  const sql = options.sql && new SqlClient(options.sql, options.signal, options.ca);
  const version = await sql?.version();
  const ping = version === undefined ? undefined : version.startsWith("2.3.") ? "2.3" : targetFormat(version);
  return { meta, sql, target: await lookAt(meta, { ping, force, problems }) };
}

/** Reads back; what is missing on a node is written again, once. @throws {Difference} where the target is not as it should be */
async function verify(
  meta: MetaClient,
  sql: SqlClient | undefined,
  { cluster, formats: [format] }: Target,
  items: Item[],
  options: RestoreOptions,
): Promise<void> {
  if (!format) return;
  const { say } = options;
  const expected: Expected = { meta, cluster, format, items, waitMs: Math.min(options.timeoutMs, 30_000) };
  let stores = await compareStores(expected);
  if (stores.wrong.size) {
    say(`written again: ${someOf([...stores.wrong.values()], 20, "\n  ")}`);
    await write(meta, [...stores.wrong.keys()], options);
    stores = await compareStores(expected);
  }
  if (stores.unread.length) {
    const again =
      "run the same command again with all of them up and given: it writes what one of them lacks";
    say(`warning: not every meta node was read back: ${stores.unread.join("; ")}; ${again}`);
  }
  const { findings, count } = await readLists(expected, stores.nodes);
  const unlisted = sql ? await listBySql(expected, sql).catch(asFinding(options.signal)) : [];
  const all = [...stores.wrong.values(), ...findings, ...unlisted];
  if (all.length) {
    const list = someOf(all, 20, "\n  ");
    throw new Difference(
      `all is written, but ${all.length} thing(s) do not read back as they should:\n  ${list}`,
      "run the same command again: it writes what is missing on any meta node. Do not restart the target before this is " +
        "mended; nothing is passed on to copy_tables.",
    );
  }
  const lists = `${count} lists of /read${sql ? ", and SQL," : ""}`;
  say(`verified: ${items.length} values and ${lists} are as they should be`);
}

/** Takes a refusal for something that was found: all is written by then. */
function asFinding(signal: AbortSignal): (error: unknown) => string[] {
  return (error) => {
    signal.throwIfAborted();
    if (error instanceof Failure) return [`SQL cannot list what was restored: ${messageOf(error)}`];
    throw error;
  };
}

/** Whether the file for the backup is there already, from an earlier run; adds to `problems` where it is anything else. */
async function keepsBackup(path: string, target: Target, problems: Problems): Promise<boolean> {
  if (!await Deno.stat(path).then(() => true, () => false)) return false;
  const dump = await readDump(readInput(path, AbortSignal.any([])), path).catch(() => undefined);
  if (dump && isBackupOf(dump, target)) return true;
  problems.add(
    `--backup ${path}: the file is there already, and is no backup of this target`,
    "name another file.",
  );
  return false;
}
