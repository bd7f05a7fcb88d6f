/**
 * The text form of a meta store: `key: value` lines as `/dump` answers, the same in a frame of asterisks as `/debug` does, and
 * with an end mark as these scripts write it.
 */
import { Buffer, isUtf8 } from "node:buffer";
import { Failure } from "../cli/errors.ts";
import { LineWriter, saveFile } from "../cli/files.ts";
import { preview } from "../cli/text.ts";
import { Sha256 } from "./sha256.ts";

/** One line of a dump. */
export interface Entry {
  readonly key: string;
  /** JSON as it stands in the dump; only `/test_alive` of 2.4 has something else */
  readonly value: string;
  /** the number of its line, from 1 */
  readonly line: number;
}

/** A dump that was read and is whole. */
export interface Dump {
  /** what was read, for messages: a file, a URL, "stdin" */
  readonly name: string;
  readonly entries: readonly Entry[];
  /** whether it came in the frame of `/debug` */
  readonly framed: boolean;
  /** whether it ended with a mark, which fitted */
  readonly marked: boolean;
}

const endMark = /^# end entries=(\d+) sha256=([0-9a-f]{64})$/;
const frame = /^\*{6} ?-+ ?\*{6}$/;
const byteOrderMark = "\xef\xbb\xbf";
/** What a line may have at most: a table of ten thousand columns takes less than 1 MB. */
const mostLineBytes = 16 << 20;

/**
 * Reads a dump in any of its forms into memory. Blank lines, comments, CR and a byte order mark are passed over.
 * @param chunks the dump's bytes, cut anywhere
 * @param name what is read, for messages: a file, a URL, "stdin"
 * @param options `unmarked`: take a plain dump without an end mark, which nothing proves whole
 * @throws {Failure} if it is not whole: cut, framed without its last line, without an end mark or with one that does not
 * fit, with bytes that are no UTF-8, with a line that is no entry, or empty
 */
export async function readDump(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  { unmarked = false }: { unmarked?: boolean } = {},
): Promise<Dump> {
  const reader = new Reader(name);
  // One buffer for all: the end of a chunk that is no whole line yet is moved to its front.
  let work = Buffer.allocUnsafe(1 << 19);
  let held = 0;
  for await (const chunk of chunks) {
    const total = held + chunk.length;
    if (total > work.length) work = Buffer.concat([work.subarray(0, held)], 2 * total);
    work.set(chunk, held);
    const end = held + chunk.lastIndexOf(10) + 1;
    if (end > held) {
      await reader.lines(work.subarray(0, end));
      work.copyWithin(0, end, total);
    }
    held = end > held ? total - end : total;
    if (held > mostLineBytes) reader.refuseLength();
  }
  await reader.end(work.subarray(0, held));
  const { entries, framed, marked } = reader;
  if (!framed && !marked && !unmarked) {
    throw new Failure(
      `${name}: no end mark after its ${entries.length} entries, so nothing proves that it is whole`,
      "dump_meta.ts writes a dump with one; --unmarked takes a dump without, such as one that curl saved.",
    );
  }
  return { name, entries, framed, marked };
}

/** A dump that is being read, some whole lines at a time. */
class Reader {
  readonly entries: Entry[] = [];
  framed = false;
  marked = false;
  #line = 0;
  /** whether the frame's last line or the end mark has come */
  #closed = false;
  readonly #hash = new Sha256();
  /** what the end mark says, and its line */
  #promised: { sha256: string; line: number } | undefined;

  constructor(readonly name: string) {}

  /** @param bytes whole lines, each ending in a newline */
  async lines(bytes: Buffer): Promise<void> {
    if (!isUtf8(bytes)) this.#refuseEncoding(bytes);
    // A character a byte, so that places in the text are places in the bytes.
    const text = bytes.toString("latin1");
    let odd = nextOdd(text, 0);
    let hashed = this.#closed ? 0 : bytes.length;
    let at = this.#line === 0 && text.startsWith(byteOrderMark) ? 3 : 0;
    while (at < text.length) {
      const end = text.indexOf("\n", at);
      const lineEnd = text[end - 1] === "\r" ? end - 1 : end;
      const line = odd < end ? bytes.toString("utf8", at, lineEnd) : text.slice(at, lineEnd);
      if (odd < end) odd = nextOdd(text, end);
      this.#line++;
      const mark = line[0] === "#" && !this.#closed ? endMark.exec(line) : null;
      if (mark) {
        hashed = at;
        this.#takeMark(Number(mark[1]), mark[2] ?? "");
      } else this.#take(line);
      at = end + 1;
    }
    await this.#hash.update(bytes.subarray(0, hashed));
  }

