/**
 * The nodes of a meta service as one raft group: which answer, which of them leads, how far each has come. Only nodes that the operator
 * gave are asked: 127.0.0.1, as a server names itself to others, may be the old cluster when it is asked from here.
 */
import { Failure, messageOf } from "../cli/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { NoAnswer, Transient } from "./http.ts";
import { expectedAddress, type MetaClient } from "./meta.ts";

/** What openraft says of a node in `/metrics`, in 2.3 inside of `Ok` (seen on 2.3.5.4 and 2.4.2.1, three nodes each). */
interface Metrics {
  id: number;
  /** Leader, Follower, Candidate, … */
  state: string;
  current_term: number;
  /** its id */
  current_leader: number | null;
  /** the last log entry that is in the node's store */
  last_applied: { index: number } | null;
  /** by id, as the nodes call each other: `api_addr` in 2.3 */
  membership_config: { membership: { nodes: Record<number, { address?: string; api_addr?: string }> } };
}

/** A node that answers, and its group's members: `host:port` by id. */
interface NodeState extends Metrics {
  node: Endpoint;
  applied: number;
  members: Map<number, string>;
}

/**
 * Asks all given nodes at once, once.
 * @returns `states`: the latest term first, in it the node that has come furthest; `silent`: why others could not be asked, by URL;
 * `single`: the node without `/metrics`, where it is a single instance
 * @throws {Transient} where none answers @throws {Failure} where they cannot be of one cluster
 */
async function askNodes(
  meta: MetaClient,
): Promise<{ states: NodeState[]; silent: Map<string, string>; single?: Endpoint | undefined }> {
  const silent = new Map<string, string>();
  const states: NodeState[] = [];
  let single: Endpoint | undefined;
  await Promise.all(meta.nodes.map(async (node) => {
    try {
      const { status, body } = await meta.send(node, "GET", "/metrics", { timeoutMs: 5_000 });
      const state = readState(node, body);
      if (state) states.push(state);
      else if (status >= 500) silent.set(node.url, `GET ${node.url}/metrics answered ${status}`);
      else single = node;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      silent.set(node.url, messageOf(error));
    }
  }));
  if (silent.size === meta.nodes.length) {
    throw new Transient([...silent.values()].join("; "), expectedAddress);
  }
  states.sort((a, b) => b.current_term - a.current_term || b.applied - a.applied);
  const strange = strangers(states, meta.nodes.length > 1 ? single : undefined);
  if (strange === undefined) return { states, silent, single };
  throw new Failure(
    `the META_URLs are not the nodes of one cluster: ${strange}`,
    "give each meta node of one cluster once, by one address.",
  );
}

/** Undefined where what a node answers is no metrics of openraft. */
function readState(node: Endpoint, body: string): NodeState | undefined {
  const answer = parseAnswer(body) as Metrics & { Ok?: Metrics } | null | undefined;
  const metrics = answer?.Ok ?? answer;
  if (!metrics?.membership_config) return undefined;
  const members = Object.entries(metrics.membership_config.membership.nodes);
  return {
    ...metrics,
    node,
    applied: metrics.last_applied?.index ?? 0,
    members: new Map(members.map(([id, { address, api_addr }]) => [Number(id), address ?? api_addr ?? "?"])),
  };
}

/** JSON; undefined if it is none. */
function parseAnswer(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Why nodes are not of one cluster: what is restored would land in another one whenever its node leads. */
function strangers(states: readonly NodeState[], single: Endpoint | undefined): string | undefined {
  for (const [i, a] of states.entries()) {
    for (const b of states.slice(i + 1)) {
      const pair = `${a.node.url} and ${b.node.url}`;
      const [ofA, ofB] = [a, b].map(({ members }) => JSON.stringify([...members]));
      if (ofA !== ofB) return `${pair} list different members`;
      if (a.id === b.id) return `${pair} are both node ${a.id}`;
    }
  }
  return single && `${single.url} has no /metrics, so it is a single instance`;
}

/**
 * The node that leads: of a single instance the only one.
 * @throws {Failure} where the leader is none of the given nodes: it names the leader
 * @throws {Transient} where none leads, or none answers
 */
export async function findLeader(meta: MetaClient): Promise<Endpoint> {
  const { states, silent, single } = await askNodes(meta);
  if (single) return single;
  // A node that is cut off from the others raises its term again and again, and knows no leader.
  const knowing = states.find(({ current_leader }) => current_leader !== null);
  const leader = states.find(({ id }) => id === knowing?.current_leader);
  if (leader?.state === "Leader") return leader.node;
  const text = [
    ...states.map(({ node, state, current_leader: id, members }) =>
      `${node.url} is ${state} and knows ${id === null ? "no leader" : `${members.get(id)} as leader`}`
    ),
    ...[...silent.keys()].map((url) => `${url} does not answer`),
  ].join("; ");
  if (leader || !knowing) {
    throw new Transient(
      `no meta node leads: ${text}`,
      "more than half of the meta nodes must be up to have a leader: start those that are down, give the addresses of all.",
    );
  }
  const message = `the leader is ${
    knowing.members.get(knowing.current_leader!)
  }, which is none of the META_URLs: ${text}`;
  const unknownHint =
    "give the leader's address too, as it is reached from here: only nodes that were given are asked.";
  throw silent.size ? new Transient(message, unknownHint) : new Failure(message, unknownHint);
}

/**
 * The given nodes, once they hold what the leader holds now.
 * @param waitMs how long a node may lag behind or be silent
 * @returns `nodes` to be read, the leader first; `unread`: what is known of the others, a text each
 * @throws {Transient} where none answers
 */
export async function caughtUp(
  meta: MetaClient,
  waitMs: number,
): Promise<{ nodes: Endpoint[]; unread: string[] }> {
  const endMs = Date.now() + waitMs;
  let [goal, waits] = [0, true];
  return await meta.patiently(async () => {
    waits = Date.now() < endMs;
    const { states, silent, single } = await askNodes(meta);
    if (single) return { nodes: [single], unread: [] };
    goal ||= Math.max(...states.map(({ applied }) => applied));
    const there = states.filter(({ applied }) => applied >= goal)
      .sort((a, b) => Number(b.state === "Leader") - Number(a.state === "Leader"));
    const nodes = there.map(({ node }) => node);
    const behind = meta.nodes.filter((node) => !nodes.includes(node));
    if (behind.length && waits) throw new Transient("not all meta nodes hold what the leader holds");
    // A node that does not answer is one of the members, but nobody tells which.
    const members = silent.size ? [] : [...states[0]!.members];
    const others = members.filter(([id]) => !states.some((state) => state.id === id));
    const unread = [
      ...behind.map(({ url }) => `${url} does not answer or lags behind`),
      ...others.map(([, address]) => `${address} is none of the META_URLs`),
    ];
    return { nodes, unread };
  }, () => waits);
}
