/** dump_meta against the stand-in and small servers of its own. */
import { type Fault, type StandIn, startStandIn } from "../../standin/standin.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../helpers/deps.ts";
import { compareDumps, differingFields, isVolatile } from "../../../lib/dump/compare.ts";
import { redact } from "../../../lib/dump/redact.ts";
import { shebang } from "../restore/restoring.ts";
import { certificate, key } from "../../helpers/tls.ts";

const root = new URL("../../../", import.meta.url);
const realDump = (name: string) => Deno.readTextFile(new URL(`fixtures/dumps/${name}`, root));
const plainLines = (dump: string) =>
  dump.split("\n").filter((line) => /^(\* )?\//.test(line)).map((line) => line.replace(/^\* /, "") + "\n")
    .sort().join("");

interface Ended {
  stdout: string;
  stderr: string;
  code: number;
}

async function dumpMeta(...args: string[]): Promise<Ended> {
  const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
    args: [...await shebang("dump_meta"), ...args],
    ...{ stdin: "null", stdout: "piped", stderr: "piped", env: { NO_COLOR: "1" } },
  }).output();
  return { stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr), code };
}

async function withStandIn(
  options: Parameters<typeof startStandIn>[0],
  body: (standin: StandIn) => Promise<void>,
): Promise<void> {
  const standin = await startStandIn(options);
  try {
    await body(standin);
  } finally {
    await standin.close();
  }
}

async function withDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

for (
  const [name, version, mode] of [
    ["2.3.5.4-single.debug", "2.3.5", "single"],
    ["2.3.5.4-cluster.dump", "2.3.5", "separate"],
    ["2.4.2.1-cluster.dump", "2.4.2", "separate"],
  ] as const
) {
  Deno.test(`dump_meta writes ${name} as it is, without a frame and with an end mark`, async () => {
    const dump = await realDump(name);
    await withStandIn({ version, mode, dump }, async ({ metaUrl }) => {
      const { stdout, stderr, code } = await dumpMeta(metaUrl);
      assertEquals(code, 0, stderr);
      const [, lines, entries] = /^(.*\n)# end entries=(\d+) sha256=[0-9a-f]{64}\n$/s.exec(stdout) ?? [];
      assertEquals(plainLines(lines!), plainLines(dump));
      assertEquals(Number(entries), lines!.split("\n").length - 1);
    });
  });
}

Deno.test("dump_meta takes a follower, and the next URL where one does not answer", async () => {
  await withStandIn(
    { version: "2.4.2", mode: "separate", metaNodes: 3 },
    async ({ metaUrl, followerUrls }) => {
      const first = await dumpMeta(metaUrl);
      const { stdout, stderr, code } = await dumpMeta("127.0.0.1:1", followerUrls[0]!);
      assertEquals(code, 0, stderr);
      assertEquals(stdout, first.stdout);
    },
  );
});

const badAnswers: [string, Fault, string[]][] = [
  ["answers 404 to both", { kind: "answer", status: 404, body: "" }, [
    "has neither /dump nor /debug (404)",
    "8901",
  ]],
  [
    "answers with a web page",
    { kind: "answer", status: 200, body: "<!DOCTYPE html>", contentType: "text/html" },
    ["answered with a web page"],
  ],
  [
    "answers with something else",
    { kind: "answer", status: 200, body: "Hello\n", contentType: "text/plain" },
    ["line 1: expected a line that starts with a key", '"Hello"'],
  ],
  ["answers nothing", { kind: "answer", status: 200, body: "" }, ["empty: not one entry in it"]],
  ["answers 500", { kind: "answer", status: 500, body: "dump error" }, ["/dump answered 500: dump error"]],
  ["is cut in the middle", { kind: "truncate" }, ["cut before the answer was whole"]],
  ["ends without a newline", { kind: "answer", status: 200, body: '/c/users/a: {"id"' }, [
    'cut in the middle of line 1: no newline after "/c/users/a"',
  ]],
];
for (const [name, fault, messages] of badAnswers) {
  Deno.test(`dump_meta writes no end mark and no file where the server ${name}`, async () => {
    await withStandIn({ version: "2.4.2" }, async (standin) => {
      standin.fault = () => fault;
      await withDirectory(async (directory) => {
        const { stdout, stderr, code } = await dumpMeta(standin.metaUrl);
        assertEquals({ stdout, code }, { stdout: "", code: 1 });
        for (const message of messages) assertStringIncludes(stderr, message);
        await Deno.writeTextFile(`${directory}/dump`, "the one before");
        assertEquals((await dumpMeta(standin.metaUrl, "-o", `${directory}/dump`)).code, 1);
        assertEquals(await Deno.readTextFile(`${directory}/dump`), "the one before");
        assertEquals((await Array.fromAsync(Deno.readDir(directory))).length, 1);
      });
    });
  });
}

