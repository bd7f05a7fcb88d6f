/** What a target is: how it is reached, which version it is, and what in it speaks against writing. */
import { Difference, Failure } from "../../../lib/cli/errors.ts";
import { parseEndpoint } from "../../../lib/cnosdb/endpoint.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../helpers/deps.ts";
import { accepted, holds, posts, refuses, run, test } from "./restoring.ts";

refuses([
  {
    name: "a target of 2.3",
    target: { version: "2.3.5", mode: "separate" },
    message: ["the target is 2.3, which has no /restore", "the old cluster's address"],
  },
  {
    name: "a target that holds what it cannot read",
    before: (target) =>
      target.store.set(
        "/cluster_xxx/users/old",
        '{"id":9,"name":"old","options":{"password":"x"},"is_admin":false}',
      ),
    message: [
      "the target (2.4.2) holds /cluster_xxx/users/old, which it cannot read: is_root_admin: missing",
      "user old",
    ],
  },
  {
    name: "a target that does not answer /read",
    before: (target) => {
      target.fault = ({ path }) => path === "/read" ? { kind: "answer", status: 404, body: "" } : undefined;
    },
    message: ["/read answered 404", "expected the meta service"],
  },
  {
    name: "a META_URL that is a data node's",
    options: (target) => ({ urls: [target.sqlUrl] }),
    message: ["is the SQL port of a data node, not the meta service", "8901"],
  },
  {
    name: "a META_URL where nobody listens",
    options: () => ({ urls: ["127.0.0.1:1"] }),
    message: ["GET http://127.0.0.1:1/metrics: cannot connect"],
  },
  {
    name: "a META_URL that answers with a web page",
    before: (target) => {
      target.fault = () => ({ kind: "answer", status: 200, body: "<html>", contentType: "text/html" });
    },
    message: ["answered with a web page", "8901"],
  },
  {
    name: "a META_URL that answers with a redirect",
    before: (target) => {
      target.fault = () => ({ kind: "answer", status: 302, body: "" });
    },
    message: ["answered 302, a redirect", "redirects are not followed"],
  },
  {
    name: "a target with data nodes of two clusters",
    before: (target) => target.store.set("/another/data_nodes/1001", '{"id":1001,"grpc_addr":"old:8903"}'),
    message: ['the target holds data nodes of several clusters: "another", "cluster_xxx"', "a new target"],
  },
  {
    name: "a target that may be of two versions by what it holds",
    target: { version: "2.4.1" },
    before: (target) => {
      for (const key of target.store.keys()) if (/users|public|schema/.test(key)) target.store.delete(key);
    },
    message: ["what the target holds does not tell whether it is 2.4.0 or 2.4.1", "give --sql"],
  },
]);

test("restore() refuses a data node of another version than the meta service, and writes nothing", async ({ start }) => {
  const [target, other] = [await start({ version: "2.4.2" }), await start({ version: "2.4.3" })];
  const error = await assertRejects(
    async () => run(target, await accepted("2.4.2"), { sql: parseEndpoint(other.sqlUrl, 8902) }),
    Failure,
    "the data node at --sql says 2.4.3, the meta service answers as 2.4.0, 2.4.1, 2.4.2 does",
  );
  assertStringIncludes(error.hint!, "of one cluster?");
  const old = await start({ version: "2.3.5" });
  await assertRejects(
    async () => run(target, await accepted("2.4.2"), { sql: parseEndpoint(old.sqlUrl, 8902) }),
    Failure,
    "the data node at --sql says 2.3.5, the meta service answers as 2.4.0, 2.4.1, 2.4.2 does",
  );
  assertEquals(posts(target).length, 0);
});

test("restore() lets --sql decide where a botched restore made the shapes disagree", async ({ start }) => {
  const target = await start({ version: "2.4.2", auth: false });
  target.store.set(
    "/cluster_xxx/users/bob",
    '{"id":9,"name":"bob","options":{"password":"x"},"is_admin":false}',
  );
  const dump = await accepted("2.4.2");
  await run(target, dump, { force: true, sql: parseEndpoint(target.sqlUrl, 8902) });
  assert(holds(target, dump));
  await target.restart();
});

