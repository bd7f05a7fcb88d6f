/** Reading and writing stdin, stdout and files. */
import { abortable } from "./deps.ts";
import { Failure, messageOf, UsageError } from "./errors.ts";
import { harmless, presentable } from "./presentable.ts";
import type { Say } from "./say.ts";

const encoder = new TextEncoder();

/**
 * Reads a file, or stdin if `path` is undefined or `-`. Each chunk is only valid until the next. An interrupt
 * does not wait for the next chunk: a pipe is silent while the script before it works.
 * @throws {UsageError} if stdin is a terminal @throws {Failure} if it cannot be read
 * @throws {Interrupted} as soon as the script is interrupted
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

/** Reads a small file as text. @throws {Failure} if it cannot be read */
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

/** Writes bytes to stdout. @throws {Failure} if its reader has ended, or the disk is full */
export async function writeStdout(bytes: Uint8Array): Promise<void> {
  try {
    await writeAll(Deno.stdout, bytes);
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) {
      throw new Failure(`stdout: ${messageOf(error)}`, "is the disk full?");
    }
    // The reader (`| head`, or a script that failed) did not get the rest, so this is no success.
    throw new Failure("stdout was closed before all was written", "did the next command in the pipe end?");
  }
}

/** Writes text for people to stdout, and a newline. Throws as `writeStdout` does. */
export function printLine(text: string): Promise<void> {
  return writeStdout(encoder.encode(`${presentable(text)}\n`));
}

/**
 * A value as a line of JSON that no terminal acts on. It is data, so no secrets are taken out of it: a table may
 * have the name of a password, and errors hold none since they were made.
 */
export function jsonLine(value: unknown): Uint8Array {
  return encoder.encode(`${harmless(JSON.stringify(value))}\n`);
}

/** Writes a `jsonLine` to stdout. Throws as `writeStdout` does. */
export function printJson(value: unknown): Promise<void> {
  return writeStdout(jsonLine(value));
}

/** Warns if stdout is a file that others can read, as `> dump` makes it: dumps hold password hashes. */
export async function warnOfReaders(say: Say): Promise<void> {
  if (Deno.stdout.isTerminal()) return;
  // imported only here: loading node:fs takes 20 ms
  const { fstatSync } = await import("node:fs");
  const { mode } = fstatSync(1);
  if ((mode & 0o170000) === 0o100000 && mode & 0o044) {
    say("warning: others can read the file that stdout is, and a dump holds password hashes: chmod 600 it");
  }
}

/** Writes bytes, which it may keep. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

const pieceBytes = 1 << 20;

/** Writes lines in pieces of a megabyte, each while the next is filled. @param lines without newlines at their ends */
export async function writeLines(lines: Iterable<string>, sink: Sink): Promise<void> {
  let piece = new Uint8Array(pieceBytes);
  let used = 0;
  let writing = Promise.resolve();
  for (const line of lines) {
    // A character takes three bytes at most.
    const mostBytes = 3 * line.length + 1;
    if (used + mostBytes > piece.length) {
      await writing;
      writing = sink(piece.subarray(0, used));
      piece = new Uint8Array(Math.max(pieceBytes, mostBytes));
      used = 0;
    }
    used += encoder.encodeInto(`${line}\n`, piece.subarray(used)).written;
  }
  await writing;
  await sink(piece.subarray(0, used));
}

/**
 * Writes a file that appears whole or not at all: it is written as `FILE.XXXXXXXX.partial` (mode 0600),
 * synced and renamed. What a killed run left is removed when FILE is written again. A pipe or a device is
 * written directly.
 * @param write writes the content to its sink
 * @throws {Failure} if the file cannot be written, and what `write` throws; then nothing is left of it
 */
export async function saveFile(path: string, write: (sink: Sink) => Promise<void>): Promise<void> {
  const explained = async <T>(action: Promise<T>): Promise<T> => {
    try {
      return await action;
    } catch (error) {
      throw new Failure(`${path}: cannot be written: ${messageOf(error)}`);
    }
  };
  const target = await Deno.realPath(path).catch(() => path);
  if (await Deno.stat(target).then(({ isFile }) => !isFile, () => false)) {
    using file = await explained(Deno.open(target, { write: true }));
    return await write((bytes) => explained(writeAll(file, bytes)));
  }
  await removeStale(target).catch(() => {}); // another user's, or the directory may not be listed
  const partial = `${target}.${crypto.randomUUID().slice(0, 8)}.partial`;
  try {
    {
      using file = await explained(Deno.open(partial, { write: true, createNew: true, mode: 0o600 }));
      await write((bytes) => explained(writeAll(file, bytes)));
      await explained(file.sync());
    }
    await explained(Deno.rename(partial, target));
  } catch (error) {
    await Deno.remove(partial).catch(() => {});
    throw error;
  }
}

/** Removes what killed runs left of a file: partial files that were not written to for ten minutes. */
async function removeStale(target: string): Promise<void> {
  const nameAt = target.lastIndexOf("/") + 1;
  const [directory, prefix] = [target.slice(0, nameAt) || "./", `${target.slice(nameAt)}.`];
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{8}\.partial$/.test(name.slice(prefix.length))) continue;
    const { mtime } = await Deno.lstat(directory + name);
    if (mtime && Date.now() - mtime.getTime() > 600_000) await Deno.remove(directory + name);
  }
}
