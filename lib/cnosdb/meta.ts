/**
 * The meta service of a cluster (port 8901): dump, read and restore on the nodes that the operator gave, and on no others. How each
 * version answers is in fixtures/recorded.
 */
import { Failure } from "../cli/errors.ts";
import { type Dump, type Entry, readDump } from "../dump/text.ts";
import { preview } from "../cli/text.ts";
import { basicAuthorization, type Endpoint, parseEndpoint } from "./endpoint.ts";
import { pause, readBody, type Request, type Response, send, stream, Transient } from "./http.ts";

/** How to talk to a meta service. */
export interface MetaOptions {
  signal: AbortSignal;
  /** PEM of a certificate authority to trust */
  ca?: string | undefined;
  /** milliseconds before the first repeat, 500 unless given; each further pause is twice as long */
  pauseMs?: number;
}

/** What `/read` answers. */
export interface Reading {
  /** why the server cannot read it; undefined where it can */
  error?: string;
  /** whether the answer is JSON in a string, as 2.3's is */
  wrapped: boolean;
}

/** The error of a `Reading` whose command the server does not have. */
export const unknownCommand = "that it knows no such command";

const longestPauseMs = 8_000;

/** Requests to the nodes of one meta service. */
export class MetaClient {
  /** the nodes that were given: followers or leader */
  readonly nodes: readonly Endpoint[];

  /** @param urls of the cluster's meta nodes @throws {UsageError} where one is no URL */
  constructor(urls: readonly string[], readonly options: MetaOptions) {
    const nodes = urls.map((url) => parseEndpoint(url, 8901));
    this.nodes = [...new Map(nodes.map((node) => [node.url, node])).values()];
  }

  /**
   * Runs an action again, with growing pauses, while what it throws is transient.
   * @param action gets how often it has failed
   * @param goesOn whether to try again after so many failures; up to four tries unless given
   */
  async patiently<T>(
    action: (failures: number) => Promise<T>,
    goesOn = (failures: number) => failures < 4,
  ): Promise<T> {
    const { pauseMs = 500, signal } = this.options;
    for (let failures = 0;;) {
      try {
        return await action(failures);
      } catch (error) {
        if (!(error instanceof Transient) || !goesOn(++failures)) throw error;
      }
      await pause(Math.min(pauseMs * 2 ** (failures - 1), longestPauseMs), signal);
    }
  }

  /**
   * Dumps what one node holds: `/dump`, else `/debug`, as 2.3's single instance has no other.
   * @throws {Failure} where no whole dump comes
   */
  dump(node: Endpoint): Promise<Dump> {
    return this.patiently(async () => {
      const dump = await this.#dump(node, "/dump") ?? await this.#dump(node, "/debug");
      if (dump) return dump;
      const ping = await this.send(node, "GET", "/api/v1/ping").catch(() => undefined);
      throw new Failure(
        /"version"/.test(ping?.body ?? "")
          ? `${node.url} is the SQL port of a data node, not the meta service`
          : `${node.url} has neither /dump nor /debug (404): no meta service of CnosDB`,
        expectedAddress,
      );
    });
  }

  /** A dump by one path, or undefined where the node has no such path. */
  async #dump(node: Endpoint, path: string): Promise<Dump | undefined> {
    const request = { ...this.#request(node, "GET", path), timeoutMs: 60_000 };
    const { url } = request;
    const { status, headers, body } = await stream(request);
    const isPage = /html/i.test(headers["content-type"] ?? "");
    const showsItsEnd = "content-length" in headers || /chunked/i.test(headers["transfer-encoding"] ?? "");
    if (status === 200 && !isPage && showsItsEnd) return await readDump(body, url, { unmarked: true });
    const text = await readBody(body);
    if (status === 404 || status === 405) return undefined;
    if (status !== 200) throw unexpected(`GET ${url}`, { status, headers, body: text });
    if (isPage) throw new Failure(`${url} answered with a web page`, expectedAddress);
    throw new Failure(
      `${url} answered without Content-Length and not in chunks: nobody could tell whether the dump is whole`,
      "is there a proxy between? Ask the meta service itself.",
    );
  }

