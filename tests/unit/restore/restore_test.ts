/** restore_meta against the stand-in: what it refuses, what it survives, what it finds, and the way back. */
import { Difference, Failure, Interrupted } from "../../../lib/cli/errors.ts";
import { parseEndpoint } from "../../../lib/cnosdb/http.ts";
import type { RestoreOptions } from "../../../lib/restore/restore.ts";
import { undo } from "../../../lib/restore/undo.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../../helpers/deps.ts";
import { accepted, holds, mark, posts, run, settings, shebang, versions } from "./restoring.ts";
import { type Fault, type RecordedRequest, type StandIn, startStandIn } from "../../standin/standin.ts";

const root = new URL("../../../", import.meta.url);

/** A fault for the first `times` posts. */
function onPost(
  times: number,
  fault: Fault | ((request: RecordedRequest) => Fault | undefined),
): StandIn["fault"] {
  return (request) => {
    if (request.path !== "/restore" || times-- <= 0) return undefined;
    return typeof fault === "function" ? fault(request) : fault;
  };
}

function test(name: string, body: (t: { start: typeof startStandIn }) => Promise<void>): void {
  Deno.test(name, async () => {
    const started: StandIn[] = [];
    try {
      await body({
        start: async (options) => {
          const standin = await startStandIn(options);
          started.push(standin);
          return standin;
        },
      });
    } finally {
      for (const standin of started) await standin.close();
    }
  });
}

for (const version of versions) {
  test(`restore() puts a converted dump into a new ${version}, which survives a restart`, async ({ start }) => {
    const target = await start({ version, mode: "separate", metaNodes: 3, auth: false });
    const dump = await accepted(version);
    const { blocks, said } = await run(target, dump, { sql: parseEndpoint(target.sqlUrl) });
    assert(holds(target, dump));
    await target.restart();
    assert(holds(target, dump));
    assertEquals(blocks?.map(({ bytes }) => bytes).join("").split("\n").length, dump.split("\n").length - 1);
    assertMatch(said, /read back: 40 values and 15 lists of \/read, and SQL, are as they should be/);
    // What a new 2.4.0 and 2.4.1 write for `public` is what the dump has.
    const equal = version < "2.4.2" ? 1 : 0;
    assertStringIncludes(said, `38 new, ${2 - equal} overwritten, ${equal} were equal already`);
  });
}

test("restore() sends nothing the second time, though the level of a limiter has moved", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted("2.4.2");
  await run(target, dump);
  const key = "/cluster_xxx/tenants/limited/limiter";
  target.store.set(key, target.store.get(key)!.replace('"balance":0', '"balance":7'));
  const before = posts(target).length;
  const { said } = await run(target, dump);
  assertEquals(posts(target).length, before);
  assertMatch(said, /0 new, 0 overwritten, 40 were equal already/);
});

