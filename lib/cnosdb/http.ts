/**
 * HTTP to CnosDB's servers. One connection a request, taken from no pool: a statement that runs for hours must neither
 * be cut by a time-out nor be sent a second time behind our back.
 */
import http from "node:http";
import https from "node:https";
import { Buffer } from "node:buffer";
import { Failure, Interrupted, messageOf, UsageError } from "../cli/errors.ts";

/** A server's address with the credentials that were in its URL, which never appear in a message. */
export interface Endpoint {
  /** without credentials, path or trailing slash; this is what messages show */
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
}

/**
 * @param text a URL, or `host:port` or `host` for `http://host:port`
 * @param port for a host alone: 8901 for the meta service, 8902 for SQL
 * @throws {UsageError} where it is neither
 */
export function parseEndpoint(text: string, port: 8901 | 8902): Endpoint {
  const short = !/^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const url = URL.parse(short ? `http://${text}` : text);
  // A number alone would be taken for an address: 8901 for 0.0.34.197.
  if (!url || !/^https?:$/.test(url.protocol) || !url.hostname || /\s|^\d+$/.test(text)) {
    throw new UsageError(
      `${JSON.stringify(text.replace(/^(.*:\/\/)?.*@/s, "$1…@"))} is no URL`,
      `expected host, host:${port} or http://host:${port}`,
    );
  }
  if (short && !/:\d+$/.test(text)) url.port = String(port);
  return {
    url: url.origin + url.pathname.replace(/\/+$/, ""),
    ...(url.username ? { user: decodeURIComponent(url.username) } : {}),
    ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
  };
}

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

/** Sends a request; redirects are not followed. @throws {NoAnswer} where no whole answer comes @throws {Interrupted} at SIGINT */
export async function send(request: Request): Promise<Response> {
  const { status, headers, chunks } = await stream(request);
  const pieces: Uint8Array[] = [];
  for await (const chunk of chunks) pieces.push(chunk);
  const body = Buffer.concat(pieces).toString("utf8");
  return { status, headers, body };
}

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
    const client = url.startsWith("https:") ? https : http;
    const outgoing = client.request(url, {
      method,
      agent: false,
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

/**
 * Repeats what may be repeated, with growing pauses (half a second, doubled each time, 8 s at most).
 * @param again whether this error is worth another try
 */
export async function retry<T>(
  action: () => Promise<T>,
  again: (error: unknown) => boolean,
  signal: AbortSignal,
  tries = 4,
): Promise<T> {
  for (let left = tries - 1, pauseMs = 500;; left--, pauseMs = Math.min(pauseMs * 2, 8_000)) {
    try {
      return await action();
    } catch (error) {
      if (left <= 0 || signal.aborted || !again(error)) throw error;
      await pause(pauseMs, signal);
    }
  }
}
