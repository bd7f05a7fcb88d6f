/** Which of the given meta nodes leads, and which have come as far, by what they say in /metrics. */
import { Transient } from "../../../lib/cnosdb/http.ts";
import { MetaClient } from "../../../lib/cnosdb/meta.ts";
import { caughtUp, findLeader } from "../../../lib/cnosdb/meta_nodes.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import { assertEquals, assertRejects } from "../../helpers/deps.ts";

/** What a node says; a number is a status without a body. */
type Said = { state: string; term?: number; leader?: number | null; applied?: number } | number;

/** Serves what nodes say, the first with id 1, in 2.4's form or 2.3's. A function is asked anew each time. */
async function withNodes(
  said: (Said | (() => Said))[],
  body: (meta: MetaClient, urls: string[]) => Promise<void>,
  wraps = false,
): Promise<void> {
  const servers = said.map((node, i) =>
    Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
      const now = typeof node === "function" ? node() : node;
      if (typeof now === "number") return new Response(null, { status: now });
      const nodes = Object.fromEntries(
        said.map((_, i) => [i + 1, { [wraps ? "api_addr" : "address"]: `meta-${i + 1}:8901` }]),
      );
      const metrics = {
        ...{ id: i + 1, state: now.state, current_term: now.term ?? 1, current_leader: now.leader ?? null },
        ...{ last_applied: { index: now.applied ?? 9 }, membership_config: { membership: { nodes } } },
      };
      return Response.json(wraps ? { Ok: metrics } : metrics);
    })
  );
  const urls = servers.map(({ addr }) => `http://127.0.0.1:${addr.port}`);
  try {
    await body(new MetaClient(urls, { signal: new AbortController().signal, pauseMs: 1 }), urls);
  } finally {
    for (const server of servers) await server.shutdown();
  }
}

const follower = { state: "Follower", leader: 2 };
const leader = { state: "Leader", leader: 2 };

for (const wraps of [true, false]) {
  Deno.test(`findLeader() finds the leader by ${wraps ? "2.3's" : "2.4's"} metrics`, async () => {
    await withNodes([follower, leader, follower], async (meta, urls) => {
      assertEquals((await findLeader(meta)).url, urls[1]);
    }, wraps);
  });
}

Deno.test("findLeader() believes the latest term that knows a leader, not a former leader that is alone", async () => {
  const former = { state: "Leader", leader: 1, term: 3 };
  await withNodes([former, { ...leader, term: 4 }, { ...follower, term: 4 }], async (meta, urls) => {
    assertEquals((await findLeader(meta)).url, urls[1]);
  });
});

Deno.test("findLeader() passes over a node that is cut off and raises its term again and again", async () => {
  await withNodes([{ state: "Candidate", term: 99 }, leader, follower], async (meta, urls) => {
    assertEquals((await findLeader(meta)).url, urls[1]);
  });
});

Deno.test("findLeader() takes a node without /metrics for a single instance, and none for one that fails", async () => {
  await withNodes([404], async (meta, urls) => assertEquals((await findLeader(meta)).url, urls[0]));
  await withNodes([503], async (meta) => {
    await assertRejects(() => findLeader(meta), Transient, "/metrics answered 503");
  });
});

Deno.test("findLeader() names a leader that was not given, at once only where all given nodes answer", async () => {
  const named = { state: "Follower", leader: 3 };
  const text = "the leader is meta-3:8901, which is none of the META_URLs";
  await withNodes([named, named, leader], async (all) => {
    const meta = new MetaClient(all.nodes.slice(0, 2).map(({ url }) => url), all.options);
    const error = await assertRejects(() => findLeader(meta), Failure, text);
    assertEquals(error instanceof Transient, false);
  });
  await withNodes([named, 503, leader], async (all) => {
    const meta = new MetaClient(all.nodes.slice(0, 2).map(({ url }) => url), all.options);
    await assertRejects(() => findLeader(meta), Transient, text);
  });
});

Deno.test("findLeader() warns if most nodes of the group do not answer, since it may lead no more", async () => {
  for (const [said, warnings] of [[[follower, leader, 503], 0], [[503, leader, 503], 1]] as const) {
    await withNodes([...said], async (meta, urls) => {
      const heard: string[] = [];
      assertEquals((await findLeader(meta, (text) => heard.push(text))).url, urls[1]);
      assertEquals(heard.length, warnings);
      if (warnings) {
        const text = `warning: no answer from ${urls[0]}, ${
          urls[2]
        }: if they have another leader by now, what ${urls[1]} holds is old`;
        assertEquals(heard, [text]);
      }
    });
  }
});

Deno.test("caughtUp() waits for followers, and gives up on one that stays behind", async () => {
  let asked = 0;
  const catching = () => ({ ...follower, applied: 6 + ++asked });
  await withNodes([catching, leader, { ...follower, applied: 3 }], async (meta, urls) => {
    const { nodes, unread } = await caughtUp(meta, 200);
    assertEquals(nodes.map(({ url }) => url), [urls[1], urls[0]]);
    assertEquals(unread, [`${urls[2]} does not answer or lags behind`]);
  });
});

Deno.test("findLeader() takes an answer of /metrics that is no JSON for none", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("{oops"),
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  const meta = new MetaClient([url], { signal: new AbortController().signal });
  assertEquals((await findLeader(meta)).url, url);
  await server.shutdown();
});

Deno.test("a META_URL that is given twice is asked once", async () => {
  let asked = 0;
  const alone = () => ({ state: "Leader", leader: 1, asked: ++asked });
  await withNodes([alone], async ({ options }, [url = ""]) => {
    assertEquals((await findLeader(new MetaClient([url, `${url}/`], options))).url, url);
    assertEquals(asked, 1);
  });
});
