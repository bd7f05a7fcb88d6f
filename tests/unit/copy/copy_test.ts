/** copy_tables and compare_tables between two stand-ins: what they copy, what they refuse, what they say. */
import { DatabaseSync } from "node:sqlite";
import { writeDump } from "../../../lib/dump/text.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../helpers/deps.ts";
import { copyTables, Pair, row, sql, ttlOf, until } from "./copying.ts";
import { rowsKey, seedRows, type Version } from "../../standin/standin.ts";

const list = (...tables: string[]) =>
  tables.map((name) => {
    const [database, table] = name.split("/");
    return JSON.stringify({ tenant: "cnosdb", database, table }) + "\n";
  }).join("");

/** A dump of the old cluster with its end mark. */
async function dumpOf(store: Map<string, string>): Promise<string> {
  let text = "";
  const entries = [...store].map(([key, value]) => ({ key, value, line: 0 }));
  await writeDump(entries, (bytes) => Promise.resolve(void (text += new TextDecoder().decode(bytes))));
  return text;
}

const copies = (requests: { body: string }[]) =>
  requests.filter(({ body }) => body.startsWith("COPY INTO") && !body.includes("SELECT 1 AS x"));
const refuse = (message: string, code = "010001") => ({
  kind: "answer" as const,
  status: 422,
  body: JSON.stringify({ error_code: code, error_message: message }),
});

// ---- what it copies ----

Deno.test("every row arrives through the stage that the script serves", async () => {
  const databases = { db: { tables: { air: 100, empty: 0 } }, other: { tables: { t: 5 } } };
  await using pair = await Pair.start({ databases });
  const ran = await pair.script(["--all"]);
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals(ran.results.map((r) => r.status), ["equal", "equal", "equal"]);
  assertEquals(pair.differences(), []);
  const air = ran.results.find(({ table }) => table === "air");
  assertEquals([air.source.rows, air.target, air.copied.rows], [100, air.source, 100]);
  const [first, ...rest] = ran.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals([first.run.script, first.run.from.version, first.run.to.version], [
    "copy_tables",
    "2.3.5",
    "2.4.2",
  ]);
  assertEquals([rest.at(-1).end.tables, rest.at(-1).end.equal, rest.at(-1).end.exit], [3, 3, 0]);
  assertStringIncludes(ran.stderr, "tables: 3 equal; 105 rows copied");
});

Deno.test("a 2.4 is copied from as well, also to one of the same version", async () => {
  for (const oldVersion of ["2.4.0", "2.4.2"] as const) {
    await using pair = await Pair.start({ oldVersion, version: "2.4.2" });
    const ran = await pair.script(["--all", "--verify", "full"]);
    assertEquals(ran.code, 0, ran.stderr);
    assertEquals(pair.differences(), []);
  }
});

Deno.test("a dump on stdin names the tables, whatever they are called", async () => {
  const tables = { "a.b c": 3, 'quo"te': 2, 温度: 4, "select": 1, "Mixed Case": 2 };
  await using pair = await Pair.start({
    databases: { "Weird DB": { tables }, db: { tables: { "it's": 1 } } },
  });
  const ran = await pair.script(["--verify", "full"], { stdin: await dumpOf(pair.old.store) });
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals(pair.differences(), []);
  const found = ran.results.map(({ table }) => table).sort();
  assertEquals(found, ["Mixed Case", "a.b c", "it's", 'quo"te', "select", "温度"]);
});

Deno.test("--tenant, --database, --table and --exclude choose among the tables of a list", async () => {
  await using pair = await Pair.start({
    databases: { a: { tables: { x: 1, y: 1 } }, b: { tables: { x: 1, y: 1 } } },
  });
  const chosen = async (...args: string[]) => {
    const ran = await pair.script(["--all", "--dry-run", ...args]);
    return ran.results.map(({ database, table }) => `${database}.${table}`).sort().join();
  };
  assertEquals(await chosen("--database", "cnosdb.a"), "a.x,a.y");
  assertEquals(await chosen("--table", "cnosdb.*.x"), "a.x,b.x");
  assertEquals(await chosen("--exclude", "cnosdb.a", "--exclude", "cnosdb.b.y"), "b.x");
  assertEquals(await chosen("--tenant", "other"), "");
});

Deno.test("what an import brought is removed from a stage on a common disk", async () => {
  await using pair = await Pair.start();
  const stage = `${pair.directory}/stage`;
  const ran = await pair.script(["--all", "--stage", `file://${stage}`]);
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals(pair.differences(), []);
  assertEquals([...Deno.readDirSync(stage)].map(({ name }) => name), []);
});

Deno.test("expired rows are imported under a raised TTL, which is set back as it was", async () => {
  for (const version of ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const) {
    const old = { ttl: "30d", startMs: Date.now() - 40 * 86_400_000, tables: { a: 20, b: 20 } };
    await using pair = await Pair.start({ version, databases: { db: old } });
    const before = await ttlOf(pair.young, "db");
    // On 2.3 itself the rows would be dropped in time; the stand-in keeps them.
    const ran = await pair.copy();
    assertEquals(ran.results.map(({ status, error }) => error ?? status), ["equal", "equal"], version);
    assertEquals(pair.differences(), [], version);
    assertEquals(await ttlOf(pair.young, "db"), before, version);
  }
});

Deno.test("--expired skip leaves out what the target would refuse, and compares without it", async () => {
  const startMs = Date.now() - 40 * 86_400_000;
  await using pair = await Pair.start({
    databases: { db: { ttl: "30d", startMs, stepMs: 86_400_000, tables: { a: 40 } } },
  });
  const ran = await pair.copy({ expired: "skip" });
  assertEquals(ran.results[0]?.status, "equal", ran.results[0]?.error);
  assertEquals(ran.results[0]?.copied?.rows, 29);
  assertEquals(pair.young.requests.some(({ body }) => body.startsWith("ALTER")), false);
});

Deno.test("--expired skip: where a database has no TTL to be read, its tables fail and the others are copied", async () => {
  await using pair = await Pair.start({
    databases: { db: { tables: { a: 4, b: 4 } }, ok: { tables: { c: 4 } } },
  });
  await sql(pair.young, `DROP DATABASE "db"`);
  const ran = await pair.copy({ expired: "skip" });
  assertEquals(ran.results.map(({ table, status }) => `${table} ${status}`).sort(), [
    ...["a failed", "b failed", "c equal"],
  ]);
  assertMatch(ran.results.find(({ table }) => table === "a")!.error!, /knows no database cnosdb.db/);
});