test("restore() goes on where a run stopped, and sends only what is missing", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted("2.4.2");
  target.fault = ({ path, body }) =>
    path === "/restore" && body.includes("/schemas/") ? { kind: "answer", status: 404, body: "" } : undefined;
  await assertRejects(() => run(target, dump), Failure, "are written");
  target.fault = undefined;
  const sent = posts(target).length;
  const { said } = await run(target, dump);
  assert(holds(target, dump));
  assert(posts(target).slice(sent).every(({ body }) => !body.includes("/users/")));
  assertMatch(said, /\d+ new, 0 overwritten, [1-9]\d* were equal/);
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

const user = (name: string) =>
  `/cluster_xxx/users/${name}: {"id":5,"name":"${name}","options":{"hash_password":null},"is_root_admin":false}\n`;

interface Refusal {
  name: string;
  dump: (text: string) => string;
  target?: Partial<Parameters<typeof startStandIn>[0]>;
  before?: (target: StandIn) => void;
  options?: (target: StandIn) => Partial<RestoreOptions>;
  message: string[];
  raw?: true;
}

const same = (text: string) => text;
const refusals: Refusal[] = [
  {
    name: "a dump without its end mark",
    dump: same,
    raw: true,
    message: ["stdin: the end mark is missing", "--unmarked"],
  },
  {
    name: "a dump that was cut and lost its mark",
    dump: (text) => text.slice(0, 5_000),
    raw: true,
    message: ["cut in the middle of line"],
  },
  {
    name: "a dump whose lines changed on their way",
    dump: (text) => mark(text).replaceAll("\n", "\r\n"),
    raw: true,
    message: ["sha256"],
  },
  {
    name: "a dump for another version, each entry by itself, at most twenty",
    dump: () => Deno.readTextFileSync(new URL("fixtures/accepted/2.4.0.dump", root)),
    message: [
      "line 2: /cluster_xxx/tenants/acme/dbs/iot: is_hidden: missing; so 2.4.2, as the target is, could not read it",
      "more",
      "filter_meta --target VERSION",
    ],
  },
  {
    name: "what 2.4.2 reads where the target is 2.4.3, which only /read tells",
    dump: (text) => text.replace('"schema_version":0', '"schema_version":0,"schema_id":0'),
    target: { version: "2.4.3" },
    message: [
      "schemas/air: TsKvTableSchema.schema_id: a field that this version refuses; so 2.4.3, as the target is",
    ],
  },
  {
    name: "a dump that nobody filtered",
    dump: () => Deno.readTextFileSync(new URL("fixtures/dumps/2.3.5.4-cluster.dump", root)),
    message: [
      "12 entries are the old cluster's own bookkeeping: line 1: /cluster_xxx/auto_incr_id",
      "run the dump through filter_meta",
    ],
  },
  {
    name: "a dump of another cluster",
    dump: (text) => text.replaceAll("/cluster_xxx/", "/prod/"),
    message: [
      'the dump is of cluster "prod", the target is "cluster_xxx"',
      "filter_meta --cluster cluster_xxx",
    ],
  },
  {
    name: "a dump of two clusters",
    dump: (text) => text + user("zoe").replace("cluster_xxx", "prod"),
    message: ['"prod"', "filter_meta --cluster cluster_xxx"],
  },
  {
    name: "two lines with one key",
    dump: (text) => user("zoe") + text + user("zoe"),
    message: ["line 42: /cluster_xxx/users/zoe: is in line 1 too"],
  },
  {
    name: "a value that is no JSON",
    dump: (text) => text + '/cluster_xxx/users/zoe: {"id":5\n',
    message: ["line 41: /cluster_xxx/users/zoe: its value is no JSON"],
  },
  {
    name: "a key of an unknown kind",
    dump: (text) => text + "/cluster_xxx/rec_test: 1\n",
    message: ["line 41: /cluster_xxx/rec_test: an unknown kind of key"],
  },
  {
    name: "a name that goes on behind a colon and a blank",
    dump: (text) => text + user("a: b"),
    message: ['line 41: /cluster_xxx/users/a: b: a name with ": " in it', "--exclude"],
  },
  {
    name: "a name with a slash",
    dump: (text) => text.replaceAll(/"plain"|dbs\/plain/g, (name) => name.replace("plain", "pl/ain")),
    message: ["/cluster_xxx/tenants/cnosdb/dbs/pl/ain: a name with a slash"],
  },
  {
    name: "more replicas than there are data nodes",
    dump: (text) => text.replace(/("database":"iot".*?"replica":)1/, "$13"),
    message: [
      "/cluster_xxx/tenants/acme/dbs/iot: replica 3, but the target has 1 data node(s)",
      "filter_meta --replica 1",
    ],
  },
  {
    name: "a target without data nodes",
    dump: same,
    before: (target) => target.store.delete("/cluster_xxx/data_nodes/1001"),
    message: ["no data node has joined the target"],
  },
  {
    name: "a target that has objects of its own",
    dump: same,
    before: (target) => {
      target.store.set(
        "/cluster_xxx/tenants/own",
        '{"id":7,"name":"own","options":{"comment":null,"limiter_config":null,"drop_after":null,"tenant_is_hidden":false}}',
      );
      target.store.set("/cluster_xxx/users/bob", user("bob").slice(24).trim());
    },
    message: [
      "the target is not empty, it holds 2 object(s) of its own:\n    tenant own (not in the dump)\n    " +
      "user bob (differs in id, options.hash_password)",
      "--force",
    ],
  },
  {
    name: "a target of 2.3",
    dump: same,
    target: { version: "2.3.5", mode: "separate" },
    message: ["the target is 2.3, which has no /restore", "the old cluster's address"],
  },
  {
    name: "a target that holds what it cannot read",
    dump: same,
    before: (target) =>
      target.store.set(
        "/cluster_xxx/users/old",
        '{"id":9,"name":"old","options":{"password":"x"},"is_admin":false}',
      ),
    message: [
      "the target (2.4.2) holds /cluster_xxx/users/old in the form of 2.3, which it cannot read",
      "user old",
    ],
  },
  {
    name: "a data node of another version than the meta service",
    dump: same,
    options: () => ({ sql: parseEndpoint(other!.sqlUrl) }),
    message: [
      "the data node at --sql says 2.4.3, the meta service answers as 2.4.0, 2.4.1, 2.4.2 does",
      "of one cluster?",
    ],
  },
  {
    name: "a target that does not answer /read",
    dump: same,
    before: (target) => {
      target.fault = ({ path }) => path === "/read" ? { kind: "answer", status: 404, body: "" } : undefined;
    },
    message: ["the target does not answer /read", "answered 404"],
  },
  {
    name: "a META_URL that is a data node's",
    dump: same,
    options: (target) => ({ urls: [target.sqlUrl] }),
    message: ["is the SQL port of a data node, not the meta service", "8901"],
  },
  {
    name: "a META_URL where nobody listens",
    dump: same,
    options: () => ({ urls: ["127.0.0.1:1"] }),
    message: ["GET http://127.0.0.1:1/dump: cannot connect"],
  },
  {
    name: "a META_URL that answers with a web page",
    dump: same,
    before: (target) => {
      target.fault = () => ({ kind: "answer", status: 200, body: "<html>", contentType: "text/html" });
    },
    message: ["answered with a web page", "8901"],
  },
  {
    name: "a META_URL that answers with a redirect",
    dump: same,
    before: (target) => {
      target.fault = () => ({ kind: "answer", status: 302, body: "" });
    },
    message: ["answered 302, a redirect", "redirects are not followed"],
  },
  {
    name: "a backup over a file that is there",
    dump: same,
    options: () => ({ backup: new URL("deno.json", root).pathname }),
    message: ["the file is there already, and is no backup of this target", "name another file"],
  },
];
let other: StandIn | undefined;

for (const { name, dump, target: options, before, options: overrides, message, raw } of refusals) {
  test(`restore() refuses ${name}, and writes nothing`, async ({ start }) => {
    const target = await start({ version: "2.4.2", ...options });
    other = await start({ version: "2.4.3" });
    before?.(target);
    const text = dump(await Deno.readTextFile(new URL("fixtures/accepted/2.4.2.dump", root)));
    const error = await assertRejects(
      () => run(target, raw ? text : mark(text), overrides?.(target)),
      Failure,
    );
    for (const part of message) assertStringIncludes(`${error.message}\n${error.hint}`, part);
    assertEquals(error.exitCode, 1);
    assertEquals(posts(target).length, 0);
  });
}

test("restore() names all problems at once", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted(
    "2.4.2",
    (text) =>
      text.replaceAll("/cluster_xxx/", "/prod/").replaceAll('"replica":1', '"replica":3') +
      "/prod/auto_incr_id: 3\n" +
      user("a: b"),
  );
  const { message } = await assertRejects(() => run(target, dump), Failure);
  for (const part of ["bookkeeping", 'cluster "prod"', "replica 3", "a name with"]) {
    assertStringIncludes(message, part);
  }
});