test("restore() under force writes into a target whose root cannot be read, and finds that", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const key = "/cluster_xxx/users/root";
  target.store.set(key, target.store.get(key)!.replace("is_root_admin", "is_admin"));
  const dump = await accepted("2.4.2");
  const error = await assertRejects(() => run(target, dump, { force: true }), Difference);
  assert(holds(target, dump));
  assertStringIncludes(error.message, "(/cluster_xxx/users/root: is_root_admin: missing)");
});

test("restore() ignores what a target holds of another cluster, which no server reads", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.set("/prod/users/old", '{"id":9,"name":"old","options":{"password":"x"},"is_admin":false}');
  const dump = await accepted("2.4.2");
  await run(target, dump);
  assert(holds(target, dump));
});

test("restore() asks --sql again if it does not answer for a moment", async ({ start }) => {
  const target = await start({ version: "2.4.2", auth: false });
  const left = { ping: 1, one: 1, databases: 1 };
  target.fault = ({ role, path, body }) => {
    if (role !== "sql") return undefined;
    if (path.startsWith("/api/v1/ping") && left.ping-- > 0) return { kind: "close" };
    const refusal = '{"error_code":"050016","error_message":"request timed out"}';
    if (body === "SELECT 1" && left.one-- > 0) return { kind: "answer", status: 422, body: refusal };
    if (/databases$/.test(body) && left.databases-- > 0) {
      return { kind: "answer", status: 422, body: refusal };
    }
    return undefined;
  };
  const dump = await accepted("2.4.2");
  await run(target, dump, { sql: parseEndpoint(target.sqlUrl, 8902) });
  assert(holds(target, dump));
  assert(Object.values(left).every((times) => times < 1), JSON.stringify(left));
});

const three = { version: "2.4.2", mode: "separate", metaNodes: 3 } as const;

test("restore() asks and writes to no address that was not given, and names the leader that is missing", async ({ start }) => {
  const target = await start(three);
  const urls = target.followerUrls;
  const error = await assertRejects(async () => run(target, await accepted("2.4.2"), { urls }), Failure);
  const { host } = new URL(target.metaUrl);
  assertStringIncludes(
    error.message,
    `the leader is ${host}, which is none of the META_URLs: ${urls[0]} is Follower`,
  );
  assertStringIncludes(error.hint!, "give the leader's address too");
  assert(target.requests.every(({ node }) => node !== 0), "a node was asked that nobody gave");
});

test("restore() refuses META_URLs of two clusters, one node by two addresses, and single instances", async ({ start }) => {
  const [target, other, single] = [
    await start(three),
    await start(three),
    await start({ version: "2.4.2", mode: "single" }),
  ];
  const dump = await accepted("2.4.2");
  for (
    const [urls, why] of [
      [[target.metaUrl, other.metaUrl], "list different members"],
      [[target.metaUrl, target.metaUrl.replace("127.0.0.1", "localhost")], "are both node 1"],
      [[target.metaUrl, single.metaUrl], `${single.metaUrl} has no /metrics, so it is a single instance`],
    ] as const
  ) {
    await assertRejects(() => run(target, dump, { urls: [...urls] }), Failure, why);
  }
  assertEquals(posts(target).length + posts(other).length + posts(single).length, 0);
});

test("restore() says that no meta node leads, before anything is written", async ({ start }) => {
  const target = await start(three);
  target.setLeader(-1);
  const error = await assertRejects(
    async () => run(target, await accepted("2.4.2"), { dryRun: true }),
    Failure,
  );
  for (const url of [target.metaUrl, ...target.followerUrls]) {
    assertStringIncludes(error.message, `${url} is Candidate and knows no leader`);
  }
  assertStringIncludes(error.hint!, "more than half of the meta nodes must be up");
});
