/** TTLs and times, as every version prints and takes them. */
import { assertEquals, assertThrows } from "../../helpers/deps.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import { cutSpan } from "../../../lib/copy/table.ts";
import { formatTime, parseDuration, parseTime } from "../../../lib/cnosdb/time.ts";
import { formatTtl, parseTtl } from "../../../lib/copy/ttl.ts";
import { startStandIn, VERSIONS } from "../../standin/standin.ts";
import { sql, ttlOf } from "./copying.ts";

Deno.test("parseTtl() reads what information_schema.databases prints on every version", () => {
  const printed: [string, number][] = [
    ["30 Days", 2_592_000],
    ["720 Hours", 2_592_000],
    ["90 Minutes", 5_400],
    ["INF", Infinity],
    ["30days", 2_592_000],
    ["1h 30m", 5_400],
    ["99years 11months 5days 9h 50m 24s", 36_500 * 86_400],
    ["1day", 86_400],
    ["1month", 2_630_016],
    ["1year", 31_557_600],
    ["0s", 0],
  ];
  for (const [text, seconds] of printed) assertEquals(parseTtl(text), seconds, text);
  for (const text of ["", "soon", "30", "5 fortnights", "-1d"]) assertThrows(() => parseTtl(text), Failure);
});

Deno.test("formatTtl() writes what ALTER DATABASE takes: one unit up to 2.4.1, seconds from 2.4.2", () => {
  for (const version of ["2.4.0", "2.4.1"]) {
    assertEquals(formatTtl(2_592_000, version), "30d");
    assertEquals(formatTtl(7_200, version), "2h");
    assertEquals(formatTtl(5_400, version), "90m");
    for (const seconds of [90, Infinity]) {
      assertThrows(() => formatTtl(seconds, version), Failure, "takes no TTL");
    }
  }
  for (const version of ["2.4.2", "2.4.3", "2.4.10"]) {
    assertEquals(formatTtl(2_592_000, version), "2592000s");
    assertEquals(formatTtl(Infinity, version), "INF");
  }
});

Deno.test("a TTL that is read, raised and set back reads as before on every version", async () => {
  for (const version of VERSIONS) {
    const cluster = await startStandIn({ version });
    for (const ttl of ["1d", "36h", "90m", "400d"]) {
      await sql(cluster, `CREATE DATABASE db WITH TTL '${ttl}'`);
      const before = await ttlOf(cluster, "db");
      await sql(cluster, `ALTER DATABASE db SET TTL '100000d'`);
      assertEquals(parseTtl(await ttlOf(cluster, "db")), 100_000 * 86_400);
      await sql(cluster, `ALTER DATABASE db SET TTL '${formatTtl(parseTtl(before), version)}'`);
      assertEquals(parseTtl(await ttlOf(cluster, "db")), parseTtl(before), `${version} ${ttl}`);
      await sql(cluster, "DROP DATABASE db");
    }
    await cluster.close();
  }
});

Deno.test("parseTime() and formatTime() keep every nanosecond, before 1970 too", () => {
  for (
    const text of [
      "2023-11-14T22:13:24.999014997",
      "1970-01-01T00:00:00",
      "1969-12-31T23:59:59.5",
      "1677-09-21T00:12:44",
    ]
  ) {
    assertEquals(formatTime(parseTime(text)!), text);
  }
  assertEquals(parseTime("2026-11-22"), parseTime("2026-11-22T00:00:00Z"));
  assertEquals(parseTime("2026-11-22 08:30"), parseTime("2026-11-22T08:30:00"));
  assertEquals(parseTime("2026-11-22T08:30:00+08:00"), parseTime("2026-11-22T00:30:00Z"));
  for (const text of ["", "yesterday", "2026-13-01", "22.11.2026"]) {
    assertEquals(parseTime(text), undefined, text);
  }
});

Deno.test("parseDuration() takes what operators write", () => {
  assertEquals(["1d", "12h", "90m", "1d12h", "2 weeks", "30 min"].map(parseDuration), [
    86_400,
    43_200,
    5_400,
    129_600,
    1_209_600,
    1_800,
  ]);
  for (const text of ["", "1", "d", "1x", "1.5d"]) assertEquals(parseDuration(text), undefined, text);
});

Deno.test("cutSpan() cuts at whole multiples and leaves no gap", () => {
  const source = { rows: 3, min: "2026-01-01T12:00:00", max: "2026-01-03T00:00:00" };
  assertEquals(cutSpan(source, 86_400), [
    { from: undefined, to: "2026-01-02T00:00:00" },
    { from: "2026-01-02T00:00:00", to: "2026-01-03T00:00:00" },
    { from: "2026-01-03T00:00:00", to: undefined },
  ]);
  assertEquals(cutSpan(source, 86_400, "2026-01-02T06:00:00"), [
    { from: "2026-01-02T06:00:00", to: "2026-01-03T00:00:00" },
    { from: "2026-01-03T00:00:00", to: undefined },
  ]);
  assertEquals(cutSpan(source, 86_400, "2027-01-01T00:00:00"), [{
    from: "2027-01-01T00:00:00",
    to: undefined,
  }]);
  assertEquals(cutSpan(source, 0).length, 1);
  assertEquals(cutSpan({ rows: 0 }, 86_400).length, 1);
  assertThrows(
    () => cutSpan({ ...source, min: "1970-01-01T00:00:00" }, 60),
    Failure,
    "would be 29456641 pieces",
  );
});
