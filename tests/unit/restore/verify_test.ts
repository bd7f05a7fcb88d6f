/** Reading back: every node, every value, every list, SQL. */
import { Difference, Failure } from "../../../lib/cli/errors.ts";
import { loadBcrypt } from "../../../lib/cli/deps.ts";
import { parseEndpoint } from "../../../lib/cnosdb/endpoint.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../helpers/deps.ts";
import { type Fault, type StandIn } from "../../standin/standin.ts";
import { accepted, holds, mark, posts, run, test } from "./restoring.ts";

const three = { version: "2.4.2", mode: "separate", metaNodes: 3 } as const;

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
  const { said } = await run(target, await accepted("2.4.2"), { timeoutMs: 500 });
  assertStringIncludes(said, "warning: not every meta node was read back");
  for (const url of target.followerUrls) assertStringIncludes(said, `${url} does not answer or lags behind`);
});

test("restore() waits until followers have come as far as the leader", async ({ start }) => {
  const target = await start(three);
  const stale = [...target.store].map(([key, value]) => `${key}: ${value}\n`).join("");
  const behind = await metricsOf(target.followerUrls[0]!, 0);
  let asked = 0;
  target.fault = ({ path, node }) => {
    if (node !== 1 || asked > 6) return undefined;
    if (path === "/metrics" && ++asked <= 6) return behind;
    return path === "/dump"
      ? { kind: "answer", status: 200, body: stale, contentType: "text/plain" }
      : undefined;
  };
  const { said } = await run(target, await accepted("2.4.2"));
  assert(asked > 6 && !said.includes("warning"), said);
});

test("restore() reads back from one node where the two others break off", async ({ start }) => {
  const target = await start(three);
  const dump = await accepted("2.4.2");
  target.fault = ({ path, node }) => path === "/dump" && node !== 0 ? { kind: "close" } : undefined;
  const { said } = await run(target, dump);
  for (const url of target.followerUrls) assertStringIncludes(said, url);
  target.fault = ({ path }) =>
    path === "/dump" && target.requests.some(({ path }) => path === "/restore")
      ? { kind: "close" }
      : undefined;
  target.setLeader(1);
  await assertRejects(() => run(target, dump, { urls: [...target.followerUrls, target.metaUrl] }), Failure);
});

for (const path of ["/metrics", "/dump", "/read"]) {
  test(`restore() says that all is written if ${path} is not answered any more`, async ({ start }) => {
    const target = await start({ version: "2.4.2", mode: "separate" });
    const dump = await accepted("2.4.2");
    target.fault = (request) => request.path === path && holds(target, dump) ? { kind: "close" } : undefined;
    const error = await assertRejects(() => run(target, dump, { timeoutMs: 500 }), Failure);
    assert(holds(target, dump));
    assertStringIncludes(error.message, "all is written, but no meta node could be read back: ");
    assertStringIncludes(error.hint!, "run the same command again");
  });
}

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
  assertEquals(error.exitCode, 3);
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
    assertStringIncludes(error.message, "/read MetaData of tenant own answers SerdeMsgInvalid: ");
    assertStringIncludes(error.message, "lose it (/cluster_xxx/tenants/own/dbs/bad: ");
    await assertRejects(() => target.restart(), Error);
    target.store.delete("/cluster_xxx/tenants/own/dbs/bad");
    for (const row of ["roles/bad", "members/5"]) {
      const key = `/cluster_xxx/tenants/own/${row}`;
      target.store.set(key, '{"id":1}');
      const { message } = await assertRejects(
        async () => run(target, await accepted(version), { force: true }),
        Difference,
      );
      assertStringIncludes(message, "/read MetaData of tenant own answers ");
      assertStringIncludes(message, `lose it (${key}: `);
      target.store.delete(key);
    }
  });
}

test("restore() finds what SQL does not show", async ({ start }) => {
  const target = await start({ version: "2.4.2", auth: false });
  target.fault = ({ role, body }) =>
    role === "sql" && /tables/.test(body) ? { kind: "answer", status: 200, body: "" } : undefined;
  const error = await assertRejects(
    async () => run(target, await accepted("2.4.2"), { sql: parseEndpoint(target.sqlUrl, 8902) }),
    Difference,
  );
  assertStringIncludes(error.message, "SQL does not show table acme.iot.air, table acme.iot.sensors");
});

