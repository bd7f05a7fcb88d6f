/**
 * The nodes of a meta service as one raft group: which answer, which of them leads, how far each has come. Only nodes that the operator
 * gave are asked: 127.0.0.1, as a server names itself to others, may be the old cluster when it is asked from here.
 */
import { Failure, messageOf } from "../cli/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { NoAnswer, pause } from "./http.ts";
import { type MetaClient, Transient } from "./meta.ts";

/** What a node says of its group in `/metrics`. */
export interface NodeState {
  node: Endpoint;
  id: number;
  /** Leader, Follower, Candidate, … */
  state: string;
  term: number;
  /** the index of the last log entry that is in its store */
  applied: number;
  /** the leader's id */
  leader: number | undefined;
  /** `host:port` by id, as the nodes call each other */
  addresses: ReadonlyMap<number, string>;
}

/** What the given nodes answer. */
export interface NodeStates {
  /** the latest term first, in it the node that has come furthest */
  states: NodeState[];
  /** why a node could not be asked, by URL */
  silent: ReadonlyMap<string, string>;
  /** nodes without `/metrics`: single instances */
  single: Endpoint[];
}

/** openraft's metrics: 2.3 wraps them in `Ok` and calls an address `api_addr` (seen on 2.3.5.4 and 2.4.2.1, three nodes each). */
interface Metrics {
  id?: number;
  state?: string;
  current_term?: number;
  current_leader?: number | null;
  last_applied?: { index?: number } | null;
  membership_config?: { membership?: { nodes?: Record<string, { address?: string; api_addr?: string }> } };
}

/**
 * Asks all given nodes at once, once.
 * @throws {Failure} where they cannot be of one cluster
 */
export async function askNodes(meta: MetaClient): Promise<NodeStates> {
  const silent = new Map<string, string>();
  const single: Endpoint[] = [];
  const answers = await Promise.all(meta.nodes.map(async (node): Promise<NodeState[]> => {
    try {
      const { status, body } = await meta.send(node, "GET", "/metrics", undefined, { timeoutMs: 5_000 });
      if (status >= 500) silent.set(node.url, `GET ${node.url}/metrics answered ${status}`);
      else return [readState(node, body)];
    } catch (error) {
      if (error instanceof NoAnswer) silent.set(node.url, messageOf(error));
      else if (error instanceof Failure) throw error;
      else single.push(node);
    }
    return [];
  }));
  const states = answers.flat().sort((a, b) => b.term - a.term || b.applied - a.applied);
  assertOneGroup(states, meta.nodes.length > 1 ? single : []);
  return { states, silent, single };
}

function readState(node: Endpoint, body: string): NodeState {
  const answer = JSON.parse(body) as Metrics & { Ok?: Metrics };
  const { id, state, current_term, current_leader, last_applied, membership_config } = answer.Ok ?? answer;
  if (id === undefined || state === undefined) throw new SyntaxError("no metrics of openraft");
  const members = Object.entries(membership_config?.membership?.nodes ?? {});
  return {
    ...{ node, id, state, term: current_term ?? 0, applied: last_applied?.index ?? 0 },
    leader: current_leader ?? undefined,
    addresses: new Map(
      members.map(([id, { address, api_addr }]) => [Number(id), address ?? api_addr ?? "?"]),
    ),
  };
}

/** One address of another cluster, and what is restored would land there whenever that node leads. */
function assertOneGroup(states: readonly NodeState[], single: readonly Endpoint[]): void {
  const [first] = states;
  const [alone] = single;
  const membersOf = ({ addresses }: NodeState) => JSON.stringify([...addresses].sort(([a], [b]) => a - b));
  const other = first && states.find((state) => membersOf(state) !== membersOf(first));
  const twin = states.find(({ id }, i) => states.findIndex((state) => state.id === id) < i);
  const pair = other
    ? `${first.node.url} and ${other.node.url} list different members`
    : twin
    ? `${states.find(({ id }) => id === twin.id)?.node.url} and ${twin.node.url} are both node ${twin.id}`
    : alone
    ? `${alone.url} has no /metrics, so it is a single instance`
    : undefined;
  if (pair) {
    throw new Failure(
      `the META_URLs are not the nodes of one cluster: ${pair}`,
      "give each meta node of one cluster once, by one address.",
    );
  }
}

/**
 * The node that leads: of a single instance the only one.
 * @throws {Failure} where the leader is none of the given nodes: it names the leader
 * @throws {Transient} where none leads, or none answers
 */
export async function findLeader(meta: MetaClient): Promise<Endpoint> {
  const { states, silent, single } = await askNodes(meta);
  if (single[0]) return single[0];
  if (!states.length) {
    throw new Transient([...silent.values()].join("; "), "expected the meta service, host:8901 by default.");
  }
  // A node that is cut off from the others raises its term again and again, and knows no leader.
  const knowing = states.find(({ leader }) => leader !== undefined);
  const leader = states.find(({ id, state }) => id === knowing?.leader && state === "Leader");
  if (leader) return leader.node;
  const text = [
    ...states.map(({ node, state, leader, addresses }) =>
      `${node.url} is ${state} and knows ${
        leader === undefined ? "no leader" : `${addresses.get(leader)} as leader`
      }`
    ),
    ...[...silent.keys()].map((url) => `${url} does not answer`),
  ].join("; ");
  if (knowing?.leader === undefined || states.some(({ id }) => id === knowing.leader)) {
    throw new Transient(
      `no meta node leads: ${text}`,
      "more than half of the meta nodes must be up to have a leader: start those that are down, give the addresses of all.",
    );
  }
  const hint =
    "give the leader's address too, as it is reached from here: only nodes that were given are asked.";
  const message = `the leader is ${
    knowing.addresses.get(knowing.leader)
  }, which is none of the META_URLs: ${text}`;
  throw silent.size ? new Transient(message, hint) : new Failure(message, hint);
}

/**
 * The given nodes, once they hold what the leader holds now.
 * @param waitMs how long a follower may take for that
 * @returns `nodes` to be read, the leader first; `behind`: URLs of those that do not answer or lag behind; `others`: addresses of members that
 * were not given
 */
export async function caughtUp(
  meta: MetaClient,
  waitMs: number,
): Promise<{ nodes: Endpoint[]; behind: string[]; others: string[] }> {
  const { signal, pauseMs } = meta.options;
  const startMs = Date.now();
  for (let asked = 1, goal: number | undefined;; asked++) {
    const { states, silent, single } = await askNodes(meta);
    if (single.length) return { nodes: single, behind: [], others: [] };
    const furthest = Math.max(0, ...states.map(({ applied }) => applied));
    goal ??= states.length ? furthest : undefined;
    const there = states.filter(({ applied }) => applied >= (goal ?? 0));
    const lags = there.length < states.length && Date.now() - startMs < waitMs;
    if (!lags && (!silent.size || asked >= 4)) {
      const nodes = there.sort((a, b) => Number(b.state === "Leader") - Number(a.state === "Leader"))
        .map(({ node }) => node);
      const ids = new Set(states.map(({ id }) => id));
      const unknown = [...states[0]?.addresses ?? []].filter(([id]) => !ids.has(id)).map(([, address]) =>
        address
      );
      return {
        nodes,
        behind: meta.nodes.flatMap((node) => nodes.includes(node) ? [] : [node.url]),
        // A node that does not answer is one of these, but which one nobody tells.
        others: silent.size ? [] : unknown,
      };
    }
    await pause(pauseMs, signal);
  }
}
