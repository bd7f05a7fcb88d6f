/**
 * HTTP/1.1 as the served stage needs it: bodies of a known length, and bounds on whoever connects. `Deno.serve` bounds neither
 * connections nor the time for a head and ends, as `node:http` goes deaf, where the process has no descriptor left (Deno 2.9).
 */
import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../cli/errors.ts";

/** A request whose head has been read. */
export interface HttpRequest {
  readonly method: string;
  /** path and query as they were sent */
  readonly target: string;
  readonly headers: Headers;
  /** what is still to be read of the body; undefined without a Content-Length */
  leftBytes: number | undefined;
  /** The next piece of the body, undefined at its end. @throws where the connection is cut or stalls */
  read(): Promise<Uint8Array | undefined>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  readonly body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** What clients may take of us: two descriptors a connection, where a process usually has 1024, or 256. */
export const httpLimits = {
  /** at once; one more ends the one that has waited longest for a request, or waits */
  connections: 96,
  headBytes: 16_384,
  /** for a connection to be idle and to send a head */
  headMs: 30_000,
  /** for a body to stand still, either way */
  stallMs: 120_000,
};

/** Answers requests, on one address or several, until it is closed. */
export class HttpServer {
  readonly #listeners: Deno.TcpListener[] = [];
  readonly #connections = new Set<Connection>();
  readonly #running = new Set<Promise<void>>();
  #isClosed = false;
  /** why it could take no connection last */
  problem: string | undefined;

  /** connections at once */
  #most: number;

  /** @param answer must not throw */
  constructor(
    private readonly answer: (request: HttpRequest) => Promise<HttpAnswer>,
    private readonly limits = httpLimits,
  ) {
    this.#most = limits.connections;
  }

  /** @param port 0 for any @returns the port @throws where the address is taken or not ours */
  listen(hostname: string, port: number): number {
    const listener = Deno.listen({ hostname, port });
    this.#listeners.push(listener);
    this.#run(this.#acceptAll(listener));
    return listener.addr.port;
  }

  /** Cuts all connections and returns when nothing is at work any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const one of [...this.#listeners, ...this.#connections]) one.close();
    while (this.#running.size) await Promise.all(this.#running);
  }

  async #acceptAll(listener: Deno.TcpListener): Promise<void> {
    while (!this.#isClosed) {
      try {
        while (this.#connections.size >= this.#most) if (!this.#closeIdle()) await delay(20);
        const connection = new Connection(await listener.accept(), this.limits);
        this.#connections.add(connection);
        this.#run(this.#serve(connection));
      } catch (error) {
        if (this.#isClosed) return;
        this.problem = `the stage that this script serves takes no connections: ${messageOf(error)}`;
        // No descriptor is left: from now on half of those that we had stay free for files.
        this.#most = Math.max(4, Math.floor(this.#connections.size / 2));
        await delay(20);
      }
    }
  }

  async #serve(connection: Connection): Promise<void> {
    try {
      for (let request; (request = await connection.readHead());) {
        await connection.write(await this.answer(request));
        if (request.leftBytes || request.headers.get("connection") === "close") break;
        this.#connections.delete(connection); // to the end of the line: it has waited shortest
        this.#connections.add(connection);
      }
    } catch { /* cut, by the client or by us, or no request of HTTP */ }
    connection.close();
    this.#connections.delete(connection);
  }

  #closeIdle(): boolean {
    const oldest = [...this.#connections].find(({ isIdle }) => isIdle);
    oldest?.close();
    return oldest !== undefined && this.#connections.delete(oldest);
  }

  #run(work: Promise<void>): void {
    this.#running.add(work);
    work.finally(() => this.#running.delete(work));
  }
}

class Connection {
  /** whether no request is being answered */
  isIdle = true;
  /** read, but not used yet */
  #rest: Uint8Array = new Uint8Array();
  #isClosed = false;

  constructor(private readonly socket: Deno.TcpConn, private readonly limits: typeof httpLimits) {}

  close(): void {
    if (!this.#isClosed) this.socket.close();
    this.#isClosed = true;
  }

  /** @returns undefined where no further request comes @throws where it is none that we take */
  async readHead(): Promise<HttpRequest | undefined> {
    this.isIdle = true;
    const untilMs = Date.now() + this.limits.headMs;
    let [text, end] = ["", -1];
    while ((end = text.indexOf("\r\n\r\n")) < 0) {
      const piece = text.length < this.limits.headBytes && await this.#read(untilMs - Date.now());
      if (!piece) return undefined;
      text += Buffer.from(piece).toString("latin1");
    }
    this.isIdle = false;
    this.#rest = Buffer.from(text.slice(end + 4), "latin1");
    const [first = "", ...lines] = text.slice(0, end).split("\r\n");
    const [method = "", target = "", version] = first.split(" ");
    const headers = new Headers(lines.map((line) => line.split(/:\s*(.*)/s, 2) as [string, string]));
    const length = headers.get("content-length");
    if (version !== "HTTP/1.1" || headers.has("transfer-encoding") || !/^\d{1,15}$/.test(length ?? "0")) {
      throw new Error("no request that can be answered here");
    }
    const leftBytes = length === null ? undefined : Number(length);
    const request = { method, target, headers, leftBytes, read: () => this.#readBody(request) };
    return request;
  }

  async #readBody(request: { leftBytes: number | undefined }): Promise<Uint8Array | undefined> {
    if (!request.leftBytes) return undefined;
    const piece = await this.#read(this.limits.stallMs);
    if (!piece) throw new Error("the connection was closed");
    this.#rest = piece.subarray(request.leftBytes);
    const body = piece.subarray(0, request.leftBytes);
    request.leftBytes -= body.length;
    return body;
  }

  async write({ status, headers, bodyBytes, body }: HttpAnswer): Promise<void> {
    const lines = Object.entries({ ...headers, "content-length": bodyBytes }).map((line) => line.join(": "));
    await this.#send(Buffer.from([`HTTP/1.1 ${status} `, ...lines, "\r\n"].join("\r\n")));
    for await (const piece of body) await this.#send(piece);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += await this.#within(this.limits.stallMs, () => this.socket.write(bytes.subarray(at)));
    }
  }

  async #read(milliseconds: number): Promise<Uint8Array | undefined> {
    const rest = this.#rest;
    this.#rest = new Uint8Array();
    if (rest.length) return rest;
    const buffer = new Uint8Array(65_536);
    const bytes = await this.#within(milliseconds, () => this.socket.read(buffer));
    return bytes === null ? undefined : buffer.subarray(0, bytes);
  }

  /** Cuts the connection where it takes longer. */
  async #within<T>(milliseconds: number, action: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.close(), milliseconds);
    return await action().finally(() => clearTimeout(timer));
  }
}
