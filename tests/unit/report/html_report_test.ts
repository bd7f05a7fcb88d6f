/** The page of --html: what it holds, when it is written, and what is not in it. */
import { HtmlReport, readDifference, type ReportEvent } from "../../../lib/report/html_report.ts";
import { page } from "../../../lib/report/html_page.ts";
import { columnDifferences, digestDifferences, tellSummary } from "../../../lib/copy/table.ts";
import { Pair, sql, until } from "../copy/copying.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../helpers/deps.ts";
import type { RecordedRequest } from "../../standin/standin.ts";

const isImport = ({ body }: RecordedRequest) => body.startsWith('COPY INTO "');

/** What a page holds. */
// deno-lint-ignore no-explicit-any
function dataOf(text: string): any {
  const [, json = ""] = /<script type="application\/json" id="data">([^<]*)<\/script>/.exec(text) ?? [];
  return JSON.parse(json);
}

async function readPage(pair: Pair, name = "page.html") {
  const text = await Deno.readTextFile(`${pair.directory}/${name}`);
  const leftovers = [...Deno.readDirSync(pair.directory)].filter((file) => file.name.endsWith(".partial"));
  assertEquals(leftovers, []);
  return { text, data: dataOf(text) };
}

const run = {
  ...{ from: "http://old:8902", to: "http://new:8902", fromVersion: "2.3.5", toVersion: "2.4.2" },
  ...{ stage: "served", options: {}, tool: "copy_tables 0", secrets: [] },
};

/** A report that is not asked to write anything but this. */
async function written(fill: (report: HtmlReport) => void, settings: Partial<typeof run> = {}) {
  const path = await Deno.makeTempFile({ suffix: ".html" });
  try {
    const report = await HtmlReport.open(path, { ...run, ...settings });
    fill(report);
    await report.write(0, undefined);
    const text = await Deno.readTextFile(path);
    return { text, data: dataOf(text) };
  } finally {
    await Deno.remove(path);
  }
}

// ---- when it is written ----

Deno.test("a copy that went well leaves a page with every table, its rows, its statements and the exit status", async () => {
  const databases = { db: { tables: { air: 100, empty: 0, "<!--<script>": 3 } }, 气象: { tables: { t: 5 } } };
  await using pair = await Pair.start({ databases });
  const ran = await pair.script(["--all", "--verify", "full", "--jobs", "2", "--html", "page.html"]);
  assertEquals(ran.code, 0, ran.stderr);
  assertStringIncludes(ran.stderr, "what was carried over is in page.html");
  const { data } = await readPage(pair);
  assertEquals(data.counts, { verified: 4 });
  assertEquals([data.run.exit, data.run.error], [0, ""]);
  assertEquals([data.run.from, data.run.to], [pair.old.sqlUrl, pair.young.sqlUrl]);
  assertEquals([data.run.fromVersion, data.run.toVersion], ["2.3.5", "2.4.2"]);
  assert(data.run.bytes > 0);
  assertEquals(data.databases.map((d: Record<string, unknown>) => [d.name, d.tables, d.rows]).sort(), [
    ["cnosdb.db", 3, 103],
    ["cnosdb.气象", 1, 5],
  ]);
  const air = data.tables.find((t: unknown[]) => t[2] === "air");
  assertEquals(air.slice(3, 6), ["verified", 100, 100]);
  assertEquals(air[6], air[7]);
  // Never more than two at once, and each table compared, exported, imported and verified; the empty one is not imported.
  assertEquals(data.slots, 2);
  const kinds = data.segments.filter((_: number, i: number) =>
    i % 5 === 2 && data.segments[i - 1] === air[0]
  );
  assertEquals([...new Set(kinds)].sort(), [0, 1, 2, 3]);
  assertEquals((await Deno.stat(`${pair.directory}/page.html`)).mode! & 0o777, 0o600);
});

Deno.test("a run that has nothing left to do writes the page of what the ledger holds", async () => {
  await using pair = await Pair.start();
  await pair.script(["--all"]);
  const ran = await pair.script(["--all", "--html", "page.html"]);
  assertEquals(ran.code, 0, ran.stderr);
  const { data } = await readPage(pair);
  assertEquals([data.counts, data.segments], [{ verified: 1 }, []]);
  assertEquals(data.tables[0][3], "verified");
});

