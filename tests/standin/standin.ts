/**
 * A stand-in CnosDB for tests and the demo: the meta service and the SQL API of one cluster, in the versions that a
 * migration meets, over real HTTP. It keeps its store in memory, reads and writes real files on COPY, and is as
 * treacherous as the real one; `recorded_test.ts` holds it to answers of real servers.
 *
 * As a process: `deno run -A tests/standin/standin.ts --version 2.4.2 [--mode single] [--dump FILE] [--rows] [--auth]
 * [--meta-nodes 3] [--data-nodes 3] [--cluster NAME]` prints a line {metaUrl, followerUrls, sqlUrl, sqlUrls} and serves until its stdin is
 * closed or SIGTERM. A line `restart` on its stdin restarts it, and is answered by {"restarted":true} or {"panic":…}.
 */
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import { Buffer } from "node:buffer";
import type { AddressInfo, Socket } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { Engine, hashPassword, type Limit, pause, verifyPassword } from "./engine.ts";
import { Meta } from "./meta.ts";
import { type Row, type Rows, seedRows } from "./rows.ts";
import { SerdeError } from "./serde.ts";
import { type Fields, freshDump, since, type Version, VERSIONS } from "./shapes.ts";
import { format, FORMAT_NAMES } from "./sql_answers.ts";
import { isWrite, type Troubles } from "./troubles.ts";
import { StackOverflow } from "./sql_parser.ts";
import { SqlError } from "./sql_values.ts";

export { type Rows, rowsKey, seedRows } from "./rows.ts";
export { type Version, VERSIONS } from "./shapes.ts";
export type { Limit } from "./engine.ts";

export interface StandInOptions {
  version: Version;
  /** 2.3's single instance has no /dump and no /restore, and one that panics takes its meta service with it. */
  mode?: "single" | "separate";
  metaNodes?: 1 | 3;
  /** Data nodes with a URL each; without a dump the store knows as many. */
  dataNodes?: 1 | 3;
  /** The first so many writes into each database find no leader, as its replica groups are just made. */
  elections?: number;
  /** So many writes are refused after a data node's start, as it has not reported itself ("found: 0"). */
  unreported?: number;
  /** A table's rows that show late: the first `looks` at it after it got its first rows miss `rows` of them. */
  late?: { rows: number; looks: number };
  /** The dump, framed or not, that fills the store; without it a cluster that was just made. */
  dump?: string;
  /** The cluster's name where there is no dump. */
  cluster?: string;
  rows?: Rows;
  /** Whether passwords are checked (auth_enabled); a user must exist in any case. */
  auth?: boolean;
  /** The time for what expires and for buckets. */
  nowMs?: () => number;
  latency?: {
    /** How long a write to the meta store takes. */
    metaWriteMs?: number;
    /** How many of them go on at once. */
    metaParallel?: number;
    statementMs?: number;
    /** How long an import takes; imports into one database then wait for each other. */
    importMs?: number;
    /** What 1 000 rows take more, to be read and to be imported. */
    scanMsPer1000Rows?: number;
    importMsPer1000Rows?: number;
    /** Between tries of an S3 request, of which there are `s3Retries` more. */
    s3PauseMs?: number;
    s3Retries?: number;
  };
}

/** What was asked of the stand-in, and how it went. */
export interface RecordedRequest {
  /** Counts from 0. */
  number: number;
  role: "meta" | "sql";
  /** Which of the meta nodes or data nodes, counting from 0. */
  node: number;
  method: string;
  path: string;
  /** Without authorization. */
  headers: Record<string, string>;
  body: string;
  /** performance.now() when it came and when it was answered or cut. */
  startMs: number;
  endMs?: number;
  status?: number;
}

/** What goes wrong with a request. */
export type Fault =
  /** The connection is closed, nothing done. */
  | { kind: "close" }
  /** Half of a restore or import is done, nothing of anything else; the connection is closed. */
  | { kind: "cut-during" }
  /** All is done, and the connection closed in place of an answer. */
  | { kind: "cut-after" }
  /** All is done; the answer breaks off in the middle of its body. */
  | { kind: "truncate" }
  /** This answer, with nothing done, or with all done where `execute`. */
  | { kind: "answer"; status: number; body: string; contentType?: string; execute?: boolean }
  /** Goes on when the promise does: before anything is done, or after. */
  | { kind: "delay"; until: Promise<unknown>; after?: boolean }
  /** A restore says that it took so many. */
  | { kind: "total"; total: number };