Deno.test("a large table is compared and copied by windows, at every precision and before 1970", async () => {
  await using pair = await Pair.start({ databases: {} });
  for (const precision of ["ns", "us", "ms"]) {
    for (const cluster of [pair.old, pair.young]) {
      await sql(cluster, `CREATE DATABASE ${precision} WITH PRECISION '${precision}'`);
      await sql(cluster, `CREATE TABLE ${precision}.t (v DOUBLE, TAGS(station))`);
    }
    const unit = { ns: 1_000_000n, us: 1000n, ms: 1n }[precision] ?? 1n;
    const rows = Array.from({ length: 500 }, (_, i) => ({
      time: BigInt(i * 3_600_000 - 10 * 3_600_000) * unit,
      station: "x",
      v: i,
    }));
    pair.old.rows.set(rowsKey("cnosdb", precision, "t"), rows);
  }
  for (const verify of ["count", "full"] as const) {
    pair.young.rows.clear();
    const ledger = `${pair.directory}/${verify}`;
    const ran = await pair.copy({ verify, rowsPerWindow: 100, intoExisting: true }, { ledger });
    assertEquals(
      ran.results.map(({ status, copied }) => [status, copied?.rows]),
      Array(3).fill(["equal", 500]),
    );
    assert(ran.results.every(({ copied }) => copied!.windows >= 5), JSON.stringify(ran.results));
    assertEquals(pair.differences(), []);
  }
});

Deno.test("only windows that differ are copied: late rows, rows that are gone, and with --verify full other values", async () => {
  const tables = { air: 5000 };
  await using pair = await Pair.start({
    databases: { db: { tables, startMs: Date.now() - 6_000_000, stepMs: 1000 } },
  });
  const plan = { rowsPerWindow: 500, verify: "full" as const };
  assertEquals((await pair.copy(plan)).results[0]?.copied?.rows, 5000);
  const young = pair.rows("young", "db", "air");
  young.splice(700, 1);
  young[3210] = { ...young[3210]!, v: 1e9 };
  const ran = await pair.copy(plan, { ledger: `${pair.directory}/other` });
  assertEquals([ran.results[0]?.status, ran.results[0]?.copied?.windows], ["equal", 2]);
  assert(ran.results[0]!.copied!.rows <= 1000);
  assertEquals(pair.differences(), []);
});

Deno.test("dense stretches are cut finer, whatever lies far away", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 3000 }, stepMs: 1000 } } });
  pair.old.rows.get(rowsKey("cnosdb", "db", "air"))!.push(row(1, 86_400_000), row(1, -86_400_000));
  const ran = await pair.copy({ rowsPerWindow: 300 });
  assertEquals([ran.results[0]?.status, pair.differences()], ["equal", []], ran.results[0]?.error);
  const rows = copies(pair.old.requests).length;
  assert(rows >= 9, `${rows} exports of 3002 rows in windows of 300`);
});

Deno.test("a large table of which the target has some rows before 1970 already is gone on with", async () => {
  const databases = { db: { tables: { air: 500 }, startMs: -300_000, stepMs: 1000 } };
  await using pair = await Pair.start({ databases });
  pair.young.rows.set(rowsKey("cnosdb", "db", "air"), pair.rows("old", "db", "air").slice(50, 120));
  const ran = await pair.copy({ rowsPerWindow: 100 });
  assertEquals([ran.results[0]?.status, pair.differences()], ["equal", []], ran.results[0]?.error);
});

Deno.test("--since and --until bound what is compared and copied", async () => {
  const startMs = Date.parse("2026-11-01T00:00:00Z");
  await using pair = await Pair.start({
    databases: { db: { startMs, stepMs: 3_600_000, tables: { air: 100 } } },
  });
  const bounds = ["--since", "2026-11-02", "--until", "2026-11-03T00:00:00Z"];
  const ran = await pair.script(["--all", ...bounds]);
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals([ran.results[0].source.rows, pair.rows("young", "db", "air").length], [24, 24]);
  const whole = await pair.script(["--all"]);
  assertEquals([whole.code, whole.results[0].copied.rows, pair.differences()], [0, 100, []], whole.stderr);
});

Deno.test("16 small tables take two statements a side to compare, and four a table at most in all", async () => {
  for (const verify of ["count", "full"] as const) {
    const tables = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`t${i}`, 10]));
    await using pair = await Pair.start({ databases: { db: { tables } } });
    const ran = await pair.copy({ verify });
    assertEquals([ran.results.length, pair.differences()], [16, []]);
    const statements = [...pair.old.requests, ...pair.young.requests].filter(({ body }) =>
      body !== ""
    ).length;
    assert(statements <= 16 * 4, `${statements} statements`);
    const again = await pair.copy({ verify }, { ledger: `${pair.directory}/other` });
    assertEquals(again.totals.statuses.get("equal"), 16);
    const more = [...pair.old.requests, ...pair.young.requests].filter(({ body }) => body !== "").length -
      statements;
    assert(more <= (verify === "full" ? 6 : 4), `${more} statements where all is equal`);
  }
});

// ---- halves ----

Deno.test("the halves run by themselves, the output of the first being the input of the second", async () => {
  for (const verify of ["count", "full"]) {
    await using pair = await Pair.start({
      databases: { db: { tables: { air: 10, empty: 0 } }, o: { tables: { t: 30 } } },
    });
    const how = ["--stage", `file://${pair.directory}/a`, "--verify", verify];
    const old = ["--from", pair.old.sqlUrl, "--only", "export", "--all", "--ledger", "export.sqlite"];
    const first = await pair.script([...old, ...how], { urls: false });
    assertEquals(first.code, 0, first.stderr);
    assertEquals(first.results.map(({ status }) => status), ["exported", "exported", "exported"]);
    await Deno.rename(`${pair.directory}/a`, `${pair.directory}/b`);
    const young = ["--to", pair.young.sqlUrl, "--only", "import", "--ledger", "import.sqlite"];
    const second = await pair.script(
      [...young, "--stage", `file://${pair.directory}/b`, "--verify", verify],
      {
        urls: false,
        stdin: first.stdout,
      },
    );
    assertEquals(second.code, 0, second.stderr);
    assertEquals(second.results.map(({ status }) => status), ["equal", "equal", "equal"]);
    assertEquals(pair.differences(), []);
    assertEquals(
      [...Deno.readDirSync(`${pair.directory}/b`)].length,
      0,
      "what was imported and verified is removed",
    );
  }
});

Deno.test("an export half that is run again prints every table again, so that its file can be overwritten", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, bad: 5 } } } });
  const how = [
    "--stage",
    `file://${pair.directory}/a`,
    "--only",
    "export",
    "--all",
    "--ledger",
    "export.sqlite",
  ];
  pair.old.fault = ({ body }) => /^COPY.*"bad"/.test(body) ? refuse("no") : undefined;
  const first = await pair.script(how);
  assertEquals([first.code, first.results.length], [1, 2], first.stderr);
  pair.old.fault = undefined;
  const again = await pair.script(how);
  assertEquals(
    [again.code, again.results.map(({ earlier }) => earlier)],
    [0, [true, undefined]],
    again.stderr,
  );
  const young = ["--only", "import", "--ledger", "import.sqlite", "--stage", `file://${pair.directory}/a`];
  const second = await pair.script(young, { stdin: again.stdout });
  assertEquals([second.code, pair.differences()], [0, []], second.stderr);
});

