/**
 * HTTP to CnosDB's servers. One connection a request, taken from no pool: a statement that runs for hours must neither
 * be cut by a time-out nor be sent a second time behind our back.
 */
import http from "node:http";
import https from "node:https";
import { Buffer } from "node:buffer";
import { Failure, Interrupted, messageOf } from "../cli/errors.ts";

export interface Request {
  method: "GET" | "POST";
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array | undefined;
  /** until the whole answer is there, or until its head is where `stream` is used; none: as long as it takes */
  timeoutMs?: number;
  signal: AbortSignal;
  /** PEM of a certificate authority to trust beside the system's */
  ca?: string | undefined;
  /** how long an answer may be that is read whole; 256 MiB unless told */
  mostBytes?: number;
}

export interface Response {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** A request that got no whole answer. `sent` tells whether the server may have seen it: then its outcome is unknown. */
export class NoAnswer extends Failure {
  override name = "NoAnswer";
  constructor(message: string, readonly sent: boolean, options?: ErrorOptions) {
    super(
      message,
      sent ? undefined : "is the address right, the server up, and no firewall between?",
      options,
    );
  }
}

/** What is read of an answer that is no success: more than any server has to say about it. */
const mostErrorBytes = 1 << 20;

/**
 * Sends a request; redirects are not followed.
 * @throws {NoAnswer} where no whole answer comes @throws {Failure} where it is too long @throws {Interrupted} at SIGINT
 */
export async function send(request: Request): Promise<Response> {
  const { status, headers, chunks } = await stream(request);
  const { mostBytes = 256 << 20 } = request;
  const succeeded = status >= 200 && status < 300;
  const { body, cut } = await readBody(chunks, succeeded ? mostBytes : mostErrorBytes);
  if (cut && succeeded) {
    throw new Failure(
      `${request.method} ${request.url} answered more than ${mostBytes} bytes`,
      "is this a server of CnosDB?",
    );
  }
  return { status, headers, body };
}

/** A body as text, at most so many bytes of it. */
export async function readBody(
  chunks: AsyncIterable<Uint8Array>,
  mostBytes: number,
): Promise<{ body: string; cut: boolean }> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    pieces.push(chunk);
    bytes += chunk.length;
    if (bytes > mostBytes) break;
  }
  const body = Buffer.concat(pieces).subarray(0, mostBytes).toString("utf8");
  return { body, cut: bytes > mostBytes };
}

/** A connection for each request, and never by way of a proxy (NODE_USE_ENV_PROXY), which would see passwords and dumps. */
const direct = { keepAlive: false, proxyEnv: {} };
const agents = { http: new http.Agent(direct), https: new https.Agent(direct) };

/** Like `send`, with the body as it comes. A body that ends early throws too. */
export function stream(
  request: Request,
): Promise<{ status: number; headers: Record<string, string>; chunks: AsyncIterable<Uint8Array> }> {
  const { method, url, headers = {}, timeoutMs, signal, ca } = request;
  const body = request.body === undefined ? undefined : Buffer.from(request.body as string);
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(asInterrupted(signal));
    let connected = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const fail = (error: unknown) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      outgoing.destroy();
      const reason = signal.aborted ? asInterrupted(signal) : error instanceof Failure ? error : new NoAnswer(
        `${method} ${url}: ${
          connected ? "the connection was cut before the answer was whole" : "cannot connect"
        }: ${messageOf(error)}`,
        connected,
        { cause: error },
      );
      reject(reason);
      return reason;
    };
    const onAbort = () => fail(signal.reason);
    const secure = url.startsWith("https:");
    const outgoing = (secure ? https : http).request(url, {
      method,
      agent: secure ? agents.https : agents.http,
      ...(ca === undefined ? {} : { ca }),
      headers: {
        ...headers,
        "accept-encoding": "identity",
        connection: "close",
        ...(body || method === "POST" ? { "content-length": String(body?.length ?? 0) } : {}),
      },
    });
    outgoing.on("socket", (socket) => {
      socket.setKeepAlive(true, 30_000);
      const onConnect = () => connected = true;
      socket.once("connect", onConnect).once("secureConnect", onConnect);
    });
    outgoing.on("error", fail);
    outgoing.on("response", (incoming) => {
      connected = true;
      const flat = Object.fromEntries(Object.entries(incoming.headers).map(([k, v]) => [k, String(v)]));
      const expected = flat["content-length"];
      const chunks = (async function* () {
        let bytes = 0;
        try {
          for await (const chunk of incoming as AsyncIterable<Uint8Array>) {
            bytes += chunk.length;
            yield chunk;
          }
          if (expected !== undefined && bytes !== Number(expected)) {
            throw new Error(`${bytes} bytes of ${expected}`);
          }
          if (!incoming.complete) throw new Error("the answer ended early");
        } catch (error) {
          throw fail(error);
        } finally {
          clearTimeout(timer);
          signal.removeEventListener("abort", onAbort);
          outgoing.destroy();
        }
      })();
      resolve({ status: incoming.statusCode ?? 0, headers: flat, chunks });
    });
    if (timeoutMs !== undefined) {
      timer = setTimeout(() => {
        fail(new NoAnswer(`${method} ${url}: no whole answer within ${timeoutMs / 1000} s`, connected));
      }, timeoutMs);
    }
    signal.addEventListener("abort", onAbort, { once: true });
    outgoing.end(body);
  });
}

function asInterrupted(signal: AbortSignal): Failure {
  return signal.reason instanceof Failure ? signal.reason : new Interrupted("interrupted");
}

/** Waits, or throws at once when `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(asInterrupted(signal));
    const onAbort = () => {
      clearTimeout(timer);
      reject(asInterrupted(signal));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
