/** Stdin, stdout and files. */
import { abortable } from "./deps.ts";
import { Failure, messageOf, UsageError } from "./errors.ts";
import { harmless, presentable } from "./presentable.ts";
import type { Say } from "./say.ts";

const encoder = new TextEncoder();

/**
 * The bytes of a file, or of stdin where `path` is undefined or `-`. Each chunk is only good until the next. A pipe stays silent for as long
 * as the script before it works: an interrupt does not wait for its next byte.
 * @throws {UsageError} where stdin is a terminal @throws {Failure} where it cannot be read @throws {Interrupted} as soon as the script is
 */
export async function* readInput(path: string | undefined, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const fromStdin = path === undefined || path === "-";
  if (fromStdin && Deno.stdin.isTerminal()) {
    throw new UsageError("stdin is a terminal", "pipe in what another script prints, or name a file.");
  }
  try {
    using opened = fromStdin ? undefined : await Deno.open(path);
    const file = opened ?? Deno.stdin;
    const buffer = new Uint8Array(1 << 20);
    for (;;) {
      const bytes = await abortable(file.read(buffer), signal);
      if (bytes === null) return;
      yield buffer.subarray(0, bytes);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${fromStdin ? "stdin" : path}: cannot be read: ${messageOf(error)}`);
  }
}

/** A small file as text. @throws {Failure} where it cannot be read */
export async function readText(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch((error) => {
    throw new Failure(`${path}: cannot be read: ${messageOf(error)}`);
  });
}

/** Writes all of `bytes`. */
export async function writeAll(
  file: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** Writes bytes to stdout as they are. @throws {Failure} where nobody reads any more, or the disk is full */
export async function writeStdout(bytes: Uint8Array): Promise<void> {
  try {
    await writeAll(Deno.stdout, bytes);
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) {
      throw new Failure(`stdout: ${messageOf(error)}`, "is the disk full?");
    }
    // What the reader (`| head`, or a script that failed) did not take is lost, so this is no success.
    throw new Failure("stdout was closed before all was written", "did the next command in the pipe end?");
  }
}

/** Writes text for people to stdout, and a newline. Throws as `writeStdout` does. */
export function printLine(text: string): Promise<void> {
  return writeStdout(encoder.encode(`${presentable(text)}\n`));
}

/**
 * Writes a value as a line of JSON, with nothing in it that a terminal would act on. It is data: names stay what they are, even where a
 * table is called like a password; errors in it are without secrets since they were made. Throws as `writeStdout` does.
 */
export function printJson(value: unknown): Promise<void> {
  return writeStdout(encoder.encode(`${harmless(JSON.stringify(value))}\n`));
}

/** Warns where stdout is a file that others can read, as `> dump` makes unless the umask is strict: dumps hold password hashes. */
export async function warnOfReaders(say: Say): Promise<void> {
  if (Deno.stdout.isTerminal()) return;
  // loaded here alone: node:fs costs 20 ms
  const { fstatSync } = await import("node:fs");
  const { mode } = fstatSync(1);
  if ((mode & 0o170000) === 0o100000 && mode & 0o044) {
    say("warning: others can read the file that stdout is, and a dump holds password hashes: chmod 600 it");
  }
}

const pieceBytes = 1 << 20;

/** Writes lines of text in pieces of a megabyte; a piece belongs to who takes it. */
export class LineWriter {
  #piece = new Uint8Array(pieceBytes);
  #used = 0;

  constructor(readonly sink: (bytes: Uint8Array) => Promise<void>) {}

  /** @param line without a newline at its end @returns what to wait for before the next, if a piece was full */
  add(line: string): Promise<void> | undefined {
    // A character takes three bytes at most.
    const mostBytes = 3 * line.length + 1;
    if (this.#used + mostBytes > this.#piece.length) return this.flush(mostBytes).then(() => this.add(line));
    this.#used += encoder.encodeInto(`${line}\n`, this.#piece.subarray(this.#used)).written;
  }

  /** Writes what is left. @param roomBytes what the next piece has to have room for */
  async flush(roomBytes = 0): Promise<void> {
    const bytes = this.#piece.subarray(0, this.#used);
    this.#piece = new Uint8Array(Math.max(pieceBytes, roomBytes));
    this.#used = 0;
    if (bytes.length) await this.sink(bytes);
  }
}

/** A file that is being written: it appears by `commit`, and `abandon` leaves nothing of it. */
export interface AtomicFile {
  write(bytes: Uint8Array): Promise<void>;
  commit(): Promise<void>;
  abandon(): Promise<void>;
}

/**
 * Begins a file that appears whole or not at all: it is written beside its place (mode 0600), synced and renamed. After a kill in the middle
 * `FILE.XXXXXXXX.partial` stays until FILE is written again. What is no regular file (a pipe, /dev/null) is written as it is.
 * @throws {Failure} where it cannot be written; so do its functions, which leave nothing then
 */
export async function atomicFile(path: string): Promise<AtomicFile> {
  const explain = (error: unknown) => new Failure(`${path}: cannot be written: ${messageOf(error)}`);
  const target = await Deno.realPath(path).catch(() => path);
  const inPlace = await Deno.stat(target).then(({ isFile }) => !isFile, () => false);
  const partial = `${target}.${crypto.randomUUID().slice(0, 8)}.partial`;
  const open = async () => {
    if (inPlace) return await Deno.open(target, { write: true });
    await removeStale(target);
    return await Deno.open(partial, { write: true, createNew: true, mode: 0o600 });
  };
  const file = await open().catch((error) => {
    throw explain(error);
  });
  const abandon = async () => {
    try {
      file.close();
    } catch { /* closed already */ }
    if (!inPlace) await Deno.remove(partial).catch(() => {});
  };
  const guarded = async (action: () => Promise<void>) => {
    try {
      await action();
    } catch (error) {
      await abandon();
      throw explain(error);
    }
  };
  return {
    write: (bytes) => guarded(() => writeAll(file, bytes)),
    commit: () =>
      guarded(async () => {
        if (!inPlace) await file.sync();
        file.close();
        if (!inPlace) await Deno.rename(partial, target);
      }),
    abandon,
  };
}

/**
 * Writes a file with secrets in it: as `atomicFile` does, and all of it in one go, so that a kill hardly ever leaves a part of it.
 * @throws {Failure} where it cannot be written
 */
export async function saveFile(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  const file = await atomicFile(path);
  for (const piece of pieces) await file.write(piece);
  await file.commit();
}

/** Removes what a killed run left of a file: what nobody has written to for ten minutes. */
async function removeStale(target: string): Promise<void> {
  const nameAt = target.lastIndexOf("/") + 1;
  const [directory, prefix] = [target.slice(0, nameAt) || "./", `${target.slice(nameAt)}.`];
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{8}\.partial$/.test(name.slice(prefix.length))) continue;
    const { mtime } = await Deno.lstat(directory + name);
    if (mtime && Date.now() - mtime.getTime() > 600_000) await Deno.remove(directory + name);
  }
}
