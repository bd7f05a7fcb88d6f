/**
 * The three S3 requests that COPY INTO makes (object_store 0.6.1 in 2.3.5.4 to 2.4.3.4, as recorded in
 * `fixtures/recorded/stage-s3.jsonl`): PUT of a whole object, a listing, GET by range. Over plain HTTP: who reads the
 * wire reads the rows, as with CnosDB's own HTTP port; without the run's key nobody can ask for them.
 */
import { randomBytes } from "node:crypto";
import { messageOf } from "../cli/errors.ts";
import { isKey, type StagedFile, type StageFiles } from "./files.ts";
import type { HttpAnswer, HttpRequest } from "./http.ts";
import type { Intake } from "./rate.ts";
import { checkSignature, Refusal } from "./signature.ts";

/** One bucket of S3, with a name and a key that no other run has. */
export class S3Bucket {
  readonly name: string = `stage-${randomBytes(8).toString("hex")}`;
  readonly key = {
    accessKeyId: randomBytes(10).toString("hex"),
    secretAccessKey: randomBytes(32).toString("hex"),
    region: "stage",
  };
  /** bytes received and sent so far, those of failed transfers too */
  readonly traffic = { inBytes: 0, outBytes: 0 };
  /** why the last upload that failed did, for the operator */
  problem: string | undefined;

  constructor(private readonly files: StageFiles, private readonly intake: Intake) {}

  /** Answers a request, with an error of S3's where it is none of the three. */
  readonly answer = async (request: HttpRequest): Promise<HttpAnswer> => {
    const [path = "", query = ""] = request.target.split(/\?(.*)/s);
    let isOurs = false;
    try {
      if (!/^\/[\w./-]*$/.test(path)) throw invalidName();
      const sha256 = await checkSignature(request, this.key);
      isOurs = true;
      return await this.#route(request, path, new URLSearchParams(query), sha256);
    } catch (error) {
      const { status, code, message } = error instanceof Refusal
        ? error
        : new Refusal(500, "InternalError", messageOf(error));
      if (isOurs) {
        // 403 is what a given-up export gets that still sends: nobody's concern.
        if (request.method === "PUT" && status !== 403) this.problem = message;
        // Read to its end: an answer before that would not reach a client that is still sending.
        while (await request.read().catch(() => undefined));
      }
      const details = `<Message>${escape(message)}</Message><Resource>${escape(path)}</Resource>`;
      return xml(`<Error><Code>${code}</Code>${details}</Error>`, status);
    }
  };

  async #route(
    request: HttpRequest,
    path: string,
    query: URLSearchParams,
    sha256: string,
  ): Promise<HttpAnswer> {
    const { method, headers } = request;
    const [, bucket, key = ""] = /^\/([^/]*)\/?(.*)$/s.exec(path) ?? [];
    if (bucket !== this.name) throw new Refusal(403, "AccessDenied", "that is not this run's bucket");
    if (!key && method === "GET" && query.get("list-type") === "2") return this.#list(query);
    if (!key || !["GET", "PUT"].includes(method)) {
      throw new Refusal(405, "MethodNotAllowed", `no ${method} of ${key ? "a file" : "the bucket"} here`);
    }
    if (query.size > 0 || headers.has("x-amz-copy-source")) {
      throw new Refusal(501, "NotImplemented", "files are sent and taken whole or by range, nothing else");
    }
    if (!isKey(key)) throw invalidName();
    return method === "PUT" ? await this.#put(key, request, sha256) : this.#get(key, headers.get("range"));
  }

  async #put(key: string, request: HttpRequest, sha256: string): Promise<HttpAnswer> {
    if (request.leftBytes === undefined) {
      throw new Refusal(411, "MissingContentLength", "Content-Length is required");
    }
    await this.files.put(key, sha256, this.#pieces(key, request));
    return { status: 200, headers: { etag: `"${sha256}"` }, bodyBytes: 0, body: [] };
  }

  async *#pieces(key: string, request: HttpRequest): AsyncGenerator<Uint8Array> {
    while (request.leftBytes) {
      const piece = await request.read().catch(() => {
        const told = `the upload of ${key} was cut off, ${request.leftBytes} bytes before its end`;
        throw new Refusal(503, "IncompleteBody", told);
      });
      if (!piece) return;
      this.traffic.inBytes += piece.length;
      await this.intake.admit(piece.length);
      yield piece;
    }
  }

  #list(query: URLSearchParams): HttpAnswer {
    const prefix = query.get("prefix") ?? "";
    const page = this.files.within(prefix); // all at once: a directory has some files, one for 128 MB of rows
    const contents = page.map(([key, { modified, sha256, bytes }]) =>
      `<Contents><Key>${key}</Key><LastModified>${modified.toISOString()}</LastModified>` +
      `<ETag>"${sha256}"</ETag><Size>${bytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`
    );
    return xml(
      `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${this.name}</Name>` +
        `<Prefix>${escape(prefix)}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>1000</MaxKeys>` +
        `<IsTruncated>false</IsTruncated>${contents.join("")}</ListBucketResult>`,
    );
  }

  #get(key: string, range: string | null): HttpAnswer {
    const file = this.files.get(key);
    if (!file) throw new Refusal(404, "NoSuchKey", `no file ${key} here`);
    const [start, end] = range === null ? [0, file.bytes] : parseRange(range, file.bytes);
    const headers = { etag: `"${file.sha256}"`, "last-modified": file.modified.toUTCString() };
    const [bodyBytes, body] = [end - start, this.#stream(file, start, end)];
    if (range === null) return { status: 200, headers, bodyBytes, body };
    const part = { "content-range": `bytes ${start}-${end - 1}/${file.bytes}` };
    return { status: 206, headers: { ...headers, ...part }, bodyBytes, body };
  }

  async *#stream({ path }: StagedFile, start: number, end: number): AsyncGenerator<Uint8Array> {
    using file = await Deno.open(path);
    await file.seek(start, Deno.SeekMode.Start);
    for (let leftBytes = end - start; leftBytes > 0;) {
      const buffer = new Uint8Array(Math.min(leftBytes, 262_144));
      const bytes = await file.read(buffer);
      if (!bytes) throw new Error("the file was cut");
      leftBytes -= bytes;
      this.traffic.outBytes += bytes;
      yield buffer.subarray(0, bytes);
    }
  }
}

const invalidName = () =>
  new Refusal(400, "InvalidURI", "a file's name has letters, digits, dots, - and _ only");

const escape = (text: string) => text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);

function xml(text: string, status = 200): HttpAnswer {
  const body = new TextEncoder().encode(`<?xml version="1.0" encoding="UTF-8"?>${text}`);
  return { status, headers: { "content-type": "application/xml" }, bodyBytes: body.length, body: [body] };
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
