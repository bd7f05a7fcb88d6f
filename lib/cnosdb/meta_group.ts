/** The nodes of a meta service as one raft group: which are there, which of them leads, how far each has come. */
import { type Endpoint, NoAnswer, pause } from "./http.ts";
import { canonical, readArray, readObject } from "../dump/json.ts";
import { type MetaClient, unexpected } from "./meta.ts";

/** What tells a cluster from any other. */
export interface Identity {
  cluster: string;
  /** the values of its data nodes, as canonical JSON */
  dataNodes: ReadonlySet<string>;
  /**
   * what root's hash_password may be, as JSON: the one before a restore or the one after it. bcrypt's salt is random, and before the
   * first change of the password each of three nodes has a salt of its own (2.4.1)
   */
  rootHashes: ReadonlySet<string>;
}

/** What a node says of its group in `/metrics`. */
export interface NodeState {
  node: Endpoint;
  id: number;
  /** Leader, Follower, Candidate, … */
  state: string;
  term: number;
  /** the index of the last entry of the log that is in its store */
  applied: number;
  /** the leader's id */
  leader: number | undefined;
  /** `host:port` by id, as the nodes call each other */
  addresses: ReadonlyMap<number, string>;
  /** the addresses and the log entry that made them members, as canonical JSON: the same on all nodes */
  membership: string;
}

/** for questions that any server answers at once */
const briefly = { timeoutMs: 5_000 };

/** openraft's metrics: 2.3 wraps them in `Ok` and calls an address `api_addr` (seen on 2.3.5.4 and 2.4.2.1, three nodes each). */
interface Metrics {
  id?: number;
  state?: string;
  current_term?: number;
  current_leader?: number | null;
  last_applied?: { index?: number } | null;
  membership_config?: {
    log_id?: unknown;
    membership?: { nodes?: Record<string, { address?: string; api_addr?: string }> };
  };
}

/**
 * Asks nodes for their state.
 * @returns the states, that of the latest term that has come furthest first, and the nodes that cannot be reached. A single instance has
 * no `/metrics` and is neither.
 */
export async function askStates(
  meta: MetaClient,
  nodes: readonly Endpoint[],
): Promise<{ states: NodeState[]; silent: Endpoint[] }> {
  const silent: Endpoint[] = [];
  const answers = await Promise.all(nodes.map(async (node): Promise<NodeState[]> => {
    try {
      const { body } = await meta.send(node, "GET", "/metrics", undefined, briefly);
      const answer = JSON.parse(body) as Metrics & { Ok?: Metrics };
      const { id, state, current_term, current_leader, last_applied, membership_config } = answer.Ok ??
        answer;
      if (id === undefined || state === undefined) return [];
      const addresses = Object.entries(membership_config?.membership?.nodes ?? {})
        .flatMap(([id, { address, api_addr }]): [number, string][] => {
          const known = address ?? api_addr;
          return known === undefined ? [] : [[Number(id), known]];
        });
      return [{
        ...{ node, id, state, term: current_term ?? 0, applied: last_applied?.index ?? 0 },
        ...{ leader: current_leader ?? undefined, addresses: new Map(addresses) },
        membership: canonical(JSON.stringify([membership_config?.log_id ?? null, addresses])),
      }];
    } catch (error) {
      if (error instanceof NoAnswer) silent.push(node);
      return [];
    }
  }));
  return { states: answers.flat().sort((a, b) => b.term - a.term || b.applied - a.applied), silent };
}

/** The endpoint of an address as a node names it, reached as that node is; undefined where it is no address. */
export function endpointAt(namer: Endpoint, address: string): Endpoint | undefined {
  const url = URL.parse(`${new URL(namer.url).protocol}//${address}`)?.origin;
  return url ? { url } : undefined;
}

/** The group that a restore writes to. No node is trusted before it has answered as one of this very cluster. */
export class MetaGroup {
  /** by URL: whether a node is of this cluster, and when it was asked */
  readonly #asked = new Map<string, { ours: boolean; atMs: number }>();
  readonly #named: Endpoint[] = [];

  /**
   * @param identity is asked of each node: 127.0.0.1, as a server names it, may well be the old cluster
   * @param reference the node that the identity is from
   */
  constructor(readonly meta: MetaClient, readonly identity: Identity, readonly reference: Endpoint) {}

  /** Whether a node is of this cluster. @throws {NoAnswer} {Trouble} where nothing is known yet */
  async isOurs(node: Endpoint): Promise<boolean> {
    const known = this.#asked.get(node.url);
    if (known && (known.ours || Date.now() - known.atMs < this.meta.options.pauseMs * 20)) return known.ours;
    const ours = await this.#belongs(node);
    this.#asked.set(node.url, { ours, atMs: Date.now() });
    return ours;
  }

