/**
 * Where the stand-in's COPY writes and reads: directories, and S3 as CnosDB's client (object_store 0.6.1) speaks it,
 * with its words for what goes wrong. The files have a parquet's outline (magic, rows, footer, its length, magic),
 * so that they are read by the same three ranges; inside are lines of JSON.
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, randomBytes } from "node:crypto";
import http from "node:http";
import { since, type Version } from "./shapes.ts";
import { printDouble, type Result, SqlError, Time, type Type, type Value } from "./sql_values.ts";

/** What went wrong with a store, in object_store's words. */
export class StoreError extends Error {}

/** How often S3 requests are tried again, and how long apart; the real client takes 10 and 0.1 to 15 s. */
export interface Retry {
  retries: number;
  pauseMs: number;
}

/** A file of a stage. */
export interface StageFile {
  path: string;
  bytes: number;
}

/** A directory that is written to or read from. */
export interface Stage {
  /** Writes a new file, whole. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** All files under the directory; none where there is no directory. */
  list(): Promise<StageFile[]>;
  /** Reads bytes `from` to `to`, both included. */
  read(path: string, from: number, to: number): Promise<Uint8Array>;
}

/** Opens what a COPY names. `connection` has the options of CONNECTION = (…). Throws SqlError. */
export function openStage(
  url: string,
  connection: Map<string, string>,
  version: Version,
  retry: Retry,
  signal: AbortSignal,
): Stage {
  const parts = /^([a-z0-9]+):\/\/([^/]*)(\/.*)?$/i.exec(url.startsWith("/") ? `file://${url}` : url);
  const [scheme, host, path] = [parts?.[1]?.toLowerCase(), parts?.[2] ?? "", parts?.[3] ?? "/"];
  const semantic = (message: string) => new SqlError("010003", `Semantic error: ${message}`);
  if (scheme === "file") return new Directory(path, version);
  if (scheme !== "s3") {
    if (scheme === "gcs" || scheme === "azblob") {
      throw new SqlError(
        "010005",
        `This feature is not implemented: ${scheme} (the stand-in knows file and s3)`,
      );
    }
    throw semantic(`Unsupported url schema [${scheme ?? url}]`);
  }
  if (host === "") throw semantic("Lost bucket in url");
  const known = ["endpoint_url", "region", "access_key_id", "secret_key", "token", "virtual_hosted_style"];
  const unknown = [...connection.keys()].find((key) => !known.includes(key));
  if (unknown !== undefined) throw semantic(`Unsupported option [${unknown}]`);
  const region = connection.get("region");
  if (region === undefined) throw semantic("`region` must be initialized");
  const endpoint = connection.get("endpoint_url")?.replace(/\/+$/, "") ??
    `https://s3.${region}.amazonaws.com`;
  return new Bucket(
    // Unless told otherwise the endpoint is taken for the bucket's own: the first directory then stands in its place.
    connection.get("virtual_hosted_style")?.toLowerCase() === "false" ? `${endpoint}/${host}` : endpoint,
    path.slice(1),
    { region, key: connection.get("access_key_id") ?? "", secret: connection.get("secret_key") ?? "" },
    retry,
    signal,
  );
}

const REASONS: [new (...args: never[]) => Error, string][] = [
  [Deno.errors.NotFound, "No such file or directory (os error 2)"],
  [Deno.errors.PermissionDenied, "Permission denied (os error 13)"],
  [Deno.errors.NotADirectory, "Not a directory (os error 20)"],
];
const reason = (error: unknown) => REASONS.find(([type]) => error instanceof type)?.[1] ?? String(error);

class Directory implements Stage {
  constructor(readonly path: string, readonly version: Version) {}

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const directory = decodeURIComponent(this.path).replace(/\/+$/, "");
    const failed = (what: string) => (error: unknown) => {
      throw new StoreError(`Generic LocalFileSystem error: Unable to ${what}: ${reason(error)}`);
    };
    await Deno.mkdir(directory, { recursive: true }).catch(failed(`create dir ${directory}`));
    const file = `${directory}/${name}`;
    await Deno.writeFile(file, bytes, { createNew: true }).catch(failed(`open file ${file}`));
  }

  /** Takes the path as it was written: what was encoded in it is not found, and nothing said. */
  async list(): Promise<StageFile[]> {
    const path = encodeURI(decodeURIComponent(this.path));
    if (!path.endsWith("/")) {
      const missing = (why: string) => new StoreError(`Object at location ${path} not found: ${why}`);
      const info = await Deno.stat(path).catch((error) => {
        throw missing(reason(error));
      });
      if (info.isDirectory) throw missing("is directory");
      return [{ path, bytes: info.size }];
    }
    const files: StageFile[] = [];
    const walk = async (directory: string) => {
      for (const entry of Deno.readDirSync(directory)) {
        const inner = directory + entry.name;
        if (entry.isDirectory && since(this.version, "2.4.2")) await walk(`${inner}/`);
        if (entry.isFile) files.push({ path: inner, bytes: (await Deno.stat(inner)).size });
      }
    };
    await walk(path).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) {
        throw new StoreError(`Generic LocalFileSystem error: Unable to walk dir: ${reason(error)}`);
      }
    });
    return files.sort((a, b) => a.path < b.path ? -1 : 1);
  }

  async read(path: string, from: number, to: number): Promise<Uint8Array> {
    const bytes = await Deno.readFile(path).catch((error) => {
      throw new StoreError(`Object at location ${path} not found: ${reason(error)}`);
    });
    return bytes.subarray(from, to + 1);
  }
}

