/**
 * HTTP to CnosDB's servers. One connection a request, taken from no pool: a statement that runs for hours must neither
 * be cut by a time-out nor be sent a second time behind our back.
 */
import http from "node:http";
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
  /** how long the server may be silent; none: as long as it takes */
  timeoutMs?: number | undefined;
  signal: AbortSignal;
  /** PEM of a certificate authority to trust beside the system's */
  ca?: string | undefined;
  /** how long an answer may be that is read whole; 256 MiB unless told */
  mostBytes?: number;
}

export interface Response<Body = string> {
  status: number;
  headers: Record<string, string>;
  body: Body;
}

/** What may be otherwise a moment later: no answer, a 5xx, a raft error, an election. */
export class Transient extends Failure {
  override name = "Transient";
}

/** A request that got no whole answer. `sent` tells whether the server may have seen it: then its outcome is unknown. */
export class NoAnswer extends Transient {
  override name = "NoAnswer";
  constructor(message: string, readonly sent: boolean, options?: ErrorOptions) {
    super(
      message,
      sent ? undefined : "is the address right, the server up, and no firewall between?",
      options,
    );
  }
}

/**
 * Sends a request; redirects are not followed.
 * @throws {NoAnswer} where no whole answer comes @throws {Failure} where it is too long @throws what its signal is aborted with
 */
export async function send(request: Request): Promise<Response> {
  const { mostBytes = 256 << 20 } = request;
  const { status, headers, body: chunks } = await stream(request);
  const succeeded = status >= 200 && status < 300;
  const { body, cut } = await readBody(chunks, succeeded ? mostBytes : undefined);
  if (cut && succeeded) {
    throw new Failure(
      `${request.method} ${request.url} answered more than ${mostBytes} bytes`,
      "is this a server of CnosDB?",
    );
  }
  return { status, headers, body };
}

/** A body as text, at most so many bytes of it: unless told, as many as any server has to say about a failure. */
export async function readBody(
  chunks: AsyncIterable<Uint8Array>,
  mostBytes = 1 << 20,
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
export async function stream(request: Request): Promise<Response<AsyncIterable<Uint8Array>>> {
  const { method, url, headers, body = "", timeoutMs, signal, ca } = request;
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Response<AsyncIterable<Uint8Array>>>();
  const secure = url.startsWith("https:");
  const outgoing = (secure ? https : http).request(url, {
    method,
    agent: secure ? agents.https : agents.http,
    ca,
    headers: {
      ...headers,
      "accept-encoding": "identity",
      connection: "close",
      ...(method === "POST" ? { "content-length": Buffer.byteLength(body) } : {}),
    },
  });
  let connected = false;
  let failure: unknown;
  const noAnswer = (why: string, cause?: unknown) =>
    new NoAnswer(`${method} ${url}: ${why}`, connected, { cause });
  const fail = (error: unknown) => {
    const what = connected ? "the connection was cut before the answer was whole" : "cannot connect";
    failure ??= signal.aborted
      ? signal.reason
      : error instanceof Failure
      ? error
      : noAnswer(`${what}: ${messageOf(error)}`, error);
    end();
    reject(failure);
  };
  const onAbort = () => fail(signal.reason);
  const timer = timeoutMs === undefined ? undefined : setTimeout(
    () => fail(noAnswer(`nothing came for ${timeoutMs / 1000} s`)),
    timeoutMs,
  );
  signal.addEventListener("abort", onAbort);
  const end = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    outgoing.destroy();
  };
  outgoing.on("socket", (socket) => {
    socket.setKeepAlive(true, 30_000);
    const onConnect = () => connected = true;
    socket.once("connect", onConnect).once("secureConnect", onConnect);
  });
  outgoing.on("error", fail);
  outgoing.on("response", (incoming) => {
    connected = true;
    const headers = Object.fromEntries(Object.entries(incoming.headers).map(([k, v]) => [k, String(v)]));
    const chunks = (async function* () {
      let bytes = 0;
      try {
        for await (const chunk of incoming as AsyncIterable<Uint8Array>) {
          bytes += chunk.length;
          timer?.refresh();
          yield chunk;
        }
        const { "content-length": expected = bytes } = headers;
        if (bytes !== Number(expected)) throw new Error(`${bytes} bytes of ${expected}`);
        if (!incoming.complete) throw new Error("the answer ended early");
      } catch (error) {
        fail(error);
        throw failure;
      } finally {
        end();
      }
    })();
    resolve({ status: incoming.statusCode ?? 0, headers, body: chunks });
  });
  outgoing.end(body);
  return await promise;
}

/** Waits, or throws at once when `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
