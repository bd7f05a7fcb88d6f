/** copy_tables: what it copies, what it refuses, and what it says. */
import { formatEndMark } from "../../../lib/dump/text.ts";
import { createHash } from "node:crypto";
import { assertEquals, assertMatch, assertStringIncludes } from "../../helpers/deps.ts";
import { Pair, row, sql, ttlOf } from "./copying.ts";
import { rowsKey, seedRows, type Version } from "../../standin/standin.ts";

const list = (...tables: string[]) =>
  tables.map((name) => {
    const [database, table] = name.split("/");
    return JSON.stringify({ tenant: "cnosdb", database, table }) + "\n";
  }).join("");

/** A dump of the old cluster with its end mark. */
function dumpOf(store: Map<string, string>): string {
  const lines = [...store].map(([key, value]) => `${key}: ${value}\n`).join("");
  return lines + formatEndMark(store.size, createHash("sha256").update(lines).digest("hex"));
}

// ---- what it copies ----

Deno.test("every row arrives through the stage that the script serves", async () => {
  const databases = { db: { tables: { air: 100, empty: 0 } }, other: { tables: { t: 5 } } };
  await using pair = await Pair.start({ databases });
  const ran = await pair.script(["--all"]);
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals(ran.results.map((r) => r.status), ["verified", "verified", "verified"]);
  assertEquals(pair.differences(), []);
  const air = ran.results.find(({ table }) => table === "air");
  assertEquals([air.rows_exported, air.rows_imported, air.attempts], [100, 100, 1]);
  assertEquals([air.source.rows, air.target], [100, air.source]);
  assertStringIncludes(ran.stderr, "3 tables copied, 105 rows");
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
  const ran = await pair.script([], { stdin: dumpOf(pair.old.store) });
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals(pair.differences(), []);
  const found = ran.results.map(({ table }) => table).sort();
  assertEquals(found, ["Mixed Case", "a.b c", "it's", 'quo"te', "select", "温度"]);
});

Deno.test("expired rows are imported under a raised TTL, which is set back as it was", async () => {
  for (const version of ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const) {
    const old = { ttl: "30d", startMs: Date.now() - 40 * 86_400_000, tables: { a: 20, b: 20 } };
    await using pair = await Pair.start({ version, databases: { db: old } });
    const before = await ttlOf(pair.young, "db");
    // On 2.3 itself the rows would be dropped in time; the stand-in keeps them.
    const ran = await pair.copy();
    assertEquals(ran.results.map(({ status, error }) => error ?? status), ["verified", "verified"], version);
    assertEquals(pair.differences(), [], version);
    assertEquals(await ttlOf(pair.young, "db"), before, version);
    assertEquals(ran.ttls, []);
    const alters = pair.young.requests.filter(({ body }) => body.startsWith("ALTER")).map(({ body }) => body);
    const formerly = /2\.4\.[01]/.test(version) ? "30d" : "2592000s";
    assertEquals(alters, [
      `ALTER DATABASE "db" SET TTL '100000d'`,
      `ALTER DATABASE "db" SET TTL '${formerly}'`,
    ]);
  }
});

Deno.test("--expired skip leaves out what the new cluster would refuse, and counts without it", async () => {
  const startMs = Date.now() - 40 * 86_400_000;
  await using pair = await Pair.start({
    databases: { db: { ttl: "30d", startMs, stepMs: 86_400_000, tables: { a: 40 } } },
  });
  const ran = await pair.copy({ expired: "skip" });
  assertEquals(ran.results[0]?.status, "verified", ran.results[0]?.error);
  assertEquals(ran.results[0]?.rows_imported, 29);
  assertEquals(pair.young.requests.some(({ body }) => body.startsWith("ALTER")), false);
});

