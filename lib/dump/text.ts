/**
 * The text form of a meta store: `key: value` lines as `/dump` answers, the same in a frame of asterisks as
 * `/debug` does, and with an end mark as these scripts write it.
 */
import { Buffer, isAscii, isUtf8 } from "node:buffer";
import type { Hash } from "node:crypto";
import { Failure } from "../cli/errors.ts";
import { saveFile, type Sink, writeLines } from "../cli/files.ts";
import { preview } from "../cli/text.ts";

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
/** No line is longer: a table of ten thousand columns takes less than 1 MB. */
const mostLineBytes = 16 << 20;

const unchangedHint = "is this the answer of /dump or /debug, unchanged?";

/**
 * Reads a dump in any of its forms into memory. Ignores blank lines, comments, CR and a byte order mark.
 * @param chunks the dump's bytes, cut anywhere; each chunk is only valid until the next
 * @param name what is read, for messages: a file, a URL, "stdin"
 * @param options `unmarked`: accept a plain dump without an end mark, which nothing proves whole
 * @throws {Failure} if it is empty or not whole: it was cut, its frame does not end, its end mark is missing or
 * does not fit, it has bytes that are no UTF-8 or a line that is no entry
 */
export async function readDump(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  { unmarked = false }: { unmarked?: boolean } = {},
): Promise<Dump> {
  const reader = new Reader(name);
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = Buffer.concat([rest, chunk]);
    const end = bytes.lastIndexOf(10) + 1;
    if (end) await reader.lines(bytes.subarray(0, end));
    rest = bytes.subarray(end);
    if (rest.length > mostLineBytes) {
      reader.refuse(`line ${reader.line + 1} is longer than ${mostLineBytes >> 20} MiB`, unchangedHint);
    }
  }
  return await reader.end(rest.toString(), unmarked);
}

/** Reads a dump, some whole lines at a time. */
class Reader {
  /** the number of the last line */
  line = 0;
  readonly #entries: Entry[] = [];
  readonly #hash = new Sha256();
  #framed = false;
  #mark: { line: number; entries: number; sha256: string } | undefined;
  /** whether the frame's last line or the end mark was read */
  #closed = false;
  /** a key up to its line break; the rest of it has not been read yet */
  #begun: { key: string; line: number } | undefined;

  constructor(readonly name: string) {}

  /** @param bytes whole lines, each ending in a newline */
  async lines(bytes: Buffer): Promise<void> {
    // One character per byte, so that an index into the text is an index into the bytes.
    const text = bytes.toString("latin1");
    const allAscii = isAscii(bytes);
    let hashed = this.#closed ? 0 : bytes.length;
    for (let at = this.line === 0 && text.startsWith(byteOrderMark) ? 3 : 0; at < text.length;) {
      const end = text.indexOf("\n", at);
      this.line++;
      const given = text.slice(at, text[end - 1] === "\r" ? end - 1 : end);
      const line = allAscii ? given : this.#decode(given);
      const mark = line[0] === "#" && !this.#closed ? endMark.exec(line) : null;
      if (mark) {
        this.#mark = { line: this.line, entries: Number(mark[1]), sha256: mark[2]! };
        this.#closed = true;
        hashed = at;
      } else this.#take(line);
      at = end + 1;
    }
    await this.#hash.update(bytes.subarray(0, hashed));
  }