test("restore() takes a dump without an end mark, with CRLF, under unmarked", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const text = await Deno.readTextFile(new URL("fixtures/accepted/2.4.2.dump", root));
  await run(target, text.replaceAll("\n", "\r\n"), { unmarked: true });
  assert(holds(target, text));
});

test("restore() under force overwrites what differs, says so, and leaves the rest", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.set("/cluster_xxx/users/bob", user("bob").slice(24).trim());
  target.store.set("/cluster_xxx/users/zoe", user("zoe").slice(24).trim());
  const dump = await accepted("2.4.2");
  const { said } = await run(target, dump, { force: true });
  assert(holds(target, dump + user("zoe")));
  assertStringIncludes(said, "overwritten: user bob (id, options.hash_password)");
});

test("restore() under dryRun prints the plan and writes nothing", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const { blocks, said } = await run(target, await accepted("2.4.2"), { dryRun: true });
  assertEquals(blocks, undefined);
  assertEquals(posts(target).length, 0);
  assertMatch(said, /^target: cluster cluster_xxx, 2\.4\.2, 1 data node\(s\)$/m);
  assertMatch(said, /^tenant +3 +0 +1$/m);
  assertMatch(said, /^table +20 +0 +0$/m);
});

test("restore() lets --sql decide where a botched restore made the shapes disagree", async ({ start }) => {
  const target = await start({ version: "2.4.2", auth: false });
  target.store.set(
    "/cluster_xxx/users/bob",
    '{"id":9,"name":"bob","options":{"password":"x"},"is_admin":false}',
  );
  const dump = await accepted("2.4.2");
  await run(target, dump, { force: true, sql: parseEndpoint(target.sqlUrl) });
  assert(holds(target, dump));
  await target.restart();
});

