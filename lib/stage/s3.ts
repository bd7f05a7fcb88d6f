/**
 * The three S3 requests that COPY INTO makes (object_store 0.6.1 in 2.3.5.4 to 2.4.3.4, as recorded in
 * `fixtures/recorded/stage-s3.jsonl`): PUT of a whole object, a listing, GET by range. Over plain HTTP:
 * whoever reads the wire reads the rows, as with CnosDB's own HTTP port, but only who has the run's key can
 * ask for them.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../cli/errors.ts";
import { writeAll } from "../cli/files.ts";
import { checkSignature, Refusal } from "./signature.ts";

/** A whole file; what came was checked against its sha256 (in hex). */
interface StagedFile {
  /** ends in a number: names that clients send never become a path */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly modified: Date;
}

/** An S3 bucket with a name and a key of this run alone. It holds only whole files; a failed upload leaves nothing on disk. */
export class S3Bucket {
  readonly name: string = `stage-${randomBytes(8).toString("hex")}`;
  /** random for each run; the clusters get it in COPY INTO's CONNECTION */
  readonly key = {
    accessKeyId: randomBytes(10).toString("hex"),
    secretAccessKey: randomBytes(32).toString("hex"),
    region: "stage",
  };
  /** files by directory and name; only these directories take files */
  readonly #directories = new Map<string, Map<string, StagedFile>>();
  /** when a directory was last read from, by `performance.now()` */
  readonly lastReadMs = new Map<string, number>();
  #number = 0;

  /**
   * @param root the directory for its files
   * @param admit resolves when so many received bytes may be processed
   * @param report is called with the reason when an upload fails
   */
  constructor(
    private readonly root: string,
    private readonly admit: (bytes: number) => Promise<void>,
    private readonly report: (problem: string) => void,
  ) {}

  /** Lets a directory take files until it is removed. */
  open(directory: string): void {
    if (!this.#directories.has(directory)) this.#directories.set(directory, new Map());
  }

  /** Bytes of a directory's files. */
  bytes(directory: string): number {
    return this.#files(directory).reduce((sum, [, { bytes }]) => sum + bytes, 0);
  }

  /** Closes a directory and deletes its files. */
  async remove(directory: string): Promise<void> {
    const files = this.#files(directory);
    this.#directories.delete(directory);
    this.lastReadMs.delete(directory);
    for (const [, { path }] of files) await remove(path);
  }

  #files(directory: string): [name: string, file: StagedFile][] {
    return [...this.#directories.get(directory) ?? []];
  }

  /** Answers a request; with an error of S3's if it is none of the three. */
  readonly answer = async (request: Request): Promise<Response> => {
    try {
      const sha256 = await checkSignature(request, this.key);
      // Always reads the whole body: a client that is still sending would not see an earlier answer.
      const drain = () => request.body?.pipeTo(new WritableStream()).catch(() => {});
      return await this.#route(request, sha256).finally(drain);
    } catch (error) {
      const { status, code, message } = error instanceof Refusal
        ? error
        : new Refusal(500, "InternalError", messageOf(error));
      // An export that was given up gets 403 if it still sends: not a problem to report.
      if (request.method === "PUT" && status !== 403) this.report(message);
      return xml(`<Error><Code>${code}</Code><Message>${escape(message)}</Message></Error>`, status);
    }
  };

  async #route(request: Request, sha256: string): Promise<Response> {
    const { method, headers } = request;
    const { pathname, search, searchParams } = new URL(request.url);
    const form = /^\/([\w-]+)(?:\/?|\/([\w-]+)\/([\w-][\w.-]{0,254}))$/;
    const [, bucket, directory, name] = form.exec(pathname) ?? [];
    if (bucket !== this.name) throw new Refusal(403, "AccessDenied", "this is no file of this run's bucket");
    if (directory === undefined || name === undefined) {
      if (method === "GET" && searchParams.get("list-type") === "2") {
        return this.#list(searchParams.get("prefix") ?? "");
      }
    } else if (search === "" && !headers.has("x-amz-copy-source")) {
      if (method === "GET") return this.#get(directory, name, headers.get("range"));
      if (method === "PUT" && headers.has("content-length")) {
        return await this.#put(directory, name, request, sha256);
      }
    }
    throw new Refusal(501, "NotImplemented", "files are listed, sent whole and taken by range, nothing else");
  }

