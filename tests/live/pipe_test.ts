/** End to end: both kinds of 2.3 into each 2.4, the new cluster restarted and compared. */
import { canonical } from "../helpers/json.ts";
import { assert, assertEquals } from "../helpers/deps.ts";
import { Clusters, entries, origins, permissions } from "./pipe.ts";
import type { Version } from "../standin/standin.ts";

const root = new URL("../../", import.meta.url);
const versions: Record<string, Version> = {
  "2.4.0.1": "2.4.0",
  "2.4.1": "2.4.1",
  "2.4.2.1": "2.4.2",
  "2.4.3.4": "2.4.3",
};

/** All that has to hold after a migration. */
async function assertCarriedOver(
  clusters: Clusters,
  version: Version,
  result: Awaited<ReturnType<Clusters["migrate"]>>,
) {
  assertEquals(result.code, 0, result.stderr);
  const tables = result.tables.filter(({ status }) => status !== "definition");
  assertEquals(tables.length, 18, result.stderr);
  assert(tables.every(({ status }) => status === "equal"), JSON.stringify(tables));
  await clusters.young.restart();
  assertEquals(clusters.differingRows(), []);
  const accepted = entries(await Deno.readTextFile(new URL(`fixtures/accepted/${version}.dump`, root)));
  // Ids, and password hashes, are those of the dump that was carried over; memcache_partitions is a machine's.
  const anonymous = (text: string) =>
    text.replaceAll(/\d{30,}/g, "ID").replaceAll(/\$2b\$[^"]*/g, "HASH").replace(
      /"memcache_partitions":\d+/,
      "",
    )
      .replace(/"deadline":"[^"]*"/, "");
  const held = new Set([...clusters.young.store].flatMap(([key, value]) => {
    try {
      return [anonymous(`${key}: ${canonical(value)}`)];
    } catch {
      return []; // 2.4's own probe is no JSON
    }
  }));
  for (const [key, value] of accepted) {
    assert(
      held.has(anonymous(`${key}: ${value}`)),
      `not there as a real ${version} accepted it: ${key}: ${value}`,
    );
  }
}

for (const [name, origin] of Object.entries(origins)) {
  for (const [target, version] of Object.entries(versions)) {
    Deno.test(`${name} becomes a served ${target}`, async () => {
      await using clusters = await Clusters.start(origin, version);
      await assertCarriedOver(clusters, version, await clusters.migrate(target));
    });
  }
}

Deno.test("the pipe follows the leader of three meta nodes, and asks the new cluster for its version", async () => {
  await using clusters = await Clusters.start(
    origins["a 2.3.5.4 with a meta service of its own"]!,
    "2.4.3",
    3,
  );
  await assertCarriedOver(clusters, "2.4.3", await clusters.migrate(clusters.young.sqlUrl));
});

Deno.test("all four scripts run by URL, where no import map is read", async () => {
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const file = await Deno.readFile(new URL(`.${pathname}`, root)).catch(() => undefined);
    if (!file) return new Response("", { status: 404 });
    const type = pathname.endsWith(".json") ? "application/json" : "application/typescript";
    return new Response(file, { headers: { "content-type": type } });
  });
  const host = `127.0.0.1:${server.addr.port}`;
  await using clusters = await Clusters.start(origins["a single 2.3.5.4"]!, "2.4.2");
  const result = await clusters.migrate("2.4.2", {
    script: (name) =>
      `deno run ${
        permissions(name)
      } --quiet --no-lock --reload=http://${host} --allow-import=${host} http://${host}/scripts/${name}.ts`,
  });
  await assertCarriedOver(clusters, "2.4.2", result);
});

Deno.test("all four scripts do their work with the permissions of their shebangs", async () => {
  await using clusters = await Clusters.start(origins["a single 2.3.5.4"]!, "2.4.1");
  const result = await clusters.migrate("2.4.1", {
    script: (name) =>
      `deno run ${permissions(name)} --quiet --no-prompt ${new URL(`scripts/${name}.ts`, root).pathname}`,
  });
  await assertCarriedOver(clusters, "2.4.1", result);
});

Deno.test("a pipe whose dump fails restores and copies nothing", async () => {
  await using clusters = await Clusters.start(origins["a single 2.3.5.4"]!, "2.4.2");
  clusters.old.fault = (request) => request.path === "/debug" ? { kind: "truncate" } : undefined;
  const before = new Map(clusters.young.store);
  const result = await clusters.migrate("2.4.2");
  assert(result.code !== 0, result.stderr);
  assertEquals(result.tables, []);
  assertEquals([...clusters.young.store], [...before]);
});
