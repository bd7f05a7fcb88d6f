/**
 * The meta service of a cluster (port 8901): dump, read and restore on the nodes that the operator gave, and on no others. How each
 * version answers is in fixtures/recorded.
 */
import { setTimeout } from "node:timers";
import { Failure } from "../cli/errors.ts";
import { type Dump, readDump } from "../dump/text.ts";
import { preview } from "../cli/text.ts";
import { basicAuthorization, type Endpoint, parseEndpoint } from "./endpoint.ts";
import { NoAnswer, pause, readBody, type Response, send, stream } from "./http.ts";

/** How to talk to a meta service. */
export interface MetaOptions {
  signal: AbortSignal;
  /** PEM of a certificate authority to trust */
  ca?: string | undefined;
  /** milliseconds before the first repeat; each further pause is twice as long */
  pauseMs: number;
}

/** An answer that may be another one a moment later: 5xx, a raft error, an election. */
export class Transient extends Failure {
  override name = "Transient";
}

/** Whether a repeat may succeed. */
export function isTransient(error: unknown): boolean {
  return error instanceof NoAnswer || error instanceof Transient;
}

/** Milliseconds before the first repeat, outside of tests. */
export const firstPauseMs = 500;
const idleMs = 60_000;
const unknownCommand = "that it knows no such command";
const success = /^Restore Data Success, Total: (\d+) $/;
/** The line that a follower answers to a write, with the leader's address or `None`. */
const forward = /^has to forward request to: .*?(?:address: "([^"]*)"|None)/s;

/** Requests to the nodes of one meta service. */
export class MetaClient {
  /** the nodes that were given: followers or leader */
  readonly nodes: readonly Endpoint[];
  /** what `/read` calls a tenant's databases, roles and members: misspelt up to 2.4.2 */
  metaDataCommand: "TenaneMetaData" | "TenantMetaData" = "TenaneMetaData";
  /** whether `/read` wraps its answers as 2.3 does */
  wraps = false;

  /** @param urls of the cluster's meta nodes @throws {UsageError} where one is no URL */
  constructor(urls: readonly string[], readonly options: MetaOptions) {
    const nodes = urls.map((url) => parseEndpoint(url, 8901));
    this.nodes = [...new Map(nodes.map((node) => [node.url, node])).values()];
  }

  /** Runs an action up to four times, with growing pauses, while what it throws is transient. */
  async patiently<T>(action: () => Promise<T>): Promise<T> {
    let { pauseMs } = this.options;
    for (let left = 4;; pauseMs *= 2) {
      try {
        return await action();
      } catch (error) {
        if (--left === 0 || !isTransient(error)) throw error;
      }
      await pause(pauseMs, this.options.signal);
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

  /** A dump by one path, or undefined where the node has no such path. Fails when no byte comes for `idleMs`. */
  async #dump(node: Endpoint, path: string): Promise<Dump | undefined> {
    const url = node.url + path;
    const stop = new AbortController();
    const giveUp = () => stop.abort(new NoAnswer(`GET ${url}: not one byte in ${idleMs / 1000} s`, true));
    const timer = setTimeout(giveUp, idleMs);
    const { ca } = this.options;
    const signal = AbortSignal.any([this.options.signal, stop.signal]);
    try {
      const answer = await stream({ method: "GET", url, headers: authorization(node), ca, signal });
      const { status, headers } = answer;
      if (status === 404 || status === 405) return undefined;
      if (status !== 200) throw unexpected(`GET ${url}`, { ...answer, ...await readBody(answer.body) });
      if (/html/i.test(headers["content-type"] ?? "")) {
        throw new Failure(`${url} answered with a web page`, expectedAddress);
      }
      if (headers["content-length"] === undefined && !/chunked/i.test(headers["transfer-encoding"] ?? "")) {
        throw new Failure(
          `${url} answered without Content-Length and not in chunks: nobody could tell whether the dump is whole`,
          "is there a proxy between? Ask the meta service itself.",
        );
      }
      const chunks = (async function* () {
        for await (const chunk of answer.body) {
          timer.refresh();
          yield chunk;
        }
      })();
      return await readDump(chunks, url, { unmarked: true });
    } finally {
      clearTimeout(timer);
      stop.abort();
    }
  }

  /**
   * Has the first of some nodes that answers read a part of its store.
   * @param command such as `{ Users: "cluster_xxx" }`
   * @returns undefined where it can, else its error
   */
  read(command: Record<string, unknown>, nodes: readonly Endpoint[]): Promise<string | undefined> {
    return this.patiently(async () => {
      let failure: unknown;
      for (const node of nodes) {
        try {
          return await this.#read(node, command);
        } catch (error) {
          if (!isTransient(error)) throw error;
          failure ??= error;
        }
      }
      throw failure;
    });
  }

  async #read(node: Endpoint, command: Record<string, unknown>): Promise<string | undefined> {
    const response = await this.send(node, "POST", "/read", JSON.stringify(command));
    if (response.status >= 400 && response.body.includes("unknown variant")) return unknownCommand;
    try {
      let answer = JSON.parse(response.status === 200 ? response.body : "") as {
        Ok?: unknown;
        Err?: unknown;
      };
      this.wraps = typeof answer.Ok === "string";
      if (typeof answer.Ok === "string") answer = JSON.parse(answer.Ok);
      if (answer.Err !== undefined) return describeError(answer.Err);
      if (answer.Ok !== undefined) return undefined;
    } catch { /* shown below */ }
    throw unexpected(`POST ${node.url}/read`, response);
  }