  /** Stores a file. It replaces one of the same name: object_store repeats a PUT if it got no answer. */
  async #put(directory: string, name: string, request: Request, sha256: string): Promise<Response> {
    const files = this.#directories.get(directory);
    const closed = new Refusal(403, "AccessDenied", `${directory} belongs to no running export`);
    if (!files) throw closed;
    const path = join(this.root, `${++this.#number}`);
    const bytes = Number(request.headers.get("content-length"));
    try {
      using file = await Deno.open(path, { write: true, create: true });
      const pieces = this.#pieces(`${directory}/${name}`, request.body, bytes, sha256);
      for await (const piece of pieces) await writeAll(file, piece);
      if (this.#directories.get(directory) !== files) throw closed; // given up meanwhile
    } catch (error) {
      await remove(path);
      if (error instanceof Refusal) throw error;
      // 503, because object_store repeats that ten times within seconds, and the cluster's error shows it.
      throw new Refusal(503, "SlowDown", `cannot write in ${this.root}: ${messageOf(error)}`);
    }
    const before = files.get(name);
    files.set(name, { path, bytes, sha256, modified: new Date() });
    if (before) await remove(before.path);
    return new Response(null, { headers: { etag: `"${sha256}"`, "content-length": "0" } });
  }

  /** The pieces of an upload. @throws {Refusal} at the end if they are not what was announced */
  async *#pieces(
    key: string,
    body: Request["body"],
    leftBytes: number,
    sha256: string,
  ): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256");
    try {
      for await (const piece of body?.values({ preventCancel: true }) ?? []) {
        leftBytes -= piece.length;
        await this.admit(piece.length);
        hash.update(piece);
        yield piece;
      }
    } catch {
      const message = `the upload of ${key} was cut off, ${leftBytes} bytes before its end`;
      throw new Refusal(503, "IncompleteBody", message);
    }
    if (hash.digest("hex") === sha256) return;
    throw new Refusal(400, "XAmzContentSHA256Mismatch", `${key} is not what was sent: its sha256 differs`);
  }

  /** Lists a directory in one answer: it has one file for each 128 MB of rows. */
  #list(prefix: string): Response {
    const directory = prefix.replace(/\/$/, "");
    const contents = this.#files(directory).sort(([a], [b]) => a < b ? -1 : 1)
      .map(([name, { modified, sha256, bytes }]) =>
        `<Contents><Key>${directory}/${name}</Key><LastModified>${modified.toISOString()}</LastModified>` +
        `<ETag>"${sha256}"</ETag><Size>${bytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`
      );
    return xml(
      `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${this.name}</Name>` +
        `<Prefix>${escape(prefix)}</Prefix><KeyCount>${contents.length}</KeyCount><MaxKeys>1000</MaxKeys>` +
        `<IsTruncated>false</IsTruncated>${contents.join("")}</ListBucketResult>`,
    );
  }

  #get(directory: string, name: string, range: string | null): Response {
    const file = this.#directories.get(directory)?.get(name);
    if (!file) throw new Refusal(404, "NoSuchKey", `no file ${directory}/${name} here`);
    const [start, end] = range === null ? [0, file.bytes] : parseRange(range, file.bytes);
    const headers = {
      etag: `"${file.sha256}"`,
      "last-modified": file.modified.toUTCString(),
      "content-length": `${end - start}`,
    };
    const body = ReadableStream.from(this.#read(directory, file.path, start, end));
    if (range === null) return new Response(body, { headers });
    const contentRange = `bytes ${start}-${end - 1}/${file.bytes}`;
    return new Response(body, { status: 206, headers: { ...headers, "content-range": contentRange } });
  }

  /** Reads a part of a file. Opens it only when its first piece is asked for. */
  async *#read(directory: string, path: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    if (start === end) return;
    for await (const piece of createReadStream(path, { start, end: end - 1, highWaterMark: 524_288 })) {
      this.lastReadMs.set(directory, performance.now());
      yield piece;
    }
  }
}

const remove = (path: string) => Deno.remove(path).catch(() => {}); // perhaps it was never created

const escape = (text: string) => text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);

function xml(text: string, status = 200): Response {
  const body = new TextEncoder().encode(`<?xml version="1.0" encoding="UTF-8"?>${text}`);
  const headers = { "content-type": "application/xml", "content-length": `${body.length}` };
  return new Response(body, { status, headers });
}

function parseRange(range: string, bytes: number): [start: number, end: number] {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? [];
  const start = first ? Number(first) : Math.max(0, bytes - Number(last));
  const end = first && last ? Math.min(Number(last) + 1, bytes) : bytes;
  if (first + last === "" || start >= end) {
    throw new Refusal(416, "InvalidRange", `${range} of ${bytes} bytes`);
  }
  return [start, end];
}
