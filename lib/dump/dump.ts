/**
 * The text form of a meta store: `key: value` lines as `/dump` gives them, the same in a frame of asterisks as
 * `/debug` does, and with an end mark as these scripts write it.
 *
 * Text is handled as Latin-1 strings, a character a byte: bytes that nothing has to change pass through untouched and
 * fast, whatever the names in them are. `toText` and `toBytes` cross over to real text where one is looked at.
 */
import { Buffer, isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { Failure } from "../cli/errors.ts";
import { preview } from "./json.ts";

/** Whole entry lines, each ending in a newline. */
export interface Block {
  /** a character a byte (Latin-1) */
  readonly bytes: string;
  /** the number of its first line in the file, from 1 */
  readonly line: number;
  /** the same as bytes; only good until the next block */
  readonly raw?: Buffer;
}

/** One line of a dump. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** its number in the file, from 1 */
  readonly line: number;
}

/**
 * The entries of a block, cut at the first `: ` as CnosDB does: a character a byte as the block has them, or real text
 * where the block's bytes were put through `toText`. `at` is where a line starts in its block.
 * @throws {Failure} for a line without `: `
 */
export function* entriesOf(block: Block): Generator<Entry & { readonly at: number }> {
  let line = block.line;
  for (let at = 0; at < block.bytes.length; line++) {
    const end = block.bytes.indexOf("\n", at);
    const colon = keyEnd(block.bytes, at, end, line);
    yield { key: block.bytes.slice(at, colon), value: block.bytes.slice(colon + 2, end), line, at };
    at = end + 1;
  }
}

/**
 * Where the key of a line ends. CnosDB cuts at the first `: `; where a name holds one, what follows is no value, and the key is
 * read to its real end, so that it can be told which object cannot be restored.
 * @param at where the line starts; @param end where its newline stands
 * @throws {Failure} for a line that CnosDB's /restore would skip in silence
 */
export function keyEnd(bytes: string, at: number, end: number, line: number): number {
  const colon = bytes.indexOf(": ", at);
  if (colon < 0 || colon > end) {
    throw new Failure(
      `line ${line}: no ": " in it`,
      "every line is a key, a colon and a space, and a value; CnosDB's /restore would skip this one in silence.",
    );
  }
  if (bytes.charCodeAt(colon + 2) === 0x7b) return colon;
  const later = bytes.indexOf(": {", colon);
  return later < 0 || later > end ? colon : later;
}

/** The real text of a string that holds a byte a character. */
export function toText(bytes: string): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8");
}

