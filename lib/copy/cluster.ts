/** One side of a copy: a cluster, reached through those of its data nodes that are up, and asked again where a failure passes by itself. */
import { lookup } from "node:dns/promises";
import { Failure, Interrupted, messageOf, UsageError } from "../cli/errors.ts";
import { describeSeconds } from "../cli/text.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { NoAnswer, pause, send } from "../cnosdb/http.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { type QueryOptions, type Row, SqlClient, SqlError } from "../cnosdb/sql.ts";
import { parseTime } from "../cnosdb/time.ts";
import type { Role } from "./schedule.ts";

/** How a cluster is dealt with; tests take shorter times. */
export interface ClusterOptions {
  readonly ca?: string | undefined;
  /** how long what passes by itself is tried before it counts as a failure */
  readonly patienceMs?: number;
  /** the first pause before a statement is sent again; doubled each time, up to half a minute */
  readonly pauseMs?: number;
  /** how often a node is pinged while it works on a statement */
  readonly pingEveryMs?: number;
}

/** Sends one statement once. */
export type Send = (sql: string, options: QueryOptions) => Promise<Row[]>;

/** How long to go on trying. */
export interface Trying {
  /** no further try is begun when it is aborted */
  readonly signal: AbortSignal;
  readonly patienceMs?: number;
  /** told before each further try why the last one failed */
  readonly onAgain?: (error: unknown) => void;
}

/** What concerns a cluster, not one table: it would be said of all of them. Ends the run; the tables stay undone. */
export class ClusterTrouble extends Failure {
  override name = "ClusterTrouble";
}

/** What passes by itself did not, for as long as it was tried. */
export class GivenUp extends Failure {
  override name = "GivenUp";
}

/** Rows are older than the TTL by now, and are to be skipped: their table is to be looked at again, with a later beginning. */
export class RowsExpired extends Failure {
  override name = "RowsExpired";
}

/** Whether a failure says something about the table that was worked on; else it is of the run, the cluster, or a bug. */
export function concernsTable(error: unknown): error is Failure {
  return error instanceof Failure &&
    !(error instanceof ClusterTrouble || error instanceof RowsExpired || error instanceof Interrupted);
}

/** What a failure says beside which table and statement it was: the same for all that fail alike. */
export function gistOf(error: unknown): string {
  return messageOf(error).replace(/^.* answered (\d+ )?/, "");
}

/** What helps against what does not pass by itself, or not soon. */
const help: readonly [RegExp, string][] = [
  // A tenant's bucket that is smaller than what one import writes never lets it in (2.4.3.4).
  [
    /reached limit/i,
    "the tenant's limiter lets in less than one import writes: leave it out until all is copied, and restore it then.",
  ],
  [
    /valid node is not enough, need: \d+, but found: [1-9]/i,
    "start the data node that is down; or if the database has more replicas than there are data nodes, ALTER DATABASE … SET REPLICA 1",
  ],
  // seen after weeks of running, even for SHOW DATABASES (CnosDB issue 2410)
  [
    /resources exhausted/i,
    "if that node answers so to everything, a restart of it helps, and waiting does not; else take fewer --jobs",
  ],
];

/** What helps against a failure; undefined where waiting is all. */
export function helpFor(error: unknown): string | undefined {
  if (error instanceof Failure && error.hint) return error.hint;
  return help.find(([pattern]) => pattern.test(messageOf(error)))?.[1];
}

/** So many pings in a row may fail before a data node is taken for dead: one that imports may be slow to answer. */
const deadPings = 10;
const longestPauseMs = 30_000;
/** A node that gave no answer is left out for so long, as long as there is another. */
const downMs = 30_000;

interface Node {
  readonly endpoint: Endpoint;
  downUntilMs: number;
}

/** The source or the target. */
export class Cluster {
  /** three parts, known after `open` */
  version = "";
  readonly #nodes: Node[];
  readonly #flag: string;
  #next = 0;

  /** @param endpoints of data nodes of one cluster, at least one */
  constructor(
    readonly role: Role,
    endpoints: readonly Endpoint[],
    private readonly options: ClusterOptions = {},
  ) {
    this.#nodes = endpoints.map((endpoint) => ({ endpoint, downUntilMs: 0 }));
    this.#flag = role === "source" ? "--from" : "--to";
  }

