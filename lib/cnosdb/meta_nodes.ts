/**
 * The nodes of a meta service as one raft group: which of them answer, which leads, how far each has come. Only
 * nodes that the operator gave are asked: 127.0.0.1, as a server names itself, may be the old cluster from here.
 */
import { Failure, messageOf } from "../cli/errors.ts";
import { type Say, silent } from "../cli/say.ts";
import type { Endpoint } from "./endpoint.ts";
import { jsonOf, NoAnswer, pause, Transient } from "./http.ts";
import { expectedAddress, type MetaClient } from "./meta.ts";

/** What openraft says of a node in `/metrics`, in 2.3 inside of `Ok` (seen on 2.3.5.4 and 2.4.2.1). */
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

/** A node that answers. */
interface NodeState extends Metrics {
  node: Endpoint;
  /** the index of the last log entry that is in its store */
  applied: number;
  /** `host:port` of its group's members by id */
  members: Map<number, string>;
}

/**
 * Asks all given nodes at once, once.
 * @returns `states`: the latest term first, and in it the node that has come furthest; `unanswered`: why others
 * could not be asked, by URL; `single`: the only node, if it is a single instance, which has no `/metrics`
 * @throws {Transient} if none answers
 * @throws {Failure} if they are not of one cluster: entries would land in another one whenever its node leads
 */
async function askNodes(meta: MetaClient) {
  const states: NodeState[] = [];
  const unanswered = new Map<string, string>();
  let single: Endpoint | undefined;
  await Promise.all(meta.nodes.map(async (node) => {
    try {
      const { status, body } = await meta.send(node, "GET", "/metrics", { timeoutMs: 5_000 });
      const state = readState(node, body);
      if (state) states.push(state);
      else if (status >= 500) unanswered.set(node.url, `GET ${node.url}/metrics answered ${status}`);
      else single = node;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      unanswered.set(node.url, messageOf(error));
    }
  }));
  if (unanswered.size === meta.nodes.length) {
    throw new Transient([...unanswered.values()].join("; "), expectedAddress);
  }
  const mismatch = single && meta.nodes.length > 1
    ? `${single.url} has no /metrics, so it is a single instance`
    : findMismatch(states);
  if (mismatch) {
    throw new Failure(
      `the META_URLs are not the nodes of one cluster: ${mismatch}`,
      "give each meta node of one cluster once, by one address.",
    );
  }
  states.sort((a, b) => b.current_term - a.current_term || b.applied - a.applied);
  return { states, unanswered, single };
}

/** Undefined if the answer is not openraft's metrics. */
function readState(node: Endpoint, body: string): NodeState | undefined {
  const answer = jsonOf(body) as Metrics & { Ok?: Metrics } | null | undefined;
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

/** Why nodes are not of one cluster; undefined if they may be. */
function findMismatch(states: readonly NodeState[]): string | undefined {
  const membersOf = ({ members }: NodeState) => JSON.stringify([...members]);
  for (const [i, a] of states.entries()) {
    for (const b of states.slice(i + 1)) {
      const pair = `${a.node.url} and ${b.node.url}`;
      if (membersOf(a) !== membersOf(b)) return `${pair} list different members`;
      if (a.id === b.id) return `${pair} are both node ${a.id}`;
    }
  }
  return undefined;
}

/**
 * The node that leads; a single instance is its own leader.
 * @param say is warned if too few nodes answer to know that it still leads
 * @throws {Failure} if the leader is none of the given nodes, naming it
 * @throws {Transient} if none leads, none answers, or the leader may be one of those that do not answer
 */
export async function findLeader(meta: MetaClient, say: Say = silent): Promise<Endpoint> {
  const { states, unanswered, single } = await askNodes(meta);
  if (single) return single;
  // A node that is cut off from the others raises its term again and again, and knows no leader.
  const knowing = states.find(({ current_leader }) => current_leader !== null);
  const leader = states.find(({ id }) => id === knowing?.current_leader);
  if (leader?.state === "Leader") {
    if (unanswered.size && states.length <= leader.members.size / 2) {
      const urls = [...unanswered.keys()].join(", ");
      say(
        `warning: no answer from ${urls}: if they have another leader by now, what ${leader.node.url} holds is old`,
      );
    }
    return leader.node;
  }
  const text = [
    ...states.map(({ node, state, current_leader: id, members }) =>
      `${node.url} is ${state} and knows ${id === null ? "no leader" : `${members.get(id)} as leader`}`
    ),
    ...[...unanswered.keys()].map((url) => `${url} does not answer`),
  ].join("; ");
  if (leader || !knowing) {
    throw new Transient(
      `no meta node leads: ${text}`,
      "more than half of the meta nodes must be up to have a leader: start those that are down, " +
        "give the addresses of all.",
    );
  }
  const address = knowing.members.get(knowing.current_leader!);
  const message = `the leader is ${address}, which is none of the META_URLs: ${text}`;
  const unknownHint =
    "give the leader's address too, as it is reached from here: only nodes that were given are asked.";
  throw unanswered.size ? new Transient(message, unknownHint) : new Failure(message, unknownHint);
}

/**
 * The given nodes that hold all that was written so far, once all of them do or time is up.
 * @param waitMs how long a node may lag behind or not answer
 * @returns `nodes`: the leader first; `unread`: why others cannot be read, a text each
 * @throws {Transient} if none answers
 */
export async function caughtUp(
  meta: MetaClient,
  waitMs: number,
): Promise<{ nodes: Endpoint[]; unread: string[] }> {
  const endMs = Date.now() + waitMs;
  const inTime = () => Date.now() < endMs;
  let goal = 0;
  for (;;) {
    const { states, unanswered, single } = await meta.retry(() => askNodes(meta), inTime);
    if (single) return { nodes: [single], unread: [] };
    goal ||= Math.max(...states.map(({ applied }) => applied));
    const nodes = states.filter(({ applied }) => applied >= goal)
      .sort((a, b) => Number(b.state === "Leader") - Number(a.state === "Leader"))
      .map(({ node }) => node);
    const behind = meta.nodes.filter((node) => !nodes.includes(node));
    if (behind.length && inTime()) {
      await pause(meta.pauseMs, meta.options.signal);
      continue;
    }
    // A node that does not answer is one of the members, but which one is not known.
    const members = unanswered.size ? [] : [...states[0]!.members];
    const notGiven = members.filter(([id]) => !states.some((state) => state.id === id));
    const unread = [
      ...behind.map(({ url }) => `${url} does not answer or lags behind`),
      ...notGiven.map(([, address]) => `${address} is none of the META_URLs`),
    ];
    return { nodes, unread };
  }
}
