/**
 * The files of the served stage: in a directory of this run alone (mode 0700) that is gone when the run is. What a killed run
 * left is its user's alone to read, and removed by the next run: files unlinked while open would take more descriptors than there are.
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { Failure, messageOf } from "../cli/errors.ts";
import { Refusal } from "./signature.ts";

/** A whole file, checked against its sha256 (in hex). */
export interface StagedFile {
  /** ends in a number, so that no key of a client ever becomes a path */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly modified: Date;
}

const prefix = "cnosdb-stage-";

/** Whether a key is names of `[A-Za-z0-9_.-]` and slashes, none of them `.`, `..` or empty. */
export function isKey(key: string): boolean {
  return key.length <= 1024 && key.split("/").every((part) => /^(?!\.\.?$)[\w.-]{1,255}$/.test(part));
}

/** Files by key. Only whole ones are in it; what failed leaves nothing on disk. */
export class StageFiles {
  readonly #open = new Set<string>();
  readonly #files = new Map<string, StagedFile>();
  #number = 0;

  private constructor(readonly directory: string, private readonly lock: Deno.FsFile) {}

  /** @param parent instead of the directory for temporary files @throws {Failure} if nothing can be made there */
  static async make(parent?: string): Promise<StageFiles> {
    try {
      const directory = await Deno.makeTempDir({ prefix, ...(parent && { dir: parent }) });
      // Locked before it gets the name that another run looks for.
      const lock = await Deno.open(join(directory, "locking"), { write: true, createNew: true });
      await lock.lock(true);
      await Deno.rename(join(directory, "locking"), join(directory, "lock"));
      await sweep(directory).catch(() => {}); // a parent that may not be listed
      return new StageFiles(directory, lock);
    } catch (error) {
      const where = parent ?? "the directory for temporary files";
      throw new Failure(`cannot make the stage's directory in ${where}: ${messageOf(error)}`);
    }
  }

  /** Lets files into a directory, until it is removed. */
  open(directory: string): void {
    this.#open.add(directory);
  }

  get(key: string): StagedFile | undefined {
    return this.#files.get(key);
  }

  /** Keys that start with `prefix` and their files, in the order of their keys. */
  within(prefix: string): [key: string, file: StagedFile][] {
    return [...this.#files].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => a < b ? -1 : 1);
  }

  /**
   * Takes a file, in place of the one that had its key: object_store repeats a PUT whose answer it did not get.
   * @throws {Refusal} if it is not what was announced, or has no room or no open directory
   */
  async put(key: string, sha256: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    this.#mustBeOpen(key);
    const path = join(this.directory, `${++this.#number}`);
    try {
      const [bytes, received] = await this.#write(path, pieces);
      if (received !== sha256) {
        throw new Refusal(
          400,
          "XAmzContentSHA256Mismatch",
          `${key} is not what was sent: its sha256 differs`,
        );
      }
      this.#mustBeOpen(key); // the export may have been given up meanwhile
      const before = this.#files.get(key);
      this.#files.set(key, { path, bytes, sha256, modified: new Date() });
      if (before) await remove(before.path);
    } catch (error) {
      await remove(path);
      throw error;
    }
  }

  /** Closes a directory and deletes its files. */
  async remove(directory: string): Promise<void> {
    this.#open.delete(directory);
    for (const [key, { path }] of this.within(`${directory}/`)) {
      this.#files.delete(key);
      await remove(path);
    }
  }

  /** Deletes all. */
  async close(): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
    this.lock.close();
  }

  async #write(path: string, pieces: AsyncIterable<Uint8Array>): Promise<[bytes: number, sha256: string]> {
    const hash = createHash("sha256");
    let bytes = 0;
    try {
      using file = await Deno.open(path, { write: true, create: true, mode: 0o600 });
      for await (const piece of pieces) {
        hash.update(piece);
        bytes += piece.length;
        for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
      }
    } catch (error) {
      if (error instanceof Refusal) throw error;
      // 5xx and not 4xx: object_store repeats those ten times within seconds, and the cluster's own error shows the status.
      const { code } = error as { code?: string };
      const told = `cannot write in ${this.directory}: `;
      if (code === "ENOSPC" || code === "EDQUOT") {
        throw new Refusal(507, "InsufficientStorage", `${told}the disk is full`);
      }
      throw new Refusal(503, "SlowDown", told + messageOf(error));
    }
    return [bytes, hash.digest("hex")];
  }

  #mustBeOpen(key: string): void {
    const [directory = "", file] = key.split("/");
    if (file !== undefined && this.#open.has(directory)) return;
    throw new Refusal(403, "AccessDenied", `${dirname(key)} belongs to no running export`);
  }
}

const remove = (path: string) => Deno.remove(path).catch(() => {}); // where it could not even be created

/** Removes the directories of this user's killed runs: they lie beside ours, unlocked. */
async function sweep(ours: string): Promise<void> {
  const { uid } = await Deno.stat(ours);
  for await (const { name, isDirectory } of Deno.readDir(dirname(ours))) {
    const directory = join(dirname(ours), name);
    if (!isDirectory || !name.startsWith(prefix)) continue;
    try {
      if ((await Deno.lstat(directory)).uid !== uid) continue;
      using lock = await Deno.open(join(directory, "lock"));
      if (await lock.tryLock(true)) await Deno.remove(directory, { recursive: true });
    } catch { /* being made or removed at this moment by another run */ }
  }
}
