/** The stand-in's SQL: what no recording has, as 2.3.5.4 and 2.4.2.1 answered when they were tried. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../helpers/deps.ts";
import { rowsKey, startStandIn } from "./standin.ts";
import type { Row } from "./rows.ts";

async function ask(url: string, body: string): Promise<unknown> {
  const headers = { authorization: `Basic ${btoa("root:")}`, accept: "application/json" };
  const response = await fetch(`${url}/api/v1/sql`, { method: "POST", headers, body });
  const text = await response.text();
  return text === "" ? [] : JSON.parse(text);
}

const TRIED: [sql: string, answer: Record<string, unknown>][] = [
  [
    `SELECT CAST(CAST('1e9' AS DOUBLE) AS STRING) a, CAST(CAST('9999999999.5' AS DOUBLE) AS STRING) b,
      CAST(CAST('1e10' AS DOUBLE) AS STRING) c, CAST(CAST('1e-6' AS DOUBLE) AS STRING) d,
      CAST(CAST('0.0000123' AS DOUBLE) AS STRING) e, CAST(CAST('12345678.5' AS DOUBLE) AS STRING) f`,
    { a: "1000000000.0", b: "9999999999.5", c: "1.0e10", d: "1.0e-6", e: "0.0000123", f: "12345678.5" },
  ],
  [
    `SELECT concat(true, 1, 1.5, NULL, 'x') a, concat_ws(',', 'a', NULL, 'b') b, strpos('abc','z') c,
      strpos('abc','') d, substr('abc',0,2) e, lpad('a',3,'xy') f, to_hex(-1) g, CAST(true AS STRING) h`,
    { a: "111.5x", b: "a,b", c: 0, d: 1, e: "a", f: "xya", g: "ffffffffffffffff", h: "1" },
  ],
  [
    "SELECT 7/2 a, -7/2 b, 7 % -3 c, length('é中🎉') d, octet_length('é中🎉') e",
    { a: 3, b: -3, c: 1, d: 3, e: 9 },
  ],
  ["SELECT bit_xor(x) a FROM (SELECT 1 AS x UNION ALL SELECT 5 AS x) t", { a: 4 }],
  [
    `SELECT date_bin(INTERVAL '1 hour', TIMESTAMP '1969-12-31T23:00:00', TIMESTAMP '1970-01-01T00:00:00') AS a,
      date_bin(INTERVAL '1 hour', TIMESTAMP '1969-12-31T23:00:01', TIMESTAMP '1970-01-01T00:00:00') AS b`,
    { a: "1969-12-31T22:00:00", b: "1969-12-31T23:00:00" },
  ],
];

Deno.test("Expressions give what real servers gave", async () => {
  const standIn = await startStandIn({ version: "2.4.2" });
  try {
    for (const [sql, answer] of TRIED) assertEquals(await ask(standIn.sqlUrl, sql), [answer], sql);
  } finally {
    await standIn.close();
  }
});

Deno.test("A statement of more than 16 SELECTs kills the data node, one of 16 is answered", async () => {
  const standIn = await startStandIn({ version: "2.4.3" });
  const statement = (parts: number) =>
    Array.from({ length: parts }, (_, i) => `SELECT ${i} AS x`).join(" UNION ALL ");
  try {
    assertEquals((await ask(standIn.sqlUrl, statement(16)) as unknown[]).length, 16);
    await assertRejects(() => ask(standIn.sqlUrl, statement(17)));
    await assertRejects(() => ask(standIn.sqlUrl, "SELECT 1 AS x"));
    assertStringIncludes(standIn.crash!, "UNION of 17 parts");
    await standIn.restart();
    assertEquals(await ask(standIn.sqlUrl, "SELECT 1 AS x"), [{ x: 1 }]);
  } finally {
    await standIn.close();
  }
});

Deno.test("now() is the cluster's clock", async () => {
  const standIn = await startStandIn({ version: "2.3.5", nowMs: () => 1700000000250 });
  try {
    assertEquals(await ask(standIn.sqlUrl, "SELECT now() AS t"), [{ t: "2023-11-14T22:13:20.250" }]);
  } finally {
    await standIn.close();
  }
});

Deno.test("A digest of 100 000 rows takes less than five seconds", async () => {
  const rows = Array.from({ length: 100000 }, (_, i): Row => ({
    time: 1700000000000000000n + BigInt(i) * 1000000n,
    k: `a${i % 7}`,
    d: i / 8,
    s: `text ${i}`,
  }));
  const standIn = await startStandIn({
    version: "2.4.2",
    rows: new Map([[rowsKey("cnosdb", "public", "t"), rows]]),
  });
  const digest = (from: number) =>
    Array.from(
      { length: 8 },
      (_, i) => `(strpos('0123456789abcdef', substr(m, ${from + i}, 1))-1)*${16 ** (7 - i)}`,
    ).join("+");
  try {
    await ask(standIn.sqlUrl, "CREATE TABLE t (d DOUBLE, s STRING, TAGS(k))");
    const startMs = performance.now();
    const answer = await ask(
      standIn.sqlUrl,
      `SELECT count(time) AS n, bit_xor(${digest(1)}) AS h, bit_xor(${
        digest(9)
      }) AS l FROM (SELECT time, md5(concat(` +
        `coalesce(CAST("d" AS STRING),'~'), '|', coalesce("k",''), '|', CAST(octet_length("s") AS STRING), ':', "s", '|', ` +
        `CAST(CAST("time" AS BIGINT) AS STRING))) AS m FROM "public"."t") x`,
    ) as { n: number }[];
    assertEquals(answer[0]!.n, 100000);
    assert(performance.now() - startMs < 5000, `${performance.now() - startMs} ms`);
    if (Deno.env.has("STANDIN_TIMES")) console.log(performance.now() - startMs);
  } finally {
    await standIn.close();
  }
});