Deno.test("a page is written where tables fail, in place of the last one; the exit status stays", async () => {
  const databases = { db: { tables: { air: 10, gone: 3, other: 4, narrow: 2 } } };
  await using pair = await Pair.start({ databases });
  await Deno.writeTextFile(`${pair.directory}/page.html`, "an earlier page");
  await sql(pair.young, "DROP TABLE db.gone");
  await sql(pair.young, "DROP TABLE db.narrow");
  await sql(pair.young, "CREATE TABLE db.narrow (v STRING, TAGS(station))");
  pair.young.fault = (request) => {
    if (request.body.includes(`min(time) AS t0, max(time) AS t1 FROM "db"."other"`)) {
      pair.rows("young", "db", "other").splice(3);
    }
    return undefined;
  };
  const ran = await pair.script(["--all", "--html", "page.html"]);
  assertEquals(ran.code, 1, ran.stderr);
  const { data } = await readPage(pair);
  assertEquals([data.run.exit, data.counts], [1, { verified: 1, failed: 2, different: 1 }]);
  // deno-lint-ignore no-explicit-any
  const tables: any = Object.fromEntries(data.tables.map((t: any) => [t[2], { error: t[10], found: t[11] }]));
  assertMatch(tables.gone.error, /no such table on the new cluster/);
  assertEquals(tables.other.found[0], { what: "rows", old: "4", young: "3" });
  assertEquals(tables.other.found[1].what, "last time");
  const type = { column: "v", what: "type", old: "FIELD DOUBLE", young: "FIELD STRING" };
  assertEquals(tables.narrow.found.find((d: { column: string }) => d.column === "v"), type);
  const column = { column: "n", what: "column", old: "present", young: "missing" };
  assertEquals(tables.narrow.found.find((d: { column: string }) => d.column === "n"), column);
});

Deno.test("an interrupted run leaves a page that says what is left", async () => {
  const tables = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`t${i}`, 5]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  const gate = Promise.withResolvers<void>();
  let importing = false;
  pair.young.fault = (request) => {
    if (!isImport(request) || importing) return undefined;
    importing = true;
    return { kind: "delay", until: gate.promise };
  };
  const { child, done } = pair.start(["--all", "--jobs", "1", "--html", "page.html"]);
  await until(() => importing, "an import");
  child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 100));
  gate.resolve();
  assertEquals((await done).code, 130);
  const { data } = await readPage(pair);
  assertEquals(data.run.exit, 130);
  assertMatch(data.run.error, /interrupted/);
  assert(data.counts.left >= 9 && data.tables.length === 10);
});

Deno.test("what was tried again is in the page with its reason, and counted", async () => {
  await using pair = await Pair.start();
  let times = 2;
  pair.young.fault = (request) => isImport(request) && times-- > 0 ? { kind: "close" } : undefined;
  const ran = await pair.script(["--all", "--html", "page.html"]);
  assertEquals(ran.code, 0, ran.stderr);
  const { data } = await readPage(pair);
  assertEquals([data.run.retries, data.tables[0][8]], [2, 3]);
  const [[name, step, count, first, last, why]] = data.retries;
  assertEquals([name, step, count], ["cnosdb.db.air", "import", 2]);
  assert(first < last);
  assertStringIncludes(why, pair.young.sqlUrl);
  assertEquals(data.segments.filter((kind: number, i: number) => i % 5 === 2 && kind === 6).length, 2);
});

Deno.test("--only verify writes each difference with its column, and changes nothing", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, same: 2, gone: 1 } } } });
  await pair.copy();
  pair.rows("young", "db", "air")[4]!.v = 9e9;
  pair.rows("young", "db", "air")[5]!.s = "another";
  await sql(pair.young, "DROP TABLE db.gone");
  pair.young.requests.length = 0;
  const ran = await pair.script(["--all", "--only", "verify", "--verify", "full", "--html", "page.html"]);
  assertEquals(ran.code, 1, ran.stderr);
  const { data } = await readPage(pair);
  assertEquals([data.run.exit, data.run.stage, data.run.options.only], [1, "", "verify"]);
  assertEquals(data.counts, { verified: 1, different: 1, failed: 1 });
  // deno-lint-ignore no-explicit-any
  const [, , , , rowsOld, rowsNew, , , , , , found] = data.tables.find((t: any) => t[2] === "air");
  assertEquals([rowsOld, rowsNew], [10, 10]);
  assertEquals(found[0], { column: "s", what: "octets", old: "50", young: "52" });
  // deno-lint-ignore no-explicit-any
  assertEquals(found.find((d: any) => d.what === "max"), {
    ...{ column: "v", what: "max", old: "1.125", young: "9000000000" },
  });
  assertEquals(data.segments.length, 3 * 5);
  assertEquals(pair.young.requests.some(({ body }) => !/^(SELECT|$)/.test(body)), false);
});

