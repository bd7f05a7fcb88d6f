import { ReportReader } from "../../../lib/report/read.ts";
import { assertEquals, assertRejects } from "../../helpers/deps.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import { copyResults, filterReport, wrong } from "./sample.ts";

async function read(...texts: string[]) {
  const reader = new ReportReader();
  for (const [i, text] of texts.entries()) await reader.add(`file${i}`, text);
  return reader.report();
}

Deno.test("entries are counted by kind and action, drops are listed by rule, databases have their TTLs", async () => {
  const { entries, dropped, databases, files } = await read(filterReport());
  assertEquals(entries.user, { kept: 0, converted: 1, dropped: 1 });
  assertEquals(dropped, [
    { rule: "root", entries: 1, keys: ["/c/users/root"] },
    { rule: "buckets", entries: 1, keys: ["/c/tenants/cnosdb/dbs/db_1/buckets/7"] },
  ]);
  assertEquals(databases, [{ name: "cnosdb.db_1", ttl: "30d" }]);
  assertEquals(files.map(({ name, sha256 }) => [name, sha256.length]), [["file0", 64]]);
});

Deno.test("of many dropped entries the first keys are listed, and all are counted", async () => {
  const line = '{"key":"/c/queries/1","kind":"internal","action":"dropped","rules":["internal"]}\n';
  const { dropped } = await read(line.repeat(1_000));
  assertEquals(dropped.map(({ entries, keys }) => [entries, keys.length]), [[1_000, 200]]);
});

Deno.test("a table that was carried over and has no result is missing", async () => {
  const of = (report: Awaited<ReturnType<typeof read>>) =>
    report.tables.find(({ name }) => name === "cnosdb.db_1.table_1")?.status;
  assertEquals(of(await read(filterReport())), "missing");
  const result = JSON.stringify({ tenant: "cnosdb", database: "db_1", table: "table_1", status: "equal" });
  assertEquals(of(await read(filterReport(), result)), "equal");
  assertEquals(of(await read(result, filterReport())), "equal");
});

Deno.test("a later result replaces an earlier one, but not where it only repeats what an earlier run proved", async () => {
  const line = (more: Record<string, unknown>) =>
    JSON.stringify({ tenant: "t", database: "d", table: "x", ...more });
  const last = async (...results: Record<string, unknown>[]) => {
    const [table] = (await read(...results.map(line))).tables;
    return [table?.status, table?.verify];
  };
  const full = { status: "equal", verify: "full" };
  assertEquals(await last({ status: "differs" }, full), ["equal", "full"]);
  assertEquals(await last(full, { status: "differs" }), ["differs", undefined]);
  assertEquals(await last(full, { status: "equal", verify: "count", earlier: true }), ["equal", "full"]);
  const at = (hour: number) => ({ started: `2026-11-22T0${hour}:00:00Z` });
  const repeated = { status: "equal", verify: "count", earlier: true };
  assertEquals(await last({ ...full, ...at(2) }, { ...repeated, ...at(1) }), ["equal", "full"]);
  assertEquals(await last({ status: "failed", ...at(1) }, { ...repeated, ...at(2) }), ["equal", "count"]);
});

Deno.test("a run has an end only where its file has one", async () => {
  const whole = copyResults(20, wrong, 1);
  assertEquals((await read(whole)).runs.map(({ exit }) => exit), [1]);
  const cut = whole.slice(0, whole.lastIndexOf('{"end"'));
  assertEquals((await read(cut)).runs.map(({ ended }) => ended), [undefined]);
});

Deno.test("a line that none of the scripts prints is refused by its number", async () => {
  const texts: [string, RegExp][] = [
    ['{"tenant":"t"}\n', /file0: line 1: not a line of a report/],
    ['{"key":"/x","kind":"user","action":"dropped"}\n', /file0: line 1: not a line of a report/],
    [filterReport() + '{"tenant":', /file0: line 9: not a JSON object/],
    ["[]", /line 1: not a JSON object/],
    ["\n", /file0: empty/],
  ];
  for (const [text, message] of texts) {
    const error = await assertRejects(() => read(text), Failure);
    if (!message.test(error.message)) throw new Error(error.message);
  }
});
