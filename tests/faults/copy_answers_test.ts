/** copy_tables when answers do not come, or are refusals: cut connections, restarts, elections, limits, data nodes that die. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../helpers/deps.ts";
import { type RecordedRequest, rowsKey } from "../standin/standin.ts";
import { EXHAUSTED, isWrite, TIMED_OUT } from "../standin/troubles.ts";
import { copyTables, Pair, row, sql } from "../unit/copy/copying.ts";
import {
  exportPaths,
  first,
  isExport,
  isImport,
  isProbe,
  isProfile,
  outcomes,
  refusal,
  tablesOf,
} from "./faults.ts";

// ---- connections ----

for (const kind of ["close", "cut-during", "cut-after", "truncate"] as const) {
  Deno.test(`an export whose connection suffers "${kind}" is done again into a new directory`, async () => {
    for (const files of [false, true]) {
      await using pair = await Pair.start();
      pair.old.fault = first(2, isExport, () => ({ kind }));
      const { results } = await pair.copy({}, { files });
      assertEquals(outcomes(results), ["equal"]);
      assertEquals(pair.differences(), []);
      const paths = exportPaths(pair);
      assertEquals([paths.length, new Set(paths).size], [3, 3]);
      // What the cut exports had written is never imported.
      assertEquals(results[0]?.copied?.rows, 10);
    }
  });

  Deno.test(`an import whose connection suffers "${kind}" is done again`, async () => {
    for (const version of ["2.4.0", "2.4.3"] as const) {
      await using pair = await Pair.start({ version });
      pair.young.fault = first(2, isImport, () => ({ kind }));
      const { results } = await pair.copy();
      assertEquals(outcomes(results), ["equal"]);
      assertEquals(pair.differences(), []);
    }
  });

  Deno.test(`a profile that suffers "${kind}" is asked again`, async () => {
    await using pair = await Pair.start();
    pair.old.fault = first(1, isProfile, () => ({ kind }));
    pair.young.fault = first(1, ({ body }) => body.includes("information_schema.columns"), () => ({ kind }));
    assertEquals(outcomes((await pair.copy()).results), ["equal"]);
  });
}

Deno.test("an import that never answers well fails its table alone, after the patience is over", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 5, good: 5 } } } });
  pair.young.fault = (request) =>
    isImport(request) && request.body.includes("air") ? { kind: "truncate" } : undefined;
  const { results, totals } = await pair.copy({}, { patienceMs: 50 });
  const air = results.find(({ table }) => table === "air");
  assertEquals([air?.status, totals.statuses.get("equal")], ["failed", 1]);
  assertMatch(air?.error ?? "", /connection was cut before the answer was whole/);
});

Deno.test("a refused statement is not sent twice, and the other tables go on", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { bad: 5, good: 5 } } } });
  pair.old.fault = (request) =>
    isExport(request) && request.body.includes("bad")
      ? refusal("010001", "Datafusion: something is wrong")
      : undefined;
  const { results, totals } = await pair.copy();
  assertEquals([totals.statuses.get("failed"), totals.statuses.get("equal")], [1, 1]);
  assertMatch(results.find(({ table }) => table === "bad")?.error ?? "", /something is wrong/);
  assertEquals(pair.old.requests.filter((r) => isExport(r) && r.body.includes("bad")).length, 1);
});

Deno.test("a cluster that is away for a while is waited for", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { a: 5, b: 5, c: 5 } } } });
  let restarts = 0;
  pair.young.fault = async (request) => {
    if (!isImport(request) || restarts++ > 0) return undefined;
    await pair.young.restart();
    return { kind: "close" };
  };
  assertEquals(outcomes((await pair.copy()).results), ["equal", "equal", "equal"]);
  assertEquals(pair.differences(), []);
});

// ---- what passes by itself ----

Deno.test("three data nodes whose replica groups have no leader at first, and that time out with the write done, end equal", async () => {
  for (const version of ["2.4.2", "2.4.3"] as const) {
    const tables = { a: 5, b: 50, c: 0 };
    await using pair = await Pair.start({
      version,
      databases: { x: { tables }, y: { tables }, z: { tables } },
      young: { dataNodes: 3, elections: 6, unreported: 2 },
      old: { dataNodes: 3 },
    });
    pair.young.troubles.fail({ times: 4, refusal: TIMED_OUT, when: isWrite, done: true });
    const { old, young } = pair;
    const place = { from: old.sqlUrls.join(","), to: young.sqlUrls.join(","), directory: pair.directory };
    const { results, said } = await copyTables(place, { jobs: 6 }, { tables: tablesOf(pair) });
    assertEquals(new Set(outcomes(results)), new Set(["equal"]), said.join("\n"));
    assertEquals([results.length, pair.differences()], [9, []]);
    assertEquals(new Set(young.requests.filter(isImport).map(({ node }) => node)).size, 3);
  }
});

Deno.test("a data node of three dies in the middle of an import, and the others take over", async () => {
  const tables = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`t${i}`, 10]));
  await using pair = await Pair.start({
    databases: { db: { tables } },
    young: { dataNodes: 3 },
    old: { dataNodes: 3 },
  });
  let imports = 0, exports = 0;
  pair.young.fault = async (request) => {
    if (!isImport(request) || ++imports !== 4) return undefined;
    await pair.young.stopNode(request.node);
    return { kind: "cut-during" };
  };
  pair.old.fault = async (request) => {
    if (!isExport(request) || ++exports !== 2) return undefined;
    await pair.old.stopNode(request.node);
    return { kind: "close" };
  };
  const urls = ["--from", pair.old.sqlUrls.join(","), "--to", pair.young.sqlUrls.join(",")];
  const ran = await pair.script([...urls, "--all"], { urls: false });
  assertEquals([ran.code, pair.differences()], [0, []], ran.stderr);
});

Deno.test("rows that show late, and a replica that disagrees once, are no difference", async () => {
  for (const version of ["2.4.0", "2.4.1"] as const) {
    await using pair = await Pair.start({ version, young: { late: { rows: 3, looks: 3 } } });
    const ran = await pair.copy();
    assertEquals([outcomes(ran.results), ran.results[0]?.copied?.rows], [["equal"], 10]);
    pair.young.troubles.hide(rowsKey("cnosdb", "db", "air"), 2, 1);
    const again = await pair.copy({}, { ledger: `${pair.directory}/other` });
    assertEquals(outcomes(again.results), ["equal"]);
    assertEquals(pair.differences(), []);
  }
});

Deno.test("what a replica of the source that was behind kept back is brought by a run that does not believe the ledger", async () => {
  await using pair = await Pair.start();
  pair.old.troubles.hide(rowsKey("cnosdb", "db", "air"), 4, 2);
  await pair.copy();
  const second = await pair.copy({}, { ledger: `${pair.directory}/other` });
  assertEquals([outcomes(second.results), pair.differences()], [["equal"], []]);
});

Deno.test("a node whose memory is exhausted for good fails after the patience, and a restart of it mends the next run", async () => {
  await using pair = await Pair.start();
  pair.young.fault = (request) => {
    if (isImport(request)) pair.young.troubles.fail({ times: Infinity, refusal: EXHAUSTED });
    return undefined;
  };
  const ran = await pair.copy({}, { patienceMs: 50 });
  assertEquals(ran.results.map(({ status }) => status), ["failed"]);
  assertStringIncludes(ran.results[0]?.error ?? "", "Resources exhausted");
  pair.young.fault = undefined;
  await pair.young.restart();
  assertEquals([outcomes((await pair.copy()).results), pair.differences()], [["equal"], []]);
});

Deno.test("a limiter, want of memory and a full stage make tables wait", async () => {
  const tables = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`t${i}`, 3]));
  await using pair = await Pair.start({
    databases: { a: { tables }, b: { tables }, c: { tables }, d: { tables } },
  });
  const texts = [
    "Meta request error: CoordDataIn reached limit",
    "Memory Exhausted Retry Later",
    "Resources exhausted: Failed to allocate additional 1 bytes",
  ];
  let refused = 0;
  pair.young.fault = (request) =>
    isImport(request) && request.number % 3 === 0 && refused < 20
      ? (refused++, refusal("030024", texts[refused % 3]!))
      : undefined;
  pair.old.fault = first(
    3,
    isExport,
    () => refusal("010047", "ObjectStore: No space left on device (os error 28)"),
  );
  const { totals } = await pair.copy({ jobs: 8 });
  assertEquals([totals.statuses.get("equal"), pair.differences()], [48, []]);
});

Deno.test("a real limiter on what is written only slows the copy down", async () => {
  const tables = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`t${i}`, 50]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  pair.young.limits.set("cnosdb", { rows: 60, max: 60, refillPerSecond: 2000 });
  const { totals } = await pair.copy();
  assertEquals([totals.statuses.get("equal"), pair.differences()], [6, []]);
});

// ---- rows that do not come through ----

Deno.test("fewer rows imported than exported are exported and imported again", async () => {
  await using pair = await Pair.start();
  const nine = { kind: "answer", status: 200, body: '[{"rows":9}]', execute: true } as const;
  pair.young.fault = first(1, isImport, () => nine);
  assertEquals(outcomes((await pair.copy()).results), ["equal"]);
  pair.young.rows.clear();
  pair.young.fault = (request) => isImport(request) ? nine : undefined;
  const { results } = await pair.copy({}, { ledger: `${pair.directory}/other` });
  assertMatch(results[0]?.error ?? "", /9 rows were imported of 10 that had been exported/);
});

Deno.test("rows that the target loses after each import are a difference, named with its window, and exit code 3", async () => {
  await using pair = await Pair.start();
  const lose = (request: RecordedRequest) => {
    if (isProfile(request)) pair.rows("young", "db", "air").splice(8);
    return undefined;
  };
  pair.young.fault = lose;
  const ran = await pair.copy();
  assertEquals([ran.results[0]?.status, ran.results[0]?.windows?.length], ["differs", 1]);
  assertEquals(ran.totals.exit, 3);
  pair.young.fault = undefined;
  assertEquals(outcomes((await pair.copy()).results), ["equal"]);
});

Deno.test("a file of another export among the table's own is noticed", async () => {
  await using pair = await Pair.start();
  let spoiled = 0;
  pair.young.fault = async (request) => {
    const directory = /FROM 'file:\/\/([^']+)'/.exec(request.body)?.[1];
    if (!isImport(request) || directory === undefined || spoiled++ > 0) return undefined;
    const [file] = [...Deno.readDirSync(directory)];
    await Deno.copyFile(`${directory}/${file!.name}`, `${directory}/again-${file!.name}`);
    return undefined;
  };
  assertEquals(outcomes((await pair.copy({}, { files: true })).results), ["equal"]);
  assertEquals(pair.differences(), []);
});

Deno.test("a target that is created anew while a ledger says that all is done is filled again", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, b: 5, none: 0 } } } });
  assertEquals((await pair.script(["--all"])).code, 0);
  await sql(pair.young, "DROP DATABASE db");
  await sql(pair.young, "CREATE DATABASE db");
  const gone = await pair.script(["--all"]);
  assertEquals(gone.code, 1, gone.stderr);
  assert(gone.results.some(({ status }) => status === "refused"), gone.stdout);
  for (const table of ["air", "b", "none"]) {
    await sql(
      pair.young,
      `CREATE TABLE db.${table} (v DOUBLE, n BIGINT, u BIGINT UNSIGNED, b BOOLEAN, s STRING, TAGS(station))`,
    );
  }
  assertEquals([(await pair.script(["--all"])).code, pair.differences()], [0, []]);
});

Deno.test("writers that go on while tables are copied: equal once they have stopped, and named while they go on", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { busy: 20, still: 20 } } } });
  let n = 0;
  const busy = rowsKey("cnosdb", "db", "busy");
  pair.old.fault = (request) => {
    if (!isProbe(request)) pair.old.rows.get(busy)!.push(row(100 + n, Date.now() - 1000 + n++));
    return undefined;
  };
  const ran = await pair.script(["--all"]);
  assertEquals(ran.code, 1, ran.stderr);
  assertEquals(Object.fromEntries(ran.results.map(({ table, status }) => [table, status])), {
    busy: "source-changed",
    still: "equal",
  });
  pair.old.fault = undefined;
  const second = await pair.script(["--all", "--verify", "full"]);
  assertEquals([second.code, pair.differences()], [0, []], second.stderr);
});
