/**
 * HTTP/1.1 as the served stage needs it: `Deno.serve`'s requests and answers, one a connection, with bounds
 * on whoever connects. Tried instead with Deno 2.9.6, against 300 idle connections where 64 or 256 files may
 * be open: `Deno.serve` bounds neither connections nor the time for a head, ends, and ends again each time
 * that it is begun anew. `node:http` takes a whole burst before its first event, also with `maxConnections`;
 * then it is deaf for good without saying so, or the process panics. Given connections that are taken here
 * (`emit("connection", …)`) it drops no slow head, as its time-outs work only where it listens itself.
 */
import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../cli/errors.ts";

/** What clients may take of us: two descriptors a connection, where a process usually has 1024, or 256. */
export const httpLimits = {
  /** at once; one more ends the one that has sent no request for longest, or waits */
  connections: 96,
  headBytes: 16_384,
  /** for a request to come */
  headMs: 30_000,
  /** for a body to stand still, either way */
  stallMs: 120_000,
};

/**
 * Answers the requests that come to a listener until `signal` is aborted; then cuts all connections, and
 * returns when nothing is at work.
 * @param tell is told why no connection could be taken
 */
export async function serveHttp(
  listener: Deno.TcpListener,
  answer: (request: Request) => Promise<Response>,
  tell: (problem: string) => void,
  signal: AbortSignal,
  limits = httpLimits,
): Promise<void> {
  /** oldest first, with what ends when it is closed */
  const connections = new Map<Connection, Promise<void>>();
  let mostConnections = limits.connections;
  const serve = async (connection: Connection) => {
    try {
      await connection.write(await answer(await connection.read()));
    } catch { /* cut, by the client or by us, or no request that is answered here */ }
    connection.close();
    connections.delete(connection);
  };
  /** Ends those that have sent no request, the oldest first, or waits, until there may be one more. */
  const makeRoom = async () => {
    while (connections.size >= mostConnections && !signal.aborted) {
      const idle = connections.keys().find(({ isIdle }) => isIdle);
      idle?.close();
      await (idle ? connections.get(idle) : delay(20));
    }
  };
  signal.addEventListener("abort", () => listener.close());
  while (!signal.aborted) {
    try {
      const connection = new Connection(await listener.accept(), limits);
      await makeRoom();
      connections.set(connection, serve(connection));
    } catch (error) {
      if (signal.aborted) break;
      tell(`the stage that this script serves takes no connections: ${messageOf(error)}`);
      // No descriptor is left: from now on half of those that we had stay free for files.
      mostConnections = Math.max(4, Math.floor(connections.size / 2));
      await makeRoom();
      await delay(20);
    }
  }
  for (const connection of connections.keys()) connection.close();
  await Promise.all(connections.values());
}

class Connection {
  /** whether its request has not come yet */
  isIdle = true;
  #isClosed = false;

  constructor(private readonly socket: Deno.TcpConn, private readonly limits: typeof httpLimits) {}

  close(): void {
    if (!this.#isClosed) this.socket.close();
    this.#isClosed = true;
  }

  /** The request, with its body still to come. @throws where it is none that is answered here */
  async read(): Promise<Request> {
    const untilMs = Date.now() + this.limits.headMs;
    let [text, end] = ["", -1];
    while ((end = text.indexOf("\r\n\r\n")) < 0) {
      if (text.length > this.limits.headBytes) throw new Error("a head without end");
      text += Buffer.from(await this.#receive(untilMs - Date.now())).toString("latin1");
    }
    this.isIdle = false;
    const [first = "", ...lines] = text.slice(0, end).split("\r\n");
    const [method = "", target = "", version] = first.split(" ");
    const headers = new Headers(lines.map((line) => line.split(/:\s*(.*)/s, 2) as [string, string]));
    const length = headers.get("content-length") ?? "0";
    if (version !== "HTTP/1.1" || headers.has("transfer-encoding") || !/^\d{1,15}$/.test(length)) {
      throw new Error("not HTTP/1.1, or a body of unknown length");
    }
    const begun = Buffer.from(text.slice(end + 4), "latin1");
    const body = Number(length) ? ReadableStream.from(this.#body(begun, Number(length))) : null;
    return new Request(`http://${headers.get("host")}${target}`, { method, headers, body });
  }

  /** @param piece what has come already */
  async *#body(piece: Uint8Array, leftBytes: number): AsyncGenerator<Uint8Array> {
    for (; piece.length < leftBytes; piece = await this.#receive(this.limits.stallMs)) {
      leftBytes -= piece.length;
      yield piece;
    }
    yield piece.subarray(0, leftBytes);
  }

  async write({ status, headers, body }: Response): Promise<void> {
    const lines = [...headers, ["connection", "close"]].map((line) => line.join(": "));
    await this.#send(Buffer.from([`HTTP/1.1 ${status} `, ...lines, "\r\n"].join("\r\n")));
    for await (const piece of body ?? []) await this.#send(piece);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += await this.#within(this.limits.stallMs, this.socket.write(bytes.subarray(at)));
    }
  }

  async #receive(milliseconds: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(65_536);
    const bytes = await this.#within(milliseconds, this.socket.read(buffer));
    if (bytes === null) throw new Error("the connection was closed");
    return buffer.subarray(0, bytes);
  }

  /** Cuts the connection where it takes longer. */
  async #within<T>(milliseconds: number, action: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.close(), milliseconds);
    return await action.finally(() => clearTimeout(timer));
  }
}