  /** @param line one character per byte */
  #decode(line: string): string {
    if (!beyondAscii.test(line)) return line;
    const bytes = Buffer.from(line, "latin1");
    if (isUtf8(bytes)) return bytes.toString();
    this.refuse(
      `line ${this.line}: its bytes are no UTF-8`,
      "was the file converted by an editor or a terminal? Dump again, straight into a file.",
    );
  }

  #take(line: string): void {
    if (this.#closed) {
      if (line.trim() === "") return;
      this.refuse(
        `line ${this.line}: the dump ended before this line, yet something follows`,
        "two dumps in one file? Give them one by one.",
      );
    }
    if (line[0] === "*" && frame.test(line) && (this.#framed || this.line === 1)) {
      this.#closed = this.#framed;
      this.#framed = true;
      return;
    }
    // The rest of a key with a line break stands without the frame's "* ".
    if (this.#begun && !line.startsWith(this.#framed ? "* /" : "/")) {
      return this.#takeEntry(`${this.#begun.key}\n${line}`, this.#begun.line);
    }
    if (this.#framed && !line.startsWith("* ")) {
      this.#refuseLine(line, "starts with '* ', as every line between the frame's");
    }
    const entry = this.#framed ? line.slice(2) : line;
    if (entry[0] === "/") {
      this.#refuseBegun();
      this.#takeEntry(entry, this.line);
    } else if (entry.trim() !== "" && !isComment(entry)) {
      this.#refuseLine(entry, "starts with a key, '/cluster/…'");
    }
  }

  /**
   * CnosDB cuts a line at its first `: `. If a name contains one, what follows is no value. The key is read to
   * its real end all the same, so that a message can name the object that cannot be restored; likewise if a
   * name contains a line break (2.3.3 takes a written line without tags and the next one for a table's name).
   */
  #takeEntry(text: string, line: number): void {
    let colon = text.indexOf(": ");
    this.#begun = colon < 0 ? { key: text, line } : undefined;
    if (colon < 0) return;
    if (text[colon + 2] !== "{") colon = Math.max(colon, text.indexOf(": {", colon));
    this.#entries.push({ key: text.slice(0, colon), value: text.slice(colon + 2), line });
  }

  #refuseBegun(): void {
    if (!this.#begun) return;
    this.refuse(
      `line ${this.#begun.line}: no ": " in it`,
      "every line is a key, a colon and a space, and a value; " +
        "CnosDB's /restore would skip this one in silence.",
    );
  }

  /** @param rest what follows the last newline */
  async end(rest: string, unmarked: boolean): Promise<Dump> {
    const [name, entries, framed, mark] = [this.name, this.#entries, this.#framed, this.#mark];
    this.#refuseBegun();
    const last = rest.replace(/\r$/, "");
    if (framed && !this.#closed && frame.test(last)) this.#closed = true;
    else if (last.trim() !== "") {
      this.refuse(
        `cut in the middle of line ${this.line + 1}: no newline after ${shown(last)}`,
        "every line that CnosDB writes ends in a newline, so the end is missing: dump again.",
      );
    }
    if (framed && !this.#closed) {
      this.refuse(
        `cut after line ${this.line}: the frame's last line is missing`,
        "dump again; what /debug answers begins and ends with a line of asterisks.",
      );
    }
    if (mark && mark.entries !== entries.length) {
      this.refuse(
        `its end mark promises ${mark.entries} entries, ${entries.length} are there`,
        "the dump lost lines on its way: make it again.",
      );
    }
    if (mark && mark.sha256 !== await this.#hash.digest()) {
      this.refuse(
        `its end mark (line ${mark.line}) has another sha256 than the lines before it`,
        "the dump was changed after it was written: make it again, or remove the mark's line if you changed it " +
          "on purpose, and give --unmarked.",
      );
    }
    if (!entries.length) {
      this.refuse("empty: not one entry in it", "did the command before it in the pipe fail?");
    }
    if (!framed && !mark && !unmarked) {
      this.refuse(
        `no end mark after its ${entries.length} entries, so nothing proves that it is whole`,
        "dump_meta.ts writes a dump with one; --unmarked takes a dump without, such as one that curl saved.",
      );
    }
    return { name, entries, framed, marked: mark !== undefined };
  }

  #refuseLine(line: string, expected: string): never {
    this.refuse(`line ${this.line}: expected a line that ${expected}; got ${shown(line)}`, unchangedHint);
  }

  refuse(problem: string, hint: string): never {
    throw new Failure(`${this.name}: ${problem}`, hint);
  }
}

// deno-lint-ignore no-control-regex
const beyondAscii = /[^\x00-\x7f]/;

/** Whether CnosDB skips the line, because it has no `: `. A damaged end mark is no comment. */
function isComment(line: string): boolean {
  return line[0] === "#" && !line.startsWith("# end ") && !line.includes(": ");
}

/** What may be shown of a line that could hold a password: its key. */
function shown(line: string): string {
  const at = line.indexOf(": ");
  return JSON.stringify(at < 0 ? preview(line, 20) : preview(line.slice(0, at)));
}

const smallDumpBytes = 1 << 20;

/**
 * SHA-256 of bytes that arrive in pieces. WebCrypto takes all of them at once, so it is used for small dumps
 * only, to spare them the 20 ms that loading node:crypto takes.
 */
class Sha256 {
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #hash: Hash | undefined;

  /** @param piece is kept, so it must not change */
  async update(piece: Uint8Array): Promise<void> {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes <= smallDumpBytes) return;
    this.#hash ??= (await import("node:crypto")).createHash("sha256");
    for (const piece of this.#pieces.splice(0)) this.#hash.update(piece);
  }

  /** The digest in hexadecimal. Call it once, at the end. */
  async digest(): Promise<string> {
    if (this.#hash) return this.#hash.digest("hex");
    return new Uint8Array(await crypto.subtle.digest("SHA-256", Buffer.concat(this.#pieces))).toHex();
  }
}

/** Writes a dump and its end mark, which CnosDB skips, as it has no `: `. */
export async function writeDump(
  entries: Iterable<Pick<Entry, "key" | "value">>,
  sink: Sink,
): Promise<void> {
  const hash = new Sha256();
  let written = 0;
  const lines = function* () {
    for (const { key, value } of entries) {
      written++;
      yield `${key}: ${value}`;
    }
  };
  await writeLines(lines(), async (bytes) => {
    await hash.update(bytes);
    await sink(bytes);
  });
  const mark = `# end entries=${written} sha256=${await hash.digest()}\n`;
  await sink(new TextEncoder().encode(mark));
}

/** Writes a dump to a file (mode 0600, as dumps hold password hashes) that appears whole or not at all. */
export async function saveDump(
  entries: Iterable<Pick<Entry, "key" | "value">>,
  path: string,
): Promise<void> {
  await saveFile(path, (sink) => writeDump(entries, sink));
}