  async #belongs(node: Endpoint): Promise<boolean> {
    const { cluster, dataNodes, rootHashes } = this.identity;
    const nodes = await this.#read(node, { DataNodes: cluster });
    const root = await this.#read(node, { User: [cluster, "root"] });
    try {
      const values = readArray(readArray(readObject(nodes).get("Ok") ?? "")[0] ?? "");
      if (values.length !== dataNodes.size || !values.every((value) => dataNodes.has(canonical(value)))) {
        return false;
      }
      // A root that the server cannot read is what a restore may be there to mend.
      if (readObject(root).has("Err") || rootHashes.has(passwordHash(readObject(root).get("Ok")))) {
        return true;
      }
    } catch {
      return false;
    }
    return await this.#isMember(node);
  }

  async #read(node: Endpoint, command: unknown): Promise<string> {
    const response = await this.meta.send(node, "POST", "/read", JSON.stringify(command), briefly);
    if (response.status >= 500) throw unexpected(`POST ${node.url}/read`, response);
    return response.body;
  }

  /**
   * Whether a node is of one raft group with the reference, of several nodes. Another cluster may call its nodes the same, so one that was
   * not given must also know what the data nodes said last: time and free bytes, anew every few seconds.
   */
  async #isMember(node: Endpoint): Promise<boolean> {
    const { states } = await askStates(this.meta, [this.reference, node]);
    const [one, other] = states;
    if (!one || !other || one.addresses.size < 2 || one.membership !== other.membership) return false;
    if (this.meta.nodes.some(({ url }) => url === node.url)) return true;
    const command = { NodeMetrics: this.identity.cluster };
    for (let left = 3; left > 0; left--) {
      const [mine, theirs] = await Promise.all(
        [this.reference, node].map((node) => this.#read(node, command)),
      );
      if (mine === theirs && mine?.includes('"time":')) return true;
      await pause(this.meta.options.pauseMs, this.meta.options.signal);
    }
    return false;
  }

  /** The endpoint of an address that a server named, if it can be reached from here. */
  async resolve(namer: Endpoint, address: string): Promise<Endpoint | undefined> {
    const named = endpointAt(namer, address);
    if (!named) return undefined;
    let node = [...this.meta.nodes, ...this.#named].find(({ url }) => url === named.url);
    if (!node) this.#named.push(node = named);
    return await this.isOurs(node).catch(() => false) ? node : undefined;
  }

  /** The leader of the latest term that can be reached; undefined where none can be, or for a single instance. */
  async leader(): Promise<Endpoint | undefined> {
    const { states } = await askStates(this.meta, [...this.meta.nodes, ...this.#named]);
    for (const { node, state, leader, addresses } of states) {
      if (state === "Leader" && await this.isOurs(node).catch(() => false)) return node;
      const address = leader === undefined ? undefined : addresses.get(leader);
      const resolved = address && await this.resolve(node, address);
      if (resolved) return resolved;
    }
    return undefined;
  }

  /**
   * All nodes of the group, given or named by another, once they hold what the leader holds now.
   * @param waitMs how long a follower may take for that
   * @returns the endpoint of each, a node once, and the addresses of those that cannot be reached or lag behind; both empty for a
   * single instance
   */
  async members(waitMs: number): Promise<{ reached: Endpoint[]; missing: string[] }> {
    const { meta } = this;
    const { signal, pauseMs } = meta.options;
    const first = await this.#ownStates(meta.nodes);
    const given = new Set(first.map(({ id }) => id));
    const named = await Promise.all(
      first.flatMap(({ node, addresses }) =>
        [...addresses].filter(([id]) => !given.has(id)).map(([, address]) => this.resolve(node, address))
      ),
    );
    const nodes = [...meta.nodes, ...new Set(named.filter((node) => node !== undefined))];
    const addresses = new Map(first.flatMap(({ addresses }) => [...addresses]));
    let goal: number | undefined;
    for (const startMs = Date.now();; await pause(pauseMs, signal)) {
      const states = await this.#ownStates(nodes);
      goal ??= states.find(({ state }) => state === "Leader")?.applied;
      const reached = new Map<number, Endpoint>();
      let lags = false;
      for (const { id, node, applied } of states) {
        if (applied < (goal ?? 0)) lags ||= !reached.has(id);
        else if (!reached.has(id)) reached.set(id, node);
      }
      if (lags && Date.now() - startMs < waitMs) continue;
      const missing = [...addresses].flatMap(([id, address]) => reached.has(id) ? [] : [address]);
      return { reached: [...reached.values()], missing };
    }
  }

  async #ownStates(nodes: readonly Endpoint[]): Promise<NodeState[]> {
    const { states } = await askStates(this.meta, nodes);
    const ours = await Promise.all(states.map(({ node }) => this.isOurs(node).catch(() => false)));
    return states.filter((_, i) => ours[i]);
  }

  /** How the nodes that are known stand, for an operator; and whether one leads, where any can tell. */
  async describe(): Promise<{ text: string; leads: boolean | undefined }> {
    const known = [...this.meta.nodes, ...this.#named].filter(({ url }) =>
      this.#asked.get(url)?.ours !== false
    );
    const { states, silent } = await askStates(this.meta, known);
    const parts = [
      ...states.map(({ node, state, leader, addresses }) => {
        const knows = leader === undefined ? "knows no leader" : `knows ${addresses.get(leader)} as leader`;
        return `${node.url} is ${state}${state === "Leader" ? "" : ` and ${knows}`}`;
      }),
      ...silent.map(({ url }) => `${url} does not answer`),
    ];
    const leads = states.length ? states.some(({ state }) => state === "Leader") : undefined;
    return { text: parts.join("; "), leads };
  }
}

/** The source text of a user's hash_password. */
export function passwordHash(user = "null"): string {
  if (user === "null") return user;
  return readObject(readObject(user).get("options") ?? "{}").get("hash_password") ?? "null";
}