test("restore() into a target without a root", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.delete("/cluster_xxx/users/root");
  const dump = await accepted("2.4.2");
  await run(target, dump);
  assert(holds(target, dump));
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

// ---- the leader ----

const three = { version: "2.4.2", mode: "separate", metaNodes: 3 } as const;

test("restore() finds the leader from a follower", async ({ start }) => {
  const target = await start(three);
  const dump = await accepted("2.4.2");
  await run(target, dump, { urls: [target.followerUrls[0]!] });
  assert(holds(target, dump));
  assert(posts(target).every(({ node }) => node === 0), "a post that /metrics could have spared");
});

/** Each node with a hash of root's password of its own, as three nodes of 2.4.1 and later have it until it is changed. */
function ownHashes({ path, node, body }: RecordedRequest): Fault | undefined {
  if (path !== "/read" || !body.includes('"User"')) return undefined;
  const options = `{"hash_password":"$2b$12$${String(node).repeat(53)}"}`;
  return { kind: "answer", status: 200, body: `{"Ok":{"id":1,"name":"root","options":${options}}}` };
}

test("restore() knows the nodes of a new cluster, though each has another hash of root's password", async ({ start }) => {
  const target = await start(three);
  target.fault = ownHashes;
  const dump = await accepted("2.4.2");
  const { said } = await run(target, dump, { urls: [target.followerUrls[0]!] });
  assert(holds(target, dump));
  assert(posts(target).every(({ node }) => node === 0));
  assert(!said.includes("warning"), said);
});

test("restore() does not take another cluster's node for the leader that is named", async ({ start }) => {
  const target = await start(three);
  // All is the same but what the data nodes reported last.
  target.fault = (request) => {
    const { path, node, body } = request;
    if (path !== "/read" || !body.includes('"NodeMetrics"') || node === 1) return ownHashes(request);
    return {
      kind: "answer",
      status: 200,
      body: '{"Ok":[{"id":1001,"disk_free":1,"time":2,"status":"Healthy"}]}',
    };
  };
  const urls = [target.followerUrls[0]!];
  await assertRejects(async () => run(target, await accepted("2.4.2"), { urls, timeoutMs: 50 }), Failure);
  assert(posts(target).every(({ node }) => node === 1), "another cluster was written to");
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

/** What a node of three says in /metrics that has come as far as `applied`. */
async function metricsOf(url: string, applied: number): Promise<Fault> {
  const metrics = await (await fetch(`${url}/metrics`)).json();
  const body = JSON.stringify({ ...metrics, last_applied: { ...metrics.last_applied, index: applied } });
  return { kind: "answer", status: 200, body };
}

test("restore() does not read back from followers that lag behind, and names them", async ({ start }) => {
  const target = await start(three);
  const stale = [...target.store].map(([key, value]) => `${key}: ${value}\n`).join("");
  const behind = await Promise.all(target.followerUrls.map((url) => metricsOf(url, 0)));
  target.fault = ({ path, node }) => {
    if (node === 0) return undefined;
    if (path === "/metrics") return behind[node - 1];
    return path === "/dump"
      ? { kind: "answer", status: 200, body: stale, contentType: "text/plain" }
      : undefined;
  };
  const { said } = await run(target, await accepted("2.4.2"), { urls: target.followerUrls, timeoutMs: 50 });
  assertStringIncludes(said, "warning: meta node(s) that cannot be reached or lag behind");
  for (const url of target.followerUrls) assertStringIncludes(said, new URL(url).host);
});

test("restore() waits until followers have come as far as the leader", async ({ start }) => {
  const target = await start(three);
  const stale = [...target.store].map(([key, value]) => `${key}: ${value}\n`).join("");
  const behind = await metricsOf(target.followerUrls[0]!, 0);
  let asked = 0;
  target.fault = ({ path, node }) => {
    if (node !== 1 || asked > 12) return undefined;
    if (path === "/metrics" && ++asked <= 12) return behind;
    return path === "/dump"
      ? { kind: "answer", status: 200, body: stale, contentType: "text/plain" }
      : undefined;
  };
  const { said } = await run(target, await accepted("2.4.2"));
  assert(asked > 12 && !said.includes("warning"), said);
});

test("restore() finds what one meta node alone lacks, and writes it again", async ({ start }) => {
  const target = await start(three);
  const dump = await accepted("2.4.2");
  const lost = "/cluster_xxx/tenants/acme/dbs/iot/schemas/air";
  let again = false;
  target.fault = ({ path, node, body }) => {
    if (path === "/restore" && holdsOnly(body, lost)) again = true;
    if (path !== "/dump" || node !== 2 || again) return undefined;
    const lines = [...target.store].filter(([key]) => key !== lost).map(([key, value]) =>
      `${key}: ${value}\n`
    );
    return { kind: "answer", status: 200, body: lines.join(""), contentType: "text/plain" };
  };
  const error = await assertRejects(() => run(target, dump), Difference);
  const { host } = new URL(target.followerUrls[1]!);
  assertStringIncludes(error.message, `table acme.iot.air: ${lost} is not there on http://${host}`);
  assertStringIncludes(error.hint!, "run the same command again");
  const { said } = await run(target, dump);
  assert(again, "it was not written again");
  assertStringIncludes(said, "not on every meta node, written again: table acme.iot.air");
  assertStringIncludes(said, "0 new, 0 overwritten, 1 written again, 39 were equal already");
});

test("restore() does not wait for another cluster's node among the META_URLs", async ({ start }) => {
  const target = await start(three);
  const other = await start({
    ...three,
    dump: await accepted("2.4.2", (text) => text.replaceAll("localhost", "elsewhere")),
  });
  for (let n = 0; n < 9; n++) other.store.set("/data_version", String(1_000 + n));
  const dump = await accepted("2.4.2");
  const startMs = Date.now();
  const { said } = await run(target, dump, { urls: [target.metaUrl, other.metaUrl], timeoutMs: 20_000 });
  assert(holds(target, dump) && posts(other).length === 0);
  assert(Date.now() - startMs < 15_000 && !said.includes("warning"), said);
});

test("restore() reads back from one node where the two others break off", async ({ start }) => {
  const target = await start(three);
  const dump = await accepted("2.4.2");
  target.fault = ({ path, node }) => path === "/dump" && node !== 0 ? { kind: "close" } : undefined;
  const { said } = await run(target, dump);
  for (const url of target.followerUrls) assertStringIncludes(said, new URL(url).host);
  target.fault = ({ path }) =>
    path === "/dump" && target.requests.some(({ path }) => path === "/restore")
      ? { kind: "close" }
      : undefined;
  target.setLeader(1);
  await assertRejects(() => run(target, dump, { urls: [...target.followerUrls, target.metaUrl] }), Failure);
});

/** Whether a post has one entry, that of `key`. */
function holdsOnly(body: string, key: string): boolean {
  return body.startsWith(`${key}: `) && body.indexOf("\n") === body.length - 1;
}

test("restore() finds the leader from a follower's answer where there is no /metrics", async ({ start }) => {
  const target = await start(three);
  target.fault = ({ path }) => path === "/metrics" ? { kind: "answer", status: 404, body: "" } : undefined;
  const dump = await accepted("2.4.2");
  await run(target, dump, { urls: [target.followerUrls[0]!] });
  assert(holds(target, dump));
  assert(posts(target).some(({ node }) => node === 1));
});

test("restore() follows a leader that changes in the middle", async ({ start }) => {
  const target = await start(three);
  let seen = 0;
  target.fault = ({ path }) => {
    if (path === "/restore" && ++seen % 5 === 0) target.setLeader((seen / 5) % 3);
    return undefined;
  };
  const dump = await accepted("2.4.2");
  await run(target, dump, { batchBytes: 1 });
  assert(holds(target, dump));
  assertEquals(new Set(posts(target).map(({ node }) => node)).size, 3);
});

test("restore() waits for a leader while there is none", async ({ start }) => {
  const target = await start(three);
  target.setLeader(-1);
  target.fault = onPost(4, (request) => {
    if (posts(target).length === 4) target.setLeader(2);
    return request.node === 2 ? { kind: "close" } : undefined;
  });
  const dump = await accepted("2.4.2");
  await run(target, dump, { jobs: 1 });
  assert(holds(target, dump));
});

test("restore() says in a dry run that nobody leads, and only then", async ({ start }) => {
  const target = await start(three);
  const dump = await accepted("2.4.2");
  const urls = target.followerUrls;
  const well = await run(target, dump, { dryRun: true, urls });
  assert(!well.said.includes("warning"), well.said);
  target.setLeader(-1);
  const { said } = await run(target, dump, { dryRun: true, urls });
  assertStringIncludes(said, "warning: nothing could be written now, as no meta node leads");
  assertStringIncludes(said, `${urls[0]} is Candidate and knows no leader`);
});

test("restore() gives up where no leader is found in time", async ({ start }) => {
  const target = await start(three);
  target.setLeader(-1);
  const error = await assertRejects(
    () => run(target, "" + mark(user("zoe")), { timeoutMs: 20 }),
    Failure,
    "is a follower and knows no leader",
  );
  assertStringIncludes(error.message, "nothing could be written for 0.02 s");
  for (const url of [target.metaUrl, ...target.followerUrls]) {
    assertStringIncludes(error.message, `${url} is Candidate and knows no leader`);
  }
  assertStringIncludes(error.message, "(0 of 1 entries are written)");
  assertStringIncludes(error.hint!, "more than half of the meta nodes must be up");
});

test("restore() goes on with the other META_URLs where the leader's address leads nowhere", async ({ start }) => {
  const target = await start(three);
  target.fault = ({ path, node }) => {
    if (path === "/metrics") return { kind: "answer", status: 404, body: "" };
    if (path !== "/restore" || node === 0) return undefined;
    const body =
      'has to forward request to: Some(1), Some(RaftNodeInfo { group_id: 2222, address: "meta-1.invalid:8901" })';
    return { kind: "answer", status: 200, body };
  };
  const dump = await accepted("2.4.2");
  await run(target, dump, { urls: [...target.followerUrls, target.metaUrl] });
  assert(holds(target, dump));
});

test("restore() never writes to another cluster, though a follower names its address", async ({ start }) => {
  const target = await start(three);
  const decoy = await start({ version: "2.4.2", metaNodes: 1 });
  target.fault = ({ path, node }) => {
    if (path === "/metrics") return { kind: "answer", status: 404, body: "" };
    if (path !== "/restore" || node === 0) return undefined;
    const body = `has to forward request to: Some(1), Some(RaftNodeInfo { group_id: 2222, address: "${
      new URL(decoy.metaUrl).host
    }" })`;
    return { kind: "answer", status: 200, body };
  };
  decoy.store.set(
    "/cluster_xxx/users/root",
    decoy.store.get("/cluster_xxx/users/root")!.replace(/\$2b\$12\$.{4}/, "$2b$12$aaaa"),
  );
  await run(target, await accepted("2.4.2"), { urls: [target.followerUrls[0]!, target.metaUrl] });
  assertEquals(posts(decoy).length, 0);
});

test("restore() never writes to another cluster, though its address is given", async ({ start }) => {
  const [target, decoy] = [await start({ version: "2.4.2" }), await start({ version: "2.4.2" })];
  const key = "/cluster_xxx/users/root";
  decoy.store.set(key, decoy.store.get(key)!.replace(/\$2b\$12\$.{4}/, "$2b$12$aaaa"));
  target.fault = onPost(5, { kind: "close" });
  const dump = await accepted("2.4.2");
  await run(target, dump, { urls: [target.metaUrl, decoy.metaUrl], jobs: 1 });
  assert(holds(target, dump));
  assertEquals(posts(decoy).length, 0);
});

// ---- faults ----

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
  assertStringIncludes(done.message, "no whole answer within 0.05 s");
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

// ---- afterwards ----

test("restore() finds a value that is changed behind its back, and names key and field", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.fault = (request) => {
    if (request.path !== "/dump" || posts(target).length === 0) return undefined;
    const key = "/cluster_xxx/tenants/acme/dbs/iot";
    target.store.set(key, target.store.get(key)!.replace('"shard_num":1', '"shard_num":2'));
    target.store.delete("/cluster_xxx/users/alice");
    return undefined;
  };
  const error = await assertRejects(async () => run(target, await accepted("2.4.2")), Difference);
  assertStringIncludes(
    error.message,
    "database acme.iot: /cluster_xxx/tenants/acme/dbs/iot reads back differently in options.shard_num",
  );
  assertStringIncludes(error.message, "user alice: /cluster_xxx/users/alice is not there");
  assertStringIncludes(error.message, "/read Users lacks 1 user(s): alice");
  assertEquals(error.exitCode, 3);
});

test("restore() waits for a follower that lags behind", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  let dumps = 0;
  const fresh = [...target.store].map(([key, value]) => `${key}: ${value}\n`).join("");
  target.fault = ({ path }) =>
    path === "/dump" && ++dumps === 2
      ? { kind: "answer", status: 200, body: fresh, contentType: "text/plain" }
      : undefined;
  await run(target, await accepted("2.4.2"));
  assertEquals(dumps, 3);
});

for (const version of ["2.4.0", "2.4.3"] as const) {
  test(`restore() names tenant and entry where /read of ${version} finds what it cannot read`, async ({ start }) => {
    const target = await start({ version });
    const bad = '{"tenant":"own","database":"bad","config":{"ttl":null}}';
    target.store.set(
      "/cluster_xxx/tenants/own",
      '{"id":7,"name":"own","options":{"comment":null,"limiter_config":null,"drop_after":null,"tenant_is_hidden":false}}',
    );
    target.store.set("/cluster_xxx/tenants/own/dbs/bad", bad);
    const error = await assertRejects(
      async () => run(target, await accepted(version), { force: true }),
      Difference,
    );
    const command = version === "2.4.3" ? "TenantMetaData" : "TenaneMetaData";
    assertStringIncludes(error.message, `/read ${command} of tenant own answers SerdeMsgInvalid: `);
    assertStringIncludes(error.message, "lose it (/cluster_xxx/tenants/own/dbs/bad: ");
    await assertRejects(() => target.restart(), Error);
  });
}

test("restore() finds what SQL does not show", async ({ start }) => {
  const target = await start({ version: "2.4.2", auth: false });
  target.fault = ({ role, body }) =>
    role === "sql" && /tables/.test(body) ? { kind: "answer", status: 200, body: "" } : undefined;
  const error = await assertRejects(
    async () => run(target, await accepted("2.4.2"), { sql: parseEndpoint(target.sqlUrl) }),
    Difference,
  );
  assertStringIncludes(error.message, "SQL does not show table acme.iot.air, table acme.iot.sensors");
});

test("restore() shows no hash that a server quotes", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const hash = `$2b$12$${"a".repeat(53)}`;
  target.fault = onPost(9, { kind: "answer", status: 400, body: `bad line: ${hash}` });
  const error = await assertRejects(() => run(target, mark(user("zoe"))), Failure);
  assertStringIncludes(error.message, "answered 400: bad line: $2…");
});

