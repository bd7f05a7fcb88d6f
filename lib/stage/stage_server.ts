/**
 * The stage that `copy_tables` serves itself: the few S3 requests that COPY INTO makes (object_store 0.6.1, as
 * recorded in `fixtures/recorded/stage-s3.jsonl`), over plain HTTP. Who reads the wire reads the rows, as with
 * CnosDB's own HTTP port; without the run's key nobody can ask for them.
 * @module
 */
import { randomBytes } from "node:crypto";
import { Failure, messageOf } from "../cli/errors.ts";
import { checkSignature, Refusal } from "./sigv4.ts";
import { cutOff, isKey, StageFiles } from "./stage_files.ts";

/** A stage that is being served. */
export interface StageServer {
  /**
   * Opens a directory, e.g. `t-17-a1`, for one attempt of one table: from now until `remove` it takes files.
   * @returns what goes between COPY INTO's quotes: `s3://bucket/t-17-a1`
   */
  url(dir: string): string;
  /** COPY INTO's CONNECTION. Strings in quotes, but `virtual_hosted_style` bare: CnosDB takes no `'false'`. */
  connection: Record<string, string>;
  /** Bytes received so far, those of failed uploads too. */
  bytesIn(): number;
  /** Bytes sent so far. */
  bytesOut(): number;
  /** Bytes lying in the stage, a file that is being received counting with its whole size. */
  bytesStaged(): number;
  /** Bytes of the whole files of one directory. */
  size(dir: string): number;
  /** Why the last upload that failed did, for the operator; unset while none has. */
  lastError(): string | undefined;
  /** Closes a directory and deletes its files. What an attempt that was given up still sends is refused. */
  remove(dir: string): Promise<void>;
  /** Cuts all transfers, stops listening and deletes the stage's directory. */
  close(): Promise<void>;
}

/** Where and how to serve a stage. */
export interface StageServerOptions {
  /** The one address to listen on; port 0 takes a free one. */
  listen: { hostname: string; port: number };
  /** HOST:PORT that the clusters reach; port 0 is the one listened on. */
  advertise: string;
  /** Where the stage's directory is made, instead of where temporary files go. */
  directory?: string;
  /** Told after each piece how many bytes were received and sent so far. */
  onBytes?: (inBytes: number, outBytes: number) => void;
  /** A file that would make the stage larger than this is refused. */
  maxStagedBytes?: number;
  /** An upload that sends nothing for so long is cut off; 120 s unless told. */
  idleTimeoutMs?: number;
}

/**
 * Serves a stage, with a bucket and a key of its own, until it is closed.
 * @throws {Failure} if its directory cannot be made or the address not be listened on
 */
export async function serveStage(options: StageServerOptions): Promise<StageServer> {
  const files = await StageFiles.make(options.directory, options.maxStagedBytes);
  try {
    return new Stage(options, files);
  } catch (error) {
    await files.close();
    const { hostname, port } = options.listen;
    throw new Failure(`cannot serve the stage on ${hostname}:${port}: ${messageOf(error)}`);
  }
}

/**
 * The address by which this machine reaches a cluster, and so most likely is reached by it.
 * @param url the cluster's SQL URL
 * @throws {Failure} if nothing accepts connections there
 */
export async function addressTowards(url: string): Promise<string> {
  const { protocol, hostname, port, host } = new URL(url);
  try {
    using connection = await Deno.connect({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port) || (protocol === "https:" ? 443 : 80),
    });
    return connection.localAddr.hostname;
  } catch (error) {
    throw new Failure(`cannot connect to ${host}: ${messageOf(error)}`);
  }
}

