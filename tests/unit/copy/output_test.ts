/** What a run prints, and the exit code that it comes to. */
import { Failure, Interrupted } from "../../../lib/cli/errors.ts";
import { printer, RunOutput, Standing } from "../../../lib/copy/output.ts";
import type { Status } from "../../../lib/copy/result.ts";
import { assertEquals, assertStringIncludes } from "../../helpers/deps.ts";

/** A run over `tables` tables of which some have ended. */
async function ran(tables: number, statuses: Status[], { stopped, isPlan = false }: {
  stopped?: unknown;
  isPlan?: boolean;
} = {}) {
  // deno-lint-ignore no-explicit-any
  const lines: any[] = [];
  const said: string[] = [];
  const print = (line: unknown) => Promise.resolve(void lines.push(line));
  const output = new RunOutput("copy_tables", (text) => void said.push(text), print);
  await output.begin(tables, { verify: "count" });
  for (const [i, status] of statuses.entries()) {
    const error = status === "failed" ? { error: `http://h: db.t${i} answered 422 no`, hint: "do" } : {};
    await output.result({ tenant: "t", database: "db", table: `t${i}`, status, ...error });
  }
  const problem = await output.end(stopped, isPlan).then(() => undefined, (error) => error);
  return { lines, said, problem, end: lines.at(-1).end };
}

Deno.test("a run's lines are its first, one a table, and its last with what they come to", async () => {
  const { lines, said, end } = await ran(2, ["equal", "definition"]);
  assertEquals([lines.length, lines[0].run.script, lines[0].run.verify], [4, "copy_tables", "count"]);
  assertEquals([end.tables, end.equal, end.definition, end.rows, end.exit], [2, 1, 1, 0, 0]);
  assertStringIncludes(said.at(-1)!, "tables: 1 equal, 1 definition; 0 rows copied, in ");
});

Deno.test("the exit code is 3 where tables differ and nothing else is wrong, and 1 where any failed or is not done", async () => {
  const cases: [tables: number, statuses: Status[], exit: number, isPlan?: boolean][] = [
    [0, [], 0],
    [2, ["equal", "imported"], 0],
    [2, ["equal", "differs"], 3],
    [2, ["equal", "differs"], 0, true],
    [2, ["differs", "failed"], 1],
    [1, ["source-changed"], 1],
    [1, ["refused"], 1, true],
    [3, ["equal", "equal"], 1],
  ];
  for (const [tables, statuses, exit, isPlan = false] of cases) {
    const { end, problem } = await ran(tables, statuses, { isPlan });
    assertEquals([end.exit, problem?.exitCode ?? 0], [exit, exit], `${statuses} of ${tables}`);
  }
});

Deno.test("a run that was stopped says so, and how many tables are not done", async () => {
  for (
    const [stopped, exit] of [[new Interrupted("interrupted"), 130], [new Failure("no"), 1], [
      new Error("a bug"),
      1,
    ]] as const
  ) {
    const { end, problem, said } = await ran(3, ["equal"], { stopped });
    assertEquals([end.exit, problem], [exit, stopped]);
    assertEquals(said[0], "2 of 3 tables are not done");
  }
});

Deno.test("what is true of many tables is said once, and at the end of how many", async () => {
  const { said } = await ran(4, ["failed", "equal", "failed", "failed"]);
  assertEquals(said.slice(0, -1), [
    "t.db.t0: failed: http://h: db.t0 answered 422 no (do)",
    "3 tables in all: no",
  ]);
});

Deno.test("how far a run is begins with what matters most, and leaves out what is not known", () => {
  const standing = new Standing();
  standing.tables = 4;
  assertEquals(standing.describe(2), "0/4 tables, 2s so far");
  for (const status of ["equal", "failed"]) standing.count(status);
  Object.assign(standing, { rowsPlanned: 1000, rowsCopied: 250, bytes: 5_000_000 });
  assertEquals(
    standing.describe(10),
    "25 % of 1000 rows, 2/4 tables, 1 not equal, 30s left, 25 rows/s, 500 kB/s, 10s so far",
  );
  Object.assign(standing, { rowsCopied: 1_050 });
  assertStringIncludes(standing.describe(10), "100 % of 1050 rows, ");
});

Deno.test("lines in a file are as harmless to a terminal as those on stdout", async () => {
  const path = await Deno.makeTempFile();
  await printer(path)({ table: "a\u202eb\u009b" });
  assertEquals(await Deno.readTextFile(path), '{"table":"a\\u202eb\\u009b"}\n');
  await Deno.remove(path);
});
