/** One side of a copy: sends statements to data nodes that are up, and retries what passes by itself. */
import { lookup } from "node:dns/promises";
import type { Say } from "../cli/say.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { describeSeconds } from "../cli/text.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { NoAnswer, pause } from "../cnosdb/http.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { type QueryOptions, type Row, shorten, SqlClient, SqlError } from "../cnosdb/sql.ts";
import { parseTime } from "../cnosdb/time.ts";
import type { Role } from "./schedule.ts";
import { ClusterTrouble, GivenUp, helpFor } from "./trouble.ts";

/** Tests take shorter times. */
export interface ClusterOptions {
  readonly ca?: string | undefined;
  /** for how long a statement is retried before it counts as failed */
  readonly patienceMs?: number;
  /** the pause before the first retry; doubled each time, up to half a minute */
  readonly pauseMs?: number;
}

/** Sends one statement once. @param idleMs for how long it has shown no sign of life */
export type Send = (sql: string, options: QueryOptions, idleMs?: () => number) => Promise<Row[]>;

/** How long to retry. */
export interface Trying {
  /** no retry begins once it is aborted */
  readonly signal: AbortSignal;
  /** if it is less than the cluster's */
  readonly patienceMs?: number;
  /** called before each retry with why the last try failed */
  readonly onRetry?: ((error: unknown) => void) | undefined;
}

/** How often a node at work is pinged, and how many pings must fail in a row: an import may slow it. */
const pingEveryMs = 30_000;
const deadPings = 10;
/**
 * An import that has read nothing for so long hangs: a replica group that lost its leader may never answer
 * (2.4.2.1, two data nodes).
 */
const hungMs = 600_000;
const longestPauseMs = 30_000;
/** For how long a node that gave no answer is left out, if there is another. */
const downMs = 30_000;

interface Node {
  readonly endpoint: Endpoint;
  /** when it was asked last; if that is still to come, it is left out until then */
  askedMs: number;
}

/** The source or the target. */
export class Cluster {
  /** three parts, known after `open` */
  version = "";
  readonly #nodes: Node[];
  readonly #flag: string;
  /** HOST:PORT of its meta service's leader, if it said so */
  #leader: string | undefined;

  /** @param endpoints of data nodes of one cluster, at least one */
  constructor(
    readonly role: Role,
    endpoints: readonly Endpoint[],
    private readonly options: ClusterOptions = {},
  ) {
    this.#nodes = endpoints.map((endpoint) => ({ endpoint, askedMs: 0 }));
    this.#flag = role === "source" ? "--from" : "--to";
  }

  /** Its nodes' URLs without credentials, sorted, for messages and for the ledger. */
  get url(): string {
    return this.#nodes.map(({ endpoint }) => endpoint.url).sort().join(",");
  }

  get user(): string {
    return this.#nodes[0]?.endpoint.user ?? "root";
  }

  /**
   * Runs one statement that may run twice without harm, until it is done or refused.
   * @throws {SqlError} if it is refused @throws {GivenUp} if retrying did not help
   * @throws {ClusterTrouble} if no other statement would fare better
   */
  run(sql: string, options: QueryOptions, trying: Trying): Promise<Row[]> {
    return this.attempt((send) => send(sql, options), trying);
  }