Deno.test("what the first half could not export is refused by the second, and not forgotten", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, bad: 5 } } } });
  const stage = ["--stage", `file://${pair.directory}/a`];
  pair.old.fault = ({ body }) => /^COPY.*"bad"/.test(body) ? refuse("no") : undefined;
  const first = await pair.script(["--only", "export", "--all", "--ledger", "export.sqlite", ...stage]);
  const young = ["--only", "import", "--ledger", "import.sqlite", ...stage];
  const second = await pair.script(young, { stdin: first.stdout });
  assertEquals(second.code, 1, second.stderr);
  assertEquals(second.results.map(({ table, status }) => [table, status]).sort(), [["air", "equal"], [
    "bad",
    "refused",
  ]]);
});

Deno.test("an import half takes digests that it was not asked to compare, and refuses to do without those that it was", async () => {
  for (const [exported, imported, status] of [["full", "count", "equal"], ["count", "full", "refused"]]) {
    await using pair = await Pair.start();
    const stage = ["--stage", `file://${pair.directory}/a`];
    const half = (only: string, verify: string, ...args: string[]) => [
      ...["--only", only, "--verify", verify, "--ledger", `${only}.sqlite`],
      ...stage,
      ...args,
    ];
    const first = await pair.script(half("export", exported!, "--all"));
    const second = await pair.script(half("import", imported!), { stdin: first.stdout });
    assertEquals(second.results.map((one) => one.status), [status], second.stderr);
  }
});

Deno.test("an import half proves what was exported beside rows that writers put into the target meanwhile", async () => {
  const startMs = Date.parse("2026-11-01T00:00:00Z");
  await using pair = await Pair.start({ databases: { db: { startMs, tables: { air: 20, empty: 0 } } } });
  const stage = ["--stage", `file://${pair.directory}/a`, "--verify", "full"];
  const first = await pair.script(["--only", "export", "--all", "--ledger", "export.sqlite", ...stage]);
  const others = [row(1, startMs - 1000), row(2, startMs + 86_400_000)];
  for (const table of ["air", "empty"]) pair.young.put("cnosdb", "db", table, others);
  const half = ["--only", "import", "--into-existing", "--ledger", "import.sqlite", ...stage];
  const second = await pair.script(half, { stdin: first.stdout });
  assertEquals(second.results.map(({ status }) => status), ["equal", "equal"], second.stderr);
  assertEquals(["air", "empty"].map((table) => pair.rows("young", "db", table).length), [22, 2]);
});

Deno.test("each half says what it would do under --dry-run, and does nothing", async () => {
  await using pair = await Pair.start();
  const stage = ["--stage", `file://${pair.directory}/a`];
  const half = (
    only: string,
    ...args: string[]
  ) => ["--only", only, "--ledger", `${only}.sqlite`, ...stage, ...args];
  const statuses = (ran: { results: { status: string; windows?: { source: { rows: number } }[] }[] }) =>
    ran.results.map(({ status, windows }) => [status, windows?.[0]?.source.rows]);
  assertEquals(statuses(await pair.script(half("export", "--all", "--dry-run"))), [["differs", 10]]);
  const { stdout } = await pair.script(half("export", "--all"));
  const dryRun = async () => statuses(await pair.script(half("import", "--dry-run"), { stdin: stdout }));
  assertEquals([await dryRun(), copies(pair.young.requests)], [[["differs", 10]], []]);
  await pair.script(half("import"), { stdin: stdout });
  assertEquals(await dryRun(), [["equal", undefined]]);
});

Deno.test("an import half refuses a table whose columns are not those that were exported", async () => {
  await using pair = await Pair.start();
  const stage = ["--stage", `file://${pair.directory}/a`];
  const first = await pair.script(["--only", "export", "--all", "--ledger", "export.sqlite", ...stage]);
  await sql(pair.young, "DROP TABLE db.air");
  await sql(pair.young, "CREATE TABLE db.air (v DOUBLE, n BIGINT, b BOOLEAN, s STRING, TAGS(station))");
  const half = ["--only", "import", "--ledger", "import.sqlite", ...stage];
  const { results } = await pair.script(half, { stdin: first.stdout });
  assertEquals([results[0].status, pair.rows("young", "db", "air")], ["refused", []]);
  assertMatch(results[0].error, /its columns differ: column "u" is on the source only/);
});

Deno.test("an import half finds a value that is not what was exported, and a directory outside of the stage is refused", async () => {
  await using pair = await Pair.start();
  const stage = ["--stage", `file://${pair.directory}/a`, "--verify", "full"];
  const first = await pair.script(["--only", "export", "--all", "--ledger", "export.sqlite", ...stage]);
  const young = ["--only", "import", "--ledger", "import.sqlite", ...stage];
  const second = await pair.script(young, { stdin: first.stdout });
  assertEquals(second.code, 0, second.stderr);
  pair.rows("young", "db", "air")[4]!.v = 9e9;
  // The directory is gone, so that the difference cannot be mended.
  const third = await pair.script([...young, "--ledger", "third.sqlite"].toSpliced(2, 2), {
    stdin: first.stdout,
  });
  assertEquals(third.code, 1, third.stdout);
  await Deno.mkdir(`${pair.directory}/victim`);
  const outside = first.stdout.replace(/"directory":"[^"]*"/, '"directory":"../victim"');
  const fourth = await pair.script([...young.toSpliced(2, 2), "--ledger", "4.sqlite"], { stdin: outside });
  assertEquals([fourth.code, fourth.results[0].status], [1, "refused"], fourth.stderr);
  assert((await Deno.stat(`${pair.directory}/victim`)).isDirectory);
});

Deno.test("an export half keeps what agrees with its source, and leaves nothing of what was written over meanwhile", async () => {
  await using pair = await Pair.start();
  const stage = `${pair.directory}/a`;
  const half = (ledger: string) =>
    pair.script(["--only", "export", "--all", "--ledger", ledger, "--stage", `file://${stage}`]);
  let writes = 1000;
  pair.old.fault = ({ body }) => {
    if (body.includes('"air"')) {
      pair.rows("old", "db", "air").push(row(200 + writes, Date.now() + writes++));
    }
    return undefined;
  };
  const busy = await half("busy.sqlite");
  assertEquals([busy.code, busy.results[0].status], [1, "source-changed"], busy.stderr);
  assertEquals([...Deno.readDirSync(stage)].map(({ name }) => name), []);
  let left = 1;
  pair.old.fault = (request) => {
    if (copies([request]).length && left-- > 0) pair.rows("old", "db", "air").push(row(5000, Date.now()));
    return undefined;
  };
  const once = await half("once.sqlite");
  assertEquals([once.code, once.results[0].status], [0, "exported"], once.stderr);
  assertEquals(once.results[0].windows[0].source.rows, pair.rows("old", "db", "air").length);
  assertEquals([...Deno.readDirSync(stage)].map(({ name }) => name), [once.results[0].windows[0].directory]);
});