const hex = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
const hmac = (key: Uint8Array | string, text: string) => createHmac("sha256", key).update(text).digest();

class Bucket implements Stage {
  constructor(
    /** Where the bucket is. */
    readonly endpoint: string,
    readonly prefix: string,
    readonly credentials: { region: string; key: string; secret: string },
    readonly retry: Retry,
    readonly signal: AbortSignal,
  ) {}

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const key = `${this.prefix.replace(/\/+$/, "")}/${name}`;
    await this.#request("PUT", `/${encodeURI(key)}`, key, { body: bytes });
  }

  async list(): Promise<StageFile[]> {
    if (!this.prefix.endsWith("/")) {
      throw new StoreError(
        `Object at location ${this.prefix} not found: response error "No Body", after 0 retries`,
      );
    }
    const files: StageFile[] = [];
    const plain = (xml: string) =>
      xml.replace(
        /&(amp|lt|gt|quot|apos);/g,
        (_, name: string) => ({ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" })[name]!,
      );
    for (let token: string | undefined = "";;) {
      const more = token === "" ? "" : `&continuation-token=${encodeURIComponent(token)}`;
      const query = `?list-type=2&prefix=${encodeURIComponent(this.prefix)}${more}`;
      const xml = new TextDecoder().decode(await this.#request("GET", query, undefined, {}));
      for (const [, contents] of xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
        const path = plain(/<Key>(.*?)<\/Key>/s.exec(contents!)?.[1] ?? "");
        files.push({ path, bytes: Number(/<Size>(\d+)<\/Size>/.exec(contents!)?.[1]) });
      }
      token = plain(/<NextContinuationToken>(.*?)<\/NextContinuationToken>/s.exec(xml)?.[1] ?? "");
      if (token === "" || !xml.includes("<IsTruncated>true<")) return files;
    }
  }

  async read(path: string, from: number, to: number): Promise<Uint8Array> {
    return await this.#request("GET", `/${encodeURI(path)}`, path, { range: `bytes=${from}-${to}` });
  }

  /** Sends a signed request, again where it could not be sent or the answer is 5xx. `key` is that of an object. */
  async #request(
    method: string,
    rest: string,
    key: string | undefined,
    { body, range }: { body?: Uint8Array; range?: string },
  ): Promise<Uint8Array> {
    const url = new URL(this.endpoint + rest);
    const failed = (message: string, retries: number, why: string, status?: number) => {
      const text = `response error "${message}", after ${retries} retries: ${why} for url (${url})`;
      return new StoreError(
        status === 404 && key !== undefined
          ? `Object at location ${key} not found: ${text}`
          : `Generic S3 error: ${key === undefined ? "Error performing list request: " : ""}${text}`,
      );
    };
    for (let retries = 0;; retries++) {
      const answer = await this.#send(method, url, body, range).catch((error) => {
        this.signal.throwIfAborted();
        if (error instanceof StoreError) throw error;
        return error as { code?: string };
      });
      if ("status" in answer && answer.status >= 200 && answer.status < 300) return answer.body;
      const last = retries >= this.retry.retries;
      if (!("status" in answer) && last) {
        const refused = answer.code === "ECONNREFUSED"
          ? "error trying to connect: tcp connect error: Connection refused (os error 111)"
          : "connection closed before message completed";
        const error = failed("request error", retries, "error sending request");
        throw new StoreError(`${error.message}: ${refused}`);
      }
      if ("status" in answer && (last || answer.status < 500)) {
        const client = answer.status < 500;
        const status = `${answer.status} ${http.STATUS_CODES[answer.status] ?? ""}`;
        const message = client ? new TextDecoder().decode(answer.body) || "No Body" : status;
        const why = `HTTP status ${client ? "client" : "server"} error (${status})`;
        throw failed(message, retries, why, answer.status);
      }
      await new Promise((resolve) => setTimeout(resolve, this.retry.pauseMs));
    }
  }

  #headers(method: string, url: URL, body: Uint8Array, range: string | undefined): Record<string, string> {
    const { region, key, secret } = this.credentials;
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    const signed: Record<string, string> = {
      host: url.host,
      ...(range === undefined ? {} : { range }),
      "x-amz-content-sha256": hex(body),
      "x-amz-date": date,
    };
    const names = Object.keys(signed).join(";");
    const query = [...url.searchParams].sort()
      .map((pair) => pair.map((text) => encodeURIComponent(text)).join("=")).join("&");
    const lines = Object.entries(signed).map(([name, value]) => `${name}:${value}\n`).join("");
    const request = [method, url.pathname, query, lines, names, hex(body)].join("\n");
    const scope = [date.slice(0, 8), region, "s3", "aws4_request"];
    const signing = scope.reduce<Uint8Array | string>((secret, part) => hmac(secret, part), `AWS4${secret}`);
    const signature = hmac(signing, ["AWS4-HMAC-SHA256", date, scope.join("/"), hex(request)].join("\n"));
    return {
      ...signed,
      authorization: `AWS4-HMAC-SHA256 Credential=${key}/${scope.join("/")}, SignedHeaders=${names}, ` +
        `Signature=${signature.toString("hex")}`,
      accept: "*/*",
      "user-agent": "object_store/0.6.1",
      ...(method === "PUT" ? { "content-length": String(body.length) } : {}),
    };
  }

  #send(
    method: string,
    url: URL,
    body: Uint8Array = new Uint8Array(),
    range: string | undefined,
  ): Promise<{ status: number; body: Uint8Array }> {
    if (url.protocol !== "http:") {
      return Promise.reject(
        new StoreError(`Generic S3 error: error trying to connect: dns error (${url.host})`),
      );
    }
    return new Promise((resolve, reject) => {
      const headers = this.#headers(method, url, body, range);
      const request = http.request(
        url,
        { method, headers, signal: this.signal, agent: false },
        (response) => {
          const parts: Uint8Array[] = [];
          const cut = () =>
            reject(new StoreError("Generic S3 error: error decoding response body: connection closed"));
          response.on("data", (part: Uint8Array) => parts.push(part));
          response.on("error", cut);
          response.on("aborted", cut);
          response.on("end", () => {
            const whole = Buffer.concat(parts);
            const declared = response.headers["content-length"];
            if (
              method !== "HEAD" && declared !== undefined && Number(declared) !== whole.length
            ) return cut();
            resolve({ status: response.statusCode ?? 0, body: whole });
          });
        },
      );
      request.on("error", reject);
      request.end(body);
    });
  }
}