/** The bytes of a text in UTF-8, a character a byte. */
export function toBytes(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/** The same string by itself: a slice keeps the whole text alive that it was cut from. */
export function copyOf(bytes: string): string {
  // What is put together is written anew before it is cut.
  return ` ${bytes}`.slice(1);
}

function isAscii(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return !/[^\x00-\x7f]/.test(text);
}

/** The last line of a dump that these scripts write. CnosDB skips it, as it has no `: `. */
export function formatEndMark(entries: number, sha256: string): string {
  return `# end entries=${entries} sha256=${sha256}\n`;
}

const endMark = /^# end entries=(\d+) sha256=([0-9a-f]{64})$/;
const frame = /^\*{6} ?-+ ?\*{6}$/;
const byteOrderMark = "\xef\xbb\xbf";

/**
 * Reads a dump in any of its forms, a block of lines at a time, and refuses one that is not whole: cut in a line,
 * framed without its last line, with an end mark that does not fit, with bytes that are no UTF-8, or without entries.
 */
export class DumpReader {
  framed = false;
  marked = false;
  entries = 0;
  #line = 0;
  readonly #hash = createHash("sha256");
  readonly #hashed: boolean;
  readonly #trusted: boolean;
  #closed = false;

  /**
   * @param name what is read, for messages: a file, a URL, "stdin"
   * @param known what is known already and saves work: that it has no end mark, or that it was read before and is whole
   * @param each is shown where each line starts that is an entry, before its block is given; not for blocks without `raw`
   */
  constructor(
    readonly name: string,
    known: { unmarked?: boolean; whole?: boolean } = {},
    readonly each?: (text: string, at: number) => void,
  ) {
    this.#trusted = known.whole ?? false;
    this.#hashed = !this.#trusted && !known.unmarked;
  }

  /**
   * @param chunks the dump's bytes, cut anywhere
   * @returns its entry lines without frame, CR, blank lines and comments
   * @throws {Failure} at the line where the dump turns out not to be whole
   */
  async *blocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Block> {
    // One buffer for all: the end of a chunk that is no whole line yet is moved to its front.
    let work = Buffer.allocUnsafe(256 << 10);
    let held = 0;
    for await (const chunk of chunks) {
      const total = held + chunk.length;
      if (total > work.length) {
        const larger = Buffer.allocUnsafe(Math.max(total, work.length * 2));
        larger.set(work.subarray(0, held));
        work = larger;
      }
      work.set(chunk, held);
      const end = held + Uint8Array.prototype.lastIndexOf.call(chunk, 10) + 1;
      if (end === held) {
        held = total;
        continue;
      }
      yield* this.#lines(work.subarray(0, end));
      work.copyWithin(0, end, total);
      held = total - end;
    }
    this.#finish(work.subarray(0, held));
  }

  *#lines(raw: Buffer): Generator<Block> {
    if (!this.#trusted && !isUtf8(raw)) this.#refuseEncoding(raw);
    let text = raw.toString("latin1");
    if (this.#line === 0) {
      if (text.startsWith(byteOrderMark)) text = text.slice(3);
      this.framed = frame.test(text.slice(0, text.indexOf("\n")).replace(/\r$/, ""));
    }
    const count = this.framed || this.#closed ? undefined : countPlainLines(text, this.each);
    if (this.#hashed && !this.#closed) {
      // The end mark covers the bytes before it, as they are in the file.
      const mark = count === undefined ? text.search(/^# end /m) : -1;
      this.#hash.update(mark < 0 ? raw : raw.subarray(0, raw.length - text.length + mark));
    }
    if (count === undefined) return yield* this.#oddLines(text);
    const line = this.#line + 1;
    this.#line += count;
    this.entries += count;
    yield { bytes: text, line, ...(raw.length === text.length ? { raw } : {}) };
  }

  /** A block with something beside entries in it: the frame, CR, comments, blank lines, the end mark. */
  *#oddLines(text: string): Generator<Block> {
    let run = "";
    let runLine = 0;
    for (let at = 0; at < text.length;) {
      const end = text.indexOf("\n", at);
      let line = text.slice(at, end).replace(/\r$/, "");
      at = end + 1;
      this.#line++;
      if (this.#closed) {
        if (line.trim() === "") continue;
        throw new Failure(
          `${this.name}: line ${this.#line}: the dump ended before this line, yet something follows`,
          "two dumps in one file? Give them one by one.",
        );
      }
      if (this.framed) {
        if (frame.test(line)) {
          if (this.#line === 1) continue;
          this.#closed = true;
          continue;
        }
        if (!line.startsWith("* ")) {
          this.#refuseLine(line, "starts with '* ', as every line between the frame's");
        }
        line = line.slice(2);
      }
      const mark = endMark.exec(line);
      if (mark) {
        if (run) yield { bytes: run, line: runLine };
        run = "";
        this.#checkMark(Number(mark[1]), mark[2] ?? "");
        continue;
      }
      if (line[0] !== "/") {
        if (line.trim() === "" || (line[0] === "#" && !line.startsWith("# end ") && !line.includes(": "))) {
          if (run) yield { bytes: run, line: runLine };
          run = "";
          continue;
        }
        this.#refuseLine(line, "starts with a key, '/cluster/…'");
      }
      if (!run) runLine = this.#line;
      run += `${line}\n`;
      this.entries++;
    }
    if (run) yield { bytes: run, line: runLine };
  }

  #checkMark(entries: number, sha256: string): void {
    this.#closed = true;
    this.marked = true;
    if (entries !== this.entries) {
      throw new Failure(
        `${this.name}: its end mark promises ${entries} entries, ${this.entries} are there`,
        "the dump lost lines on its way: make it again.",
      );
    }
    if (this.#hashed && sha256 !== this.#hash.digest("hex")) {
      throw new Failure(
        `${this.name}: its end mark (line ${this.#line}) has another sha256 than the lines before it`,
        "the dump was changed after it was written: make it again, or remove the mark's line if you changed it on purpose.",
      );
    }
  }

  #finish(rest: Buffer): void {
    const text = rest.toString("latin1");
    const last = text.replace(/\r$/, "");
    if (this.framed && !this.#closed && frame.test(last)) this.#closed = true;
    else if (last.trim() !== "") {
      throw new Failure(
        `${this.name}: cut in the middle of line ${this.#line + 1}: no newline after ${
          JSON.stringify(preview(keyOf(toText(last))))
        }`,
        "every line that CnosDB writes ends in a newline, so the end is missing: dump again.",
      );
    }
    if (this.framed && !this.#closed) {
      throw new Failure(
        `${this.name}: cut after line ${this.#line}: the frame's last line is missing`,
        "dump again; what /debug answers begins and ends with a line of asterisks.",
      );
    }
    if (this.entries === 0) {
      throw new Failure(
        `${this.name}: empty: not one entry in it`,
        "did the command before it in the pipe fail?",
      );
    }
  }

  #refuseLine(line: string, expected: string): never {
    throw new Failure(
      `${this.name}: line ${this.#line}: expected a line that ${expected}; got ${
        JSON.stringify(preview(keyOf(toText(line))))
      }`,
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

/** What may be shown of a line that could hold a password: its key. */
function keyOf(line: string): string {
  const at = line.indexOf(": ");
  return at < 0 ? preview(line, 20) : line.slice(0, at);
}

/**
 * How many lines a text has where each is an entry and ends in a bare newline; undefined where one is not.
 * @param each is shown where each line starts
 */
function countPlainLines(text: string, each?: (text: string, at: number) => void): number | undefined {
  if (text.includes("\r")) return undefined;
  let count = 0;
  for (let at = 0; at < text.length; at = text.indexOf("\n", at) + 1) {
    if (text[at] !== "/") return undefined;
    each?.(text, at);
    count++;
  }
  return count;
}

const encoder = new TextEncoder();

/** How many lines a block has. */
export function linesOf({ bytes }: Block): number {
  let lines = 0;
  for (let at = bytes.indexOf("\n"); at >= 0; at = bytes.indexOf("\n", at + 1)) lines++;
  return lines;
}

/** Writes a dump with its end mark, in large pieces. */
export class DumpWriter {
  entries = 0;
  #hash = createHash("sha256");
  #piece: Buffer;
  #used = 0;
  #spare: Buffer | undefined;
  #writing: Promise<void> = Promise.resolve();

  /**
   * @param sink takes the bytes in order; they are only good until it is done
   * @param pieceBytes how much is collected before it is handed on; a dump below that reaches the sink whole or not at all
   */
  constructor(readonly sink: (bytes: Uint8Array) => Promise<void>, readonly pieceBytes = 1 << 20) {
    this.#piece = Buffer.allocUnsafe(64 << 10);
  }

  /** @param bytes whole lines, a character a byte; @param entries how many */
  async write(bytes: string, entries: number): Promise<void> {
    this.put(bytes);
    this.entries += entries;
    if (this.full) await this.flush();
  }

  /** Whether it is time to `flush`. */
  get full(): boolean {
    return this.#used >= this.pieceBytes;
  }

  /** Appends a string that holds a byte a character. */
  put(bytes: string): void {
    this.#reserve(bytes.length * 2);
    const { read, written } = encoder.encodeInto(bytes, this.#piece.subarray(this.#used));
    // Beyond ASCII a character is a byte here, and two in UTF-8.
    this.#used += read === written ? written : this.#piece.write(bytes, this.#used, "latin1");
  }

  /** Appends a stretch of bytes. */
  copy(from: Buffer, start: number, end: number): void {
    if (start === end) return;
    this.#reserve(end - start);
    this.#piece.set(new Uint8Array(from.buffer, from.byteOffset + start, end - start), this.#used);
    this.#used += end - start;
  }

  /** Hands on what is collected; the sink works while the next piece is filled. */
  async flush(): Promise<void> {
    const piece = this.#piece;
    const bytes = piece.subarray(0, this.#used);
    await this.#writing;
    this.#piece = this.#spare ?? Buffer.allocUnsafe(piece.length);
    this.#spare = piece;
    this.#used = 0;
    this.#writing = this.sink(bytes);
    // A failure is thrown where the next piece waits for this one.
    this.#writing.catch(() => {});
    this.#hash.update(bytes);
  }

  /** Writes what is left and the mark. Nothing may follow. */
  async end(): Promise<void> {
    this.#hash.update(this.#piece.subarray(0, this.#used));
    this.put(formatEndMark(this.entries, this.#hash.digest("hex")));
    await this.#writing;
    await this.sink(this.#piece.subarray(0, this.#used));
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#piece.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#used + bytes, this.#piece.length * 2));
    this.#piece.copy(larger, 0, 0, this.#used);
    this.#piece = larger;
  }
}