Deno.test("--verify none takes as many rows in as went out for done, and says that nothing was compared", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, empty: 0 } } } });
  const { results } = await pair.copy({ verify: "none" });
  const air = results.find(({ table }) => table === "air")!;
  assertEquals([air.status, air.verify, air.source?.rows, air.target, air.windows], [
    ...["imported", "none", 10],
    ...[undefined, undefined],
  ]);
  assertEquals(results.find(({ table }) => table === "empty")?.status, "equal");
  const profiles = pair.young.requests.filter(({ body }) => body.includes("count(time)")).length;
  assertEquals([profiles, pair.differences()], [1, []]);
  pair.young.rows.clear();
  pair.young.fault = ({ body }) =>
    body.startsWith('COPY INTO "') ? { kind: "answer", status: 200, body: '[{"rows":9}]' } : undefined;
  const lost = await pair.copy({ verify: "none" }, { ledger: `${pair.directory}/other` });
  assertMatch(
    lost.results.find(({ table }) => table === "air")!.error!,
    /9 rows were imported of 10 that had been exported/,
  );
});

// ---- comparing ----

Deno.test("a value where the source has null outlives every import, and it is said how it goes", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 5 } } } });
  const row = pair.rows("old", "db", "air")[2]!;
  pair.young.rows.set(rowsKey("cnosdb", "db", "air"), [{ ...row, s: "" }]);
  row.s = null;
  const { results: [result] } = await pair.copy({ verify: "full" });
  assertEquals([result!.status, result!.windows![0]!.columns], ["differs", ["s"]]);
  assertMatch(result!.hint!, /null does not overwrite/);
});

Deno.test("--verify full finds a value that differs, and names the column", async () => {
  await using pair = await Pair.start();
  await pair.copy({ verify: "full" });
  const compare = (...args: string[]) => pair.script(["--all", ...args], { name: "compare_tables" });
  const equal = await compare("--verify", "full");
  assertEquals([equal.code, equal.results[0].status], [0, "equal"], equal.stderr);
  const rows = pair.rows("young", "db", "air");
  const values = { v: 9e9, n: 1n, u: 77n, b: null, s: "other" };
  for (const [column, value] of Object.entries(values)) {
    const before = rows[4]![column]!;
    rows[4]![column] = value;
    const ran = await compare("--verify", "full");
    assertEquals([ran.code, ran.results[0].status], [3, "differs"], column);
    assertEquals(ran.results[0].windows[0].columns, [column]);
    rows[4]![column] = before;
  }
  [rows[4]!.s, rows[5]!.s] = [rows[5]!.s!, rows[4]!.s!];
  assertEquals((await compare("--verify", "full")).code, 3, "values are bound to their rows");
  assertEquals((await compare()).code, 0, "count cannot see that");
  assertEquals(copies(pair.young.requests).length, 1, "nothing was copied");
});

Deno.test("a table differs also if the server cannot say in which columns", async () => {
  await using pair = await Pair.start();
  await pair.copy({ verify: "full" });
  pair.rows("young", "db", "air")[4]!.v = 9e9;
  // a digest for each of five columns
  pair.young.fault = ({ body }) => body.includes("'4' AS t") ? refuse("no") : undefined;
  const { results: [result] } = await pair.copy({ task: "compare", verify: "full" }, {
    ledger: `${pair.directory}/o`,
  });
  assertEquals([result?.status, result?.windows?.length, result?.windows?.[0]?.columns], [
    "differs",
    1,
    undefined,
  ]);
});

Deno.test("equal values that cancel each other in a sum or an XOR are told apart", async () => {
  await using pair = await Pair.start({ databases: {} });
  for (const cluster of [pair.old, pair.young]) {
    await sql(cluster, "CREATE DATABASE db");
    await sql(cluster, "CREATE TABLE db.t (n BIGINT, TAGS(k))");
    const n = cluster === pair.old ? 5n : 6n;
    const rows = Array.from({ length: 1000 }, (_, i) => ({ time: BigInt(i), k: "x", n }));
    cluster.rows.set(rowsKey("cnosdb", "db", "t"), rows);
  }
  const ran = await pair.script(["--all", "--verify", "full"], { name: "compare_tables" });
  assertEquals([ran.code, ran.results[0].windows[0].columns], [3, ["n"]]);
});

Deno.test("compare_tables changes nothing, tells each difference, and tries again what passes", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { same: 0, more: 5, gone: 1 } } } });
  await sql(pair.young, "DROP TABLE db.gone");
  pair.young.requests.length = 0;
  let failures = 3;
  pair.young.fault = ({ body }) =>
    body.includes("count(time)") && failures-- > 0
      ? refuse("Valid node is not enough, need: 1, but found: 0", "030053")
      : undefined;
  const ran = await pair.script(["--all"], { name: "compare_tables" });
  assertEquals(ran.code, 1);
  const status = Object.fromEntries(ran.results.map(({ table, status }) => [table, status]));
  assertEquals(status, { same: "equal", more: "differs", gone: "refused" });
  assertMatch(
    ran.stderr,
    /cnosdb\.db\.more: differs: all its time: 5 rows from .* on the source, no rows on the target/,
  );
  assertEquals(pair.young.requests.some(({ body }) => !/^(SELECT|$)/.test(body)), false);
});

Deno.test("--dry-run says which windows would be copied, and changes nothing", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, empty: 0 } } } });
  const ran = await pair.script(["--dry-run", "--all"]);
  const windows = ran.results.map(({ table, status, windows }) => [table, status, windows?.[0].source.rows]);
  assertEquals(windows.sort(), [["air", "differs", 10], ["empty", "equal", undefined]]);
  assertEquals(
    [...pair.old.requests, ...pair.young.requests].some(({ body }) => !/^(SELECT|$)/.test(body)),
    false,
  );
  assertEquals([...Deno.readDirSync(pair.directory)].length, 0, "no ledger either");
});

Deno.test("--dry-run names all windows of a large table", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 300 }, stepMs: 1000 } } });
  const { results: [result] } = await pair.copy({ task: "plan", rowsPerWindow: 2 });
  const rows = result!.windows!.map(({ source }) => source!.rows);
  assertEquals([rows.length > 100, Math.sumPrecise(rows)], [true, 300]);
});

// ---- a second run ----

Deno.test("a second run prints every table again and copies nothing; --status tells how it is", async () => {
  await using pair = await Pair.start();
  assertEquals((await pair.script(["--all"])).code, 0);
  const before = copies(pair.young.requests).length;
  const second = await pair.script([], { stdin: list("db/air") });
  assertEquals([second.code, second.results.map(({ earlier, status }) => [earlier, status])], [0, [[
    true,
    "equal",
  ]]]);
  assertEquals(copies(pair.young.requests).length, before);
  const status = await pair.script(["--status"], { urls: false });
  assertEquals(status.code, 0, status.stderr);
  assertMatch(status.stdout, /100 % of 10 rows, 1\/1 tables/);
  const json = JSON.parse((await pair.script(["--status", "--json"], { urls: false })).stdout);
  assertEquals([json.tables, json.byStatus, json.rowsCopied], [1, { equal: 1 }, 10]);
});

Deno.test("a ledger is not believed where the target is empty now", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, b: 3, empty: 0 } } } });
  assertEquals((await pair.script(["--all"])).code, 0);
  pair.young.rows.delete(rowsKey("cnosdb", "db", "air"));
  const second = await pair.script(["--all"]);
  assertEquals([second.code, pair.differences()], [0, []], second.stderr);
  const earlier = Object.fromEntries(second.results.map(({ table, earlier }) => [table, earlier ?? false]));
  assertEquals(earlier, { air: false, b: true, empty: true });
});