  /** Its nodes' URLs without credentials, in the order of their names, for messages and for the ledger. */
  get url(): string {
    return this.#nodes.map(({ endpoint }) => endpoint.url).sort().join(",");
  }

  get user(): string {
    return this.#nodes[0]?.endpoint.user ?? "root";
  }

  /**
   * Runs one statement that does no harm when it runs twice, until it is done or refused.
   * @throws {SqlError} refused @throws {ClusterTrouble} where no other statement would fare better
   */
  run(sql: string, options: QueryOptions, trying: Trying): Promise<Row[]> {
    return this.attempt((send) => send(sql, options), trying);
  }

  /**
   * Does something until it is done or refused; what passes by itself is tried again with growing pauses, for ten minutes.
   * @param action begins afresh each time
   */
  async attempt<T>(action: (send: Send) => Promise<T>, trying: Trying): Promise<T> {
    const { signal, onAgain, patienceMs = this.options.patienceMs ?? 600_000 } = trying;
    // What is waited for a turn in the schedule does not count.
    for (let pauseMs = this.options.pauseMs ?? 500, waitedMs = 0;;) {
      const node = this.#pick();
      try {
        return await action((sql, options) => this.#send(node, sql, options));
      } catch (error) {
        const meaning = error instanceof ClusterTrouble ? "cluster" : meaningOf(error);
        if (meaning === "refused" || meaning === "expired") throw error;
        if (meaning === "cluster") throw this.#trouble(error);
        const otherNode = error instanceof NoAnswer && this.#leaveOut(node) && !error.sent;
        if (!otherNode && waitedMs >= patienceMs) throw this.#givenUp(error, patienceMs);
        onAgain?.(error);
        if (otherNode) continue;
        await pause(pauseMs * (0.75 + Math.random() / 2), signal);
        waitedMs += pauseMs;
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
  }

  /**
   * Asks the nodes' version, and whether they are of one cluster. A node that is down is left out; one has to answer.
   * @throws {Failure} naming the side where it is none that can be copied from or to
   */
  async open(signal: AbortSignal): Promise<void> {
    const clusters = new Map<string, string>();
    let down: unknown;
    for (const node of this.#nodes) {
      try {
        const client = new SqlClient(node.endpoint, signal, this.options.ca);
        this.version = await client.version();
        if (this.#nodes.length > 1) clusters.set(await this.#mark(node, client, signal), node.endpoint.url);
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
        down = error;
        node.downUntilMs = Date.now() + downMs;
      }
    }
    if (!this.version) throw down;
    if (clusters.size > 1) {
      throw new UsageError(
        `${this.#flag}: ${[...clusters.values()].join(" and ")} are nodes of different clusters`,
      );
    }
    const [fits, expected] = this.role === "source"
      ? [/^2\.[34]\./, "2.3 or 2.4"] as const
      : [/^2\.4\./, "2.4"] as const;
    if (fits.test(this.version)) return;
    throw new Failure(
      `the ${this.role}, ${this.url}, is CnosDB ${this.version}; expected ${expected}`,
      "are --from and --to the right way round?",
    );
  }

  /** How far its clock is ahead of ours, as one of its nodes tells it. @param tenant one in which our user may work */
  async clockAheadMs(tenant: string, signal: AbortSignal): Promise<number> {
    const begunMs = Date.now();
    const [row] = await this.run("SELECT now() AS t", { tenant }, { signal });
    const nanos = parseTime(String(row?.t));
    if (nanos === undefined) throw new Failure(`${this.url} tells the time as ${JSON.stringify(row?.t)}`);
    return Math.round(Number(nanos / 1_000_000n) - (begunMs + Date.now()) / 2);
  }

  /** HOST:PORT of the meta service's leader, which 2.4 tells; undefined for 2.3. */
  async metaLeader(signal: AbortSignal, node = this.#pick()): Promise<string | undefined> {
    const url = `${node.endpoint.url}/api/v1/meta_leader`;
    const { ca } = this.options;
    const answer = await send({ method: "GET", url, timeoutMs: 10_000, signal, ...(ca ? { ca } : {}) });
    return answer.status === 200 ? answer.body.trim().replaceAll('"', "") : undefined;
  }

  /** What nodes of one cluster have in common and those of two have not: the meta service's leader, or with 2.3 the databases. */
  async #mark(node: Node, client: SqlClient, signal: AbortSignal): Promise<string> {
    const sql = "SELECT database_name FROM information_schema.databases";
    const mark = await this.metaLeader(signal, node) ??
      (await client.query(sql, { tenant: "cnosdb", timeoutMs: 30_000 })).map((row) => row.database_name)
        .sort();
    return JSON.stringify([this.version, mark]);
  }

  /** The next node in turn that is up; where none is, the one that was given up first. */
  #pick(): Node {
    const nowMs = Date.now();
    const up = this.#nodes.filter(({ downUntilMs }) => downUntilMs <= nowMs);
    if (up.length) return up[this.#next++ % up.length]!;
    return this.#nodes.reduce((a, b) => a.downUntilMs <= b.downUntilMs ? a : b);
  }

  /** Leaves a node out for a while. @returns whether another one is up */
  #leaveOut(node: Node): boolean {
    node.downUntilMs = Date.now() + downMs;
    return this.#nodes.some(({ downUntilMs }) => downUntilMs <= Date.now());
  }

  /** Runs a statement for as long as it takes, unless its node answers no ping any more while it should be at work. */
  async #send(node: Node, sql: string, options: QueryOptions): Promise<Row[]> {
    const controller = new AbortController();
    const client = new SqlClient(node.endpoint, controller.signal, this.options.ca);
    let failed = 0;
    const timer = setInterval(() => {
      client.version(10_000).then(() => failed = 0, (error) => {
        if (++failed < deadPings) return;
        const told = `${node.endpoint.url} answered none of ${failed} pings while a statement ran: ${
          messageOf(error)
        }`;
        controller.abort(new NoAnswer(told, true));
      });
    }, this.options.pingEveryMs ?? 30_000);
    try {
      return await client.query(sql, options);
    } finally {
      clearInterval(timer);
    }
  }

  #givenUp(error: unknown, patienceMs: number): Failure {
    const told = `tried for ${describeSeconds(patienceMs / 1000)}: ${messageOf(error)}`;
    const Kind = error instanceof NoAnswer && !error.sent ? ClusterTrouble : GivenUp;
    return new Kind(told, helpFor(error), { cause: error });
  }

