/** dump_meta against the stand-in and small servers of its own. */
import { type Fault, type StandIn, startStandIn } from "../../standin/standin.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../helpers/deps.ts";
import { accepted, run, shebang, versions, withDirectory } from "../restore/restoring.ts";
import { MetaClient } from "../../../lib/cnosdb/meta.ts";
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
  ["answers 500", { kind: "answer", status: 500, body: "dump error" }, ["/metrics answered 500"]],
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

for (const version of ["2.3.5", "2.4.2"] as const) {
  Deno.test(`dump_meta dumps the leader of ${version}, whichever address comes first`, async () => {
    await withStandIn({ version, mode: "separate", metaNodes: 3 }, async (cluster) => {
      const { code, stderr } = await dumpMeta(...cluster.followerUrls, cluster.metaUrl);
      assertEquals(code, 0, stderr);
      assertEquals(cluster.requests.filter(({ path }) => path === "/dump").map(({ node }) => node), [0]);
    });
  });

  Deno.test(`dump_meta takes no follower of ${version} for the leader, and names the one that leads`, async () => {
    await withStandIn({ version, mode: "separate", metaNodes: 3 }, async (cluster) => {
      const [one = "", two = ""] = cluster.followerUrls;
      const { stdout, stderr, code } = await dumpMeta(one, two);
      assertEquals({ stdout, code }, { stdout: "", code: 1 });
      assertStringIncludes(
        stderr,
        `the leader is ${new URL(cluster.metaUrl).host}, which is none of the META_URLs`,
      );
      assertStringIncludes(stderr, "give the leader's address too");
      assert(cluster.requests.every(({ node }) => node !== 0), "a node was asked that nobody gave");
      cluster.setLeader(-1);
      assertStringIncludes((await dumpMeta(one, two)).stderr, "no meta node leads");
    });
  });
}

Deno.test("dump_meta goes to a node that answers where another one is down", async () => {
  await withStandIn({ version: "2.4.2", mode: "separate", metaNodes: 3 }, async ({ metaUrl }) => {
    const { stderr, code } = await dumpMeta("127.0.0.1:1", metaUrl);
    assertEquals(code, 0, stderr);
  });
});

Deno.test("dump_meta goes to port 8901 where none is given", async () => {
  const { stderr, code } = await dumpMeta("127.0.0.1");
  assertEquals(code, 1);
  assertStringIncludes(stderr, "http://127.0.0.1:8901/");
});

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
  assertStringIncludes(stderr, "http://127.0.0.1:1/metrics");
});

Deno.test("dump_meta --compare prints a line per key, leaves out what a cluster has of its own, and exits 3", async () => {
  await withStandIn({ version: "2.4.2", dump: await realDump("2.4.2.1-cluster.dump") }, async (standin) => {
    await withDirectory(async (directory) => {
      const file = `${directory}/before.dump`;
      await dumpMeta(standin.metaUrl, "-o", file);
      standin.store.set("/data_version", "99");
      standin.store.set("/cluster_xxx/data_nodes_metrics/1001", "{}");
      assertEquals(await dumpMeta(standin.metaUrl, "--compare", file), { stdout: "", stderr: "", code: 0 });
      standin.store.delete("/cluster_xxx/users/bob");
      standin.store.set("/cluster_xxx/users/zoe\x1b[31m", "{}");
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
          "only in the cluster  /cluster_xxx/users/zoe\\u001b[31m\n" +
          "only in the dump     /cluster_xxx/users/bob\n",
      );
      assertMatch(stderr, /error: 3 entries of .* differ/);
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

for (const version of versions) {
  Deno.test(`dump_meta --compare finds no difference after a restore of the converted dump into ${version}`, async () => {
    const file = new URL(`fixtures/accepted/${version}.dump`, root).pathname;
    await withStandIn({ version }, async (standin) => {
      await run(standin, await accepted(version));
      assertEquals(await dumpMeta(standin.metaUrl, "--compare", file), { stdout: "", stderr: "", code: 0 });
    });
  });
}

Deno.test("MetaClient.read() needs only the beginning of an answer, since a tenant with many tables has a long one", async () => {
  const tables = new TextEncoder().encode('{"name":"a"},'.repeat(10_000));
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode('{"Ok":[')),
        pull: (controller) => controller.enqueue(tables),
      }),
    ));
  const meta = new MetaClient([`127.0.0.1:${server.addr.port}`], { signal: new AbortController().signal });
  assertEquals(await meta.read(meta.nodes, { Users: "cluster_xxx" }), undefined);
  await server.shutdown();
});