Deno.test("a ledger is not believed for another target, --since and --until given or not", async () => {
  for (const range of [{}, { from: "2020-01-01T00:00:00", to: "2100-01-01T00:00:00" }]) {
    await using pair = await Pair.start();
    await using other = await Pair.start();
    assertEquals((await pair.copy({ range })).results[0]?.status, "equal");
    const key = rowsKey("cnosdb", "db", "air");
    other.young.rows.set(key, pair.rows("old", "db", "air").slice(0, 3));
    const tables = [{ tenant: "cnosdb", database: "db", table: "air" }];
    const { results: [result] } = await copyTables(
      { ...pair.place, to: other.young.sqlUrl },
      { range },
      { tables },
    );
    assertEquals([result?.earlier, result?.status, other.young.rows.get(key)?.length], [
      undefined,
      "equal",
      10,
    ]);
  }
});

Deno.test("what was proven beside other rows is not believed where they count", async () => {
  const startMs = Date.parse("2026-11-01T00:00:00Z");
  await using pair = await Pair.start({ databases: { db: { startMs, tables: { air: 20 } } } });
  pair.young.rows.set(rowsKey("cnosdb", "db", "air"), [row(1, startMs - 1000)]);
  const beside = await pair.copy({ intoExisting: true });
  const whole = await pair.copy();
  assertEquals([beside, whole].map(({ results }) => results.map(({ status }) => status)), [["equal"], [
    "refused",
  ]]);
});

Deno.test("what was exported into one stage is exported into another one as well", async () => {
  await using pair = await Pair.start();
  const half = async (stage: string) =>
    await pair.script(["--only", "export", "--all", "--stage", `file://${pair.directory}/${stage}`]);
  for (const stage of ["a", "b"]) {
    const ran = await half(stage);
    assertEquals([ran.code, ran.results[0].earlier], [0, undefined], ran.stderr);
    assertStringIncludes(ran.stderr, "copy_tables: 1 directory left in");
    assertEquals([...Deno.readDirSync(`${pair.directory}/${stage}`)].map(({ name }) => name), [
      ran.results[0].windows[0].directory,
    ]);
  }
  assertEquals((await half("a")).results[0].earlier, true);
});

Deno.test("a table that failed is tried again by the next run, the others are not", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { good: 5, bad: 5 } } } });
  await sql(pair.young, "DROP TABLE db.bad");
  const first = await pair.script(["--all"]);
  assertEquals(first.code, 1);
  const columns = "(v DOUBLE, n BIGINT, u BIGINT UNSIGNED, b BOOLEAN, s STRING, TAGS(station))";
  await sql(pair.young, `CREATE TABLE db.bad ${columns}`);
  const second = await pair.script(["--all"]);
  assertEquals(second.code, 0, second.stderr);
  const earlier = Object.fromEntries(second.results.map(({ table, earlier }) => [table, earlier ?? false]));
  assertEquals([earlier, pair.differences()], [{ good: true, bad: false }, []]);
});

Deno.test("the line of a table that could not be compared says nothing of its rows", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10 }, stepMs: 1000 } } });
  pair.old.fault = ({ body }) => body.includes("date_bin") ? refuse("no") : undefined;
  const { results: [result] } = await pair.copy({ rowsPerWindow: 3 });
  assertEquals([result?.status, result?.source, result?.target], ["failed", undefined, undefined]);
});

Deno.test("a reader that goes away ends the run with 1, and what it did not read is not lost", async () => {
  const tables = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`t${i}`, 2]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  const { child } = pair.start(["--all"]);
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  const errors = new Response(child.stderr).text();
  assertEquals((await child.status).code, 1, await errors);
  const again = await pair.script(["--all"]);
  assertEquals([again.code, again.results.length, pair.differences()], [0, 40, []], again.stderr);
});

// ---- what it refuses ----

Deno.test("without tables it says --all, and touches nothing, whatever a ledger holds", async () => {
  await using pair = await Pair.start();
  for (const stdin of ["", "\n"]) {
    const ran = await pair.script([], { stdin });
    assertEquals(ran.code, 2);
    assertStringIncludes(ran.stderr, "--all");
  }
  assertEquals([...Deno.readDirSync(pair.directory)].length, 0);
  assertEquals((await pair.script(["--all"])).code, 0);
  pair.young.rows.clear();
  assertEquals((await pair.script([], { stdin: "" })).code, 2);
  assertEquals(pair.young.rows.size, 0);
});

