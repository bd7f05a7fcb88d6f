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
  /** ends in a number, so that no name of a client's ever becomes a path */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly modified: Date;
}

const prefix = "cnosdb-stage-";

/** Files by directory and name. Only whole ones are in it; what failed leaves nothing on disk. */
export class StageFiles {
  /** those that take files */
  readonly #directories = new Map<string, Map<string, StagedFile>>();
  #number = 0;

  private constructor(private readonly root: string, private readonly lock: Deno.FsFile) {}

  /** @param parent instead of the directory for temporary files @throws {Failure} if nothing can be made there */
  static async make(parent?: string): Promise<StageFiles> {
    try {
      const root = await Deno.makeTempDir({ prefix, ...(parent && { dir: parent }) });
      // Locked before it gets the name that another run looks for.
      const lock = await Deno.open(join(root, "locking"), { write: true, createNew: true });
      await lock.lock(true);
      await Deno.rename(join(root, "locking"), join(root, "lock"));
      await sweep(root).catch(() => {}); // a parent that may not be listed
      return new StageFiles(root, lock);
    } catch (error) {
      const where = parent ?? "the directory for temporary files";
      throw new Failure(`cannot make the stage's directory in ${where}: ${messageOf(error)}`);
    }
  }

  /** Lets files into a directory, until it is removed. */
  open(directory: string): void {
    if (!this.#directories.has(directory)) this.#directories.set(directory, new Map());
  }

  /** A directory's files by name; none where it is not open. */
  in(directory: string): ReadonlyMap<string, StagedFile> {
    return this.#directories.get(directory) ?? new Map();
  }

  /** Bytes of a directory's files. */
  bytes(directory: string): number {
    return [...this.in(directory).values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Takes a file, in place of the one that had its name: object_store repeats a PUT whose answer it did not get.
   * @throws {Refusal} if it is not what was announced, or has no room or no open directory
   */
  async put(
    directory: string,
    name: string,
    sha256: string,
    pieces: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const files = this.#directories.get(directory);
    const path = join(this.root, `${++this.#number}`);
    const refused = new Refusal(403, "AccessDenied", `${directory} belongs to no running export`);
    if (!files) throw refused;
    try {
      const { bytes, received } = await this.#write(path, pieces);
      if (received !== sha256) {
        const told = `${directory}/${name} is not what was sent: its sha256 differs`;
        throw new Refusal(400, "XAmzContentSHA256Mismatch", told);
      }
      if (this.#directories.get(directory) !== files) throw refused; // given up meanwhile
      const before = files.get(name);
      files.set(name, { path, bytes, sha256, modified: new Date() });
      if (before) await remove(before.path);
    } catch (error) {
      await remove(path);
      throw error;
    }
  }

  /** Closes a directory and deletes its files. */
  async remove(directory: string): Promise<void> {
    const files = this.in(directory);
    this.#directories.delete(directory);
    for (const { path } of files.values()) await remove(path);
  }

  /** Deletes all. */
  async close(): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
    this.lock.close();
  }

  async #write(
    path: string,
    pieces: AsyncIterable<Uint8Array>,
  ): Promise<{ bytes: number; received: string }> {
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
      const { code = "" } = error as { code?: string };
      const isFull = ["ENOSPC", "EDQUOT"].includes(code);
      const told = `cannot write in ${this.root}: ${isFull ? "the disk is full" : messageOf(error)}`;
      throw isFull ? new Refusal(507, "InsufficientStorage", told) : new Refusal(503, "SlowDown", told);
    }
    return { bytes, received: hash.digest("hex") };
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
