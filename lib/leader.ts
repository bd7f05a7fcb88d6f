/** Writing to a meta store: only its leader takes writes, it changes, and a follower answers 200 without writing anything. */
import { Failure, messageOf } from "./errors.ts";
import { type Endpoint, pause } from "./http.ts";
import { canonical, preview, readArray, readObject } from "./json.ts";
import { mayPass, type MetaClient, Trouble, unexpected, withoutHashes } from "./meta.ts";

/** What tells a cluster from any other. */
export interface Identity {
  cluster: string;
  /** the values of its data nodes, as canonical JSON */
  dataNodes: ReadonlySet<string>;
  /** what root's hash_password may be, as JSON: the one before a restore or the one after it (bcrypt's salt is random) */
  rootHashes: ReadonlySet<string>;
}

/** The line that a follower answers to a write, with the leader's address or `None`. */
const forward = /^has to forward request to: .*?(?:address: "([^"]*)"|None)/s;
const success = /^Restore Data Success, Total: (\d+) $/;
/** for questions that any server answers at once */
const briefly = { timeoutMs: 5_000 };
const longestPauseMs = 8_000;

export class LeaderWriter {
  /** by URL: whether a node is of this cluster, and when it was asked */
  readonly #asked = new Map<string, { ours: boolean; atMs: number }>();
  readonly #named: Endpoint[] = [];
  #leader: Endpoint | undefined;
  #search: Promise<Endpoint | undefined> | undefined;
  #lastWriteMs = 0;

  /**
   * @param identity is asked of each node before the first write to it: 127.0.0.1, as a server names it, may well be the old cluster
   * @param timeoutMs how long to go on trying while nothing gets through
   */
  constructor(readonly meta: MetaClient, readonly identity: Identity, readonly timeoutMs: number) {}

