/**
 * HTTP to CnosDB's servers. Each request has a connection of its own: a statement that runs for hours must
 * neither be cut by a time-out nor be sent a second time behind our back.
 */
import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { Buffer } from "node:buffer";
import { setTimeout } from "node:timers";
import { setTimeout as delay } from "node:timers/promises";
import { Failure, messageOf } from "../cli/errors.ts";

export interface Request {
  method: "GET" | "POST";
  url: string;
  headers?: Record<string, string>;
  body?: string | undefined;
  /** how long the server may be silent; undefined: for ever */
  timeoutMs?: number | undefined;
  signal: AbortSignal;
  /** PEM of a certificate authority to trust beside the system's */
  ca?: string | undefined;
  /** how long an answer that `send` reads may be (default 256 MiB) */
  mostBytes?: number;
}

export interface Response<Body = string> {
  status: number;
  headers: Record<string, string>;
  body: Body;
}

/** A failure that may pass by itself: no answer, a 5xx, a raft error, an election. */
export class Transient extends Failure {
  override name = "Transient";
}

/** A request without a whole answer. `sent`: the server may have seen it, so its outcome is unknown. */
export class NoAnswer extends Transient {
  override name = "NoAnswer";
  constructor(message: string, readonly sent: boolean, options?: ErrorOptions) {
    const hint = /certificate/i.test(messageOf(options?.cause))
      ? "give the host that its certificate names, and by --ca FILE the authority that signed it."
      : "is the address right, the server up, and no firewall between?";
    super(message, sent ? undefined : hint, options);
  }
}

/** How much of an error's body is read. */
const mostErrorBytes = 1 << 20;

/**
 * Sends a request; redirects are not followed.
 * @throws {NoAnswer} if no whole answer comes @throws {Failure} if it is too long
 * @throws the reason with which its signal is aborted
 */
export async function send(request: Request): Promise<Response> {
  const { method, url, mostBytes = 256 << 20 } = request;
  const { status, headers, body: chunks } = await stream(request);
  const succeeded = status >= 200 && status < 300;
  const body = await readBody(chunks, succeeded ? mostBytes + 1 : mostErrorBytes);
  if (succeeded && Buffer.byteLength(body) > mostBytes) {
    throw new Failure(
      `${method} ${url} answered more than ${mostBytes} bytes`,
      "is this a server of CnosDB?",
    );
  }
  return { status, headers, body };
}

/** The first `mostBytes` of a body, as text. */
export async function readBody(
  chunks: AsyncIterable<Uint8Array>,
  mostBytes = mostErrorBytes,
): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    pieces.push(chunk);
    bytes += chunk.length;
    if (bytes >= mostBytes) break;
  }
  return Buffer.concat(pieces).toString("utf8", 0, mostBytes);
}

/** No pool, and never through a proxy (NODE_USE_ENV_PROXY), which would see passwords and dumps. */
const direct = { keepAlive: false, proxyEnv: {} };
const agents = { http: new http.Agent(direct), https: new https.Agent(direct) };

/** Like `send`, but with the body as it comes. Reading a body that ends early throws NoAnswer. */
export async function stream(request: Request): Promise<Response<AsyncIterable<Uint8Array>>> {
  const { method, url, headers, body = "", timeoutMs, signal, ca } = request;
  signal.throwIfAborted();
  const isSecure = url.startsWith("https:");
  const outgoing = (isSecure ? https : http).request(url, {
    method,
    agent: isSecure ? agents.https : agents.http,
    ca,
    headers: {
      ...headers,
      "accept-encoding": "identity",
      connection: "close",
      ...(method === "POST" ? { "content-length": Buffer.byteLength(body) } : {}),
    },
  });
  let connected = false;
  /** Aborted if we end the request. Not AbortSignal.any, which leaks a kilobyte each time in Deno 2.9. */
  const stop = new AbortController();
  const interrupt = () => stop.abort(signal.reason);
  const giveUp = () => {
    const silence = `${method} ${url}: nothing came for ${timeoutMs! / 1000} s`;
    stop.abort(new NoAnswer(silence, connected));
  };
  const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs);
  const end = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", interrupt);
    outgoing.destroy();
  };
  const explained = (error: unknown) => {
    end();
    if (stop.signal.aborted) return stop.signal.reason;
    const what = connected ? "the connection was cut before the answer was whole" : "cannot connect";
    return new NoAnswer(`${method} ${url}: ${what}: ${messageOf(error)}`, connected, { cause: error });
  };
  signal.addEventListener("abort", interrupt);
  stop.signal.addEventListener("abort", end);
  outgoing.on("socket", (socket) => {
    socket.setKeepAlive(true, 30_000);
    socket.once(isSecure ? "secureConnect" : "connect", () => connected = true);
  });
  // An error before the answer is thrown by `once`, a later one by the body.
  outgoing.on("error", () => {});
  outgoing.end(body);
  const answered = once(outgoing, "response", { signal: stop.signal });
  const [incoming] = await answered.catch((error) => {
    throw explained(error);
  }) as [IncomingMessage];
  connected = true;
  const received = incoming.headers as Record<string, string>;
  const chunks = async function* () {
    let bytes = 0;
    try {
      for await (const chunk of incoming as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        timer?.refresh();
        yield chunk;
      }
      const { "content-length": expected = bytes } = received;
      if (bytes !== Number(expected)) throw new Error(`${bytes} bytes of ${expected}`);
      if (!incoming.complete) throw new Error("the answer ended early");
    } catch (error) {
      throw explained(error);
    } finally {
      end();
    }
  };
  return { status: incoming.statusCode ?? 0, headers: received, body: chunks() };
}

/** Parses JSON; undefined for other texts, such as a proxy's page. */
export function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Waits, or throws at once when `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