Deno.test("input that did not end well copies nothing", async () => {
  await using pair = await Pair.start();
  const dump = await dumpOf(pair.old.store);
  const inputs = {
    "no end mark": dump.replace(/# end .*\n/, ""),
    "cut in the middle of line": dump.slice(0, -40),
    "line 2": `${list("db/air")}{"tenant":"cnosdb"}\n`,
    "no newline": list("db/air").trim(),
    "has no end": `{"run":{}}\n${list("db/air")}`,
  };
  for (const [told, stdin] of Object.entries(inputs)) {
    const ran = await pair.script([], { stdin });
    assertEquals(ran.code, 1, told);
    assertStringIncludes(ran.stderr, told);
  }
  assertEquals(copies(pair.old.requests), []);
});

Deno.test("a command line that cannot be carried out is refused with a hint", async () => {
  await using pair = await Pair.start();
  const cases: [string[], string][] = [
    [["--stage", "/mnt/x"], "is no stage"],
    [["--stage", "file:///mnt/my stage"], "only letters, digits"],
    [["--stage", "s3://b/d", "--connection", "acces_key_id=x"], "did you mean access_key_id?"],
    [["--connection", "region=x"], "need a --stage"],
    [["--serve-address", "nowhere"], "expected HOST:PORT"],
    [["--only", "export"], "needs a --stage"],
    [["--only", "import", "--stage", "file:///a", "--until", "2026-11-02"], "takes all that was exported"],
    [["--since", "yesterday"], "expected a time"],
    [["--until", "9999-12-31"], "expected a time"],
    [["--since", "2026-11-02", "--until", "2026-11-01"], "not after --since"],
    [["--ahead", "much"], "expected a size"],
    [["--verify", "some"], "expected one of count, full, none"],
    [["--jobs", "0"], "expected a whole number"],
    [["--exports", "3"], "unknown flag --exports"],
    [["air"], "no file"],
  ];
  for (const [args, told] of cases) {
    const ran = await pair.script([...args, "--all"]);
    assertEquals(ran.code, 2, `${args.join(" ")}: ${ran.stderr}`);
    assertStringIncludes(ran.stderr, told);
  }
  const none = await pair.script(["--all"], { urls: false });
  assertEquals(none.code, 2);
  assertStringIncludes(none.stderr, "--from is missing");
});

Deno.test("servers that are not what they should be are refused", async () => {
  await using pair = await Pair.start();
  const [old, young] = [pair.old.sqlUrl, pair.young.sqlUrl];
  const port = new URL(young).port;
  const cases: [string, string, number, RegExp][] = [
    [young, old, 1, /the target, .*, is CnosDB 2\.3\.5; expected 2\.4/],
    [young, young, 2, /same cluster/],
    [young, `http://localhost:${port}`, 2, /same cluster/],
    [old, "127.0.0.1:1", 1, /127\.0\.0\.1:1.*cannot connect/],
    [pair.old.metaUrl, young, 1, /data node \(8902/],
    [`${old},${young}`, young, 2, /nodes of different clusters/],
  ];
  for (const [from, to, code, told] of cases) {
    const ran = await pair.script(["--from", from, "--to", to, "--all"], { urls: false });
    assertEquals(ran.code, code, ran.stderr);
    assertMatch(ran.stderr, told);
  }
});

Deno.test("two data nodes of one cluster are no source and target, and three of one are one side", async () => {
  await using pair = await Pair.start({ young: { dataNodes: 3 } });
  const [first = "", second = "", third = ""] = pair.young.sqlUrls;
  const same = await pair.script(["--from", first, "--to", second, "--all"], { urls: false });
  assertEquals(same.code, 2, same.stderr);
  assertStringIncludes(same.stderr, "same cluster");
  const args = [
    "--from",
    pair.old.sqlUrl,
    "--to",
    `${first},${second}`,
    "--to",
    third,
    "--all",
    "--verify",
    "full",
  ];
  const ran = await pair.script(args, { urls: false });
  assertEquals([ran.code, pair.differences()], [0, []], ran.stderr);
});

Deno.test("several nodes of a 2.3 are taken as given where their databases may not be listed", async () => {
  await using pair = await Pair.start({ old: { dataNodes: 3 } });
  pair.old.fault = ({ body }) =>
    body.includes("information_schema.databases")
      ? refuse("Auth error: The member ops of tenant cnosdb not found", "010005")
      : undefined;
  const from = ["--from", pair.old.sqlUrls.join()];
  const ran = await pair.script([...from, "--to", pair.young.sqlUrl], {
    ...{ urls: false, stdin: list("db/air") },
  });
  assertEquals([ran.code, pair.differences()], [0, []], ran.stderr);
});

Deno.test("a run ends as its list does, also where another worker's table failed", async () => {
  const tables = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`t${i}`, 2]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  pair.young.fault = ({ body }) =>
    body.startsWith('COPY INTO "db"."t7"') ? refuse("Insufficient privileges") : undefined;
  const [one, other] = await Promise.all([pair.copy({ jobs: 1 }), pair.copy({ jobs: 1 })]);
  for (const { totals, results } of [one, other]) {
    assertEquals([results.length, totals.statuses.get("equal"), totals.statuses.get("failed")], [60, 59, 1]);
  }
});

Deno.test("a ledger that fails leaves the tables at work undone, and none is called failed", async () => {
  await using pair = await Pair.start({ databases: { a: { tables: { t: 1 } }, b: { tables: { t: 1 } } } });
  const broken = Promise.withResolvers<void>();
  pair.old.fault = ({ body }) =>
    /^COPY INTO .*"b"/.test(body) ? { kind: "delay", until: broken.promise } : undefined;
  const where = `${pair.directory}/ledger.sqlite`;
  pair.young.fault = ({ body }) => {
    if (!body.startsWith('COPY INTO "a"')) return undefined;
    using ledger = new DatabaseSync(where);
    ledger.exec("DROP TABLE cnosdb_migrate_ttl_3");
    return undefined;
  };
  const run = pair.copy({ jobs: 2 }, { ledger: where });
  await until(() => pair.rows("young", "a", "t").length === 1, "the other table");
  using ledger = new DatabaseSync(where);
  const ended = ledger.prepare("SELECT 1 FROM cnosdb_migrate_table_3 WHERE status = 'equal'");
  await until(() => ended.get() !== undefined, "its result, after which TTLs are looked up");
  setTimeout(() => broken.resolve(), 300);
  const { totals, results } = await run;
  assertMatch(String(totals.stopped), /ledger .*no such table/);
  assertEquals(results.map(({ database, status }) => `${database} ${status}`), ["a equal"]);
});

Deno.test("a cluster whose resources are exhausted is waited for, and named with what helps", async () => {
  await using pair = await Pair.start();
  let times = 3;
  pair.old.fault = ({ body }) =>
    body.includes("count(time)") && times-- > 0
      ? refuse("Datafusion: Resources exhausted: Failed to allocate")
      : undefined;
  const { said, results } = await pair.copy();
  assertEquals(results.map(({ status }) => status), ["equal"]);
  assertEquals(said.length, 1);
  assertStringIncludes(said[0]!, "a restart of it helps");
});

Deno.test("wrong credentials end the run, naming the side, and are never shown", async () => {
  await using pair = await Pair.start({ databases: {}, young: { auth: true } });
  const wrong = pair.young.sqlUrl.replace("//", "//root:s3cret@");
  const args = ["--from", pair.old.sqlUrl, "--to", wrong];
  const ran = await pair.script(args, { urls: false, stdin: list("db/air", "db/b") });
  assertEquals([ran.code, ran.results], [1, []]);
  assertMatch(ran.stderr, /the target, .*, refuses root: .*denied/);
  assertStringIncludes(ran.stderr, "CNOSDB_PASSWORD");
  assertEquals((ran.stdout + ran.stderr).includes("s3cret"), false);
});

Deno.test("a user that has to change its password first is told how", async () => {
  await using pair = await Pair.start();
  pair.young.fault = ({ body }) =>
    body ? refuse("Insufficient privileges, expected [change password]", "010004") : undefined;
  const ran = await pair.script(["--all"]);
  assertEquals(ran.code, 1);
  assertStringIncludes(ran.stderr, `ALTER USER "root" SET PASSWORD`);
});

Deno.test("a data node that takes no writes yet is waited for, and said once", async () => {
  const tables = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`t${i}`, 2]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  let failures = 30;
  pair.young.fault = ({ body }) =>
    body.startsWith('COPY INTO "') && failures-- > 0
      ? refuse("Valid node is not enough, need: 1, but found: 0", "050001")
      : undefined;
  const ran = await pair.copy();
  assertEquals([ran.totals.statuses.get("equal"), pair.differences()], [20, []]);
  assertEquals(ran.said.filter((text) => text.includes("Valid node")).length, 1, ran.said.join("\n"));
});

Deno.test("a data node of several that is down meanwhile is waited for, and what to do is said", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 3 } } } });
  let failures = 2;
  pair.young.fault = ({ body }) =>
    body.startsWith('COPY INTO "') && failures-- > 0
      ? refuse("Valid node is not enough, need: 2, but found: 1", "030053")
      : undefined;
  const ran = await pair.copy();
  assertEquals([ran.totals.statuses.get("equal"), pair.differences()], [1, []]);
  assertStringIncludes(ran.said[0]!, "start the data node that is down");
});

Deno.test("the same refusal of many tables is told once, with their number", async () => {
  const tables = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`t${i}`, 2]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  pair.young.fault = ({ body }) =>
    body.startsWith('COPY INTO "')
      ? refuse("Insufficient privileges, expected [write]", "010004")
      : undefined;
  const ran = await pair.copy();
  assertEquals(ran.totals.statuses.get("failed"), 20);
  assertEquals(ran.said.length, 2, ran.said.join("\n"));
  assertStringIncludes(ran.said[1]!, "20 tables in all");
});