  /** Has a tenant's databases with their tables, its roles and its members read, as `read` does. */
  async readTenant(
    cluster: string,
    tenant: string,
    nodes: readonly Endpoint[],
  ): Promise<string | undefined> {
    const read = () => this.read({ [this.metaDataCommand]: [cluster, tenant] }, nodes);
    const error = await read();
    if (error !== unknownCommand) return error;
    this.metaDataCommand = this.metaDataCommand === "TenantMetaData" ? "TenaneMetaData" : "TenantMetaData";
    return await read();
  }

  /**
   * Writes entries to one node, once. A repeat is harmless, as a key gets the same value again.
   * @param lines `key: value` lines
   * @param count how many
   * @throws {Transient} {NoAnswer} where the outcome is unknown, or the node is no leader: it answers 200 all the same
   * @throws {Failure} where the server counts another number, or has no /restore
   */
  async restore(node: Endpoint, lines: string, count: number, timeoutMs: number): Promise<void> {
    const where = `POST ${node.url}/restore`;
    // What is under way is finished at SIGINT, so the signal is not handed on.
    const { signal } = new AbortController();
    const response = await this.send(node, "POST", "/restore", lines, { signal, timeoutMs });
    const { status, body } = response;
    if (status === 404 || status === 405) {
      throw new Failure(
        `${where} answered ${status}: this server cannot restore`,
        "the target must be a meta service of CnosDB 2.4.",
      );
    }
    if (status !== 200) throw unexpected(where, response);
    const total = success.exec(body)?.[1];
    if (total === undefined) {
      const leader = forward.exec(body);
      throw new Transient(
        leader
          ? `${node.url} is a follower and knows ${leader[1] ? `${leader[1]} as leader` : "no leader"}`
          : `${where} answered ${JSON.stringify(preview(body, 200))} instead of success`,
      );
    }
    if (Number(total) === count) return;
    throw new Failure(
      `${where}: ${count} entries were sent, the server counted ${total}`,
      "something on the way changes what is sent: a proxy? Post to the meta service itself.",
    );
  }

  /** One request to one node. @throws {NoAnswer} where no whole answer comes */
  send(
    node: Endpoint,
    method: "GET" | "POST",
    path: string,
    body?: string,
    limits: { signal?: AbortSignal; timeoutMs: number } = { timeoutMs: 30_000 },
  ): Promise<Response> {
    const headers = {
      ...authorization(node),
      ...(path === "/read" ? { "content-type": "application/json" } : {}),
    };
    const { ca, signal } = this.options;
    return send({ signal, ...limits, method, url: node.url + path, headers, body, ca });
  }
}

const expectedAddress = "expected the meta service, host:8901 by default; 8902 is a data node's SQL port.";

/** For a proxy in front: the meta service itself asks for no credentials. */
function authorization(node: Endpoint): Record<string, string> {
  return node.user === undefined ? {} : { authorization: basicAuthorization(node) };
}

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