  /** @param rest what follows the last newline */
  async end(rest: Buffer): Promise<void> {
    const last = rest.toString().replace(/\r$/, "");
    if (this.framed && !this.#closed && frame.test(last)) this.#closed = true;
    else if (last.trim() !== "") {
      throw new Failure(
        `${this.name}: cut in the middle of line ${this.#line + 1}: no newline after ${shown(last)}`,
        "every line that CnosDB writes ends in a newline, so the end is missing: dump again.",
      );
    }
    if (this.framed && !this.#closed) {
      throw new Failure(
        `${this.name}: cut after line ${this.#line}: the frame's last line is missing`,
        "dump again; what /debug answers begins and ends with a line of asterisks.",
      );
    }
    if (this.#promised && this.#promised.sha256 !== await this.#hash.digest()) {
      throw new Failure(
        `${this.name}: its end mark (line ${this.#promised.line}) has another sha256 than the lines before it`,
        "the dump was changed after it was written: make it again, or remove the mark's line if you changed it on purpose, and " +
          "give --unmarked.",
      );
    }
    if (!this.entries.length) {
      throw new Failure(
        `${this.name}: empty: not one entry in it`,
        "did the command before it in the pipe fail?",
      );
    }
  }

  #take(line: string): void {
    if (this.#closed) {
      if (line.trim() === "") return;
      throw new Failure(
        `${this.name}: line ${this.#line}: the dump ended before this line, yet something follows`,
        "two dumps in one file? Give them one by one.",
      );
    }
    if (line[0] === "*" && frame.test(line) && (this.framed || this.#line === 1)) {
      this.#closed = this.framed;
      this.framed = true;
      return;
    }
    if (this.framed && !line.startsWith("* ")) {
      this.#refuseLine(line, "starts with '* ', as every line between the frame's");
    }
    const entry = this.framed ? line.slice(2) : line;
    if (entry[0] === "/") this.entries.push(this.#entry(entry));
    else if (entry.trim() !== "" && !isComment(entry)) {
      this.#refuseLine(entry, "starts with a key, '/cluster/…'");
    }
  }

  /**
   * CnosDB cuts a line at its first `: `. If a name holds one, what follows is no value, and the key is read to its real end,
   * so that a message can say which object cannot be restored.
   */
  #entry(line: string): Entry {
    let colon = line.indexOf(": ");
    if (colon < 0) {
      throw new Failure(
        `${this.name}: line ${this.#line}: no ": " in it`,
        "every line is a key, a colon and a space, and a value; CnosDB's /restore would skip this one in silence.",
      );
    }
    if (line[colon + 2] !== "{") colon = Math.max(colon, line.indexOf(": {", colon));
    return { key: line.slice(0, colon), value: line.slice(colon + 2), line: this.#line };
  }

  #takeMark(entries: number, sha256: string): void {
    this.#closed = true;
    this.marked = true;
    this.#promised = { sha256, line: this.#line };
    if (entries !== this.entries.length) {
      throw new Failure(
        `${this.name}: its end mark promises ${entries} entries, ${this.entries.length} are there`,
        "the dump lost lines on its way: make it again.",
      );
    }
  }

  #refuseLine(line: string, expected: string): never {
    throw new Failure(
      `${this.name}: line ${this.#line}: expected a line that ${expected}; got ${shown(line)}`,
      "is this the answer of /dump or /debug, unchanged?",
    );
  }

  refuseLength(): never {
    throw new Failure(
      `${this.name}: line ${this.#line + 1} is longer than ${mostLineBytes >> 20} MiB`,
      "is this the answer of /dump or /debug, unchanged?",
    );
  }

  #refuseEncoding(bytes: Buffer): never {
    let line = this.#line;
    for (let at = 0, end = bytes.indexOf(10); end >= 0; at = end + 1, end = bytes.indexOf(10, at)) {
      line++;
      if (!isUtf8(bytes.subarray(at, end))) break;
    }
    throw new Failure(
      `${this.name}: line ${line}: its bytes are no UTF-8`,
      "was the file converted by an editor or a terminal? Dump again, straight into a file.",
    );
  }
}

// deno-lint-ignore no-control-regex
const notAscii = /[^\x00-\x7f]/g;

/** Where the first character beyond ASCII stands, from a place on. */
function nextOdd(text: string, from: number): number {
  notAscii.lastIndex = from;
  return notAscii.test(text) ? notAscii.lastIndex - 1 : Infinity;
}

/** What CnosDB skips, as it has no `: `; a damaged end mark is no comment. */
function isComment(line: string): boolean {
  return line[0] === "#" && !line.startsWith("# end ") && !line.includes(": ");
}

/** What may be shown of a line that could hold a password: its key. */
function shown(line: string): string {
  const at = line.indexOf(": ");
  return JSON.stringify(at < 0 ? preview(line, 20) : preview(line.slice(0, at)));
}

/** The last line of a dump that these scripts write. CnosDB skips it, as it has no `: `. */
export function formatEndMark(entries: number, sha256: string): string {
  return `# end entries=${entries} sha256=${sha256}\n`;
}

/**
 * Writes a dump and its end mark.
 * @param sink takes the bytes in pieces of a megabyte, in their order, and keeps them if it likes
 */
export async function writeDump(
  entries: Iterable<Pick<Entry, "key" | "value">>,
  sink: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const hash = new Sha256();
  const lines = new LineWriter(async (bytes) => {
    await hash.update(bytes);
    await sink(bytes);
  });
  let written = 0;
  for (const { key, value } of entries) {
    const writing = lines.add(`${key}: ${value}`);
    if (writing) await writing;
    written++;
  }
  await lines.flush();
  await sink(new TextEncoder().encode(formatEndMark(written, await hash.digest())));
}

/** Writes a dump to a file (mode 0600, as dumps hold password hashes) that appears whole or not at all. */
export async function saveDump(
  entries: Iterable<Pick<Entry, "key" | "value">>,
  path: string,
): Promise<void> {
  const pieces: Uint8Array[] = [];
  await writeDump(entries, (bytes) => Promise.resolve(void pieces.push(bytes)));
  await saveFile(path, pieces);
}