Deno.test("raft groups that have no leader yet are waited for, and a table fails only after the patience is over", async () => {
  const answers = [
    ["The Operation Can only Exec in Leader, leader is None", "050026"],
    [
      "grpc client request error: Write to Raft Node Wrong (write to replica: 51, id: 53, failed: has to forward request to: None, None)",
      "050019",
    ],
    ['pre-execution failed: status: Unknown, message: "request timed out"', "050016"],
    ["request timed out", "050001"],
  ] as const;
  await using pair = await Pair.start({ databases: { db: { tables: { a: 5, b: 5 } } } });
  let asked = 0;
  pair.young.fault = ({ body }) => {
    const [message, code] = answers[asked % answers.length]!;
    return body.startsWith('COPY INTO "') && asked++ < 12 ? refuse(message, code) : undefined;
  };
  const ran = await pair.copy();
  assertEquals([ran.totals.statuses.get("equal"), pair.differences()], [2, []], ran.said.join("\n"));
  pair.young.rows.clear();
  pair.young.fault = ({ body }) =>
    body.startsWith('COPY INTO "') ? refuse("request timed out", "050001") : undefined;
  const impatient = await pair.copy({}, { patienceMs: 50, ledger: `${pair.directory}/other` });
  assertEquals(impatient.totals.statuses.get("failed"), 2);
  assertMatch(impatient.results[0]!.error!, /^tried for .*request timed out/);
  let profiles = 0;
  pair.young.fault = ({ body }) =>
    body.includes("count(time)") && ++profiles ? refuse("request timed out", "050001") : undefined;
  const blind = await pair.copy({}, { patienceMs: 50, ledger: `${pair.directory}/blind` });
  assertEquals(blind.totals.statuses.get("failed"), 2);
  assert(profiles < 12, `the patience is over once for both: ${profiles} profiles`);
});

Deno.test("a cluster that cannot reach the served stage is named before the first table", async () => {
  await using pair = await Pair.start();
  pair.young.fault = ({ body }) =>
    body.startsWith("COPY INTO 's3://")
      ? refuse("object store error: Generic S3 error: error trying to connect: tcp connect error", "010047")
      : undefined;
  const startMs = performance.now();
  const ran = await pair.script(["--all", "--serve-address", "127.0.0.1:0"], {
    env: { CNOSDB_RETRY_FOR: "1s" },
  });
  assert(performance.now() - startMs < 20_000, "no longer than CNOSDB_RETRY_FOR");
  assertEquals([ran.code, ran.results], [1, []]);
  assertMatch(
    ran.stderr,
    /the target, .* cannot write to the stage that this script serves at http:\/\/127\.0\.0\.1:\d+/,
  );
  assertStringIncludes(ran.stderr, "--serve-address HOST:PORT");
});

Deno.test("a stage that a server cannot write to is refused before the first table", async () => {
  await using pair = await Pair.start();
  const ran = await pair.script(["--all", "--stage", "file:///proc/nowhere"]);
  assertEquals([ran.code, ran.results], [1, []]);
  assertMatch(
    ran.stderr,
    /the source, .*, cannot write to the stage file:\/\/\/proc\/nowhere.*Unable to create/,
  );
});

Deno.test("a target that does not see the source's files ends the run at the first table", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { a: 5, b: 5, c: 5 } } } });
  const stage = ["--stage", `file://${pair.directory}/a`, "--import-stage", `file://${pair.directory}/b`];
  const ran = await pair.script(["--all", "--jobs", "1", ...stage]);
  assertEquals([ran.code, ran.results], [1, []]);
  assertMatch(ran.stderr, /the target does not see what the source wrote/);
  assertMatch(ran.stderr, /3 of 3 tables are not done/);
});

Deno.test("a table that is missing, different, of another kind or not empty is refused alone, with its reason", async () => {
  const tables = { good: 5, missing: 5, typed: 5, wider: 5, full: 5, gone: 5 };
  await using pair = await Pair.start({ databases: { db: { tables } } });
  await sql(pair.young, "DROP TABLE db.missing");
  await sql(pair.old, "DROP TABLE db.gone");
  for (const [table, columns] of [["typed", "v STRING"], ["wider", "v DOUBLE, extra DOUBLE"]]) {
    await sql(pair.young, `DROP TABLE db.${table}`);
    const rest = "n BIGINT, u BIGINT UNSIGNED, b BOOLEAN, s STRING, TAGS(station)";
    await sql(pair.young, `CREATE TABLE db.${table} (${columns}, ${rest})`);
  }
  const old = pair.rows("old", "db", "full");
  pair.young.rows.set(rowsKey("cnosdb", "db", "full"), [
    ...old,
    row(9, Number(old[2]!.time as bigint / 1_000_000n)),
  ]);
  const stdin = list(...Object.keys(tables).map((table) => `db/${table}`));
  const ran = await pair.script([], { stdin });
  assertEquals(ran.code, 1);
  const errors = Object.fromEntries(ran.results.map(({ table, error }) => [table, error ?? "none"]));
  assertEquals(errors.good, "none");
  assertMatch(errors.missing, /cnosdb.db.missing is not on the target/);
  assertMatch(errors.gone, /cnosdb.db.gone is not on the source/);
  assertMatch(errors.typed, /column "v" is FIELD DOUBLE on the source, FIELD STRING on the target/);
  assertMatch(errors.wider, /column "extra" is on the target only/);
  assertMatch(errors.full, /the target has more rows than the source/);
  assertEquals(new Set(ran.results.map(({ status }) => status)), new Set(["equal", "refused"]));
  const again = await pair.script(["--into-existing"], { stdin });
  // The row that was there is one too many.
  assertMatch(again.results.find(({ table }) => table === "full").error, /: 5 rows .* 6 rows/);
});

Deno.test("beside other rows of the target what the source holds is copied and proven", async () => {
  const startMs = Date.parse("2026-11-01T00:00:00Z");
  await using pair = await Pair.start({ databases: { db: { startMs, tables: { air: 20 } } } });
  const others = [row(1, startMs - 1000), row(2, startMs + 86_400_000)];
  pair.young.rows.set(rowsKey("cnosdb", "db", "air"), [...others]);
  const ran = await pair.script(["--all", "--into-existing", "--verify", "full"]);
  assertEquals([ran.code, pair.rows("young", "db", "air").length], [0, 22], ran.stderr);
});

Deno.test("beside other rows of the target the last row arrives at every precision, and what comes right after it is left alone", async () => {
  await using pair = await Pair.start({ databases: {} });
  const perSecond = { ms: 1000n, us: 1_000_000n, ns: 1_000_000_000n };
  for (const [precision, unit] of Object.entries(perSecond)) {
    for (const cluster of [pair.old, pair.young]) {
      await sql(cluster, `CREATE DATABASE ${precision} WITH PRECISION '${precision}'`);
      await sql(cluster, `CREATE TABLE ${precision}.t (v DOUBLE, TAGS(station))`);
    }
    const last = unit * 1_790_000_000n;
    const at = (time: bigint) => ({ time, station: "x", v: 1 });
    pair.old.rows.set(rowsKey("cnosdb", precision, "t"), [at(last - unit), at(last)]);
    pair.young.rows.set(rowsKey("cnosdb", precision, "t"), [at(last + 1n)]);
  }
  const { results } = await pair.copy({ intoExisting: true });
  assertEquals(results.map(({ status, copied }) => [status, copied?.rows]), Array(3).fill(["equal", 2]));
  for (const precision of Object.keys(perSecond)) {
    assertEquals(pair.rows("young", precision, "t").length, 3, precision);
  }
});