Deno.test("dump_meta says 8901, not 8902, where META_URL is a data node's", async () => {
  await withStandIn({ version: "2.4.2" }, async ({ sqlUrl }) => {
    const { stderr, code } = await dumpMeta(sqlUrl);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `${sqlUrl} is the SQL port of a data node, not the meta service`);
    assertStringIncludes(stderr, "host:8901 by default; 8902 is a data node's SQL port");
  });
});

Deno.test("dump_meta trusts no answer whose end nothing tells", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(4096));
      await connection.write(new TextEncoder().encode("HTTP/1.0 200 OK\r\n\r\n/c/users/a: {}\n"));
      connection.close();
    }
  })();
  const { stdout, stderr, code } = await dumpMeta(`127.0.0.1:${listener.addr.port}`);
  listener.close();
  await serving;
  assertEquals({ stdout, code }, { stdout: "", code: 1 });
  assertStringIncludes(stderr, "without Content-Length and not in chunks");
});

Deno.test("dump_meta asks again where a server fails for a moment", async () => {
  await withStandIn({ version: "2.4.2" }, async (standin) => {
    let left = 2;
    standin.fault = () => left-- > 0 ? { kind: "answer", status: 503, body: "" } : undefined;
    const { stderr, code } = await dumpMeta(standin.metaUrl);
    assertEquals(code, 0, stderr);
  });
});

Deno.test("dump_meta begins no second dump behind a part of the first one, but replaces a file's", async () => {
  const line = `/c/users/a: {"name":"${"a".repeat(1000)}"}\n`;
  // More than is held back, so that a part is out when it breaks off.
  const cut = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    if (url.endsWith("/metrics")) return new Response(null, { status: 404 });
    let left = 12_000;
    const body = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(new TextEncoder().encode(line));
        else controller.error(new Error("cut"));
      },
    });
    return new Response(body);
  });
  await withStandIn({ version: "2.4.2", mode: "single" }, async ({ metaUrl }) => {
    const first = `127.0.0.1:${cut.addr.port}`;
    const { stdout, stderr, code } = await dumpMeta(first, metaUrl);
    assertEquals(code, 1, stderr);
    assert(stdout.startsWith(line) && !stdout.includes("# end") && !stdout.includes("cluster_xxx"));
    await withDirectory(async (directory) => {
      assertEquals((await dumpMeta(first, metaUrl, "-o", `${directory}/dump`)).code, 0);
      assertEquals(await Deno.readTextFile(`${directory}/dump`), (await dumpMeta(metaUrl)).stdout);
    });
  });
  await cut.shutdown();
});