Deno.test("a page that cannot be written is told before anything is copied", async () => {
  await using pair = await Pair.start();
  const ran = await pair.script(["--all", "--html", "no/such/directory/page.html"]);
  assertEquals(ran.code, 1);
  assertStringIncludes(ran.stderr, "no/such/directory/page.html: cannot be written");
  assertEquals(pair.old.requests.some(({ body }) => body.startsWith("COPY")), false);
});

Deno.test("what was not counted on the new cluster is not called verified", async () => {
  for (const [verify, status] of [["none", "imported"], ["count", "verified"]] as const) {
    await using pair = await Pair.start();
    await pair.script(["--all", "--verify", verify, "--html", "page.html"]);
    assertEquals((await readPage(pair)).data.counts, { [status]: 1 });
  }
  await using pair = await Pair.start();
  const stage = ["--stage", `file://${pair.directory}/stage`, "--only", "export"];
  const ran = await pair.script(["--all", ...stage, "--html", "page.html"]);
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals((await readPage(pair)).data.counts, { exported: 1 });
});

// ---- what is in it ----

Deno.test("no password and no key is in the page, not even where a server repeats it", async () => {
  await using pair = await Pair.start();
  const withUser = (url: string) => url.replace("://", "://root:hunter2hunter2@");
  const fault = { error_code: "010001", error_message: "no: 'hunter2hunter2' for s3cret-s3cret" };
  pair.old.fault = ({ body }) =>
    body.startsWith("COPY INTO 's3") && !body.includes("AS x")
      ? { kind: "answer", status: 422, body: JSON.stringify(fault) }
      : undefined;
  const connection = [
    "access_key_id=abcdefgh",
    "secret_key=s3cret-s3cret",
    "endpoint_url=http://127.0.0.1:1",
  ];
  pair.young.fault = ({ body }) =>
    body.includes("AS x") ? { kind: "answer", status: 200, body: '[{"rows":1}]' } : undefined;
  const probe = pair.old.fault;
  pair.old.fault = (request) =>
    request.body.includes("AS x") ? { kind: "answer", status: 200, body: '[{"rows":1}]' } : probe(request);
  const ran = await pair.script([
    ...["--from", withUser(pair.old.sqlUrl), "--to", withUser(pair.young.sqlUrl), "--all"],
    ...["--stage", "s3://bucket/dir", ...connection.flatMap((option) => ["--connection", option])],
    ...["--html", "page.html"],
  ], { urls: false });
  assertEquals(ran.code, 1, ran.stderr);
  const { text, data } = await readPage(pair);
  assertEquals(data.run.from, pair.old.sqlUrl);
  assertStringIncludes(data.tables[0][10], "no: '…' for …");
  for (const secret of ["hunter2", "s3cret", "abcdefgh"]) assertEquals(text.includes(secret), false, secret);
});

Deno.test("names cannot end the element that holds them", async () => {
  const hostile = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "'\"&amp;\u2028\ud800",
    "温度",
  ];
  const text = await page({ hostile });
  assertEquals(dataOf(text).hostile, hostile);
  assertEquals(text.match(/<\/script>/g)?.length, 2);
  assertEquals(text.includes("<!--"), false);
});