Deno.test("among more rows of others what the source holds arrives too, though it cannot be proven", async () => {
  const startMs = Date.parse("2026-11-01T00:00:00Z");
  await using pair = await Pair.start({ databases: { db: { startMs, tables: { air: 20 } } } });
  const others = Array.from(
    { length: 50 },
    (_, i) => ({ ...row(i, startMs + i % 20), station: `other ${i}` }),
  );
  pair.young.rows.set(rowsKey("cnosdb", "db", "air"), [...others]);
  const { results } = await pair.copy({ intoExisting: true });
  assertEquals(
    [results[0]?.status, results[0]?.copied?.rows, pair.rows("young", "db", "air").length],
    ["differs", 20, 70],
  );
});

// ---- writers and workers ----

Deno.test("rows that the target shows with a delay are waited for", async () => {
  await using pair = await Pair.start();
  let hidden: unknown[] = [];
  pair.young.fault = ({ body }) => {
    const rows = pair.rows("young", "db", "air");
    if (!body.startsWith("SELECT '0'") || rows.length < 10 && !hidden.length) return undefined;
    if (!hidden.length) hidden = rows.splice(5);
    else rows.push(...hidden as typeof rows);
    return undefined;
  };
  const ran = await pair.copy();
  assertEquals(
    [ran.results[0]?.status, ran.results[0]?.copied?.windows],
    ["equal", 1],
    ran.results[0]?.error,
  );
});

Deno.test("a table that is written to meanwhile ends equal, or is told as changed while it goes on", async () => {
  await using pair = await Pair.start();
  const rows = pair.old.rows.get(rowsKey("cnosdb", "db", "air"))!;
  let writes = 2;
  pair.old.fault = ({ body }) => {
    if (body.startsWith("COPY INTO") && writes-- > 0) rows.push(row(100 + writes, Date.now() + writes));
    return undefined;
  };
  const ran = await pair.copy();
  assertEquals([ran.results[0]?.status, pair.differences()], ["equal", []], ran.results[0]?.error);
  writes = 1000;
  pair.young.rows.clear();
  pair.old.fault = ({ body }) => {
    if (body !== "") rows.push(row(200 + writes, Date.now() + writes++));
    return undefined;
  };
  const busy = await pair.copy({}, { ledger: `${pair.directory}/other` });
  assertEquals(busy.results[0]?.status, "source-changed", JSON.stringify(busy.results));
  assertMatch(busy.results[0]!.error!, /\d+ rows from .* before, \d+ rows from .* now/);
});

Deno.test("a worker takes a database for each of its jobs, and leaves the others to who comes later", async () => {
  const nine = Array.from({ length: 9 }, (_, i) => [`d${i}`, { tables: { large: 10 } }] as const);
  await using pair = await Pair.start({ databases: Object.fromEntries(nine) });
  const both = Promise.withResolvers<void>();
  let imports = 0;
  pair.young.fault = ({ body }) => {
    if (!body.startsWith('COPY INTO "')) return undefined;
    imports++;
    return { kind: "delay", until: both.promise };
  };
  const first = pair.copy({ jobs: 4 });
  await until(() => imports === 4, "the first worker's imports");
  const second = pair.copy({ jobs: 4 });
  await until(() => imports === 8, "the second one's").finally(() => both.resolve());
  const own = (await Promise.all([first, second])).map(({ results }) =>
    results.filter(({ earlier }) => !earlier).length
  );
  assert(own.every((tables) => tables >= 4), own.join());
  assertEquals(pair.differences(), []);
});

Deno.test("a database that takes no rows for a while does not hold up the others", async () => {
  const one = { tables: { t: 3 } };
  await using pair = await Pair.start({ databases: { a: one, b: one, c: one } });
  const isDone = (database: string) => pair.rows("young", database, "t").length === 3;
  pair.young.fault = ({ body }) =>
    body.startsWith('COPY INTO "a"') && !(isDone("b") && isDone("c"))
      ? refuse("Valid node is not enough, need: 2, but found: 1", "030053")
      : undefined;
  const { results } = await pair.copy({ jobs: 1 }, { patienceMs: 8_000 });
  assertEquals(results.map(({ status }) => status), ["equal", "equal", "equal"]);
});

Deno.test("statements go to the data nodes that are up, and one that died is left out", async () => {
  const tables = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`t${i}`, 5]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  const dead = await Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${(dead.addr as Deno.NetAddr).port}`;
  dead.close();
  const to = ["--from", pair.old.sqlUrl, "--to", url, "--to", pair.young.sqlUrl];
  const ran = await pair.script([...to, "--all"], { urls: false });
  assertEquals([ran.code, pair.differences()], [0, []], ran.stderr);
});

/** Both clusters as a migration of a real dump leaves them. */
async function migrated(oldDump: string, accepted: string, version: Version): Promise<Pair> {
  const read = (path: string) => Deno.readTextFile(new URL(`../../../fixtures/${path}`, import.meta.url));
  const dump = await read(`dumps/${oldDump}.dump`);
  const pair = await Pair.start({ databases: {}, version, old: { dump, rows: seedRows(dump) } });
  for (const line of (await read(`accepted/${accepted}.dump`)).split("\n")) {
    const at = line.indexOf(": ");
    if (at > 0) pair.young.store.set(line.slice(0, at), line.slice(at + 2));
  }
  return pair;
}

Deno.test("all tables of the real dumps arrive in every version, verified column by column", async () => {
  for (const version of ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const) {
    await using pair = await migrated("2.3.5.4-cluster", version, version);
    const ran = await pair.script(["--all", "--verify", "full", "--jobs", "8"]);
    assertEquals(ran.code, 0, ran.stderr);
    assertEquals(ran.results.filter(({ status }) => status === "equal").length, 18, version);
    assertEquals(pair.differences(), [], version);
  }
});

Deno.test("stream and external tables are never copied, also where a list names them", async () => {
  await using pair = await migrated("2.3.5.4-cluster", "2.4.2", "2.4.2");
  const ran = await pair.script([], { stdin: list("public/air_stream", "public/ext_csv") });
  assertEquals(ran.code, 1);
  const told = /stream or an external table|is not on the/;
  assertEquals(ran.results.map(({ error }) => told.test(error)), [true, true], ran.stdout);
  const all = await pair.script(["--all", "--dry-run"]);
  assertEquals(all.results.filter(({ status }) => status === "definition").map(({ table }) => table).sort(), [
    "air_stream",
    "ext_csv",
  ]);
  assertEquals(pair.old.queries.size, 0);
});
