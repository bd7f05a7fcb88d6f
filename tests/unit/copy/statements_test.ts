/** The SQL of a copy: what is asked, and what answers of real servers mean. */
import {
  binsSql,
  type Column,
  exportSql,
  importSql,
  inStatements,
  readBins,
  readColumns,
  readCopied,
  readSummaries,
  summariesSql,
} from "../../../lib/copy/statements.ts";
import { assertSameColumns } from "../../../lib/copy/compare.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../helpers/deps.ts";

const name = { tenant: "cnosdb", database: 'Weird "DB"', table: "a.b" };
const column = (name: string, kind: string, type: string): Column => ({ name, kind, type });
const columns = [
  column("k", "TAG", "STRING"),
  column("time", "TIME", "TIMESTAMP(NANOSECOND)"),
  column("v", "FIELD", "DOUBLE"),
];

Deno.test("sixteen tables of one tenant are asked in one statement, and no more", () => {
  const tables = Array.from({ length: 20 }, (_, i) => i % 10 ? "a" : "b");
  assertEquals(inStatements(tables, (tenant) => tenant).map(({ length }) => length), [2, 16, 2]);
  assertEquals(inStatements(tables, () => "", 8).map(({ length }) => length), [8, 8, 4]);
  const asks = Array.from({ length: 16 }, () => ({ name, window: {} }));
  assertEquals(summariesSql(asks).split(" UNION ALL ").length, 16);
  assertThrows(() => summariesSql([...asks, asks[0]!]), RangeError);
});

Deno.test("names are quoted and times bound a window from its first moment to before its last", () => {
  assertEquals(
    summariesSql([{ name, window: { from: "2023-11-14T00:00:00", to: "2023-11-15T00:00:00.5" } }]),
    `SELECT '0' AS t, count(time) AS n, min(time) AS t0, max(time) AS t1 FROM "Weird ""DB"""."a.b" ` +
      "WHERE time >= '2023-11-14T00:00:00' AND time < '2023-11-15T00:00:00.5'",
  );
  assertEquals(
    exportSql(name, { from: "2023-11-14T00:00:00" }, "s3://b/d", "CONNECTION = (x = 'y') "),
    `COPY INTO 's3://b/d' FROM (SELECT * FROM "Weird ""DB"""."a.b" WHERE time >= '2023-11-14T00:00:00') ` +
      "CONNECTION = (x = 'y') FILE_FORMAT = (TYPE = 'PARQUET')",
  );
  assertEquals(
    exportSql(name, {}, "s3://b/d", ""),
    `COPY INTO 's3://b/d' FROM "Weird ""DB"""."a.b" FILE_FORMAT = (TYPE = 'PARQUET')`,
  );
  assertMatch(importSql(name, "s3://b/d", ""), /FROM 's3:\/\/b\/d\/' FILE_FORMAT/);
});

Deno.test("a digest has every column in one row's text, strings with their length, null apart from all else", () => {
  const sql = summariesSql([{ name, window: {}, columns }]);
  assert(
    sql.includes(
      `md5(concat(coalesce(CAST(octet_length("k") AS STRING),'~'), ':', coalesce("k",''), '|', ` +
        `coalesce(CAST(CAST("time" AS BIGINT) AS STRING),'~'), '|', coalesce(CAST("v" AS STRING),'~'))) AS m`,
    ),
    sql,
  );
  // Two halves of 32 bits: a chance of 1 in 2^64, and numbers that JSON holds.
  assertEquals(sql.match(/substr\(m, \d+, 1\)/g)?.length, 16);
  assertMatch(
    binsSql({ name, window: {}, columns }, 3600),
    /date_bin\(INTERVAL '3600 seconds'.* x GROUP BY w ORDER BY w$/,
  );
});

Deno.test("answers come in any order, without what is null, and with times as we write them", () => {
  const asks = Array.from({ length: 3 }, () => ({ name, window: {} }));
  const rows = [
    { n: 0, t: "2" },
    { n: 5, t: "0", t0: "1969-12-31T23:00:00", t1: "2023-11-15T00:13:20.500" },
    { n: 1, t: "1", t0: "2023-11-15T00:13:20", t1: "2023-11-15T00:13:20" },
  ];
  assertEquals(readSummaries(rows, asks), [
    { rows: 5, first: "1969-12-31T23:00:00", last: "2023-11-15T00:13:20.5" },
    { rows: 1, first: "2023-11-15T00:13:20", last: "2023-11-15T00:13:20" },
    { rows: 0 },
  ]);
  const digested = [{ ...asks[0]!, columns }];
  assertEquals(readSummaries([{ ...rows[1], h: 1799361897, l: 72 }], digested), [
    { rows: 5, first: "1969-12-31T23:00:00", last: "2023-11-15T00:13:20.5", digest: "6b40156900000048" },
  ]);
  assertEquals(readSummaries([{ n: 0, t: "0" }], digested), [{ rows: 0 }]);
  for (const [row, asked] of [[{ n: 1, t: "0" }, asks], [{}, asks], [rows[1]!, digested]] as const) {
    assertThrows(() => readSummaries([row], asked), Error, "not what it was asked for");
  }
  const bins = [{ n: 4, t0: "2023-11-14T22:13:20", t1: "2023-11-14T23:13:20", w: "2023-11-14T00:00:00" }];
  assertEquals([...readBins(bins, asks[0]!)], [
    ["2023-11-14T00:00:00", { rows: 4, first: "2023-11-14T22:13:20", last: "2023-11-14T23:13:20" }],
  ]);
  assertEquals(readCopied([{ rows: 7 }]), 7);
  assertThrows(() => readCopied([{ query_id: "1" }]), Error, "not a number of rows");
});

Deno.test("columns come table by table in one order, and each difference is named", () => {
  const row = (table: string, name: string, type: string) => ({
    table_name: table,
    column_name: name,
    column_type: "FIELD",
    data_type: type,
  });
  const found = readColumns([row("a", "b", "DOUBLE"), row("a", "B", "DOUBLE"), row("z", "x", "STRING")]);
  assertEquals([...found].map(([table, columns]) => [table, columns.map(({ name }) => name)]), [["a", [
    "B",
    "b",
  ]], ["z", ["x"]]]);
  assertSameColumns(columns, columns);
  const other = [
    column("k", "FIELD", "STRING"),
    column("time", "TIME", "TIMESTAMP(NANOSECOND)"),
    column("w", "FIELD", "DOUBLE"),
  ];
  assertThrows(
    () => assertSameColumns(columns, other),
    Error,
    'its columns differ: column "k" is TAG STRING on the source, FIELD STRING on the target; ' +
      'column "v" is on the source only; column "w" is on the target only',
  );
});

Deno.test("whether tables have a row is asked without a scan", () => {
  assertEquals(
    summariesSql([{ name, window: {}, any: true }]),
    "SELECT '0' AS t, count(time) AS n, min(time) AS t0, max(time) AS t1 " +
      `FROM (SELECT time FROM "Weird ""DB"""."a.b" LIMIT 1) x`,
  );
});