Deno.test("--split copies in pieces that add up, at every precision and before 1970", async () => {
  await using pair = await Pair.start({ databases: {} });
  for (const precision of ["ns", "us", "ms"]) {
    for (const cluster of [pair.old, pair.young]) {
      await sql(cluster, `CREATE DATABASE ${precision} WITH PRECISION '${precision}'`);
      await sql(cluster, `CREATE TABLE ${precision}.t (v DOUBLE, TAGS(station))`);
    }
    const unit = { ns: 1_000_000n, us: 1000n, ms: 1n }[precision] ?? 1n;
    const rows = Array.from({ length: 50 }, (_, i) => ({
      time: BigInt(i * 3_600_000 - 10 * 3_600_000) * unit,
      station: "x",
      v: i,
    }));
    pair.old.rows.set(rowsKey("cnosdb", precision, "t"), rows);
  }
  const ran = await pair.copy({ splitSeconds: 86_400 });
  assertEquals(ran.results.map(({ status, rows_imported }) => [status, rows_imported]), [
    ["verified", 50],
    ["verified", 50],
    ["verified", 50],
  ]);
  assertEquals(pair.differences(), []);
  const pieces = pair.old.requests.filter(({ body }) =>
    body.startsWith("COPY INTO") && body.includes('"ms"."t"')
  );
  assertEquals(pieces.map(({ body }) => /WHERE .*?(?=\))/.exec(body)?.[0]), [
    "WHERE time < '1970-01-01T00:00:00'",
    "WHERE time >= '1970-01-01T00:00:00' AND time < '1970-01-02T00:00:00'",
    "WHERE time >= '1970-01-02T00:00:00'",
  ]);
});

Deno.test("a second pass with --since brings what was written in between", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10 } } } });
  assertEquals((await pair.script(["--all"])).code, 0);
  const since = new Date().toISOString();
  const rows = pair.old.rows.get(rowsKey("cnosdb", "db", "air"))!;
  for (let i = 0; i < 7; i++) rows.push(row(100 + i, Date.now() + 60_000 + i));
  const ran = await pair.script(["--all", "--since", since, "--ledger", "second.sqlite"]);
  assertEquals(ran.code, 0, ran.stderr);
  assertEquals(pair.differences(), []);
  assertEquals(ran.results[0].rows_imported, 7);
  assertStringIncludes(ran.stderr, "7 rows that were not there before");
});

Deno.test("the halves run by themselves, the output of the first being the input of the second", async () => {
  await using pair = await Pair.start({
    databases: { db: { tables: { air: 10, empty: 0 } }, o: { tables: { t: 30 } } },
  });
  const stage = ["--stage", `file://${pair.directory}/a`, "--split", "1d"];
  const old = ["--from", pair.old.sqlUrl, "--only", "export", "--all", "--ledger", "export.sqlite"];
  const first = await pair.script([...old, ...stage], { urls: false });
  assertEquals(first.code, 0, first.stderr);
  assertEquals(first.results.map(({ status }) => status), ["exported", "exported", "exported"]);
  await Deno.rename(`${pair.directory}/a`, `${pair.directory}/b`);
  const young = ["--to", pair.young.sqlUrl, "--only", "import", "--ledger", "import.sqlite"];
  const second = await pair.script([...young, ...stage, "--import-stage", `file://${pair.directory}/b`], {
    urls: false,
    stdin: first.stdout,
  });
  assertEquals(second.code, 0, second.stderr);
  assertEquals(second.results.map(({ status }) => status), ["verified", "verified", "verified"]);
  assertEquals(pair.differences(), []);
});

Deno.test("what the first half could not export is not forgotten by the second", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, bad: 5 } } } });
  const stage = ["--stage", `file://${pair.directory}/a`];
  pair.old.fault = ({ body }) =>
    /^COPY.*"bad"/.test(body) ? { kind: "answer", status: 422, body: '{"error_message":"no"}' } : undefined;
  const first = await pair.script(["--only", "export", "--all", "--ledger", "export.sqlite", ...stage]);
  assertEquals([first.code, first.results.length], [1, 2], first.stderr);
  const young = ["--only", "import", "--ledger", "import.sqlite", ...stage];
  const second = await pair.script(young, { stdin: first.stdout });
  assertEquals([second.code, second.results.map(({ table }) => table)], [1, ["air"]], second.stderr);
  assertStringIncludes(second.stderr, "1 tables of the list had not been exported");
});

Deno.test("--verify full finds a value that differs, and names the column", async () => {
  await using pair = await Pair.start();
  await pair.copy({ verify: "full" });
  assertEquals(pair.differences(), []);
  const compare = ["--all", "--only", "verify", "--verify", "full"];
  const equal = await pair.script(compare);
  assertEquals([equal.code, equal.results[0].status], [0, "equal"], equal.stderr);
  for (
    const [column, value] of [["v", 9e9], ["n", 1n], ["u", 77n], ["b", null], ["s", "other"], [
      "station",
      "z",
    ]] as const
  ) {
    const rows = pair.rows("young", "db", "air");
    const before = rows[4]![column]!;
    rows[4]![column] = value;
    const ran = await pair.script(compare);
    assertEquals(ran.code, 3, column);
    assertStringIncludes(ran.stderr, `cnosdb.db.air: ${column} `);
    rows[4]![column] = before;
  }
  assertEquals(
    pair.young.requests.some(({ body }) => /^(COPY|ALTER|INSERT)/.test(body) && body.includes("db2")),
    false,
  );
});