  /**
   * Has a server parse a part of its store.
   * @param nodes are asked in turn until one answers
   * @param command such as `{ Users: "cluster_xxx" }`
   */
  read(nodes: readonly Endpoint[], command: Record<string, unknown>): Promise<Reading> {
    return this.patiently(async (failures) => {
      const node = nodes[failures % nodes.length]!;
      const response = await this.send(node, "POST", "/read", { body: JSON.stringify(command) });
      if (response.status >= 400 && response.body.includes("unknown variant")) {
        return { error: unknownCommand, wrapped: false };
      }
      try {
        const answer = JSON.parse(response.status === 200 ? response.body : "") as Answer;
        const wrapped = typeof answer.Ok === "string";
        const { Ok, Err } = wrapped ? JSON.parse(answer.Ok as string) as Answer : answer;
        if (Err !== undefined) return { error: describeError(Err), wrapped };
        if (Ok !== undefined) return { wrapped };
      } catch { /* shown below */ }
      throw unexpected(`POST ${node.url}/read`, response);
    });
  }

  /**
   * Writes entries to one node, once. A repeat is harmless, as a key gets the same value again.
   * @throws {Transient} {NoAnswer} where the outcome is unknown, or the node is no leader: it answers 200 all the same
   * @throws {Failure} where the server counts another number
   */
  async restore(node: Endpoint, entries: readonly Entry[], timeoutMs: number): Promise<void> {
    const where = `POST ${node.url}/restore`;
    const lines = entries.map(({ key, value }) => `${key}: ${value}\n`).join("");
    // What is under way is finished at SIGINT, so the signal is not handed on.
    const { signal } = new AbortController();
    const response = await this.send(node, "POST", "/restore", { body: lines, timeoutMs, signal });
    if (response.status !== 200) throw unexpected(where, response);
    const total = /^Restore Data Success, Total: (\d+) $/.exec(response.body)?.[1];
    if (total === undefined) {
      throw new Transient(
        `${where} answered ${JSON.stringify(preview(response.body, 200))} instead of success`,
      );
    }
    if (Number(total) === entries.length) return;
    throw new Failure(
      `${where}: ${entries.length} entries were sent, the server counted ${total}`,
      "something on the way changes what is sent: a proxy? Post to the meta service itself.",
    );
  }

  /** One request to one node. @throws {NoAnswer} where no whole answer comes */
  send(node: Endpoint, method: "GET" | "POST", path: string, more: Partial<Request> = {}): Promise<Response> {
    return send({ ...this.#request(node, method, path), ...more });
  }

  #request(node: Endpoint, method: "GET" | "POST", path: string): Request {
    const { signal, ca } = this.options;
    const headers = {
      // For a proxy in front: the meta service itself asks for no credentials.
      ...(node.user === undefined ? {} : { authorization: basicAuthorization(node) }),
      ...(path === "/read" ? { "content-type": "application/json" } : {}),
    };
    return { method, url: node.url + path, headers, timeoutMs: 30_000, signal, ca };
  }
}

/** An answer of `/read`. */
interface Answer {
  Ok?: unknown;
  Err?: unknown;
}

/** The hint where something else answers, or nothing. */
export const expectedAddress =
  "expected the meta service, host:8901 by default; 8902 is a data node's SQL port.";

function unexpected(what: string, { status, headers, body }: Response): Failure {
  const text = `${what} answered ${status}${body ? `: ${preview(body, 200)}` : ""}`;
  if (status >= 500) return new Transient(text);
  if (status < 300 || status >= 400) return new Failure(text, expectedAddress);
  return new Failure(
    `${what} answered ${status}, a redirect to ${preview(headers["location"] ?? "nowhere", 100)}`,
    "redirects are not followed, as a dump holds password hashes: give the meta service's own address.",
  );
}

/** `{"SerdeMsgInvalid":{"err":"missing field"}}` → `SerdeMsgInvalid: missing field`. */
function describeError(error: unknown): string {
  const [name, inner] = Object.entries(error as Record<string, { err?: string }>)[0] ?? [];
  return inner?.err ? `${name}: ${inner.err}` : JSON.stringify(error);
}