  #trouble(error: unknown): ClusterTrouble {
    if (error instanceof ClusterTrouble) return error;
    const told = error instanceof SqlError
      ? error.serverMessage || `status ${error.status}`
      : messageOf(error);
    const hint = /change password/.test(told)
      ? `this user has to change its password first: ALTER USER "${this.user}" SET PASSWORD = '…', as itself.`
      : `give user and password in ${this.#flag} http://USER:PASSWORD@…, or in CNOSDB_USER and CNOSDB_PASSWORD.`;
    return new ClusterTrouble(`the ${this.role}, ${this.url}, refuses ${this.user}: ${told}`, hint, {
      cause: error,
    });
  }
}

/**
 * Refuses one cluster as both sides. Clusters of different versions are two; else their nodes' addresses are compared, and the meta
 * service's leader, where its address means the same to both.
 * @throws {UsageError}
 */
export async function checkTwoClusters(source: Cluster, target: Cluster, signal: AbortSignal): Promise<void> {
  if (source.version !== target.version) return;
  const [old, young] = [await addressesOf(source), await addressesOf(target)];
  const hosts = (addresses: Set<string>) =>
    new Set([...addresses].map((address) => address.replace(/:\d*$/, "")));
  const leader = await source.metaLeader(signal);
  const isLocal = /^(localhost|127\.|\[?::1|0\.0\.0\.0)/.test(leader ?? "");
  const sameMeta = leader !== undefined && leader === await target.metaLeader(signal) &&
    (!isLocal || !hosts(old).isDisjointFrom(hosts(young)));
  if (old.isDisjointFrom(young) && !sameMeta) return;
  throw new UsageError(`--from and --to are the same cluster: ${source.url} and ${target.url}`);
}

/** HOST:PORT of its nodes, by all addresses that their names stand for. */
async function addressesOf({ url }: Cluster): Promise<Set<string>> {
  const addresses = new Set<string>();
  for (const { hostname, port } of url.split(",").map((one) => new URL(one))) {
    const found = await lookup(hostname.replace(/^\[|\]$/g, ""), { all: true }).catch(() => []);
    for (const { address } of found) addresses.add(`${address === "::1" ? "127.0.0.1" : address}:${port}`);
  }
  return addresses;
}