Deno.test("--only verify changes nothing and tells each difference", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { same: 0, more: 5, gone: 1 } } } });
  await sql(pair.young, `DROP TABLE db.gone`);
  pair.young.requests.length = 0;
  const ran = await pair.script(["--all", "--only", "verify"]);
  assertEquals(ran.code, 1);
  const status = Object.fromEntries(ran.results.map(({ table, status }) => [table, status]));
  assertEquals(status, { same: "equal", more: "different", gone: "failed" });
  assertMatch(ran.stderr, /cnosdb\.db\.more: 5 rows from .* on the old cluster, no rows on the new/);
  assertEquals(pair.young.requests.some(({ body }) => !/^(SELECT|$)/.test(body)), false);
});

Deno.test("--dry-run prints the SQL, sends none, and shows no key", async () => {
  await using pair = await Pair.start();
  const connection = ["--connection", "access_key_id=abc", "--connection", "secret_key=s3cret"];
  const stage = [
    "--stage",
    "s3://bucket/dir",
    "--connection",
    "endpoint_url=http://minio:9000",
    ...connection,
  ];
  const ran = await pair.script(["--dry-run", ...stage], { stdin: list("db/air") });
  assertEquals(ran.code, 0, ran.stderr);
  assertStringIncludes(
    ran.stdout,
    `' FROM "db"."air" CONNECTION = (…) FILE_FORMAT = (TYPE = 'PARQUET');`,
  );
  assertStringIncludes(ran.stdout, `COPY INTO "db"."air" FROM 's3://bucket/dir/cnosdb-db-air-1/'`);
  assertEquals(ran.stdout.includes("s3cret"), false);
  assertEquals([...pair.old.requests, ...pair.young.requests].length, 0);
});

// ---- a second run ----

Deno.test("a second run has nothing left to do; --status tells how it is", async () => {
  await using pair = await Pair.start();
  assertEquals((await pair.script(["--all"])).code, 0);
  const copies = pair.young.requests.filter(({ body }) => body.startsWith("COPY")).length;
  const second = await pair.script([], { stdin: list("db/air") });
  assertEquals([second.code, second.stdout], [0, ""], second.stderr);
  assertStringIncludes(second.stderr, "nothing is left to copy");
  // The ledger itself knows what is to be done.
  assertEquals((await pair.script([])).code, 0);
  assertEquals(pair.young.requests.filter(({ body }) => body.startsWith("COPY")).length, copies);
  const status = await pair.script(["--status"], { urls: false });
  assertEquals(status.code, 0, status.stderr);
  assertMatch(status.stdout, /cnosdb\.db\s+1\s+10 /);
});

Deno.test("a table that failed is tried again by the next run, the others are not", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { good: 5, bad: 5 } } } });
  await sql(pair.young, "DROP TABLE db.bad");
  const first = await pair.script(["--all"]);
  assertEquals(first.code, 1);
  await sql(
    pair.young,
    "CREATE TABLE db.bad (v DOUBLE, n BIGINT, u BIGINT UNSIGNED, b BOOLEAN, s STRING, TAGS(station))",
  );
  const second = await pair.script(["--all"]);
  assertEquals(second.code, 0, second.stderr);
  assertEquals(second.results.map(({ table, attempts }) => [table, attempts]), [["bad", 2]]);
  assertEquals(pair.differences(), []);
});

Deno.test("a ledger of another run is refused", async () => {
  await using pair = await Pair.start();
  assertEquals((await pair.script(["--all"])).code, 0);
  const ran = await pair.script(["--all", "--split", "1d"]);
  assertEquals(ran.code, 1);
  assertMatch(ran.stderr, /ledger .*split/);
});

// ---- what it refuses ----

Deno.test("without tables it says --all, and touches nothing", async () => {
  await using pair = await Pair.start();
  for (const stdin of [undefined, "", "\n"]) {
    const ran = await pair.script([], stdin === undefined ? {} : { stdin });
    assertEquals(ran.code, 2);
    assertStringIncludes(ran.stderr, "--all");
  }
  assertEquals([...Deno.readDirSync(pair.directory)].length, 0);
});

