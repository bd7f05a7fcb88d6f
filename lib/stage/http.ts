/**
 * HTTP/1.1 for the served stage, with limits on what its clients can take. One request a connection, as
 * `Deno.serve`'s Request and Response.
 *
 * Why not a server that exists (Deno 2.9.6, 300 idle connections, 64 or 256 open files allowed): `Deno.serve`
 * limits neither connections nor the time for a head; it ends, and ends again each time it is restarted.
 * `node:http` accepts a whole burst before its first event, even with `maxConnections`; then it accepts
 * nothing any more, without an error, or the process panics. If it is given connections that were accepted
 * here (`emit("connection", …)`), it drops no slow head: its time-outs work only if it listens itself.
 */
import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../cli/errors.ts";

/** What clients can take. A transfer needs two descriptors, and a process usually has 1024, or 256. */
export const httpLimits = {
  /** at once; one more cuts the one that has waited longest without a request */
  connections: 96,
  headBytes: 16_384,
  /** until the head has come */
  headMs: 30_000,
  /** during which nothing of a body moves, in either direction */
  stallMs: 120_000,
};

/**
 * Answers the requests that come to a listener until `signal` is aborted. Then it cuts all connections and
 * returns when they are closed.
 * @param report is called with the reason if no connection can be accepted
 */
export async function serveHttp(
  listener: Deno.TcpListener,
  answer: (request: Request) => Promise<Response>,
  report: (problem: string) => void,
  signal: AbortSignal,
  limits = httpLimits,
): Promise<void> {
  /** oldest first, each with what resolves when it is closed */
  const connections = new Map<Connection, Promise<void>>();
  let mostConnections = limits.connections;
  const serve = async (connection: Connection) => {
    try {
      await connection.write(await answer(await connection.read()));
    } catch { /* cut by either side, or not a request that is answered here */ }
    connection.close();
    connections.delete(connection);
  };
  /** Waits until one more connection is allowed, and cuts those without a request for it, the oldest first. */
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
      report(`the stage that this script serves takes no connections: ${messageOf(error)}`);
      // There are no descriptors left: from now on half of them are left to files.
      mostConnections = Math.max(4, Math.floor(connections.size / 2));
      await makeRoom();
      await delay(20);
    }
  }
  for (const connection of connections.keys()) connection.close();
  await Promise.all(connections.values());
}

class Connection {
  /** whether its request is still to come */
  isIdle = true;
  #isClosed = false;

  constructor(private readonly socket: Deno.TcpConn, private readonly limits: typeof httpLimits) {}

  close(): void {
    if (!this.#isClosed) this.socket.close();
    this.#isClosed = true;
  }

  /** Reads the head of a request; its body comes as it is read. @throws if it is not one that is answered here */
  async read(): Promise<Request> {
    const deadlineMs = Date.now() + this.limits.headMs;
    let text = "";
    while (!text.includes("\r\n\r\n")) {
      if (text.length > this.limits.headBytes) throw new Error("a head without end");
      text += Buffer.from(await this.#receive(deadlineMs - Date.now())).toString("latin1");
    }
    this.isIdle = false;
    const end = text.indexOf("\r\n\r\n");
    const [first = "", ...lines] = text.slice(0, end).split("\r\n");
    const [method = "", target = "", version] = first.split(" ");
    const headers = new Headers(lines.map((line) => line.split(/:\s*(.*)/s, 2) as [string, string]));
    const length = headers.get("content-length") ?? "0";
    if (version !== "HTTP/1.1" || headers.has("transfer-encoding") || !/^\d{1,15}$/.test(length)) {
      throw new Error("not HTTP/1.1, or a body of unknown length");
    }
    const start = Buffer.from(text.slice(end + 4), "latin1");
    const body = Number(length) ? ReadableStream.from(this.#body(start, Number(length))) : null;
    return new Request(`http://${headers.get("host")}${target}`, { method, headers, body });
  }

  /** @param piece the part that came with the head */
  async *#body(piece: Uint8Array, leftBytes: number): AsyncGenerator<Uint8Array> {
    while (piece.length < leftBytes) {
      leftBytes -= piece.length;
      yield piece;
      piece = await this.#receive(this.limits.stallMs);
    }
    yield piece.subarray(0, leftBytes);
  }

  async write({ status, headers, body }: Response): Promise<void> {
    const lines = [...headers, ["connection", "close"]].map(([name, value]) => `${name}: ${value}\r\n`);
    await this.#send(Buffer.from(`HTTP/1.1 ${status} \r\n${lines.join("")}\r\n`));
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

  /** Cuts the connection if an action takes longer. */
  async #within<T>(milliseconds: number, action: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.close(), milliseconds);
    return await action.finally(() => clearTimeout(timer));
  }
}
