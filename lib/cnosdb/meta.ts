/**
 * The meta service of a cluster (port 8901), on whichever of its nodes answers: dump and read. How each version answers is in
 * fixtures/recorded.
 */
import { Buffer } from "node:buffer";
import { type Block, DumpReader } from "../dump/dump.ts";
import { Failure } from "../cli/errors.ts";
import { type Endpoint, NoAnswer, parseEndpoint, pause, type Response, send, stream } from "./http.ts";
import { preview } from "../dump/json.ts";

export interface MetaOptions {
  signal: AbortSignal;
  /** PEM of a certificate authority */
  ca?: string | undefined;
  /** the first pause before a repeat; each further one is twice as long */
  pauseMs: number;
}

/** A dump while it comes. `reader` knows its form; `blocks` ends without an error only where the dump is whole. */
export interface OpenDump {
  readonly node: Endpoint;
  readonly reader: DumpReader;
  readonly blocks: AsyncIterable<Block>;
}

/** What `/read` answers: a value, the server's error, or that it knows no such command. */
export type Answer = { ok: unknown } | { err: string } | { unknown: true };

/** An answer that may be another one a moment later: 5xx, a raft error. */
export class Trouble extends Failure {
  override name = "Trouble";
}

/** Whether it may go well the next time. */
export function mayPass(error: unknown): boolean {
  return error instanceof NoAnswer || error instanceof Trouble;
}

/** The first pause before a repeat, unless a test is in a hurry. */
export const firstPauseMs = 500;
const idleMs = 60_000;
const tries = 3;

export class MetaClient {
  /** the nodes that were given: followers or leader */
  readonly nodes: readonly Endpoint[];
  /** the node that is asked first: the leader, once it is known, as a follower may lag behind */
  preferred: Endpoint | undefined;
  /** what `/read` calls a tenant's databases, roles and members: misspelt up to 2.4.2 */
  metaDataCommand: "TenaneMetaData" | "TenantMetaData" = "TenaneMetaData";
  /** whether `/read` wraps its answers as 2.3 does */
  wraps = false;

  /** @param urls of the cluster's meta nodes @throws {UsageError} where one is no URL */
  constructor(urls: readonly string[], readonly options: MetaOptions) {
    this.nodes = urls.map(parseEndpoint);
  }

  /** The nodes that were given, for messages. */
  get name(): string {
    return this.nodes.map(({ url }) => url).join(", ");
  }

  /**
   * Dumps the store from the first node that gives it whole.
   * @param use is called again for another node while `mayRepeat`
   * @param node asks this one alone
   * @throws {Failure} where no node gives a whole dump
   */
  dump<T>(use: (dump: OpenDump) => Promise<T>, mayRepeat = () => true, node?: Endpoint): Promise<T> {
    return this.#fromAny(async (node) => await use(await this.#open(node)), mayRepeat, node);
  }