export interface StandIn {
  readonly version: Version;
  readonly metaUrl: string;
  readonly followerUrls: string[];
  readonly sqlUrl: string;
  /** Of all data nodes. */
  readonly sqlUrls: string[];
  /** What goes wrong inside the cluster and passes by itself. */
  readonly troubles: Troubles;
  /** The meta store, which may be changed at any time. */
  readonly store: Map<string, string>;
  readonly rows: Rows;
  readonly requests: RecordedRequest[];
  /** Limits on rows written by tenant. */
  readonly limits: Map<string, Limit>;
  /** Stream queries that were started and never end, by id. */
  readonly queries: Map<string, string>;
  /** Why the data node died, if a statement killed it; it answers no more until `restart()`. */
  readonly crash: string | undefined;
  /** Called for each request before it is handled. */
  fault: ((request: RecordedRequest) => Fault | undefined | Promise<Fault | undefined>) | undefined;
  /** Makes a meta node the leader, counting from 0; none with -1. */
  setLeader(node: number): void;
  /** Drops buckets that lie wholly beyond their database's TTL, with their rows, as a server does in the background. */
  dropExpired(): void;
  /** Writes rows past all latencies, limits and troubles, as another client's writes that went well. Throws SqlError. */
  put(tenant: string, database: string, table: string, rows: readonly Row[]): void;
  /** Ends a data node, counting from 0; what is under way on it is cut. */
  stopNode(node: number): Promise<void>;
  /** Starts a data node again, at its port. */
  startNode(node: number): Promise<void>;
  /** Cuts what is under way and starts anew. Throws what a real server's panic says, and is closed then. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

interface Answer {
  status: number;
  contentType?: string;
  headers?: Record<string, string>;
  body: string | Uint8Array;
}

/** What a handler is told beside the request. */
interface Call {
  request: RecordedRequest;
  authorization: string | undefined;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  half: boolean;
}

const text = (body: string, status = 200): Answer => ({
  status,
  contentType: "text/plain; charset=utf-8",
  body,
});
const json = (value: unknown, status = 200): Answer => ({
  status,
  contentType: "application/json",
  body: JSON.stringify(value),
});
/** The encodings of an answer that the stand-in has; the real server has four more. */
const ENCODINGS: Record<string, (text: string) => string | Uint8Array> = {
  identity: (text) => text,
  gzip: (text) => gzipSync(text),
  br: (text) => brotliCompressSync(text),
};
const nothing = (status: number): Answer => ({ status, body: "" });
const failure = (code: string, message: string, status: number) =>
  json({ error_code: code, error_message: message }, status);
/** A Rust string as `{:?}` prints it. */
const debug = (message: string) => `"${message.replace(/["\\]/g, "\\$&")}"`;

/** One listening server that can be closed and opened again at its port. */
class Node {
  port = 0;
  #server: http.Server | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(readonly handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {}

  async open(): Promise<void> {
    const server = http.createServer((request, response) => void this.handle(request, response));
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.on("error", reject);
    server.listen(this.port, "127.0.0.1", resolve);
    await promise;
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    for (const socket of this.#sockets) socket.destroy();
    await promise;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  return new TextDecoder().decode(Buffer.concat(parts));
}

class Cluster implements StandIn {
  readonly version: Version;
  readonly rows: Rows;
  readonly requests: RecordedRequest[] = [];
  fault: StandIn["fault"];
  crash: string | undefined;
  readonly #meta: Meta;
  readonly #engine: Engine;
  readonly #metaNodes: Node[];
  readonly #sqlNodes: Node[];
  #restarting: Promise<void> | undefined;
  #leader = 0;
  #writes = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(readonly options: StandInOptions) {
    this.version = options.version;
    const dump = options.dump ??
      freshDump(options.version, options.cluster ?? "cluster_xxx", options.dataNodes);
    const cluster = /^(?:\* )?\/([^/]+)\/(?:tenants|users|data_nodes|auto_incr_id)/m.exec(dump)?.[1];
    this.#meta = new Meta(options.version, cluster ?? "cluster_xxx", dump);
    this.rows = options.rows ?? new Map();
    this.#engine = new Engine(this.#meta, this.rows, {
      auth: options.auth ?? false,
      nowMs: options.nowMs ?? Date.now,
      statementMs: options.latency?.statementMs ?? 0,
      importMs: options.latency?.importMs ?? 0,
      scanMsPer1000Rows: options.latency?.scanMsPer1000Rows ?? 0,
      importMsPer1000Rows: options.latency?.importMsPer1000Rows ?? 0,
      elections: options.elections ?? 0,
      late: options.late,
      retry: { retries: options.latency?.s3Retries ?? 10, pauseMs: options.latency?.s3PauseMs ?? 5 },
    });
    this.#metaNodes = Array.from(
      { length: options.metaNodes ?? 1 },
      (_, i) => new Node((request, response) => this.#serve("meta", i, request, response)),
    );
    this.#sqlNodes = Array.from(
      { length: options.dataNodes ?? 1 },
      (_, i) => new Node((request, response) => this.#serve("sql", i, request, response)),
    );
  }