class Stage implements StageServer {
  readonly connection: Record<string, string>;
  readonly #bucket = `stage-${randomBytes(8).toString("hex")}`;
  readonly #key = {
    accessKeyId: randomBytes(10).toString("hex"),
    secretKey: randomBytes(32).toString("hex"),
    region: "stage",
  };
  readonly #uploads = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #bytesIn = 0;
  #bytesOut = 0;
  #lastError: string | undefined;

  constructor(private readonly options: StageServerOptions, private readonly files: StageFiles) {
    this.#server = Deno.serve(
      { ...options.listen, signal: this.#stop.signal, onListen: () => {} },
      (request) => this.#answer(request),
    );
    this.connection = {
      endpoint_url: `http://${options.advertise.replace(/:0$/, `:${this.#server.addr.port}`)}`,
      region: this.#key.region,
      access_key_id: this.#key.accessKeyId,
      secret_key: this.#key.secretKey,
      virtual_hosted_style: "false",
    };
  }

  bytesIn = () => this.#bytesIn;
  bytesOut = () => this.#bytesOut;
  bytesStaged = () => this.files.bytesStaged;
  lastError = () => this.#lastError;
  size = (dir: string) => this.files.within(`${dir}/`).reduce((sum, [, { bytes }]) => sum + bytes, 0);
  remove = (dir: string) => this.files.remove(dir);

  url(dir: string): string {
    this.files.open(dir);
    return `s3://${this.#bucket}/${dir}`;
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    await this.#server.finished;
    await Promise.allSettled(this.#uploads);
    await this.files.close();
  }

  async #answer(request: Request): Promise<Response> {
    // Not by URL(), which resolves `..` and decodes: what was signed is the path as it came.
    const target = request.url.slice(request.url.indexOf("/", "http://".length));
    const [path = "", query = ""] = target.split(/\?(.*)/s);
    let mayWrite = false;
    try {
      const sha256 = checkSignature(
        { method: request.method, path, query, headers: request.headers },
        this.#key,
      );
      mayWrite = request.method === "PUT";
      return await this.#route(request, path, new URLSearchParams(query), sha256);
    } catch (error) {
      const { status, code, message } = error instanceof Refusal
        ? error
        : new Refusal(500, "InternalError", messageOf(error));
      // 403 is what a given-up attempt gets that still sends: nobody's concern.
      if (mayWrite && status !== 403) this.#lastError = message;
      const details = `<Message>${escape(message)}</Message><Resource>${escape(path)}</Resource>`;
      return xml(`<Error><Code>${code}</Code>${details}</Error>`, status);
    }
  }

  #route(
    request: Request,
    path: string,
    query: URLSearchParams,
    sha256: string,
  ): Response | Promise<Response> {
    const { method, headers } = request;
    const [, bucket, key = ""] = /^\/([^/]*)\/?(.*)$/s.exec(path) ?? [];
    if (bucket !== this.#bucket) throw new Refusal(403, "AccessDenied", "that is not this run's bucket");
    if (!key && method === "GET" && query.get("list-type") === "2") return this.#list(query);
    if (!key || !["GET", "HEAD", "PUT"].includes(method)) {
      throw new Refusal(405, "MethodNotAllowed", `no ${method} of ${key ? "a file" : "the bucket"} here`);
    }
    if (query.size > 0 || headers.has("x-amz-copy-source")) {
      throw new Refusal(501, "NotImplemented", "files are sent and taken whole or by range, nothing else");
    }
    if (!isKey(key)) {
      throw new Refusal(400, "InvalidURI", "a file's name has letters, digits, dots, - and _ only");
    }
    if (method !== "PUT") return this.#get(key, method, headers.get("range"));
    const upload = this.#put(key, request, sha256);
    this.#uploads.add(upload);
    return upload.finally(() => this.#uploads.delete(upload));
  }

  #list(query: URLSearchParams): Response {
    const known = ["list-type", "prefix", "max-keys", "continuation-token"];
    const unknown = [...query.keys()].find((name) => !known.includes(name));
    if (unknown) throw new Refusal(501, "NotImplemented", `no listing by ${unknown} here`);
    const prefix = query.get("prefix") ?? "";
    const after = query.get("continuation-token") ?? "";
    const maxKeys = Math.min(Number(query.get("max-keys")) || 1000, 1000);
    const rest = this.files.within(prefix).filter(([key]) => key > after).sort(([a], [b]) => a < b ? -1 : 1);
    const page = rest.slice(0, maxKeys);
    const next = rest.length > page.length ? page.at(-1)?.[0] : undefined;
    const contents = page.map(([key, { modified, sha256, bytes }]) =>
      `<Contents><Key>${key}</Key><LastModified>${modified.toISOString()}</LastModified>` +
      `<ETag>"${sha256}"</ETag><Size>${bytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`
    );
    return xml(
      `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${this.#bucket}</Name>` +
        `<Prefix>${escape(prefix)}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>${maxKeys}</MaxKeys>` +
        `<IsTruncated>${next !== undefined}</IsTruncated>` +
        (next === undefined ? "" : `<NextContinuationToken>${next}</NextContinuationToken>`) +
        `${contents.join("")}</ListBucketResult>`,
    );
  }

  async #get(key: string, method: string, range: string | null): Promise<Response> {
    const file = this.files.get(key);
    const source = file && await Deno.open(file.path).catch(() => undefined); // removed at this moment
    if (!source) throw new Refusal(404, "NoSuchKey", `no file ${key} here`);
    try {
      const [start, end] = range === null ? [0, file.bytes] : parseRange(range, file.bytes);
      const headers: Record<string, string> = {
        "content-type": "application/octet-stream",
        "content-length": `${end - start}`,
        "accept-ranges": "bytes",
        "last-modified": file.modified.toUTCString(),
        etag: `"${file.sha256}"`,
      };
      if (range !== null) headers["content-range"] = `bytes ${start}-${end - 1}/${file.bytes}`;
      await source.seek(start, Deno.SeekMode.Start);
      const body = method === "GET" ? this.#stream(source, end - start) : null;
      if (!body) source.close();
      return new Response(body, { status: range === null ? 200 : 206, headers });
    } catch (error) {
      source.close();
      throw error;
    }
  }

  #stream(source: Deno.FsFile, leftBytes: number): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream({
      pull: async (controller) => {
        const buffer = new Uint8Array(Math.min(leftBytes, 256 * 1024));
        const bytes = leftBytes && await source.read(buffer);
        if (!bytes) {
          source.close();
          return controller.close();
        }
        leftBytes -= bytes;
        this.#count(0, bytes);
        controller.enqueue(buffer.subarray(0, bytes));
      },
      cancel: () => source.close(),
    }, { highWaterMark: 0 });
  }

  async #put(key: string, request: Request, sha256: string): Promise<Response> {
    const length = request.headers.get("content-length");
    if (length === null) throw new Refusal(411, "MissingContentLength", "Content-Length is required");
    await this.files.put(key, Number(length), sha256, this.#pieces(key, request));
    return new Response(null, { headers: { etag: `"${sha256}"` } });
  }

  async *#pieces(key: string, request: Request): AsyncGenerator<Uint8Array> {
    const { idleTimeoutMs = 120_000 } = this.options;
    const reader = request.body?.getReader();
    for (let receivedBytes = 0; reader;) {
      const timer = setTimeout(() => reader.cancel().catch(() => {}), idleTimeoutMs);
      const { value } = await reader.read().catch(() => {
        throw cutOff(key, receivedBytes);
      }).finally(() => clearTimeout(timer));
      if (!value) return;
      receivedBytes += value.length;
      this.#count(value.length, 0);
      yield value;
    }
  }

  #count(inBytes: number, outBytes: number): void {
    this.#bytesIn += inBytes;
    this.#bytesOut += outBytes;
    this.options.onBytes?.(this.#bytesIn, this.#bytesOut);
  }
}

const escape = (text: string) => text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);

const xml = (body: string, status = 200) =>
  new Response(`<?xml version="1.0" encoding="UTF-8"?>${body}`, {
    status,
    headers: { "content-type": "application/xml" },
  });

function parseRange(range: string, bytes: number): [start: number, end: number] {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? [];
  const start = first ? Number(first) : Math.max(0, bytes - Number(last));
  const end = first && last ? Math.min(Number(last) + 1, bytes) : bytes;
  if (first + last === "" || start >= end) {
    throw new Refusal(416, "InvalidRange", `${range} of ${bytes} bytes`);
  }
  return [start, end];
}
