/** Bytes in and out of a script: stdin, stdout, files. */
import { fstatSync } from "node:fs";
import { Failure, messageOf, ReaderGone, UsageError } from "./errors.ts";

const chunkBytes = 3 << 14;
const tailBytes = 256;

/** Writes all of `bytes` to stdout. @throws {ReaderGone} where nobody reads any more */
export async function writeStdout(bytes: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new ReaderGone("stdout is closed");
    throw new Failure(`stdout: ${messageOf(error)}`, "is the disk full?");
  }
}

/** Warns where stdout is a file that others can read, as `> dump` makes unless the umask is strict: dumps hold password hashes. */
export function warnOfReaders(say: (message: string) => void): void {
  const { mode } = fstatSync(1);
  if ((mode & 0o170000) === 0o100000 && mode & 0o044) {
    say("warning: others can read the file that stdout is, and a dump holds password hashes: chmod 600 it");
  }
}

/** Writes a line of text to stdout. */
export function printLine(text: string): Promise<void> {
  return writeStdout(new TextEncoder().encode(text + "\n"));
}

/** Writes lines of text in large pieces. */
export class LineWriter {
  #held = "";

  constructor(readonly sink: (bytes: Uint8Array) => Promise<void>) {}

  /** @param text without a newline at its end */
  async add(text: string): Promise<void> {
    this.#held += `${text}\n`;
    if (this.#held.length >= 1 << 16) await this.flush();
  }

  /** Writes what is left. */
  async flush(): Promise<void> {
    const held = this.#held;
    this.#held = "";
    await this.sink(new TextEncoder().encode(held));
  }
}

/** The chunks of an open file; each is only good until the next, which is read meanwhile. */
export async function* chunksOf(
  file: { read(p: Uint8Array): Promise<number | null> },
): AsyncGenerator<Uint8Array> {
  let buffer = new Uint8Array(chunkBytes);
  let other = new Uint8Array(chunkBytes);
  let reading = file.read(buffer);
  try {
    for (;;) {
      const n = await reading;
      if (n === null) return;
      const chunk = buffer.subarray(0, n);
      [buffer, other] = [other, buffer];
      reading = file.read(buffer);
      yield chunk;
    }
  } finally {
    reading.catch(() => {});
  }
}

/** A small file as text. @throws {Failure} where it cannot be read */
export async function readText(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch((error) => {
    throw new Failure(`${path}: cannot be read: ${messageOf(error)}`);
  });
}

/**
 * What a script works on: a file, or stdin where none is named. Each chunk is only good until the next.
 * @throws {UsageError} where stdin is a terminal
 * @throws {Failure} where it cannot be read
 */
export async function* readInput(file: string | undefined, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (file === undefined && Deno.stdin.isTerminal()) {
    throw new UsageError("stdin is a terminal", "pipe a dump in, or name a file.");
  }
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => {});
  try {
    using opened = file === undefined ? undefined : await Deno.open(file);
    const input = opened ?? Deno.stdin;
    // A file's bytes are there at once: to wait for each chunk costs ten times what reading it does.
    const isFile = opened ? opened.statSync().isFile : fstatSync(0).isFile();
    const buffer = new Uint8Array(isFile ? 1 << 18 : chunkBytes);
    for (;;) {
      const n = isFile ? input.readSync(buffer) : await Promise.race([input.read(buffer), aborted]);
      if (n === null) return;
      yield buffer.subarray(0, n);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${file ?? "stdin"}: cannot be read: ${messageOf(error)}`);
  }
}

/** Bytes that can be read more than once. */
export interface Source {
  readonly name: string;
  /** its last bytes, some hundred of them */
  tail(): Promise<Uint8Array>;
  open(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/**
 * stdin as a source. A file is read from its start each time; what comes through a pipe is kept, in memory up to
 * `memoryBytes`, else in a temporary file (0600) that is removed at the end.
 */
export async function stdinSource(memoryBytes = 32 << 20): Promise<Source> {
  const name = "stdin";
  const fromFile = (path: string, close: () => Promise<void>): Source => ({
    name,
    open: async function* () {
      using file = await Deno.open(path);
      // A file's bytes are there at once: to wait for each chunk costs ten times what reading it does.
      const buffer = new Uint8Array(chunkBytes);
      for (let n = file.readSync(buffer); n !== null; n = file.readSync(buffer)) yield buffer.subarray(0, n);
    },
    tail: async () => {
      using file = await Deno.open(path);
      await file.seek(-Math.min(tailBytes, (await file.stat()).size), Deno.SeekMode.End);
      const bytes = new Uint8Array(tailBytes);
      return bytes.subarray(0, await file.read(bytes) ?? 0);
    },
    close,
  });
  if (canReopenStdin()) return fromFile("/dev/stdin", () => Promise.resolve());
  const kept: Uint8Array[] = [];
  let keptBytes = 0;
  let spool: { path: string; file: Deno.FsFile } | undefined;
  try {
    for await (const chunk of chunksOf(Deno.stdin)) {
      if (!spool && keptBytes + chunk.length > memoryBytes) {
        const path = await Deno.makeTempFile({ prefix: "cnosdb-dump-" });
        spool = { path, file: await Deno.open(path, { write: true, mode: 0o600 }) };
        for (const piece of kept.splice(0)) await writeAll(spool.file, piece);
      }
      if (spool) await writeAll(spool.file, chunk);
      else kept.push(chunk.slice());
      keptBytes += chunk.length;
    }
  } catch (error) {
    if (spool) await Deno.remove(spool.path);
    throw new Failure(
      `${spool?.path ?? name}: ${messageOf(error)}`,
      "a dump that does not fit in memory is kept in TMPDIR.",
    );
  }
  spool?.file.close();
  if (spool) {
    const { path } = spool;
    return fromFile(path, () => Deno.remove(path));
  }
  return bytesSource(name, kept);
}

/** What is in memory already, as a source. */
export function bytesSource(name: string, chunks: Uint8Array[]): Source {
  return {
    name,
    open: async function* () {
      yield* chunks;
    },
    tail: () => new Blob(chunks.slice(-8) as BlobPart[]).slice(-tailBytes).bytes(),
    close: () => Promise.resolve(),
  };
}

/** Whether stdin is a file that can be opened again, from its start: elsewhere than on Linux that gives the same offset. */
function canReopenStdin(): boolean {
  if (Deno.build.os !== "linux") return false;
  try {
    using file = Deno.openSync("/dev/stdin");
    return file.statSync().isFile;
  } catch {
    return false;
  }
}

/** Writes all of `bytes`. */
export async function writeAll(
  file: { write(p: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/**
 * A file that appears whole or not at all: written beside its place (mode 0600, as dumps hold password hashes), synced and
 * renamed by `commit`, removed by `abandon`.
 * @throws {Failure} where it cannot be written
 */
export async function atomicFile(path: string): Promise<
  { write(bytes: Uint8Array): Promise<void>; commit(): Promise<void>; abandon(): Promise<void> }
> {
  const partial = `${path}.${crypto.randomUUID().slice(0, 8)}.partial`;
  const explain = (error: unknown) => new Failure(`${path}: cannot be written: ${messageOf(error)}`);
  const file = await Deno.open(partial, { write: true, createNew: true, mode: 0o600 }).catch((error) => {
    throw explain(error);
  });
  const abandon = async () => {
    try {
      file.close();
    } catch { /* closed already */ }
    await Deno.remove(partial).catch(() => {});
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
        await file.sync();
        file.close();
        await Deno.rename(partial, path);
      }),
    abandon,
  };
}