/** Takes an entry from what one node of three dumps, until it is written once more. */
function loseOn(target: StandIn, lost: number, key: string): { again: () => number } {
  let posted = 0;
  target.fault = ({ path, node, body }) => {
    if (path === "/restore" && body.includes(`${key}: `)) posted++;
    if (path !== "/dump" || node !== lost || posted !== 1) return undefined;
    const lines = [...target.store].filter(([other]) => other !== key).map(([key, value]) =>
      `${key}: ${value}\n`
    );
    return { kind: "answer", status: 200, body: lines.join(""), contentType: "text/plain" };
  };
  return { again: () => posted - 1 };
}

test("restore() writes again, once and in the same run, what one meta node alone lacks", async ({ start }) => {
  const target = await start(three);
  const key = "/cluster_xxx/tenants/acme/dbs/iot/schemas/air";
  const lost = loseOn(target, 2, key);
  const { said } = await run(target, await accepted("2.4.2"));
  assertEquals(lost.again(), 1);
  assertStringIncludes(
    said,
    `written again: table acme.iot.air: ${key} is not there on ${target.followerUrls[1]}`,
  );
  assertStringIncludes(said, "verified: 40 values");
});

test("restore() ends with a difference where writing again does not help", async ({ start }) => {
  const target = await start(three);
  target.fault = ({ path }) => {
    if (path === "/dump" && posts(target).length) target.store.delete("/cluster_xxx/users/alice");
    return undefined;
  };
  const { message } = await assertRejects(async () => run(target, await accepted("2.4.2")), Difference);
  assertStringIncludes(message, "user alice: /cluster_xxx/users/alice is not there");
});

test("restore() says which members of the group were not given, so not read back", async ({ start }) => {
  const target = await start(three);
  const { said } = await run(target, await accepted("2.4.2"), { urls: [target.metaUrl] });
  for (const url of target.followerUrls) {
    assertStringIncludes(said, `${new URL(url).host} is none of the META_URLs`);
  }
});

/** A line of a root with a password, which bcrypt hashes fast. */
async function rootLine(password: string, more = ""): Promise<string> {
  const { hash } = await loadBcrypt();
  return `/cluster_xxx/users/root: {"id":7,"name":"root","options":{"hash_password":"${await hash(
    password,
    4,
  )}"${more}},"is_root_admin":true}\n`;
}

test("restore() finds that --sql could not log in afterwards, before anything is written", async ({ start }) => {
  const dump = mark(
    await Deno.readTextFile(new URL("../../../fixtures/accepted/2.4.2.dump", import.meta.url)) +
      await rootLine("new"),
  );
  const target = await start({ version: "2.4.2", auth: true });
  const sql = (user: string, password?: string) =>
    parseEndpoint(`http://${user}:${password}@${new URL(target.sqlUrl).host}`, 8902);
  for (
    const [endpoint, why] of [
      [
        parseEndpoint(target.sqlUrl, 8902),
        "--sql as root: the password is not the one that it will have, the dump's",
      ],
      [sql("root", "root"), "the dump's"],
      [sql("nobody", "x"), "neither the target nor the dump has that user"],
      [sql("alice", "x"), "--sql as alice: is no administrator"],
    ] as const
  ) {
    for (const dryRun of [true, false]) {
      const error = await assertRejects(() => run(target, dump, { sql: endpoint, dryRun }), Failure, why);
      assertEquals(error.exitCode, 1);
      assert(!/"new"|secret|\$2/.test(error.message));
    }
  }
  assertEquals(posts(target).length, 0);
  await run(target, dump, { sql: sql("root", "new") });
  assert(holds(target, dump));
});

test("restore() finds that --sql would first have to change its password", async ({ start }) => {
  const target = await start({ version: "2.4.2", auth: true });
  const sql = parseEndpoint(`http://root:root@${new URL(target.sqlUrl).host}`, 8902);
  await assertRejects(
    async () => run(target, await accepted("2.4.2"), { sql }),
    Failure,
    "--sql as root: must change its password before it may do anything else",
  );
  assertEquals(posts(target).length, 0);
});
