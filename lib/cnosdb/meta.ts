/**
 * The meta service of a cluster (port 8901): dumps, reads and restores through the nodes that the operator gave,
 * and no others. fixtures/recorded shows how each version answers.
 */
import { Failure } from "../cli/errors.ts";
import { isObject, type Json } from "../dump/json.ts";
import { type Dump, type Entry, readDump } from "../dump/text.ts";
import { preview } from "../cli/text.ts";
import { basicAuthorization, type Endpoint, parseEndpoint } from "./endpoint.ts";
import { jsonOf, pause, readBody, type Request, type Response, send, stream, Transient } from "./http.ts";
import { type Meaning, meaningOf } from "./refusals.ts";

/** How to talk to a meta service. */
export interface MetaOptions {
  signal: AbortSignal;
  /** PEM of a certificate authority to trust */
  ca?: string | undefined;
  /** milliseconds before the first retry, 500 by default; each further pause is twice as long, up to 8 s */
  pauseMs?: number;
}

/** What `MetaClient.read` returns if the server does not have the command. */
export const unknownCommand = "that it knows no such command";

const longestPauseMs = 8_000;
const passing: readonly Meaning[] = ["transient", "unknown", "overloaded"];

/** Requests to the nodes of one meta service. */
export class MetaClient {
  /** the nodes that were given, each once: followers or leader */
  readonly nodes: readonly Endpoint[];
  /** before a first retry */
  readonly pauseMs: number;

  /** @param urls of the cluster's meta nodes @throws {UsageError} if one is no URL */
  constructor(urls: readonly string[], readonly options: MetaOptions) {
    this.pauseMs = options.pauseMs ?? 500;
    const nodes = urls.map((url) => parseEndpoint(url, 8901));
    this.nodes = [...new Map(nodes.map((node) => [node.url, node])).values()];
  }

  /**
   * Runs an action, and retries it with growing pauses while it throws what passes by itself, also if it is SQL.
   * @param action is told how often it has failed
   * @param goesOn whether to retry after so many failures; by default it is run four times at most
   * @throws what the action threw last, and what the signal is aborted with
   */
  async retry<T>(
    action: (failures: number) => Promise<T>,
    goesOn = (failures: number) => failures < 4,
  ): Promise<T> {
    for (let failures = 0;;) {
      try {
        return await action(failures);
      } catch (error) {
        failures++;
        const passes = error instanceof Transient || passing.includes(meaningOf(error));
        if (!passes || !goesOn(failures)) throw error;
      }
      const pauseMs = Math.min(this.pauseMs * 2 ** (failures - 1), longestPauseMs);
      await pause(pauseMs, this.options.signal);
    }
  }

  /**
   * Dumps what one node holds: `/dump`, else `/debug`, since 2.3's single instance has nothing else.
   * @throws {Failure} if the answer is no whole dump
   */
  dump(node: Endpoint): Promise<Dump> {
    return this.retry(async () => {
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

  /** A dump by one path; undefined if the node has no such path. */
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
   * Has a server of 2.4 parse a part of its store.
   * @param nodes are asked in turn until one answers
   * @param command such as `{ Users: "cluster_xxx" }`
   * @returns why the server cannot read it; undefined if it can
   * @throws {Failure} if it is a 2.3, which answers with JSON in a string
   */
  read(nodes: readonly Endpoint[], command: Record<string, unknown>): Promise<string | undefined> {
    return this.retry(async (failures) => {
      const node = nodes[failures % nodes.length]!;
      const request = { ...this.#request(node, "POST", "/read"), body: JSON.stringify(command) };
      const { status, headers, body: chunks } = await stream(request);
      // The beginning is enough: all tables of a tenant may be hundreds of megabytes.
      const body = await readBody(chunks);
      if (status >= 400 && body.includes("unknown variant")) return unknownCommand;
      if (status === 200 && body.startsWith('{"Ok":"')) {
        throw new Failure(
          `${node.url}: the target is 2.3, which has no /restore`,
          "was the old cluster's address given in place of the new one's?",
        );
      }
      if (status === 200 && body.startsWith('{"Ok":')) return undefined;
      const answer = jsonOf(body) as Json | undefined;
      if (status === 200 && isObject(answer) && "Err" in answer) return describeError(answer.Err);
      throw unexpected(`POST ${node.url}/read`, { status, headers, body });
    });
  }

  /**
   * Writes entries to one node, once. A retry is harmless, since a key gets the same value again.
   * @throws {Transient} {NoAnswer} if the outcome is unknown, or the node is no leader, which answers 200 too
   * @throws {Failure} if the server counts another number
   */
  async restore(node: Endpoint, entries: readonly Entry[], timeoutMs: number): Promise<void> {
    const where = `POST ${node.url}/restore`;
    const lines = entries.map(({ key, value }) => `${key}: ${value}\n`).join("");
    // SIGINT lets a batch finish, so this request does not get the signal.
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

  /** One request to one node. @throws {NoAnswer} if no whole answer comes */
  send(node: Endpoint, method: "GET" | "POST", path: string, more: Partial<Request> = {}): Promise<Response> {
    return send({ ...this.#request(node, method, path), ...more });
  }

  #request(node: Endpoint, method: "GET" | "POST", path: string): Request {
    const { signal, ca } = this.options;
    const headers: Record<string, string> = {};
    // For a proxy in front: the meta service itself asks for no credentials.
    if (node.user !== undefined) headers.authorization = basicAuthorization(node);
    if (path === "/read") headers["content-type"] = "application/json";
    return { method, url: node.url + path, headers, timeoutMs: 30_000, signal, ca };
  }
}

/** The hint if something else answers, or nothing. */
export const expectedAddress =
  "expected the meta service, host:8901 by default; 8902 is a data node's SQL port.";

/** A refusal; `Transient` if it is the server's own trouble. */
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
function describeError(error: Json | undefined): string {
  const [[name, inner] = []] = isObject(error) ? Object.entries(error) : [];
  return isObject(inner) && inner.err ? `${name}: ${inner.err}` : JSON.stringify(error);
}
