/**
 * The directory of the served stage's files: one for each run (mode 0700), deleted when the run ends. What a
 * killed run left can be read only by its user, and the next run deletes it. (Files that are unlinked while
 * open would leave nothing, but take more descriptors than a process has.)
 */
import { dirname, join } from "node:path";
import { Failure, messageOf } from "../cli/errors.ts";

const prefix = "cnosdb-stage-";

/** @param parent instead of the directory for temporary files @throws {Failure} if nothing can be made there */
export async function makeDirectory(parent?: string): Promise<{ path: string; remove(): Promise<void> }> {
  try {
    const path = await Deno.makeTempDir(parent === undefined ? { prefix } : { prefix, dir: parent });
    // Locked before it has the name that other runs look for.
    const lock = await Deno.open(join(path, "locking"), { write: true, createNew: true });
    await lock.lock(true);
    await Deno.rename(join(path, "locking"), join(path, "lock"));
    await removeAbandoned(path).catch(() => {}); // a parent that may not be listed
    const remove = () => Deno.remove(path, { recursive: true }).finally(() => lock.close());
    return { path, remove };
  } catch (error) {
    const where = parent ?? "the directory for temporary files";
    throw new Failure(`cannot make the stage's directory in ${where}: ${messageOf(error)}`);
  }
}

/** Deletes the directories that killed runs of this user left beside ours: nobody has locked them. */
async function removeAbandoned(ours: string): Promise<void> {
  const parent = dirname(ours);
  const { uid } = await Deno.stat(ours);
  for await (const { name, isDirectory } of Deno.readDir(parent)) {
    if (!isDirectory || !name.startsWith(prefix)) continue;
    const path = join(parent, name);
    try {
      if ((await Deno.lstat(path)).uid !== uid) continue;
      using lock = await Deno.open(join(path, "lock"));
      if (await lock.tryLock(true)) await Deno.remove(path, { recursive: true });
    } catch { /* another run is making or deleting it */ }
  }
}