  /**
   * Does something until it is done or refused. What passes by itself is retried, for ten minutes by default.
   * @param action begins afresh each time @throws as `run` does
   */
  async attempt<T>(action: (send: Send) => Promise<T>, trying: Trying): Promise<T> {
    const { signal, onRetry } = trying;
    const patienceMs = Math.min(trying.patienceMs ?? Infinity, this.options.patienceMs ?? 600_000);
    // Only the pauses count, not the time that an action waits for its turn in the schedule.
    for (let pauseMs = this.options.pauseMs ?? 500, waitedMs = 0;;) {
      const node = this.#pick();
      try {
        return await action((sql, options, idleMs) => this.#send(node, sql, options, idleMs));
      } catch (error) {
        const meaning = meaningOf(error);
        if (meaning === "refused" || meaning === "expired") throw error;
        if (meaning === "cluster") throw this.#refusesUser(error);
        const otherNode = error instanceof NoAnswer && this.#leaveOut(node) && !error.sent;
        if (!otherNode && waitedMs >= patienceMs) throw this.#givenUp(error, patienceMs);
        onRetry?.(error);
        if (otherNode) continue;
        await pause(pauseMs * (0.75 + Math.random() / 2), signal);
        waitedMs += pauseMs;
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
  }

  /**
   * Asks the nodes for their version, and whether they belong to one cluster. Some may be down, but not all.
   * @throws {Failure} if this cluster cannot be copied from, or to; it names the side
   */
  async open(signal: AbortSignal): Promise<void> {
    const clusters = new Map<string | undefined, string>();
    let down: unknown;
    for (const node of this.#nodes) {
      try {
        const client = new SqlClient(node.endpoint, signal, this.options.ca);
        this.version = await client.version();
        const leader = await client.metaLeader();
        this.#leader ??= leader;
        const tellsNoLeader = this.version.startsWith("2.3.") && this.#nodes.length > 1;
        clusters.set(tellsNoLeader ? await databasesOf(client) : leader, node.endpoint.url);
      } catch (error) {
        // our user may not list the databases
        if (error instanceof SqlError) continue;
        if (!(error instanceof NoAnswer)) throw error;
        down = error;
        this.#leaveOut(node);
      }
    }
    if (!this.version) throw down;
    clusters.delete(undefined);
    if (clusters.size > 1) {
      throw new UsageError(
        `${this.#flag}: ${[...clusters.values()].join(" and ")} are nodes of different clusters`,
      );
    }
    const releases = this.role === "source" ? ["2.3", "2.4"] : ["2.4"];
    if (releases.some((release) => this.version.startsWith(`${release}.`))) return;
    throw new Failure(
      `the ${this.role}, ${this.url}, is CnosDB ${this.version}; expected ${releases.join(" or ")}`,
      "are --from and --to the right way round?",
    );
  }

  /** How far its clock is ahead of ours; reports more than a minute. @param tenant where our user may work */
  async clockAheadMs(tenant: string, signal: AbortSignal, say: Say): Promise<number> {
    const begunMs = Date.now();
    const [row] = await this.run("SELECT now() AS t", { tenant }, { signal });
    const nanos = parseTime(String(row?.t));
    if (nanos === undefined) throw new Failure(`${this.url} tells the time as ${JSON.stringify(row?.t)}`);
    const aheadMs = Math.round(Number(nanos / 1_000_000n) - (begunMs + Date.now()) / 2);
    const off = `${describeSeconds(Math.abs(aheadMs) / 1000)} ${aheadMs > 0 ? "ahead of" : "behind"}`;
    if (Math.abs(aheadMs) > 60_000) {
      say(`the clock of the ${this.role}, ${this.url}, is ${off} this machine's: the cluster's is used`);
    }
    return aheadMs;
  }

  /** HOST:PORT of its data nodes and its meta service's leader, by all addresses of their names. */
  async addresses(): Promise<Set<string>> {
    const urls = this.#nodes.map(({ endpoint }) => new URL(endpoint.url));
    // A leader with a local address runs on the same machine as the data node that named it.
    const isLocal = /^(localhost|127\.[\d.]+|\[?::1\]?|0\.0\.0\.0)(?=:)/;
    const places = [...urls.map(({ host }) => host), this.#leader?.replace(isLocal, urls[0]!.hostname) ?? ""];
    const addresses = new Set<string>();
    for (const place of places) {
      const [, host = "", port = ""] = /^\[?(.*?)\]?(:\d+)?$/.exec(place) ?? [];
      const found = host ? await lookup(host, { all: true }).catch(() => [{ address: host }]) : [];
      for (const { address } of found) addresses.add(`${address === "::1" ? "127.0.0.1" : address}${port}`);
    }
    return addresses;
  }

  /** The node that was not asked for the longest time; if none is up, the one that was left out first. */
  #pick(): Node {
    const node = this.#nodes.reduce((a, b) => a.askedMs <= b.askedMs ? a : b);
    node.askedMs = Math.max(node.askedMs, performance.now());
    return node;
  }

  /** Leaves a node out for a while. @returns whether another one is up */
  #leaveOut(node: Node): boolean {
    node.askedMs = performance.now() + downMs;
    return this.#nodes.some(({ askedMs }) => askedMs <= performance.now());
  }

  /** Runs a statement for as long as it takes, unless its node answers no ping any more, or it hangs. */
  async #send(node: Node, sql: string, options: QueryOptions, idleMs = () => 0): Promise<Row[]> {
    const controller = new AbortController();
    const client = new SqlClient(node.endpoint, controller.signal, this.options.ca);
    const giveUp = (why: string) => controller.abort(new NoAnswer(`${node.endpoint.url} ${why}`, true));
    let failed = 0;
    const timer = setInterval(() => {
      if (idleMs() > hungMs) {
        giveUp(`has read nothing for ${describeSeconds(hungMs / 1000)}: ${shorten(sql)}`);
      }
      client.version(10_000).then(() => failed = 0, (error) => {
        if (++failed < deadPings) return;
        giveUp(`answered none of ${failed} pings while a statement ran: ${messageOf(error)}`);
      });
    }, pingEveryMs);
    try {
      return await client.query(sql, options);
    } finally {
      clearInterval(timer);
    }
  }

  #givenUp(error: unknown, patienceMs: number): Failure {
    const message = `tried for ${describeSeconds(patienceMs / 1000)}: ${messageOf(error)}`;
    const Kind = error instanceof NoAnswer && !error.sent ? ClusterTrouble : GivenUp;
    return new Kind(message, helpFor(error), { cause: error });
  }

  #refusesUser(error: unknown): ClusterTrouble {
    const { serverMessage, status } = error as SqlError;
    const reason = serverMessage || `status ${status}`;
    const hint = /change password/.test(reason)
      ? `this user has to change its password first: ALTER USER "${this.user}" SET PASSWORD = '…', as itself.`
      : `give user and password in ${this.#flag} http://USER:PASSWORD@…, or in CNOSDB_USER and CNOSDB_PASSWORD.`;
    const message = `the ${this.role}, ${this.url}, refuses ${this.user}: ${reason}`;
    return new ClusterTrouble(message, hint, { cause: error });
  }
}

/** Clusters of different versions are two. @throws {UsageError} if both sides are one cluster */
export async function checkTwoClusters(source: Cluster, target: Cluster): Promise<void> {
  if (source.version !== target.version) return;
  if ((await source.addresses()).isDisjointFrom(await target.addresses())) return;
  throw new UsageError(`--from and --to are the same cluster: ${source.url} and ${target.url}`);
}

/**
 * Its databases, by which nodes of different 2.3 clusters are told apart. Not so for 2.4: a restore in the
 * same pipe may be making its databases at this moment.
 */
async function databasesOf(client: SqlClient): Promise<string> {
  const sql = "SELECT database_name FROM information_schema.databases";
  const rows = await client.query(sql, { tenant: "cnosdb", timeoutMs: 30_000 });
  return JSON.stringify(rows.map((row) => row.database_name).sort());
}