// ---- the way back ----

test("undo() gives overwritten entries their former value and lists what removes the rest", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.set("/cluster_xxx/users/bob", user("bob").slice(24).trim());
  const before = new Map(target.store);
  const directory = await Deno.makeTempDir();
  try {
    const backup = `${directory}/before.dump`;
    await run(target, await accepted("2.4.2"), { backup, force: true });
    assertEquals((await Deno.stat(backup)).mode! & 0o777, 0o600);
    assertMatch(await Deno.readTextFile(backup), /\n# end entries=\d+ sha256=[0-9a-f]{64}\n$/);
    const statements = await undo(backup, settings(target));
    for (const [key, value] of before) {
      if (key !== "/data_version") assertEquals(target.store.get(key), value);
    }
    assertEquals(statements, [
      '-- as a member of tenant "cnosdb"',
      'DROP DATABASE "Weird DB";',
      'DROP DATABASE "hourly";',
      'DROP DATABASE "minutes";',
      'DROP DATABASE "plain";',
      'DROP TABLE "public"."Mixed Case";',
      ...[
        "a.b-c",
        "air",
        "air_stream",
        "altered",
        "born_from_lines",
        "codecs",
        "empty_table",
        "every_type",
        "ext_csv",
      ]
        .map((name) => `DROP TABLE "public"."${name}";`),
      ...["no_tags", "select", "温度"].map((name) => `DROP TABLE "public"."${name}";`),
      'DROP DATABASE "tuned";',
      "-- as an administrator",
      ...["acme", "globex", "limited"].map((name) => `DROP TENANT "${name}";`),
      ...["alice", "carol"].map((name) => `DROP USER "${name}";`),
    ]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

test("undo() refuses another cluster's backup", async ({ start }) => {
  const [target, prod] = [
    await start({ version: "2.4.2" }),
    await start({ version: "2.4.2", cluster: "prod" }),
  ];
  const directory = await Deno.makeTempDir();
  try {
    const dump = await accepted("2.4.2", (text) => text.replaceAll("/cluster_xxx/", "/prod/"));
    await run(prod, dump, { backup: `${directory}/prod.dump` });
    await assertRejects(
      () => undo(`${directory}/prod.dump`, settings(target)),
      Failure,
      "is not of cluster cluster_xxx",
    );
    assertEquals(posts(target).length, 0);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

// ---- as a process ----

async function script(target: string[], dump: string, act?: (child: Deno.ChildProcess) => Promise<void>) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...await shebang("restore_meta"), ...target],
    ...{ stdin: "piped", stdout: "piped", stderr: "piped", env: { NO_COLOR: "1" } },
  }).spawn();
  const writer = child.stdin.getWriter();
  const fed = writer.write(new TextEncoder().encode(dump)).then(() => writer.close()).catch(() => {});
  const output = child.output();
  await act?.(child);
  const { stdout, stderr, code } = await output;
  await fed;
  return { stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr), code };
}

test("restore_meta passes on exactly what it read, with an end mark", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted("2.4.2");
  const { stdout, stderr, code } = await script([target.metaUrl], dump);
  assertEquals(stdout, dump);
  assertEquals(code, 0, stderr);
});

test("restore_meta keeps the backup of an earlier run, so that the same command can be run again", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const directory = await Deno.makeTempDir();
  try {
    const backup = `${directory}/before.dump`;
    assertEquals((await script([target.metaUrl, "--backup", backup], mark(user("zoe")))).code, 0);
    const before = await Deno.readTextFile(backup);
    const { stderr, code } = await script([target.metaUrl, "--backup", backup], mark(user("zoe")));
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "kept as it is");
    assertEquals(await Deno.readTextFile(backup), before);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

test("restore_meta --undo prints SQL alone on stdout", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const directory = await Deno.makeTempDir();
  try {
    const backup = `${directory}/before.dump`;
    const root = "/cluster_xxx/users/root";
    const before = target.store.get(root)!;
    assertEquals((await script([target.metaUrl, "--backup", backup], mark(user("zoe")))).code, 0);
    target.store.set(root, before.replace("system admin", "changed"));
    const { stdout, stderr, code } = await script([target.metaUrl, "--undo", backup], "");
    assertEquals({ stdout, code }, { stdout: '-- as an administrator\nDROP USER "zoe";\n', code: 0 });
    assertStringIncludes(stderr, "former value: user root");
    assertEquals(target.store.get(root), before);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

test("restore_meta passes nothing on where reading back finds a difference: exit 3", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.fault = ({ path }) => {
    if (path === "/read" && posts(target).length) target.store.delete("/cluster_xxx/users/alice");
    return undefined;
  };
  const { stdout, stderr, code } = await script([target.metaUrl], await accepted("2.4.2"));
  assertEquals({ stdout, code }, { stdout: "", code: 3 });
  assertStringIncludes(stderr, "/read Users lacks 1 user(s): alice");
});

test("restore_meta finishes the batch in flight at SIGINT, says how to go on, exits 130", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const { promise: goOn, resolve: release } = Promise.withResolvers<void>();
  target.fault = onPost(1, () => {
    arrive();
    return { kind: "delay", until: goOn };
  });
  const { stdout, stderr, code } = await script(
    [target.metaUrl, "--jobs", "1", "--batch-bytes", "1"],
    await accepted("2.4.2"),
    async (child) => {
      await arrived;
      child.kill("SIGINT");
      // Nothing tells from outside that a signal has been handled.
      await new Promise((resolve) => setTimeout(resolve, 300));
      release();
    },
  );
  assertEquals({ stdout, code }, { stdout: "", code: 130 });
  assertStringIncludes(stderr, "interrupted, 1 of 40 entries are written");
  assertStringIncludes(stderr, "run the same command again");
  assertEquals(posts(target).length, 1);
  assert(posts(target)[0]!.status === 200);
});

test("an interrupted restore stops between retries at once", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const controller = new AbortController();
  target.fault = onPost(99, () => {
    controller.abort(new Interrupted("interrupted"));
    return { kind: "close" };
  });
  await assertRejects(
    async () => run(target, await accepted("2.4.2"), { signal: controller.signal, pauseMs: 60_000 }),
    Interrupted,
    "0 of 40 entries are written",
  );
});

test("restore_meta refuses flags that do not go together, and a missing META_URL", async () => {
  assertEquals((await script([], "")).code, 2);
  const { stderr, code } = await script(["127.0.0.1:1", "--undo", "x", "--force"], "");
  assertEquals(code, 2);
  assertStringIncludes(stderr, "--undo does not go with --force");
});