Deno.test("input that did not end well copies nothing", async () => {
  await using pair = await Pair.start();
  const dump = dumpOf(pair.old.store);
  const inputs = {
    "no end mark": dump.replace(/# end .*\n/, ""),
    "cut in the middle of line": dump.slice(0, -40),
    "promises": dump.replace(/^.*\n/, ""),
    "line 2": `${list("db/air")}{"tenant":"cnosdb"}\n`,
    "no newline": list("db/air").trim(),
    "expected": `${list("db/air")}db.air\n`,
  };
  for (const [told, stdin] of Object.entries(inputs)) {
    const ran = await pair.script([], { stdin });
    assertEquals(ran.code, 1, told);
    assertStringIncludes(ran.stderr, told);
  }
  assertEquals(pair.old.requests.filter(({ body }) => body !== ""), []);
});

Deno.test("a command line that cannot be carried out is refused with a hint", async () => {
  await using pair = await Pair.start();
  const cases: [string[], string][] = [
    [["--stage", "/mnt/x"], "is no stage"],
    [["--stage", "file:///mnt/my stage"], "only letters, digits"],
    [["--stage", "file://host/mnt"], "is no stage"],
    [["--stage", "ftp://host/mnt"], "is no stage"],
    [["--stage", "s3://b/d", "--connection", "acces_key_id=x"], "did you mean access_key_id?"],
    [["--stage", "file:///mnt", "--connection", "region=x"], "it takes none"],
    [["--connection", "region=x"], "needs a --stage"],
    [["--stage", "file:///mnt", "--serve-address", "h:1"], "not with --stage"],
    [["--serve-address", "nowhere"], "expected HOST:PORT"],
    [["--only", "export"], "needs a --stage"],
    [["--split", "soon"], "expected a duration"],
    [["--since", "yesterday"], "expected a time"],
    [["--ahead", "much"], "expected a size"],
    [["--verify", "some"], "expected one of count, full, none"],
    [["--jobs", "0"], "expected a whole number"],
    [["--exportjobs", "3"], "did you mean --export-jobs?"],
    [["air"], "unexpected argument"],
  ];
  for (const [args, told] of cases) {
    const ran = await pair.script([...args, "--all"]);
    assertEquals(ran.code, 2, args.join(" "));
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
    [young, old, 1, /the new cluster, .*, is CnosDB 2\.3\.5; expected 2\.4/],
    [young, young, 2, /same cluster/],
    [young, `http://localhost:${port}`, 2, /same cluster/],
    [old, "127.0.0.1:1", 1, /127\.0\.0\.1:1.*cannot connect/],
    [pair.old.metaUrl, young, 1, /data node \(8902/],
  ];
  for (const [from, to, code, told] of cases) {
    const ran = await pair.script(["--from", from, "--to", to, "--all"], { urls: false });
    assertEquals(ran.code, code, ran.stderr);
    assertMatch(ran.stderr, told);
  }
});

Deno.test("wrong credentials are refused, naming the side, and never shown", async () => {
  await using pair = await Pair.start({ databases: {}, young: { auth: true } });
  const wrong = pair.young.sqlUrl.replace("//", "//root:s3cret@");
  const args = ["--from", pair.old.sqlUrl, "--to", wrong];
  const ran = await pair.script(args, { urls: false, stdin: list("db/air") });
  assertEquals(ran.code, 1);
  assertMatch(ran.stderr, /the new cluster, .*, does not let root work in tenant cnosdb: .*denied/);
  assertStringIncludes(ran.stderr, "CNOSDB_PASSWORD");
  assertEquals(ran.stderr.includes("s3cret"), false);
  assertEquals(ran.results, []);
});

Deno.test("a user that has to change its password first is told how", async () => {
  await using pair = await Pair.start();
  pair.young.fault = ({ body }) =>
    body === "SELECT 1"
      ? {
        kind: "answer",
        status: 422,
        body: '{"error_code":"010004","error_message":"Insufficient privileges, expected [change password]"}',
      }
      : undefined;
  const ran = await pair.script(["--all"]);
  assertEquals(ran.code, 1);
  assertStringIncludes(ran.stderr, `ALTER USER "root" SET PASSWORD`);
});

Deno.test("a tenant that our user may not see is refused before anything moves", async () => {
  await using pair = await Pair.start();
  const table = JSON.stringify({ tenant: "secret", database: "db", table: "t" }) + "\n";
  const ran = await pair.script([], { stdin: list("db/air") + table });
  assertEquals(ran.code, 1);
  assertMatch(ran.stderr, /the (old|new) cluster, .* tenant secret/);
  assertEquals(pair.old.requests.some(({ body }) => body.startsWith("COPY")), false);
});

Deno.test("a cluster that cannot reach the served stage is named before the first table", async () => {
  await using pair = await Pair.start();
  pair.young.fault = ({ body }) =>
    body.startsWith("COPY INTO 's3://")
      ? {
        kind: "answer",
        status: 422,
        body:
          `{"error_code":"010047","error_message":"object store error: Generic S3 error: error trying to connect: tcp connect error: Connection refused (os error 111)"}`,
      }
      : undefined;
  const ran = await pair.script(["--all", "--serve-address", "127.0.0.1:0"]);
  assertEquals(ran.code, 1);
  assertMatch(
    ran.stderr,
    /the new cluster, .* cannot write to the stage that this script serves at http:\/\/127\.0\.0\.1:\d+/,
  );
  assertStringIncludes(ran.stderr, "--serve-address HOST:PORT");
  assertEquals(ran.results, []);
});

Deno.test("a stage that a server cannot write to is refused before the first table", async () => {
  await using pair = await Pair.start();
  const ran = await pair.script(["--all", "--stage", "file:///proc/nowhere"]);
  assertEquals(ran.code, 1);
  assertMatch(
    ran.stderr,
    /the old cluster, .*, cannot write to the stage file:\/\/\/proc\/nowhere.*Unable to create/,
  );
  assertEquals(ran.results, []);
});

Deno.test("a new cluster that does not see the old one's files ends the run at the first table", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { a: 5, b: 5, c: 5 } } } });
  const stage = ["--stage", `file://${pair.directory}/a`, "--import-stage", `file://${pair.directory}/b`];
  const ran = await pair.script(["--all", "--jobs", "1", ...stage]);
  assertEquals(ran.code, 1);
  assertMatch(ran.stderr, /the new cluster does not see what the old one wrote/);
  assertEquals(ran.results.length, 1);
});