// ---- files ----

const MAGIC = "PAR1";

/** A name for a file, as each version gives it. */
export function fileName(version: Version): string {
  const number = () => randomBytes(8).readBigUInt64BE();
  const query = version === "2.3.3" || version === "2.4.0" ? "" : `queryId-${number()}-`;
  return `${query}part-${number()}-0-0.parquet`;
}

/** A random 64-bit number, as queries have for their id. */
export const queryId = () => String(randomBytes(8).readBigUInt64BE());

function cell(value: Value): string | boolean | null {
  if (value === null || typeof value === "boolean") return value;
  if (value instanceof Time) return `t${value.count}`;
  return typeof value === "bigint"
    ? `i${value}`
    : typeof value === "number"
    ? `f${printDouble(value)}`
    : `s${value}`;
}

/** A result as a file. */
export function writeFile({ columns, rows }: Result): Uint8Array {
  const encode = (text: string) => new TextEncoder().encode(text);
  const footer = encode(
    JSON.stringify(columns.map(({ name, type, unit }) => ({ name, type, unit: unit?.toString() }))),
  );
  const body = encode(rows.map((row) => `${JSON.stringify(row.map(cell))}\n`).join(""));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, footer.length, true);
  return Buffer.concat([encode(MAGIC), body, footer, length, encode(MAGIC)]);
}

/** Reads a file back, by three ranges. Throws SqlError where it is none of ours. */
export async function readFile(stage: Stage, { path, bytes }: StageFile): Promise<Result> {
  const parquet = (message: string) => new SqlError("010001", `Datafusion: Parquet error: ${message}`);
  if (!(bytes >= 12)) throw parquet("Invalid Parquet file. Size is smaller than footer");
  const end = await stage.read(path, bytes - 8, bytes - 1);
  const length = end.length === 8 ? new DataView(end.buffer, end.byteOffset).getUint32(0, true) : bytes;
  if (new TextDecoder().decode(end.subarray(4)) !== MAGIC || length > bytes - 12) {
    throw parquet("Invalid Parquet file. Corrupt footer");
  }
  const start = bytes - 8 - length;
  const text = new TextDecoder().decode(await stage.read(path, start, bytes - 9));
  const body = start > 4 ? await stage.read(path, 4, start - 1) : new Uint8Array();
  if (body.length !== start - 4) throw parquet("EOF: eof decoding page");
  const columns = (JSON.parse(text) as { name: string; type: Type; unit?: string }[])
    .map(({ name, type, unit }) => ({ name, type, ...(unit === undefined ? {} : { unit: BigInt(unit) }) }));
  const lines = new TextDecoder().decode(body).split("\n").slice(0, -1);
  const value = (cell: string | boolean | null, unit = 1000000000n): Value => {
    if (typeof cell !== "string") return cell;
    const rest = cell.slice(1);
    if (cell[0] === "s") return rest;
    return cell[0] === "f" ? Number(rest) : cell[0] === "t" ? new Time(BigInt(rest), unit) : BigInt(rest);
  };
  const rows = lines.map((line) =>
    (JSON.parse(line) as (string | boolean | null)[]).map((part, i) => value(part, columns[i]?.unit))
  );
  return { columns, rows };
}
