/**
 * The directory of the served stage's files: of this run alone (mode 0700), gone when the run is. What a
 * killed run left is its user's alone to read, and removed by the next run: files unlinked while open would
 * take more descriptors than there are.
 */
import { dirname, join } from "node:path";
import { Failure, messageOf } from "../cli/errors.ts";

const prefix = "cnosdb-stage-";

/** @param parent instead of the directory for temporary files @throws {Failure} if nothing can be made there */
export async function makeDirectory(parent?: string): Promise<{ path: string; remove(): Promise<void> }> {
  try {
    const path = await Deno.makeTempDir({ prefix, ...(parent && { dir: parent }) });
    // Locked before it gets the name that another run looks for.
    const lock = await Deno.open(join(path, "locking"), { write: true, createNew: true });
    await lock.lock(true);
    await Deno.rename(join(path, "locking"), join(path, "lock"));
    await sweep(path).catch(() => {}); // a parent that may not be listed
    const remove = () => Deno.remove(path, { recursive: true }).finally(() => lock.close());
    return { path, remove };
  } catch (error) {
    const where = parent ?? "the directory for temporary files";
    throw new Failure(`cannot make the stage's directory in ${where}: ${messageOf(error)}`);
  }
}

/** Removes the directories of this user's killed runs: they lie beside ours, unlocked. */
async function sweep(ours: string): Promise<void> {
  const { uid } = await Deno.stat(ours);
  for await (const { name, isDirectory } of Deno.readDir(dirname(ours))) {
    const path = join(dirname(ours), name);
    if (!isDirectory || !name.startsWith(prefix)) continue;
    try {
      if ((await Deno.lstat(path)).uid !== uid) continue;
      using lock = await Deno.open(join(path, "lock"));
      if (await lock.tryLock(true)) await Deno.remove(path, { recursive: true });
    } catch { /* being made or removed at this moment by another run */ }
  }
}