Deno.test("the page asks for nothing, and its policy lets only its own script and style run", async () => {
  const text = await page({ url: "http://old:8902" });
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(text)?.[1] ?? "";
  assertStringIncludes(policy, "default-src 'none'");
  for (const [tag, directive] of [["script", "script-src"], ["style", "style-src"]]) {
    const content = new RegExp(`<${tag}>([^]*)</${tag}>`).exec(text)?.[1] ?? "";
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content));
    assertStringIncludes(policy, `${directive} 'sha256-${new Uint8Array(digest).toBase64()}'`);
  }
  assertEquals(text.match(/\b(?:src|href)=|url\(|@import|import\(|fetch\(|XMLHttpRequest/g), null);
});

Deno.test("differences are read as lib/table.ts tells them, whatever a column is called", () => {
  const column = (name: string, type: string) => ({ name, kind: "FIELD", type });
  for (const name of ["v", "a is b", 'qu"o\\te', "a on the new", "湿度", "x; y", "n max is 1"]) {
    const types = columnDifferences([column(name, "DOUBLE")], [column(name, "STRING")]);
    assertEquals(types.flatMap(readDifference), [
      { column: name, what: "type", old: "FIELD DOUBLE", young: "FIELD STRING" },
    ]);
    assertEquals(columnDifferences([column(name, "DOUBLE")], []).flatMap(readDifference), [
      { column: name, what: "column", old: "present", young: "missing" },
    ]);
    assertEquals(columnDifferences([], [column(name, "DOUBLE")]).flatMap(readDifference), [
      { column: name, what: "column", old: "missing", young: "present" },
    ]);
    const digests = digestDifferences(new Map([[`${name} max`, "-1.5"]]), new Map([[`${name} max`, "none"]]));
    assertEquals(digests.flatMap(readDifference), [{
      column: name,
      what: "max",
      old: "-1.5",
      young: "none",
    }]);
  }
  const [old, young] = [{ rows: 2, min: "2026-01-01T00:00:00", max: "2026-01-02T00:00:00" }, { rows: 0 }];
  assertEquals(readDifference(`${tellSummary(old)} on the old cluster, ${tellSummary(young)} on the new`), [
    { what: "rows", old: "2", young: "0" },
    { what: "first time", old: "2026-01-01T00:00:00", young: "none" },
    { what: "last time", old: "2026-01-02T00:00:00", young: "none" },
  ]);
  assertEquals(readDifference("something else"), [{ what: "something else", old: "", young: "" }]);
});

Deno.test("a slot of the timeline holds one statement after another, and no more slots are used than run at once", async () => {
  const events: [ReportEvent["what"], number, ReportEvent["step"], number][] = [
    ["begin", 1, "export", 0],
    ["begin", 2, "export", 10],
    ["end", 1, "export", 20],
    ["begin", 1, "import", 30],
    ["begin", 3, "prepare", 40],
    ["end", 2, "export", 50],
    ["again", 2, "export", 51],
    ["begin", 2, "export", 60],
    ...([1, 2, 3] as const).map((id) =>
      ["end", id, (["", "import", "export", "prepare"] as const)[id] as ReportEvent["step"], 70] as [
        "end",
        number,
        ReportEvent["step"],
        number,
      ]
    ),
  ];
  const began = Date.now();
  const { data } = await written((report) => {
    for (const [what, id, step, ms] of events) {
      const table = { id, tenant: "t", database: "d", table: `${id}` };
      report.event({ what, table, step, atMs: began + ms, ...(what === "again" ? { note: "cut" } : {}) });
    }
  });
  const found = Array.from(
    { length: data.segments.length / 5 },
    (_, i) => data.segments.slice(5 * i, 5 * i + 5),
  );
  assertEquals(data.slots, 3);
  assertEquals(found.map(([slot, id, kind, , ms]) => [slot, id, kind, ms]), [
    [0, 1, 1, 20],
    [1, 2, 5, 40],
    [0, 1, 2, 40],
    [1, 2, 1, 10],
    [2, 3, 0, 30],
  ]);
  assertEquals(data.retries, [["t.d.2", "export", 1, began + 51, began + 51, "cut"]]);
});

Deno.test("of a million tables all are counted, and those listed that a browser can show", async () => {
  const { data } = await written((report) => {
    for (let id = 1; id <= 200_000; id++) {
      const name = { tenant: "t", database: `d${id % 3}`, table: `t${id}` };
      const status = id % 100_000 ? "verified" as const : "failed" as const;
      report.add({ id, ...name, status, rowsImported: 2, attempts: 1, seconds: 0.5, error: "" });
    }
  });
  assertEquals(data.counts, { verified: 199_998, failed: 2 });
  assertEquals(data.tables.length, 50_002);
  assertEquals(data.tables.slice(0, 3).map((t: unknown[]) => t[3]), ["failed", "failed", "verified"]);
  assertEquals(data.databases.reduce((sum: number, d: { rows: number }) => sum + d.rows, 0), 399_996);
});