  /** 2.3's single instance has no /dump. */
  async #open(node: Endpoint): Promise<OpenDump> {
    for (const path of ["/dump", "/debug"]) {
      const url = node.url + path;
      const { status, headers, chunks } = await this.#stream(node, url);
      if (status === 200) {
        const delimited = headers["content-length"] !== undefined ||
          /chunked/i.test(headers["transfer-encoding"] ?? "");
        if (delimited && !/html/i.test(headers["content-type"] ?? "")) {
          const reader = new DumpReader(url);
          return { node, reader, blocks: reader.blocks(chunks) };
        }
        await chunks.next().then(() => chunks.return());
        if (delimited) throw new Failure(`${url} answered with a web page`, expectedAddress);
        throw new Failure(
          `${url} answered without Content-Length and not in chunks: nobody could tell whether the dump is whole`,
          "is there a proxy between? Ask the meta service itself.",
        );
      }
      const body = Buffer.concat(await Array.fromAsync(chunks, (chunk) => Buffer.from(chunk))).toString();
      if (status !== 404 && status !== 405) throw unexpected(`GET ${url}`, { status, headers, body });
    }
    const ping = await this.send(node, "GET", "/api/v1/ping").catch(() => undefined);
    throw new Failure(
      /"version"/.test(ping?.body ?? "")
        ? `${node.url} is the SQL port of a data node, not the meta service`
        : `${node.url} has neither /dump nor /debug (404): no meta service of CnosDB`,
      expectedAddress,
    );
  }

  /** A GET that fails when no byte comes for `idleMs`; the time that the reader takes does not count. */
  async #stream(node: Endpoint, url: string) {
    const { signal, ca } = this.options;
    const idle = new AbortController();
    const giveUp = () => idle.abort(new NoAnswer(`GET ${url}: not one byte in ${idleMs / 1000} s`, true));
    let timer = setTimeout(giveUp, idleMs);
    const request = { method: "GET", url, headers: authorization(node), ca } as const;
    const answer = await stream({ ...request, signal: AbortSignal.any([signal, idle.signal]) })
      .finally(() => clearTimeout(timer));
    const chunks = (async function* () {
      timer = setTimeout(giveUp, idleMs);
      try {
        for await (const chunk of answer.chunks) {
          clearTimeout(timer);
          yield chunk;
          timer = setTimeout(giveUp, idleMs);
        }
      } finally {
        clearTimeout(timer);
      }
    })();
    return { ...answer, chunks };
  }

  /**
   * Asks a node what it reads of its store.
   * @param command such as `{ Users: "cluster_xxx" }`
   */
  read(command: Record<string, unknown>): Promise<Answer> {
    return this.#fromAny(async (node) => {
      const response = await this.send(node, "POST", "/read", JSON.stringify(command));
      if (response.status >= 400 && response.body.includes("unknown variant")) return { unknown: true };
      if (response.status !== 200) throw unexpected(`POST ${node.url}/read`, response);
      try {
        let answer = JSON.parse(response.body) as { Ok?: unknown; Err?: unknown };
        this.wraps = typeof answer.Ok === "string";
        if (typeof answer.Ok === "string") answer = JSON.parse(answer.Ok);
        if (answer.Err !== undefined) return { err: withoutHashes(describeError(answer.Err)) };
        if (answer.Ok !== undefined) return { ok: answer.Ok };
      } catch { /* shown below */ }
      throw unexpected(`POST ${node.url}/read`, response);
    });
  }

  /** A tenant's databases with their tables, its roles and its members, as the server reads them. */
  async readTenant(cluster: string, tenant: string): Promise<Answer> {
    const answer = await this.read({ [this.metaDataCommand]: [cluster, tenant] });
    if (!("unknown" in answer)) return answer;
    this.metaDataCommand = this.metaDataCommand === "TenantMetaData" ? "TenaneMetaData" : "TenantMetaData";
    return await this.read({ [this.metaDataCommand]: [cluster, tenant] });
  }

  /** Tries the nodes in turn, and all of them again after a pause where that may help. */
  async #fromAny<T>(
    action: (node: Endpoint) => Promise<T>,
    mayRepeat = () => true,
    only?: Endpoint,
  ): Promise<T> {
    let { signal, pauseMs } = this.options;
    for (let left = tries;;) {
      const failures: Failure[] = [];
      const inTurn = new Set([...(this.preferred ? [this.preferred] : []), ...this.nodes]);
      for (const node of only ? [only] : inTurn) {
        try {
          return await action(node);
        } catch (error) {
          if (signal.aborted || !(error instanceof Failure) || !mayRepeat()) throw error;
          failures.push(error);
        }
      }
      if (--left === 0 || !failures.some(mayPass)) {
        const hint = failures.find((error) => error.hint)?.hint ?? expectedAddress;
        throw new Failure(failures.map((error) => error.message).join("; "), hint);
      }
      await pause(pauseMs, signal);
      pauseMs *= 2;
    }
  }

  /** One request to one node. @throws {NoAnswer} where no whole answer comes */
  send(
    node: Endpoint,
    method: "GET" | "POST",
    path: string,
    body?: string,
    limits: { signal?: AbortSignal; timeoutMs: number } = { timeoutMs: 30_000 },
  ): Promise<Response> {
    const type = path === "/read" ? { "content-type": "application/json" } : {};
    const headers = { ...authorization(node), ...type };
    const { ca, signal } = this.options;
    return send({ signal, ...limits, method, url: node.url + path, headers, body, ca });
  }
}

const expectedAddress = "expected the meta service, host:8901 by default; 8902 is a data node's SQL port.";

/** For a proxy in front: the meta service itself asks for no credentials. */
function authorization({ user, password }: Endpoint): Record<string, string> {
  if (user === undefined) return {};
  return { authorization: `Basic ${Buffer.from(`${user}:${password ?? ""}`).toString("base64")}` };
}

/** A failure for an answer that nobody expects. */
export function unexpected(what: string, { status, headers, body }: Response): Failure {
  const text = `${what} answered ${status}${body ? `: ${preview(withoutHashes(body), 200)}` : ""}`;
  if (status >= 500) return new Trouble(text);
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

/** A server's text without the password hashes that it may quote. */
export function withoutHashes(text: string): string {
  return text.replace(/\$2[abxy]?\$\d\d\$[./A-Za-z0-9]*/g, "$2…");
}
