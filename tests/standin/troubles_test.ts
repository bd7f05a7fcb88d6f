/** Three data nodes, what passes by itself inside a cluster, and a writer: that the stand-in does what tests ask of it. */
import { assert, assertEquals, assertRejects } from "../helpers/deps.ts";
import { type StandIn, type StandInOptions, startStandIn } from "./standin.ts";
import { EXHAUSTED, isWrite, TIMED_OUT } from "./troubles.ts";
import { startWriter } from "./writer.ts";

async function ask(url: string, body: string): Promise<string> {
  const headers = { authorization: `Basic ${btoa("root:")}`, accept: "application/json" };
  const response = await fetch(`${url}/api/v1/sql`, { method: "POST", headers, body });
  const text = await response.text();
  return response.ok ? text : JSON.parse(text).error_code;
}

async function using(options: StandInOptions, work: (standIn: StandIn) => Promise<void>): Promise<void> {
  const standIn = await startStandIn(options);
  try {
    await ask(standIn.sqlUrl, "CREATE TABLE t (v DOUBLE)");
    await work(standIn);
  } finally {
    await standIn.close();
  }
}
const insert = "INSERT INTO t (time, v) VALUES (1790000000000000000, 1)";
const count = "SELECT count(time) AS n, min(time) AS a FROM t";

Deno.test("Three data nodes serve one cluster, and each is stopped and started alone", async () => {
  await using({ version: "2.4.2", dataNodes: 3 }, async (standIn) => {
    const [first, second, third] = standIn.sqlUrls as [string, string, string];
    assertEquals(await ask(second, insert), '[{"rows":1}]');
    await standIn.stopNode(0);
    await assertRejects(() => ask(first, count));
    assertEquals(await ask(third, "SELECT count(v) AS n FROM t"), '[{"n":1}]');
    await standIn.startNode(0);
    assertEquals(await ask(first, "SELECT count(v) AS n FROM t"), '[{"n":1}]');
    assertEquals(await ask(first, "CREATE DATABASE three WITH REPLICA 3"), "");
  });
});

Deno.test("The first writes into a database find no leader", async () => {
  await using({ version: "2.4.2", dataNodes: 3, elections: 4 }, async (standIn) => {
    const codes: string[] = [];
    for (let i = 0; i < 5; i++) codes.push(await ask(standIn.sqlUrl, insert));
    assertEquals(codes, ["050026", "050016", "050027", "050019", '[{"rows":1}]']);
  });
});

Deno.test("A data node that has just started takes no writes until it has reported itself", async () => {
  for (const [version, code] of [["2.4.0", "050001"], ["2.4.2", "030053"]] as const) {
    await using({ version, unreported: 2 }, async (standIn) => {
      assertEquals([await ask(standIn.sqlUrl, insert), await ask(standIn.sqlUrl, insert)], [code, code]);
      assertEquals(await ask(standIn.sqlUrl, insert), '[{"rows":1}]');
    });
  }
});

Deno.test("Statements are refused before or after they are carried out, and rows show late", async () => {
  await using({ version: "2.4.1" }, async (standIn) => {
    standIn.troubles.fail({ times: 1, refusal: TIMED_OUT, when: isWrite, done: true });
    assertEquals(await ask(standIn.sqlUrl, insert), TIMED_OUT.code);
    assertEquals(await ask(standIn.sqlUrl, "SELECT count(v) AS n FROM t"), '[{"n":1}]');
    standIn.troubles.fail({ times: Infinity, refusal: EXHAUSTED });
    assertEquals(await ask(standIn.sqlUrl, "SHOW DATABASES"), EXHAUSTED.code);
    await standIn.restart();
    standIn.troubles.hide("cnosdb/public/t", 1, 1);
    assertEquals(await ask(standIn.sqlUrl, "SELECT count(v) AS n FROM t"), '[{"n":0}]');
    assertEquals(await ask(standIn.sqlUrl, "SELECT count(v) AS n FROM t"), '[{"n":1}]');
  });
  await using({ version: "2.4.0", late: { rows: 1, looks: 2 } }, async (standIn) => {
    await ask(standIn.sqlUrl, insert);
    const counts: string[] = [];
    for (let i = 0; i < 3; i++) counts.push(await ask(standIn.sqlUrl, "SELECT count(v) AS n FROM t"));
    assertEquals(counts, ['[{"n":0}]', '[{"n":0}]', '[{"n":1}]']);
  });
});

Deno.test("A writer writes at its rate, late rows and overwrites too", async () => {
  await using({ version: "2.3.5" }, async (standIn) => {
    const writer = startWriter(standIn, {
      tables: [["cnosdb", "public", "t"]],
      rowsPerSecond: 1000,
      start: BigInt(Date.now()) * 1000000n,
      step: 1000000n,
      row: (time, v) => ({ time, v }),
      late: 0.1,
      overwrite: 0.1,
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await writer.stop();
    const rows = standIn.rows.get("cnosdb/public/t")!;
    assert(writer.written >= 200, `${writer.written}`);
    assert(rows.length < writer.written && rows.length > writer.written * 0.7, `${rows.length}`);
    assert(rows.some(({ time }, i) => i > 0 && (time as bigint) < (rows[i - 1]!.time as bigint)));
  });
});