  /**
   * Writes entries through the leader, whoever that is by then. A repeat is harmless, as a key gets the same value again: what got
   * no answer is sent again, until nothing at all has got through for `timeoutMs`.
   * @param lines `key: value` lines @param count how many
   * @throws {Failure} where the answer is another number, no leader is found in time, or there is no /restore
   */
  async post(lines: string, count: number): Promise<void> {
    const { signal } = this.meta.options;
    const startMs = Date.now();
    let { pauseMs } = this.meta.options;
    let hopped = false;
    for (let node = this.#leader ?? await this.#findLeader();;) {
      let trouble: unknown;
      let named: string | undefined;
      try {
        named = await this.#write(node, lines, count);
        if (named === undefined) {
          this.#lastWriteMs = Date.now();
          this.#leader = this.meta.preferred = node;
          return;
        }
        trouble = new Trouble(
          `${node.url} is a follower and knows ${named ? `${named} as leader` : "no leader"}`,
        );
      } catch (error) {
        if (!mayPass(error)) throw error;
        trouble = error;
      }
      if (Date.now() - Math.max(startMs, this.#lastWriteMs) > this.timeoutMs) {
        throw new Failure(
          `nothing could be written for ${this.timeoutMs / 1000} s: ${messageOf(trouble)}`,
          "GET /metrics of a meta node tells the leader: give its address, as it is reached from here, as META_URL. " +
            "What has been written is not sent again.",
        );
      }
      // Another job may have found the leader in the meantime.
      if (this.#leader === node) this.#leader = undefined;
      this.#leader ??= named ? await this.#resolve(node, named) : undefined;
      if (!this.#leader || hopped) {
        await pause(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
      hopped = !hopped && this.#leader !== undefined;
      node = this.#leader ?? await this.#findLeader(node);
    }
  }

  /** One POST. @returns undefined where all is written, else the leader's address that a follower knows, or "" */
  async #write(node: Endpoint, lines: string, count: number): Promise<string | undefined> {
    if (!await this.#isOurs(node)) {
      throw new Trouble(
        `${node.url} does not answer as a node of this cluster does: other data nodes, another root`,
      );
    }
    const where = `POST ${node.url}/restore`;
    // What is under way is finished at SIGINT, so the signal is not handed on.
    const { status, headers, body } = await this.meta.send(node, "POST", "/restore", lines, {
      signal: new AbortController().signal,
      timeoutMs: Math.min(this.timeoutMs, 30_000 + 200 * count),
    });
    if (status === 404 || status === 405) {
      throw new Failure(
        `${where} answered ${status}: this server cannot restore`,
        "the target must be a meta service of CnosDB 2.4.",
      );
    }
    if (status !== 200) throw unexpected(where, { status, headers, body });
    const total = success.exec(body)?.[1];
    if (total !== undefined && Number(total) === count) return undefined;
    if (total !== undefined) {
      throw new Failure(
        `${where}: ${count} entries were sent, the server counted ${total}`,
        "something on the way changes what is sent: a proxy? Post to the meta service itself.",
      );
    }
    const leader = forward.exec(body);
    if (leader) return leader[1] ?? "";
    throw new Trouble(
      `${where} answered ${JSON.stringify(preview(withoutHashes(body), 200))} instead of success`,
    );
  }

  async #isOurs(node: Endpoint): Promise<boolean> {
    const known = this.#asked.get(node.url);
    if (known && (known.ours || Date.now() - known.atMs < this.meta.options.pauseMs * 20)) return known.ours;
    const ours = await this.#belongs(node);
    this.#asked.set(node.url, { ours, atMs: Date.now() });
    return ours;
  }

  /** @throws {NoAnswer} {Trouble} where nothing is known yet */
  async #belongs(node: Endpoint): Promise<boolean> {
    const { cluster, dataNodes, rootHashes } = this.identity;
    const read = async (command: unknown) => {
      const response = await this.meta.send(node, "POST", "/read", JSON.stringify(command), briefly);
      if (response.status >= 500) throw unexpected(`POST ${node.url}/read`, response);
      return response.body;
    };
    const [nodes, root] = [await read({ DataNodes: cluster }), await read({ User: [cluster, "root"] })];
    try {
      const values = readArray(readArray(readObject(nodes).get("Ok") ?? "")[0] ?? "");
      return values.length === dataNodes.size && values.every((value) => dataNodes.has(canonical(value))) &&
        // A root that the server cannot read is what a restore may be there to mend.
        (readObject(root).has("Err") || rootHashes.has(passwordHash(readObject(root).get("Ok"))));
    } catch {
      return false;
    }
  }

  /** The endpoint of an address that a server named, if it can be reached from here. */
  async #resolve(namer: Endpoint, address: string): Promise<Endpoint | undefined> {
    const url = URL.parse(`${new URL(namer.url).protocol}//${address}`)?.origin;
    if (!url) return undefined;
    let node = [...this.meta.nodes, ...this.#named].find((known) => known.url === url);
    if (!node) this.#named.push(node = { url });
    return await this.#isOurs(node).catch(() => false) ? node : undefined;
  }

  /** The node that says it leads; else the one after `after`, in turn. All that look for it at once share one search. */
  async #findLeader(after?: Endpoint): Promise<Endpoint> {
    const { nodes } = this.meta;
    this.#search ??= this.#askMetrics().finally(() => this.#search = undefined);
    const turn = nodes.findIndex((node) => node.url === after?.url) + 1;
    return await this.#search ?? nodes[turn % nodes.length]!;
  }

  /** `/metrics` of all nodes (a single instance has none): the leader of the latest term that can be reached. */
  async #askMetrics(): Promise<Endpoint | undefined> {
    interface Metrics {
      state?: string;
      current_term?: number;
      current_leader?: number | null;
      membership_config?: { membership?: { nodes?: Record<string, { address?: string }> } };
    }
    const answers = await Promise.all([...this.meta.nodes, ...this.#named].map(async (node) => {
      try {
        const { body } = await this.meta.send(node, "GET", "/metrics", undefined, briefly);
        return [{ node, metrics: JSON.parse(body) as Metrics }];
      } catch {
        return [];
      }
    }));
    const latest = answers.flat().sort((a, b) =>
      (b.metrics.current_term ?? 0) - (a.metrics.current_term ?? 0)
    );
    for (const { node, metrics } of latest) {
      if (metrics.state === "Leader" && await this.#isOurs(node).catch(() => false)) return node;
      const { nodes } = metrics.membership_config?.membership ?? {};
      const address = nodes?.[String(metrics.current_leader)]?.address;
      const leader = address && await this.#resolve(node, address);
      if (leader) return leader;
    }
    return undefined;
  }
}

/** The source text of a user's hash_password. */
export function passwordHash(user = "null"): string {
  if (user === "null") return user;
  return readObject(readObject(user).get("options") ?? "{}").get("hash_password") ?? "null";
}