for (const version of ["2.3.5", "2.4.2"] as const) {
  Deno.test(`dump_meta asks the leader of ${version} first, whichever address comes first`, async () => {
    await withStandIn({ version, mode: "separate", metaNodes: 3 }, async (cluster) => {
      const { code, stderr } = await dumpMeta(...cluster.followerUrls, cluster.metaUrl);
      assertEquals(code, 0, stderr);
      assert(!stderr.includes("warning"), stderr);
      assertEquals(cluster.requests.filter(({ path }) => path === "/dump").map(({ node }) => node), [0]);
    });
  });

  Deno.test(`dump_meta says where a dump of ${version} may be older than the cluster`, async () => {
    await withStandIn({ version, mode: "separate", metaNodes: 3 }, async (cluster) => {
      const [one = "", two = ""] = cluster.followerUrls;
      // The leader can be asked, though it was not given.
      assert(!(await dumpMeta(one)).stderr.includes("warning"));
      cluster.fault = ({ node }) => node === 0 ? { kind: "close" } : undefined;
      const { code, stderr } = await dumpMeta(cluster.metaUrl, one, two);
      assertEquals(code, 0, stderr);
      assertStringIncludes(stderr, `warning: ${cluster.metaUrl} does not answer`);
      const { host } = new URL(cluster.metaUrl);
      assertStringIncludes(stderr, `no leader of these meta nodes can be reached (${host} is named as one)`);
      cluster.setLeader(-1);
      assertStringIncludes(
        (await dumpMeta(one)).stderr,
        "no leader of these meta nodes can be reached: what",
      );
    });
  });

  Deno.test(`dump_meta takes the node of ${version} that has come furthest where none leads`, async () => {
    await withStandIn({ version, mode: "separate", metaNodes: 3 }, async (cluster) => {
      cluster.setLeader(-1);
      const [one = "", two = ""] = cluster.followerUrls;
      const metrics = await (await fetch(`${one}/metrics`)).text();
      const body = metrics.replace(/("last_applied":{.*?"index":)\d+/, (_, head) => `${head}0`);
      cluster.fault = ({ node, path }) =>
        node === 1 && path === "/metrics" ? { kind: "answer", status: 200, body } : undefined;
      assertEquals((await dumpMeta(one, two)).code, 0);
      assertEquals(cluster.requests.filter(({ path }) => path === "/dump").map(({ node }) => node), [2]);
    });
  });
}

Deno.test("dump_meta --output makes a file of mode 0600 with the same bytes", async () => {
  await withStandIn({ version: "2.4.2" }, async ({ metaUrl }) => {
    await withDirectory(async (directory) => {
      const { stdout } = await dumpMeta(metaUrl);
      const { code, stdout: nothing } = await dumpMeta(metaUrl, "-o", `${directory}/dump`);
      assertEquals([code, nothing], [0, ""]);
      assertEquals(await Deno.readTextFile(`${directory}/dump`), stdout);
      assertEquals((await Deno.stat(`${directory}/dump`)).mode! & 0o777, 0o600);
    });
  });
});

Deno.test("dump_meta warns where stdout is a file that others can read", async () => {
  await withStandIn({ version: "2.4.2" }, async ({ metaUrl }) => {
    await withDirectory(async (directory) => {
      const redirected = async (mode: string) => {
        const path = `${directory}/dump`;
        await Deno.writeTextFile(path, "");
        await Deno.chmod(path, parseInt(mode, 8));
        const { stderr } = await new Deno.Command("sh", {
          args: [
            "-c",
            '"$0" run --quiet -A "$1" "$2" > "$3"',
            Deno.execPath(),
            `${root.pathname}scripts/dump_meta.ts`,
            metaUrl,
            path,
          ],
        }).output();
        return new TextDecoder().decode(stderr);
      };
      assertStringIncludes(await redirected("644"), "warning: others can read the file that stdout is");
      assert(!(await redirected("600")).includes("warning"));
    });
  });
});

Deno.test("dump_meta trusts the certificate authority of --ca, and no other", async () => {
  const lines = `/c/users/a: {"name":"a"}\n`;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert: certificate, key, onListen() {} },
    () => new Response(lines, { headers: { "content-length": String(lines.length) } }),
  );
  const url = `https://localhost:${server.addr.port}`;
  try {
    await withDirectory(async (directory) => {
      await Deno.writeTextFile(`${directory}/ca.pem`, certificate);
      const { stdout, stderr } = await dumpMeta(url, "--ca", `${directory}/ca.pem`);
      assertMatch(stdout, /^\/c\/users\/a: .*\n# end entries=1 /, stderr);
      const refused = await dumpMeta(url);
      assertEquals({ stdout: refused.stdout, code: refused.code }, { stdout: "", code: 1 });
      assertMatch(refused.stderr, /certificate|UnknownIssuer/i);
      const missing = await dumpMeta(url, "--ca", `${directory}/nothing`);
      assertMatch(missing.stderr, /nothing: cannot be read: No such file/);
    });
  } finally {
    await server.shutdown();
  }
});

Deno.test("dump_meta shows no credentials of a URL", async () => {
  const { stderr, code } = await dumpMeta("http://admin:secret@127.0.0.1:1");
  assertEquals(code, 1);
  assert(!/secret|admin/.test(stderr));
  assertStringIncludes(stderr, "http://127.0.0.1:1/dump");
});

Deno.test("dump_meta --compare prints a line per key, leaves out what is volatile, and exits 3", async () => {
  await withStandIn({ version: "2.4.2", dump: await realDump("2.4.2.1-cluster.dump") }, async (standin) => {
    await withDirectory(async (directory) => {
      const file = `${directory}/before.dump`;
      await dumpMeta(standin.metaUrl, "-o", file);
      standin.store.set("/data_version", "99");
      standin.store.set("/cluster_xxx/data_nodes_metrics/1001", "{}");
      assertEquals(await dumpMeta(standin.metaUrl, "--compare", file), { stdout: "", stderr: "", code: 0 });
      standin.store.delete("/cluster_xxx/users/bob");
      standin.store.set("/cluster_xxx/users/zoe", "{}");
      const iot = "/cluster_xxx/tenants/acme/dbs/iot";
      standin.store.set(
        iot,
        standin.store.get(iot)!.replace('"shard_num":1', '"shard_num":2').replace('"NS"', '"MS"'),
      );
      const { stdout, stderr, code } = await dumpMeta(standin.metaUrl, "--compare", file);
      assertEquals(code, 3);
      assertEquals(
        stdout,
        `differs              ${iot}  options.shard_num, config.precision\n` +
          "only in the cluster  /cluster_xxx/users/zoe\n" +
          "only in the dump     /cluster_xxx/users/bob\n",
      );
      assertMatch(stderr, /error: 3 entries of .* differ/);
      assertStringIncludes(
        (await dumpMeta(standin.metaUrl, "--compare", file, "--all")).stdout,
        "/data_version",
      );
    });
  });
});

