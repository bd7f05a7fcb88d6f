/**
 * The three S3 requests that COPY INTO makes (object_store 0.6.1 in 2.3.5.4 to 2.4.3.4, as recorded in
 * `fixtures/recorded/stage-s3.jsonl`): PUT of a whole object, a listing, GET by range. Over plain HTTP: who reads the
 * wire reads the rows, as with CnosDB's own HTTP port; without the run's key nobody can ask for them.
 */
import { randomBytes } from "node:crypto";
import { messageOf } from "../cli/errors.ts";
import type { StagedFile, StageFiles } from "./files.ts";
import { checkSignature, Refusal } from "./signature.ts";

/** One bucket of S3, with a name and a key that no other run has. */
export class S3Bucket {
  readonly name: string = `stage-${randomBytes(8).toString("hex")}`;
  readonly key = {
    accessKeyId: randomBytes(10).toString("hex"),
    secretAccessKey: randomBytes(32).toString("hex"),
    region: "stage",
  };
  /** why the last upload that failed did, for the operator */
  problem: string | undefined;

  /** @param admit returns once so many bytes that have come may be used */
  constructor(
    private readonly files: StageFiles,
    private readonly admit: (bytes: number) => Promise<void>,
  ) {}

  /** Answers a request, with an error of S3's where it is none of the three. */
  readonly answer = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    let isOurs = false;
    try {
      if (!/^\/[\w./-]*$/.test(url.pathname)) throw invalidName();
      const sha256 = await checkSignature(request, this.key);
      isOurs = true;
      return await this.#route(request, url, sha256);
    } catch (error) {
      const { status, code, message } = error instanceof Refusal
        ? error
        : new Refusal(500, "InternalError", messageOf(error));
      if (isOurs) {
        // 403 is what a given-up export gets that still sends: nobody's concern.
        if (request.method === "PUT" && status !== 403) this.problem = message;
        // Read to its end: an answer before that would not reach a client that is still sending.
        await request.body?.pipeTo(new WritableStream()).catch(() => {});
      }
      const details = `<Message>${escape(message)}</Message><Resource>${escape(url.pathname)}</Resource>`;
      return xml(`<Error><Code>${code}</Code>${details}</Error>`, status);
    }
  };

  async #route(request: Request, { pathname, searchParams }: URL, sha256: string): Promise<Response> {
    const { method, headers } = request;
    const [, bucket, key = ""] = /^\/([^/]*)\/?(.*)$/.exec(pathname) ?? [];
    if (bucket !== this.name) throw new Refusal(403, "AccessDenied", "that is not this run's bucket");
    if (!key && method === "GET" && searchParams.get("list-type") === "2") {
      return this.#list(searchParams.get("prefix") ?? "");
    }
    if (!key || !["GET", "PUT"].includes(method)) {
      throw new Refusal(405, "MethodNotAllowed", `no ${method} of ${key ? "a file" : "the bucket"} here`);
    }
    if (searchParams.size > 0 || headers.has("x-amz-copy-source")) {
      throw new Refusal(501, "NotImplemented", "files are sent and taken whole or by range, nothing else");
    }
    const [, directory, name] = /^([\w-]+)\/([\w-][\w.-]{0,254})$/.exec(key) ?? [];
    if (directory === undefined || name === undefined) throw invalidName();
    if (method === "GET") return this.#get(directory, name, headers.get("range"));
    if (!headers.has("content-length")) {
      throw new Refusal(411, "MissingContentLength", "Content-Length is required");
    }
    await this.files.put(directory, name, sha256, this.#pieces(key, request));
    return new Response(null, { headers: { etag: `"${sha256}"`, "content-length": "0" } });
  }

  async *#pieces(key: string, { headers, body }: Request): AsyncGenerator<Uint8Array> {
    let leftBytes = Number(headers.get("content-length"));
    try {
      for await (const piece of body?.values({ preventCancel: true }) ?? []) {
        leftBytes -= piece.length;
        await this.admit(piece.length);
        yield piece;
      }
    } catch {
      const told = `the upload of ${key} was cut off, ${leftBytes} bytes before its end`;
      throw new Refusal(503, "IncompleteBody", told);
    }
  }

  /** All at once: a directory has some files, one for 128 MB of rows. */
  #list(prefix: string): Response {
    const directory = prefix.replace(/\/$/, "");
    const contents = [...this.files.in(directory)].sort(([a], [b]) => a < b ? -1 : 1)
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
    const file = this.files.in(directory).get(name);
    if (!file) throw new Refusal(404, "NoSuchKey", `no file ${directory}/${name} here`);
    const [start, end] = range === null ? [0, file.bytes] : parseRange(range, file.bytes);
    const headers = {
      etag: `"${file.sha256}"`,
      "last-modified": file.modified.toUTCString(),
      "content-length": `${end - start}`,
      ...range !== null && { "content-range": `bytes ${start}-${end - 1}/${file.bytes}` },
    };
    const body = ReadableStream.from(read(file, start, end));
    return new Response(body, { status: range === null ? 200 : 206, headers });
  }
}

async function* read({ path }: StagedFile, start: number, end: number): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  await file.seek(start, Deno.SeekMode.Start);
  for (let leftBytes = end - start; leftBytes > 0;) {
    const buffer = new Uint8Array(Math.min(leftBytes, 262_144));
    const bytes = await file.read(buffer);
    if (!bytes) throw new Error("the file was cut");
    leftBytes -= bytes;
    yield buffer.subarray(0, bytes);
  }
}

const invalidName = () =>
  new Refusal(400, "InvalidURI", "a file's name has letters, digits, dots, - and _ only");

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