  get #nodes(): Node[] {
    return [...this.#metaNodes, ...this.#sqlNodes];
  }

  async open(): Promise<void> {
    for (const node of this.#nodes) await node.open();
    for (let i = 0; i < this.#sqlNodes.length; i++) this.#startsUnreported(i);
  }

  #startsUnreported(node: number): void {
    const { unreported = 0 } = this.options;
    if (unreported > 0) {
      const refusal = this.#engine.writeError("030053", "Valid node is not enough, need: 1, but found: 0");
      this.troubles.fail({ times: unreported, refusal, when: (sql, at) => at === node && isWrite(sql) });
    }
  }

  get metaUrl(): string {
    return this.#metaNodes[0]!.url;
  }

  get followerUrls(): string[] {
    return this.#metaNodes.slice(1).map((node) => node.url);
  }

  get sqlUrl(): string {
    return this.sqlUrls[0]!;
  }

  get sqlUrls(): string[] {
    return this.#sqlNodes.map((node) => node.url);
  }

  get troubles(): Troubles {
    return this.#engine.troubles;
  }

  get store(): Map<string, string> {
    return this.#meta.store;
  }

  get limits(): Map<string, Limit> {
    return this.#engine.limits;
  }

  get queries(): Map<string, string> {
    return this.#engine.queries;
  }

  setLeader(node: number): void {
    this.#leader = node;
  }

  dropExpired(): void {
    this.#engine.dropExpired();
  }

  put(tenant: string, database: string, table: string, rows: readonly Row[]): void {
    this.#engine.put(tenant, database, table, rows);
  }

  async stopNode(node: number): Promise<void> {
    await this.#sqlNodes[node]!.close();
  }

  async startNode(node: number): Promise<void> {
    await this.#sqlNodes[node]!.open();
    this.#startsUnreported(node);
  }

  restart(): Promise<void> {
    return this.#restarting ??= this.#restart().finally(() => this.#restarting = undefined);
  }

  async #restart(): Promise<void> {
    await this.close();
    this.crash = undefined;
    this.troubles.clear();
    try {
      this.#meta.checkStart();
    } catch (error) {
      // Where they are apart only the data node panics, and the meta service stays to be mended.
      if (this.options.mode !== "single") { for (const node of this.#metaNodes) await node.open(); }
      throw error;
    }
    this.queries.clear();
    await this.open();
  }

  async close(): Promise<void> {
    for (const node of this.#nodes) await node.close();
  }

  /** The process of the data node is gone, as a real one's when a statement fills its stack. */
  async #die(error: StackOverflow, node: number): Promise<void> {
    this.crash = error.message;
    console.error("The stand-in's data node died:", error.message);
    await this.stopNode(node);
  }

  async #serve(
    role: "meta" | "sql",
    node: number,
    incoming: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const gone = new AbortController();
    incoming.on("error", () => {});
    response.on("error", () => {});
    response.on("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    const { authorization, ...headers } = incoming.headers as Record<string, string>;
    const body = await bodyOf(incoming).catch(() => undefined);
    if (body === undefined) return;
    const request: RecordedRequest = {
      number: this.requests.length,
      role,
      node,
      method: incoming.method ?? "GET",
      path: incoming.url ?? "/",
      headers,
      body,
      startMs: performance.now(),
    };
    this.requests.push(request);
    const done = () => void (request.endMs = performance.now());
    const cut = () => {
      done();
      incoming.socket.destroy();
    };
    const fault = await this.fault?.(request);
    if (fault?.kind === "close") return cut();
    if (fault?.kind === "delay" && !fault.after) await fault.until;
    const call: Call = { request, authorization, signal: gone.signal, half: fault?.kind === "cut-during" };
    let answer: Answer;
    try {
      const instead = fault?.kind === "answer"
        ? {
          status: fault.status,
          body: fault.body,
          ...(fault.contentType === undefined ? {} : { contentType: fault.contentType }),
        }
        : undefined;
      const real = instead !== undefined && !(fault as { execute?: boolean }).execute
        ? undefined
        : role === "meta"
        ? await this.#answerMeta(call)
        : await this.#answerSql(call);
      answer = instead ?? real!;
    } catch (error) {
      if (error instanceof StackOverflow) return void this.#die(error, node);
      if ((error as Error).name !== "AbortError") {
        console.error(
          "The stand-in failed on",
          request.method,
          request.path,
          request.body.slice(0, 500),
          error,
        );
      }
      return cut();
    }
    if (fault?.kind === "cut-after" || fault?.kind === "cut-during") return cut();
    if (fault?.kind === "delay") await fault.until;
    if (fault?.kind === "total") {
      answer = text(String(answer.body).replace(/\d+/, String(fault.total)));
    }
    request.status = answer.status;
    const bytes = Buffer.from(answer.body as string);
    response.writeHead(answer.status, {
      ...(answer.contentType === undefined ? {} : { "content-type": answer.contentType }),
      ...answer.headers,
      "content-length": String(bytes.length),
    });
    if (fault?.kind === "truncate") {
      response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => setTimeout(cut, 1));
      return;
    }
    response.end(request.method === "HEAD" ? undefined : bytes);
    done();
  }

  // ---- meta ----

  async #answerMeta({ request, signal, half }: Call): Promise<Answer> {
    const from24 = since(this.version, "2.4.0");
    const single = this.options.mode === "single";
    const get = request.method === "GET", post = request.method === "POST";
    switch (request.path.split("?")[0]) {
      case "/dump":
        return from24 || get && !single ? text(this.#meta.dump()) : nothing(404);
      case "/debug":
        return from24 || get ? text(this.#meta.dump(true)) : nothing(404);
      case "/restore":
        return from24 || post && !single ? await this.#restore(request, signal, half) : nothing(404);
      case "/read":
        return from24 || post ? this.#read(request) : nothing(404);
      case "/metrics":
        if (single) return nothing(404);
        return from24
          ? text(JSON.stringify(this.#metrics(request.node)))
          : json({ Ok: this.#metrics(request.node) });
      default:
        return nothing(404);
    }
  }

  async #restore({ body, node }: RecordedRequest, signal: AbortSignal, half: boolean): Promise<Answer> {
    const entries = body.split("\n").filter((line) => line.includes(": "));
    const { metaWriteMs = 0, metaParallel = Infinity } = this.options.latency ?? {};
    for (const [i, line] of entries.entries()) {
      if (half && i >= entries.length / 2) break;
      if (node !== this.#leader) return text(this.#forward());
      if (metaWriteMs > 0) {
        while (this.#writes >= metaParallel) {
          await new Promise<void>((resolve) => this.#waiting.push(resolve));
        }
        this.#writes++;
        try {
          await pause(metaWriteMs, signal);
        } finally {
          this.#writes--;
          this.#waiting.shift()?.();
        }
      }
      const colon = line.indexOf(": ");
      this.#meta.set(line.slice(0, colon), line.slice(colon + 2));
    }
    return text(`Restore Data Success, Total: ${entries.length} `);
  }

  #forward(): string {
    const leader = this.#metaNodes[this.#leader];
    if (leader === undefined) return "has to forward request to: None, None";
    const address = `127.0.0.1:${leader.port}`;
    const info = since(this.version, "2.4.0")
      ? `RaftNodeInfo { group_id: 2222, address: "${address}" }`
      : `ClusterNode { rpc_addr: "${address}", api_addr: "${address}" }`;
    return `has to forward request to: Some(${this.#leader + 1}), Some(${info})`;
  }

  #read({ body, headers }: RecordedRequest): Answer {
    try {
      if (since(this.version, "2.4.0")) return text(this.#meta.read(body));
      if (headers["content-type"] !== "application/json") return text("Content type error", 400);
      return json({ Ok: this.#meta.read(body) });
    } catch (error) {
      if (!(error instanceof SerdeError)) throw error;
      return since(this.version, "2.4.0")
        ? text(`Unhandled rejection: SerdeMsgInvalid { err: ${debug(error.message)} }`, 500)
        : text(`Json deserialize error: ${error.message}`, 400);
    }
  }

  /** openraft's metrics, from its source (0.8, and 0.9 since 2.4.1): no recording has them. */
  #metrics(node: number): unknown {
    const nodes = this.#metaNodes.map(({ port }, i) =>
      [
        String(i + 1),
        since(this.version, "2.4.0")
          ? { group_id: 2222, address: `127.0.0.1:${port}` }
          : { rpc_addr: `127.0.0.1:${port}`, api_addr: `127.0.0.1:${port}` },
      ] as const
    );
    const log = (index: number) => ({ leader_id: { term: 1, node_id: this.#leader + 1 }, index });
    const leads = node === this.#leader, last = this.#meta.dataVersion();
    return {
      running_state: { Ok: null },
      id: node + 1,
      current_term: 1,
      ...(since(this.version, "2.4.1") ? { vote: { leader_id: log(0).leader_id, committed: true } } : {}),
      last_log_index: last,
      last_applied: log(last),
      snapshot: null,
      purged: null,
      state: leads ? "Leader" : this.#leader === -1 ? "Candidate" : "Follower",
      current_leader: this.#leader === -1 ? null : this.#leader + 1,
      ...(since(this.version, "2.4.1") ? { millis_since_quorum_ack: leads ? 0 : null } : {}),
      membership_config: {
        log_id: log(0),
        membership: { configs: [nodes.map(([id]) => Number(id))], nodes: Object.fromEntries(nodes) },
      },
      replication: leads ? Object.fromEntries(nodes.map(([id]) => [id, log(last)])) : null,
    };
  }

  // ---- SQL ----

  async #answerSql(call: Call): Promise<Answer> {
    const { request } = call;
    const url = new URL(request.path, "http://stand-in");
    switch (url.pathname) {
      case "/api/v1/ping":
        return json({ version: this.#ping(), status: "healthy" });
      case "/api/v1/meta_leader": {
        const leader = this.#metaNodes[this.#leader];
        if (!since(this.version, "2.4.0")) return nothing(404);
        if (call.authorization === undefined && since(this.version, "2.4.2")) return unauthorized();
        return leader === undefined ? nothing(500) : text(`127.0.0.1:${leader.port}`);
      }
      case "/api/v1/sql":
        return request.method === "POST" ? await this.#answerStatement(call, url) : nothing(405);
      default:
        return nothing(404);
    }
  }

  #ping(): string {
    // 2.3.3 was released without its number being raised.
    const version = this.version === "2.3.3" ? "2.3.2" : this.version;
    return since(this.version, "2.4.3")
      ? `${version}, revision: UNKNOWN, build_time: 2026-11-22T10:57:09Z`
      : `${version}, revision UNKNOWN`;
  }

  async #answerStatement({ request, authorization, signal, half }: Call, url: URL): Promise<Answer> {
    const { headers } = request;
    if (headers["content-length"] === undefined) return nothing(500);
    if (Number(headers["content-length"]) > 16 * 2 ** 20) return nothing(413);
    if (authorization === undefined) return unauthorized();
    const [name, password] = credentials(authorization) ?? [];
    if (name === undefined || password === undefined) {
      return failure("040006", `Parse auth, malformed basic auth encoding: ${authorization}`, 400);
    }
    const tenant = url.searchParams.get("tenant") ?? "cnosdb";
    const database = url.searchParams.get("db") ?? "public";
    try {
      const user = await this.#authenticate(name, password, tenant);
      const invalid = (reason: string) =>
        failure(
          "040005",
          `${since(this.version, "2.4.2") ? "Invalid header: " : ""}Invalid header: ${reason}`,
          400,
        );
      const accept = headers.accept ?? "*/*";
      if (!accept.startsWith("application/") && accept !== "*/*") {
        return invalid(`accept type not support: ${accept}`);
      }
      const as = accept.endsWith("/*") && accept.length < 14 ? "csv" : accept.slice("application/".length);
      if (!FORMAT_NAMES.includes(as)) return invalid(`invalid variant: ${as}`);
      // 2.3.3 and 2.4.0 know nothing of encodings.
      const asked = this.version === "2.3.3" || this.version === "2.4.0"
        ? undefined
        : headers["accept-encoding"];
      const encoding = asked?.split(",").map((name) => name.trim()).find((name) => name in ENCODINGS);
      if (asked !== undefined && encoding === undefined) {
        return invalid(
          `accept encoding not support: ${asked}, only support: gzip, deflate, br, zstd, snappy, lz4, identity`,
        );
      }
      this.#checkTenant(tenant);
      const body = format(
        await this.#engine.run(request.body, { user, tenant, database, signal, half, node: request.node }),
        as,
      );
      const kind = since(this.version, "2.4.3") && (as === "csv" || as === "table") ? "text" : "application";
      return {
        status: 200,
        contentType: `${kind}/${as}`,
        ...(encoding === undefined ? {} : { headers: { "content-encoding": encoding } }),
        body: encoding === undefined ? body : ENCODINGS[encoding]!(body),
      };
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      return error.status === 500 ? nothing(500) : failure(error.code, error.message, error.status);
    }
  }

  #checkTenant(tenant: string): void {
    if (this.#meta.tenant(tenant) !== undefined) return;
    if (this.version === "2.4.0") throw new SqlError("", "", 500);
    if (this.version === "2.3.5") throw new SqlError("030010", `The tenant ${tenant} not found`);
    throw new SqlError(
      "010016",
      `Auth error: The tenant${this.version === "2.3.3" ? "" : ` ${tenant}`} not found`,
    );
  }

  async #authenticate(name: string, password: string, tenant: string) {
    const denied = (message: string) => {
      const hidden = this.options.auth && since(this.version, "2.4.1");
      const text = `Access denied for user '${name}' (using xxx) username or password invalid`;
      return new SqlError("010016", `Auth error: ${hidden ? text : message}`);
    };
    const user = this.#meta.user(name);
    if (user === undefined) throw denied(`The user ${name} not found`);
    if (!user.admin) {
      if (this.#meta.tenant(tenant) === undefined) throw denied(`The tenant ${tenant} not found`);
      if (!this.#meta.isMember(user, tenant)) {
        throw denied(`The member ${name} of tenant ${tenant} not found`);
      }
    }
    if (!this.options.auth) return user;
    if (user.password === null) throw denied("Password not set");
    const plain = !since(this.version, "2.4.0") && user.password === password;
    if (plain && this.version === "2.3.5") {
      const options = { ...user.fields.options as Fields, password: await hashPassword(password) };
      this.#meta.setUser({ ...user, fields: { ...user.fields, options } });
    }
    if (plain || this.version !== "2.3.3" && await verifyPassword(password, user.password)) return user;
    const why = since(this.version, "2.4.0") ? "incorrect password attempt." : "";
    throw denied(`Access denied for user '${name}' (using password) ${why}`);
  }
}

const unauthorized = () => failure("000000", 'Missing request header "authorization"', 400);

function credentials(authorization: string): [string, string] | undefined {
  if (!authorization.startsWith("Basic ")) return undefined;
  const plain = new TextDecoder().decode(Buffer.from(authorization.slice(6), "base64"));
  const colon = plain.indexOf(":");
  return colon < 0 ? undefined : [plain.slice(0, colon), plain.slice(colon + 1)];
}

/** Starts a cluster on free ports of the loopback. */
export async function startStandIn(options: StandInOptions): Promise<StandIn> {
  const cluster = new Cluster(options);
  await cluster.open();
  return cluster;
}

if (import.meta.main) {
  const flags = new Map<string, string>();
  for (let i = 0; i < Deno.args.length; i++) {
    const flag = Deno.args[i]!;
    flags.set(flag, flag === "--rows" || flag === "--auth" ? "" : Deno.args[++i] ?? "");
  }
  const version = VERSIONS.find((version) => version === flags.get("--version"));
  if (version === undefined) {
    console.error(`--version is one of ${VERSIONS.join(", ")}`);
    Deno.exit(2);
  }
  const dataNodes = flags.get("--data-nodes") === "3" ? 3 : 1;
  const dump = flags.has("--dump")
    ? await Deno.readTextFile(flags.get("--dump")!)
    : freshDump(version, flags.get("--cluster") ?? "cluster_xxx", dataNodes);
  const standIn = await startStandIn({
    version,
    dump,
    mode: flags.get("--mode") === "single" ? "single" : "separate",
    metaNodes: flags.get("--meta-nodes") === "3" ? 3 : 1,
    dataNodes,
    auth: flags.has("--auth"),
    rows: flags.has("--rows") ? seedRows(dump) : new Map(),
  });
  const { metaUrl, followerUrls, sqlUrl, sqlUrls } = standIn;
  console.log(JSON.stringify({ metaUrl, followerUrls, sqlUrl, sqlUrls }));
  Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    if (chunk.trim() !== "restart") continue;
    await standIn.restart().then(
      () => console.log('{"restarted":true}'),
      (error) => console.log(JSON.stringify({ panic: error.message })),
    );
  }
  await standIn.close();
  Deno.exit(0);
}
