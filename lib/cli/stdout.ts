/** What scripts write to stdout. */
import { Failure, messageOf, presentable, ReaderGone } from "./errors.ts";
import { harmless } from "./harmless.ts";
import type { Say } from "./say.ts";

/** Writes bytes to stdout as they are. @throws {ReaderGone} where nobody reads any more @throws {Failure} where the disk is full */
export async function writeStdout(bytes: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) {
      throw new ReaderGone(
        "stdout was closed before all was written",
        "did the next command in the pipe end?",
      );
    }
    throw new Failure(`stdout: ${messageOf(error)}`, "is the disk full?");
  }
}

/** Writes text for people to stdout, and a newline. Throws as `writeStdout` does. */
export function printLine(text: string): Promise<void> {
  return writeStdout(new TextEncoder().encode(`${presentable(text)}\n`));
}

/**
 * Writes a value as a line of JSON, with nothing in it that a terminal would act on. It is data: names stay what they are, even where a
 * table is called like a password; errors in it are without secrets since they were made. Throws as `writeStdout` does.
 */
export function printJson(value: unknown): Promise<void> {
  return writeStdout(new TextEncoder().encode(`${harmless(JSON.stringify(value))}\n`));
}

/** Warns where stdout is a file that others can read, as `> dump` makes unless the umask is strict: dumps hold password hashes. */
export async function warnOfReaders(say: Say): Promise<void> {
  if (Deno.stdout.isTerminal()) return;
  const { mode } = (await import("node:fs")).fstatSync(1);
  if ((mode & 0o170000) === 0o100000 && mode & 0o044) {
    say("warning: others can read the file that stdout is, and a dump holds password hashes: chmod 600 it");
  }
}

/** Writes lines of text in large pieces. */
export class LineWriter {
  #held = "";

  constructor(readonly sink: (bytes: Uint8Array) => Promise<void>) {}

  /** @param text without a newline at its end @returns what to wait for, once enough is held to be written */
  add(text: string): Promise<void> | undefined {
    this.#held += `${text}\n`;
    return this.#held.length >= 1 << 18 ? this.flush() : undefined;
  }

  /** Writes what is left. */
  async flush(): Promise<void> {
    const held = this.#held;
    this.#held = "";
    await this.sink(new TextEncoder().encode(held));
  }
}
