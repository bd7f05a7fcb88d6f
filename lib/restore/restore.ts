/** Puts a dump into a cluster's meta store, checks first that it does no harm, and proves that it arrived. */
import { loadBcrypt } from "../cli/deps.ts";
import { readInput } from "../cli/files.ts";
import { displayName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { SqlClient } from "../cnosdb/sql.ts";
import { isObject, objectIn } from "../dump/json.ts";
import { type Dump, readDump, saveDump } from "../dump/text.ts";
import { describePlan, makePlan } from "./plan.ts";
import { isBackupOf, type Item, lookAt, type RestoreOptions, type Target } from "./target.ts";
import { verify } from "./verify.ts";
import { write } from "./write.ts";

/**
 * Restores a dump.
 * @returns the entries that the target now holds as the dump has them, to be passed on; undefined for `dryRun`
 * @throws {Failure} if anything forbids it (nothing is written then), or writing fails
 * @throws {Difference} if all is written and reads back differently
 */
export async function restore(dump: Dump, options: RestoreOptions): Promise<Item[] | undefined> {
  const { backup, dryRun, say } = options;
  const target = await lookAt(options, options.add || options.force);
  const { items, plan } = makePlan(dump, target, options);
  const { problems } = target;
  const toWrite = [...plan.create, ...plan.overwrite];
  const problem = target.sql && await loginProblem(target.sql, target, toWrite);
  if (problem) {
    problems.add(
      `--sql as ${displayName(options.sql?.user ?? "root")}: ${problem}`,
      "give a user and a password that hold after the restore, or leave out --sql.",
    );
  }
  const kept = backup !== undefined && await keepsBackup(backup, target, options.signal);
  const described = describePlan(plan, target);
  if (dryRun) described.forEach(say);
  problems.throwIfAny();
  if (dryRun) {
    say("--dry-run: nothing was written");
    return undefined;
  }
  if (plan.overwrite.length || plan.left.length) described.forEach(say);
  if (kept) say(`--backup ${backup}: kept as it is, with the state before an earlier run`);
  else if (backup !== undefined && toWrite.length) await saveDump(target.entries, backup);
  await write(target.meta, toWrite, options);
  const left = new Set(plan.left);
  const restored = items.filter((item) => !left.has(item));
  await verify(target, restored, options);
  const { create, overwrite, unchanged } = plan;
  say(
    `restored into cluster ${target.cluster}: ${create.length} created, ${overwrite.length} overwritten, ` +
      `${unchanged.length} unchanged${left.size ? `, ${left.size} left as they were` : ""}`,
  );
  return restored;
}

/**
 * Why the user of `--sql` could not log in after a restore, or could not see everything. Checks the password
 * against the hash that the target will hold then, so that this is known before anything is written.
 * @param items what will be written
 */
async function loginProblem(
  { endpoint: { url, user = "root", password = "" }, signal, ca }: SqlClient,
  { meta, cluster, format, items: held }: Target,
  items: readonly Item[],
): Promise<string | undefined> {
  const key = `/${cluster}/users/${user}`;
  const written = items.find((item) => item.key === key);
  const { json } = written ?? held.get(key) ?? {};
  if (!isObject(json)) return "neither the target nor the dump has that user";
  const options = objectIn(json, "options");
  if (!json.is_admin && !json.is_root_admin && !options.granted_admin) {
    return "is no administrator, so it cannot list all tenants";
  }
  // Without authentication any password is accepted, even a random one.
  const nobody = new SqlClient({ url, password: crypto.randomUUID() }, signal, ca);
  const ask = () => nobody.query("SELECT 1", { tenant: "cnosdb", timeoutMs: 30_000 });
  const open = await meta.retry(ask).catch((error) => {
    if (meaningOf(error) !== "cluster") throw error;
  });
  if (open) return undefined;
  const { compare } = await loadBcrypt();
  if (!await compare(password, String(options.hash_password ?? ""))) {
    return `the password is not the one that it will have${written ? ", the dump's" : ""}`;
  }
  // 2.4.0 ignores it.
  if (!options.must_change_password || format === "2.4.0") return undefined;
  return "must change its password before it may do anything else";
}

/** Whether an earlier run has written the backup. A file of another content is a problem. */
async function keepsBackup(path: string, target: Target, signal: AbortSignal): Promise<boolean> {
  if (!await Deno.stat(path).then(() => true, () => false)) return false;
  const dump = await readDump(readInput(path, signal), path).catch(() => undefined);
  if (dump && isBackupOf(dump, target)) return true;
  target.problems.add(
    `--backup ${path}: the file is there already, and is no backup of this target`,
    "name another file.",
  );
  return false;
}
