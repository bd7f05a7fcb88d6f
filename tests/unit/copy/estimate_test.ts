/** `--estimate`: says what there is, and writes nothing. */
import { assert, assertEquals, assertStringIncludes } from "../../helpers/deps.ts";
import { Pair, sql } from "./copying.ts";

Deno.test("--estimate says what would travel, how long it takes and what would be refused, and writes nothing", async () => {
  await using pair = await Pair.start({
    databases: {
      db: { tables: { air: 2000, sea: 30, done: 10, other: 5, full: 1 } },
      old: { ttl: "30d", startMs: Date.now() - 90 * 86_400_000, tables: { past: 40 } },
    },
  });
  await pair.copy({}, { tables: [{ tenant: "cnosdb", database: "db", table: "done" }] });
  await sql(pair.young, 'DROP TABLE "db"."other"');
  await sql(pair.young, 'CREATE TABLE "db"."other" (v DOUBLE, TAGS(station))');
  pair.young.rows.set("cnosdb/db/full", pair.rows("old", "db", "air").slice(0, 3));
  pair.old.requests.length = pair.young.requests.length = 0;
  const { code, stdout, stderr } = await pair.script(["--all", "--estimate", "--json"]);
  assertEquals(code, 0, stderr);
  const found = JSON.parse(stdout);
  assertEquals([found.tables, found.tablesToCopy, found.rowsToCopy], [6, 3, 2070]);
  assertEquals(found.largest.map(({ table }: { table: string }) => table).slice(0, 3), [
    "cnosdb.db.air",
    "cnosdb.old.past",
    "cnosdb.db.sea",
  ]);
  assertEquals(found.sample.rows, 2000);
  assert(found.bytesToCopy >= found.sample.bytes && found.bytesToCopy < 1.2 * found.sample.bytes);
  assert(found.importSeconds[1] === 5 * found.importSeconds[0] && found.exportSeconds > 0);
  assertEquals(
    found.expired.map((one: { database: string; ttlDays: number }) => [one.database, one.ttlDays]),
    [
      ["cnosdb.old", 30],
    ],
  );
  const why = found.refused.map((one: { why: string; tables: number }) => `${one.tables}: ${one.why}`).sort();
  assertEquals(why.length, 2);
  assertStringIncludes(why.join("\n"), "its columns differ");
  assertStringIncludes(why.join("\n"), "the target has more rows than the source");
  for (const { body } of [...pair.old.requests, ...pair.young.requests]) {
    assert(!/^(ALTER|INSERT|CREATE|DROP|COPY INTO "db")/.test(body), body);
  }
  assertEquals(
    [...Deno.readDirSync(pair.directory)].map(({ name }) => name).filter((name) => /sqlite$/.test(name)),
    [
      "ledger.sqlite",
    ],
  );
  const told = await pair.script(["--all", "--estimate"]);
  assertStringIncludes(told.stdout, "6 tables, 2081 rows; to copy: 3 tables, 2070 rows");
  assertStringIncludes(told.stdout, "would be refused: cnosdb.db.other");
  const skipping = JSON.parse(
    (await pair.script(["--all", "--estimate", "--json", "--expired", "skip"])).stdout,
  );
  assertEquals([skipping.tablesToCopy, skipping.rowsToCopy, skipping.expired], [2, 2030, []]);
});

Deno.test("--estimate of tables that are equal says that there is nothing to copy", async () => {
  await using pair = await Pair.start();
  await pair.copy();
  const { code, stdout } = await pair.script(["--all", "--estimate"]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "to copy: 0 tables, 0 rows, some 0 B");
});

Deno.test("--estimate counts the bytes of a table with one row, in a database of milliseconds too", async () => {
  await using pair = await Pair.start({ databases: {} });
  for (const cluster of [pair.old, pair.young]) {
    await sql(cluster, "CREATE DATABASE db WITH PRECISION 'ms'");
    await sql(cluster, "CREATE TABLE db.air (v DOUBLE, TAGS(station))");
  }
  pair.old.put("cnosdb", "db", "air", [{ time: BigInt(Date.now()), station: "x", v: 1 }]);
  const { stdout } = await pair.script(["--all", "--estimate", "--json"]);
  const { sample, bytesToCopy } = JSON.parse(stdout);
  assertEquals([sample.rows, bytesToCopy], [1, sample.bytes]);
});
