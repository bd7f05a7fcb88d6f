/**
 * The files of the stage that `copy_tables` serves: a directory of this run alone, gone when the run is.
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { Failure, messageOf } from "../cli/errors.ts";
import { Refusal } from "./sigv4.ts";

/** A whole file, checked against its sha256. */
export interface StagedFile {
  /** Where it lies; a number, so that no key of a client ever becomes a path. */
  path: string;
  bytes: number;
  /** In hex. */
  sha256: string;
  modified: Date;
}

const prefix = "cnosdb-stage-";
const name = /^(?!\.\.?$)[\w.-]+$/;

/** Whether a key or directory consists of names of `[A-Za-z0-9_.-]` alone, none of them `.`, `..` or empty. */
export const isKey = (key: string): boolean => key.split("/").every((part) => name.test(part));

/** Files by key. Only whole ones are in it; what failed leaves nothing on disk. */
export class StageFiles {
  /** Bytes lying here, a file that is being received counting with its whole size. */
  bytesStaged = 0;
  readonly #open = new Set<string>();
  readonly #files = new Map<string, StagedFile>();
  #number = 0;

  private constructor(
    readonly directory: string,
    private readonly lock: Deno.FsFile,
    private readonly maxBytes: number,
  ) {}

  /**
   * Makes the directory, and removes those of this user's runs that crashed: they lie beside it, unlocked.
   * @param parent instead of the system's directory for temporary files
   * @throws {Failure} if it cannot be made
   */
  static async make(parent: string | undefined, maxBytes = Infinity): Promise<StageFiles> {
    try {
      const directory = await Deno.makeTempDir({ prefix, ...(parent && { dir: parent }) });
      // Locked before it gets the name that another run's sweep looks for.
      const lock = await Deno.open(join(directory, "locking"), { write: true, createNew: true });
      await lock.lock(true);
      await Deno.rename(join(directory, "locking"), join(directory, "lock"));
      await sweep(directory).catch(() => {}); // a parent that may not be listed
      return new StageFiles(directory, lock, maxBytes);
    } catch (error) {
      const where = parent ?? "the directory for temporary files";
      throw new Failure(`cannot make the stage's directory in ${where}: ${messageOf(error)}`);
    }
  }

  /** Lets files into a directory, until it is removed. */
  open(dir: string): void {
    if (!isKey(dir)) throw new TypeError(`not a directory of the stage: ${JSON.stringify(dir)}`);
    this.#open.add(dir);
  }

  get(key: string): StagedFile | undefined {
    return this.#files.get(key);
  }

  /** Keys that start with `prefix` and their files, in no order. */
  within(prefix: string): [key: string, file: StagedFile][] {
    return [...this.#files].filter(([key]) => key.startsWith(prefix));
  }

  /**
   * Takes a file, in place of the one that had its key.
   * @param pieces read to the end even if the file is refused: an answer before that would not reach the client
   * @throws {Refusal} if it is not what was announced, or has no room or no open directory
   */
  async put(key: string, bytes: number, sha256: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    const path = join(this.directory, `${++this.#number}`);
    this.bytesStaged += bytes;
    try {
      await this.#receive(key, bytes, sha256, pieces, path);
      this.#mustBeOpen(key); // the attempt may have been given up meanwhile
    } catch (error) {
      await this.#discard({ path, bytes });
      throw error;
    }
    const before = this.#files.get(key); // object_store repeats a PUT whose answer it did not get
    this.#files.set(key, { path, bytes, sha256, modified: new Date() });
    if (before) await this.#discard(before);
  }

  /** Closes a directory and deletes its files. */
  async remove(dir: string): Promise<void> {
    this.#open.delete(dir);
    for (const [key, file] of this.within(`${dir}/`)) {
      this.#files.delete(key);
      await this.#discard(file);
    }
  }

  /** Deletes all. */
  async close(): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
    this.lock.close();
  }

  async #receive(
    key: string,
    bytes: number,
    sha256: string,
    pieces: AsyncIterable<Uint8Array>,
    path: string,
  ) {
    let refusal: unknown;
    let receivedBytes = 0;
    const hash = createHash("sha256");
    using file = await Deno.open(path, { write: true, create: true });
    try {
      this.#mustBeOpen(key);
      if (this.bytesStaged > this.maxBytes) {
        throw full(`${key} (${bytes} bytes) would make the stage larger than ${this.maxBytes} bytes`);
      }
    } catch (error) {
      refusal = error;
    }
    try {
      for await (const piece of pieces) {
        receivedBytes += piece.length;
        if (refusal) continue;
        hash.update(piece);
        try {
          for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
        } catch (error) {
          refusal = this.#unwritten(key, bytes, error);
        }
      }
    } catch (error) {
      refusal ??= error;
    }
    if (refusal) throw refusal;
    if (receivedBytes !== bytes) throw cutOff(key, receivedBytes);
    if (hash.digest("hex") !== sha256) {
      throw new Refusal(400, "XAmzContentSHA256Mismatch", `${key} is not what was sent: its sha256 differs`);
    }
  }

  #unwritten(key: string, bytes: number, error: unknown): Refusal {
    const { code } = error as { code?: string };
    return code === "ENOSPC" || code === "EDQUOT"
      ? full(`disk full in ${this.directory}, where ${key} (${bytes} bytes) was to go`)
      : new Refusal(500, "InternalError", `cannot write in ${this.directory}: ${messageOf(error)}`);
  }

  #mustBeOpen(key: string): void {
    const parts = key.split("/");
    if (!parts.some((_, count) => this.#open.has(parts.slice(0, count).join("/")))) {
      throw new Refusal(403, "AccessDenied", `${dirname(key)} belongs to no running attempt`);
    }
  }

  async #discard({ path, bytes }: { path: string; bytes: number }): Promise<void> {
    this.bytesStaged -= bytes;
    await Deno.remove(path).catch(() => {}); // where it could not even be created
  }
}

/** What a client gets whose upload ended early, should it still listen; 5xx, which object_store repeats. */
export const cutOff = (key: string, receivedBytes: number): Refusal =>
  new Refusal(503, "IncompleteBody", `the upload of ${key} was cut off after ${receivedBytes} bytes`);

/**
 * 507 and not 4xx: object_store repeats a 5xx ten times within seconds, in which other tables may make room, and
 * of a 5xx it shows the status alone, so that the cluster's own error says "507 Insufficient Storage".
 */
const full = (message: string) => new Refusal(507, "InsufficientStorage", message);

async function sweep(ours: string): Promise<void> {
  const { uid } = await Deno.stat(ours);
  for await (const entry of Deno.readDir(dirname(ours))) {
    if (!entry.isDirectory || !entry.name.startsWith(prefix)) continue;
    const directory = join(dirname(ours), entry.name);
    try {
      if ((await Deno.lstat(directory)).uid !== uid) continue;
      using lock = await Deno.open(join(directory, "lock"));
      if (await lock.tryLock(true)) await Deno.remove(directory, { recursive: true });
    } catch {
      // being made or removed at this moment by another run
    }
  }
}