Deno.test("dump_meta --redact hides hashes and comments, and what comes out can still be converted", async () => {
  for (const name of ["2.3.3-cluster.dump", "2.3.5.4-cluster.dump"]) {
    const version = name.startsWith("2.3.3") ? "2.3.3" : "2.3.5";
    await withStandIn({ version, mode: "separate", dump: await realDump(name) }, async ({ metaUrl }) => {
      const { stdout } = await dumpMeta(metaUrl, "--redact");
      for (const line of stdout.split("\n").filter((line) => /\/users\/[^/]+: /.test(line))) {
        const { name, options } = JSON.parse(line.slice(line.indexOf(": ") + 2));
        assert(
          [null, "", `$2b$12$${"x".repeat(53)}`].includes(options.password),
          `${name}: ${options.password}`,
        );
      }
      assert(!/owner: of|the first/.test(stdout));
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "-A", `${root.pathname}scripts/filter_meta.ts`, "--target", "2.4.3.4"],
        ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
      }).spawn();
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(stdout));
      await writer.close();
      const { code, stderr } = await child.output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
    });
  }
});

Deno.test("redact() leaves out running queries, whose text may hold a password", () => {
  assertEquals(redact("/c/queries/1", '"ALTER USER a SET PASSWORD = 1"'), undefined);
  assertEquals(redact("/c/1001/queries/1", "{}"), undefined);
  assertEquals(
    redact("/c/tenants/queries", '{"options":{"comment":"x"}}'),
    '{"options":{"comment":"redacted"}}',
  );
});

Deno.test("differingFields() knows no order of members, and every digit of an id", () => {
  const key = "/c/users/a";
  assertEquals(differingFields(key, '{"a":1,"b":{"c":[1,2]}}', '{"b": {"c": [1, 2]}, "a": 1}'), []);
  assertEquals(
    differingFields(
      key,
      '{"id":97516372427273501448793474162317844843}',
      '{"id":97516372427273501448793474162317844844}',
    ),
    ["id"],
  );
  assertEquals(differingFields(key, '{"a":[1,2]}', '{"a":[1,3,4]}'), ["a[1]", "a[2]"]);
  assertEquals(differingFields(key, "test_value", "1"), ["value"]);
});

Deno.test("differingFields() passes over a role's id, as each meta node gives it another", () => {
  const key = "/c/tenants/a/roles/r";
  const role = (id: number, inherits: string) => `{"id":${id},"name":"r","system_role":"${inherits}"}`;
  assertEquals(differingFields(key, role(1, "Member"), role(2, "Member")), []);
  assertEquals(differingFields(key, role(1, "Member"), role(2, "Member"), true), ["id"]);
  assertEquals(differingFields(key, role(1, "Member"), role(2, "Owner")), ["system_role"]);
  assertEquals(differingFields("/c/tenants/a", role(1, "Member"), role(2, "Member")), ["id"]);
});

Deno.test("differingFields() passes over the level of a limiter, and only that", () => {
  const limiter = (max: number, balance: number) =>
    `{"buckets":{"CoordDataIn":{"max":${max},"critical":{"balance":${balance}}}}}`;
  assertEquals(differingFields("/c/tenants/t/limiter", limiter(1, 0), limiter(1, 9)), []);
  assertEquals(differingFields("/c/tenants/t/limiter", limiter(1, 0), limiter(2, 9)), [
    "buckets.CoordDataIn.max",
  ]);
  assertEquals(differingFields("/c/tenants/t/limiter", limiter(1, 0), limiter(1, 9), true).length, 1);
});

Deno.test("compareDumps() gives a key of either side once", async () => {
  const here = (async function* () {
    await Promise.resolve();
    for (const key of ["/c/users/a", "/c/users/b"]) yield { key, value: "{}", line: 1 };
  })();
  const there = new Map([["/c/users/b", "{}"], ["/c/users/d", "{}"], ["/c/auto_incr_id", "3"]]);
  assertEquals(await Array.fromAsync(compareDumps(here, there)), [
    { key: "/c/users/a", side: "here", fields: [] },
    { key: "/c/users/d", side: "there", fields: [] },
  ]);
});

Deno.test("isVolatile() is about the server's own keys, not about tenants named like them", () => {
  assert(isVolatile("/c/data_nodes_metrics/1001"));
  assert(isVolatile("/c/1001/queries/5"));
  assert(!isVolatile("/c/data_nodes/1001"));
  assert(!isVolatile("/c/tenants/queries/dbs/a"));
});