Deno.test("a table that is missing, different, of another kind or not empty fails alone, with its reason", async () => {
  const tables = { good: 5, missing: 5, typed: 5, wider: 5, full: 5, gone: 5 };
  await using pair = await Pair.start({ databases: { db: { tables } } });
  await sql(pair.young, "DROP TABLE db.missing");
  await sql(pair.old, "DROP TABLE db.gone");
  for (const [table, columns] of [["typed", "v STRING"], ["wider", "v DOUBLE, extra DOUBLE"]]) {
    await sql(pair.young, `DROP TABLE db.${table}`);
    const rest = "n BIGINT, u BIGINT UNSIGNED, b BOOLEAN, s STRING, TAGS(station)";
    await sql(pair.young, `CREATE TABLE db.${table} (${columns}, ${rest})`);
  }
  pair.young.rows.set(rowsKey("cnosdb", "db", "full"), [row(1, Date.now())]);
  const stdin = list(...Object.keys(tables).map((table) => `db/${table}`));
  const ran = await pair.script([], { stdin });
  assertEquals(ran.code, 1);
  const errors = Object.fromEntries(ran.results.map(({ table, error }) => [table, error ?? "none"]));
  assertEquals(errors.good, "none");
  assertMatch(errors.missing, /no such table on the new cluster/);
  assertMatch(errors.gone, /no such table on the old cluster/);
  assertMatch(errors.typed, /column "v" is FIELD DOUBLE on the old cluster, FIELD STRING on the new/);
  assertMatch(errors.wider, /column "extra" is on the new cluster only/);
  assertMatch(errors.full, /1 rows on the new cluster that this ledger did not write/);
  assertEquals(pair.rows("young", "db", "full").length, 1);
  const again = await pair.script(["--into-existing"], { stdin });
  const full = again.results.find(({ table }) => table === "full");
  // The row that was there is one too many.
  assertMatch(full.error, /it differs: 5 rows .* 6 rows/);
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
    assertEquals(ran.results.length, 18, version);
    assertEquals(pair.differences(), [], version);
  }
});

Deno.test("stream and external tables are never copied, also where a list names them", async () => {
  await using pair = await migrated("2.3.5.4-cluster", "2.4.2", "2.4.2");
  const ran = await pair.script([], { stdin: list("public/air_stream", "public/ext_csv") });
  assertEquals(ran.code, 1);
  const told = /stream or an external table|no such table/;
  assertEquals(ran.results.map(({ error }) => told.test(error)), [true, true], ran.stdout);
  assertEquals(pair.old.queries.size, 0);
});
