/** Writing through whichever meta node leads: what it survives, and when it gives up. */
import { Failure } from "../../../lib/cli/errors.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../../helpers/deps.ts";
import { type Fault, type StandIn } from "../../standin/standin.ts";
import { accepted, holds, mark, onPost, posts, run, test, user } from "./restoring.ts";

const three = { version: "2.4.2", mode: "separate", metaNodes: 3 } as const;

test("restore() writes to the leader, whichever address comes first", async ({ start }) => {
  const target = await start(three);
  const dump = await accepted("2.4.2");
  await run(target, dump, { urls: [...target.followerUrls, target.metaUrl] });
  assert(holds(target, dump));
  assert(posts(target).every(({ node }) => node === 0), "a post that /metrics could have spared");
});

test("restore() takes the META_URL that says it leads, whatever address the others know it by", async ({ start }) => {
  const target = await start(three);
  target.fault = ({ path, node }) => {
    if (path !== "/metrics") return undefined;
    const membership = { nodes: { 1: { address: "meta-1.invalid:8901" } } };
    const state = node === 0 ? "Leader" : "Follower";
    const body = JSON.stringify({
      id: node + 1,
      state,
      current_term: 1,
      current_leader: 1,
      membership_config: { membership },
    });
    return { kind: "answer", status: 200, body };
  };
  await run(target, await accepted("2.4.2"), { urls: [...target.followerUrls, target.metaUrl] });
  assert(posts(target).every(({ node }) => node === 0));
});

test("restore() follows a leader that changes in the middle", async ({ start }) => {
  const target = await start(three);
  let seen = 0;
  target.fault = ({ path }) => {
    if (path === "/restore" && ++seen % 5 === 0) target.setLeader((seen / 5) % 3);
    return undefined;
  };
  const dump = await accepted("2.4.2");
  await run(target, dump, { jobs: 1 });
  assert(holds(target, dump));
  assertEquals(new Set(posts(target).map(({ node }) => node)).size, 3);
});

/** Lets nobody lead from the first post on, for `asked` questions. */
function loseLeader(target: StandIn, asked: number): void {
  target.fault = ({ path }) => {
    if (path === "/restore" && posts(target).length === 1) target.setLeader(-1);
    else if (path === "/metrics" && posts(target).length && --asked < 0) target.setLeader(2);
    return undefined;
  };
}

test("restore() waits for a leader while there is none", async ({ start }) => {
  const target = await start(three);
  loseLeader(target, 12);
  const dump = await accepted("2.4.2");
  await run(target, dump, { jobs: 1 });
  assert(holds(target, dump));
});

test("restore() gives up where no leader is found in time", async ({ start }) => {
  const target = await start(three);
  loseLeader(target, 1e9);
  const error = await assertRejects(() => run(target, mark(user("zoe")), { timeoutMs: 300 }), Failure);
  assertStringIncludes(error.message, "nothing could be written for 0.3 s: no meta node leads");
  for (const url of [target.metaUrl, ...target.followerUrls]) {
    assertStringIncludes(error.message, `${url} is Candidate and knows no leader`);
  }
  assertStringIncludes(error.message, "(0 of 1 entries are written)");
  assertStringIncludes(error.hint!, "more than half of the meta nodes must be up");
});

test("restore() posts parents before children", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  await run(target, await accepted("2.4.2"), { jobs: 16 });
  const wave = (body: string) =>
    /\/(schemas|members)\//.test(body) ? 2 : /\/(dbs|roles)\/|limiter: /.test(body) ? 1 : 0;
  const sent = posts(target);
  for (const [i, request] of sent.entries()) {
    for (const later of sent.slice(i + 1)) {
      if (wave(later.body) > wave(request.body)) assert(later.startMs >= request.endMs!);
      else assertEquals(wave(later.body), wave(request.body));
    }
  }
});

const faults: [string, Fault][] = [
  ["a connection closed before a batch", { kind: "close" }],
  ["a connection cut during a batch", { kind: "cut-during" }],
  ["a connection cut after a batch", { kind: "cut-after" }],
  ["a truncated answer", { kind: "truncate" }],
  ["a 500 with nothing done", { kind: "answer", status: 500, body: "raft stopped" }],
  ["a 502 after all is done", { kind: "answer", status: 502, body: "", execute: true }],
  ["a 200 with a raft error", { kind: "answer", status: 200, body: "the raft core is shutting down" }],
];
for (const [name, fault] of faults) {
  test(`restore() survives ${name}`, async ({ start }) => {
    const target = await start({ version: "2.4.2" });
    target.fault = onPost(3, fault);
    const dump = await accepted("2.4.2");
    await run(target, dump);
    assert(holds(target, dump));
    assert(posts(target).length > 3);
  });
}

test("restore() repeats a batch that gets no answer in time", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const { promise, resolve } = Promise.withResolvers<void>();
  target.fault = onPost(1, { kind: "delay", until: promise });
  const done = await assertRejects(() => run(target, mark(user("zoe")), { timeoutMs: 50 }), Failure);
  resolve();
  assertStringIncludes(done.message, "nothing came for 0.05 s");
  await run(target, mark(user("zoe")));
  assert(holds(target, user("zoe")));
});

test("restore() fails where another number is counted, and says how far it came", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.fault = onPost(1, { kind: "total", total: 7 });
  const error = await assertRejects(
    () => run(target, mark(user("zoe"))),
    Failure,
    "1 entries were sent, the server counted 7 (0 of 1 entries are written)",
  );
  assertEquals(error.exitCode, 1);
});

test("restore() shows no hash that a server quotes", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const hash = `$2b$12$${"a".repeat(53)}`;
  target.fault = onPost(9, { kind: "answer", status: 400, body: `bad line: ${hash}` });
  const error = await assertRejects(() => run(target, mark(user("zoe"))), Failure);
  assertStringIncludes(error.message, "answered 400: bad line: $2…");
});

test("restore() fails at once where the lead goes to a node that was not given, and a second run goes on", async ({ start }) => {
  const target = await start(three);
  const urls = [target.metaUrl, target.followerUrls[0]!];
  target.fault = onPost(9, () => {
    if (posts(target).length === 3) target.setLeader(2);
    return undefined;
  });
  const dump = await accepted("2.4.2");
  const startMs = Date.now();
  const error = await assertRejects(() => run(target, dump, { urls, jobs: 1, timeoutMs: 60_000 }), Failure);
  assert(Date.now() - startMs < 10_000);
  assertStringIncludes(
    error.message,
    `the leader is ${new URL(target.followerUrls[1]!).host}, which is none of`,
  );
  assertMatch(error.message, /\(\d+ of 40 entries are written\)/);
  await run(target, dump);
  assert(holds(target, dump));
});
