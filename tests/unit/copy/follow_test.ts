/** `--follow`: what is new is copied round after round, and at the end all is equal. */
import type { Fault } from "../../standin/standin.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/deps.ts";
import { randomOf } from "../../helpers/random.ts";
import { Pair, row, sql, until } from "./copying.ts";

const quick = { recheckMs: 600_000, roundMs: 20 };

/** Follows in this process until `writing` is done. */
async function following(
  pair: Pair,
  writing: (stop: AbortController) => Promise<unknown>,
  plan: Parameters<Pair["copy"]>[0] = {},
  options: Parameters<Pair["copy"]>[1] = {},
) {
  const stop = new AbortController();
  const run = pair.copy({ follow: quick, ...plan }, { stop: stop.signal, ...options });
  let stoppedMs = performance.now();
  const written = (async () => {
    await writing(stop);
    stoppedMs = performance.now();
    stop.abort();
  })();
  const ran = await run;
  await written;
  return { ...ran, endMs: performance.now() - stoppedMs };
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Appends rows to a table of the source as a writer does, from now on. */
function write(pair: Pair, table: string, from: number, count: number, timeMs = Date.now()): void {
  const rows = Array.from({ length: count }, (_, i) => row(from + i, timeMs + i));
  pair.old.put("cnosdb", "db", table, rows);
}

const equal = (ran: { results: { table: string; status: string }[] }) =>
  ran.results.map(({ table, status }) => `${table} ${status}`).sort();

Deno.test("rows that are written while it follows arrive before it is told to end", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 50, sea: 0, still: 9 } } } });
  const ran = await following(pair, async () => {
    await until(() => pair.rows("young", "db", "still").length === 9, "the first pass");
    for (let i = 0; i < 5; i++) {
      write(pair, "air", 1000 + 10 * i, 10);
      write(pair, "sea", 1000 + 10 * i, 1);
      await until(() => pair.differences().length === 0, `round ${i}`);
    }
  });
  assertEquals(ran.totals.stopped, undefined);
  assertEquals(equal(ran), ["air equal", "sea equal", "still equal"]);
  assertEquals(pair.differences(), []);
  assert(
    ran.shown.some((text) => /was \d+\.\d s and \d+ rows? behind in [12] of 3 tables/.test(text)),
    ran.shown.join("\n"),
  );
  assertMatch(ran.said[0]!, /the first pass is done: following 3 tables/);
});

Deno.test("of a database in milliseconds a round brings the last row too", async () => {
  await using pair = await Pair.start({ databases: {} });
  for (const cluster of [pair.old, pair.young]) {
    await sql(cluster, "CREATE DATABASE db WITH PRECISION 'ms'");
    await sql(cluster, "CREATE TABLE db.air (v DOUBLE, TAGS(station))");
  }
  const put = (timeMs: number) =>
    pair.old.put("cnosdb", "db", "air", [{ time: BigInt(timeMs), station: "x", v: 1 }]);
  put(Date.now() - 1000);
  const ran = await following(pair, async () => {
    await until(() => pair.differences().length === 0, "the first pass");
    for (let i = 0; i < 3; i++) {
      put(Date.now());
      await until(() => pair.differences().length === 0, `round ${i}`);
    }
    await sleep(200);
  });
  assertMatch(ran.shown.at(-2)!, /is not behind in 1 table/);
});

Deno.test("it ends by itself when no row was new for --quiet-for, and copies what came meanwhile", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 5 } } } });
  const run = pair.copy({ follow: { ...quick, quietMs: 300 } });
  await until(() => pair.rows("young", "db", "air").length === 5, "the first pass");
  const startMs = performance.now();
  for (let i = 0; i < 20; i++) {
    write(pair, "air", 100 + i, 1);
    await sleep(30);
  }
  const ran = await run;
  assert(performance.now() - startMs >= 800);
  assertEquals([equal(ran), pair.differences()], [["air equal"], []]);
});

Deno.test("while all is looked at nothing can be quiet: --quiet-for counts from then on", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 5 } } } });
  pair.young.put("cnosdb", "db", "air", pair.rows("old", "db", "air"));
  let written = 0;
  let writer: ReturnType<typeof setInterval> | undefined;
  pair.old.fault = ({ body }) => {
    if (!body.includes("count(time)") || writer !== undefined) return undefined;
    writer = setInterval(() => write(pair, "air", 100 + written++, 1), 20);
    return { kind: "delay", until: sleep(600) };
  };
  const run = pair.copy({ follow: { ...quick, quietMs: 300 } });
  await until(() => pair.rows("young", "db", "air").length > 5, "a round").finally(() =>
    clearInterval(writer)
  );
  const ran = await run;
  assert(ran.shown.some((text) => text.includes("behind in 1")), ran.shown.join());
  assertEquals([equal(ran), pair.differences()], [["air equal"], []]);
});

Deno.test("a row that comes a little late is copied in the next round, and what was copied before is not copied again", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 100 } } } });
  const ran = await following(pair, async () => {
    await until(() => pair.differences().length === 0, "the first pass");
    for (let i = 1; i <= 20; i++) {
      write(pair, "air", 1000 * i, 10, i % 5 ? Date.now() : Date.now() - 1500);
      await until(() => pair.differences().length === 0, `round ${i}`);
    }
  });
  assertEquals([equal(ran), pair.differences()], [["air equal"], []]);
  // 100, 16 times 10, and 4 times all of the table's end
  assert(ran.totals.rows >= 300 && ran.totals.rows <= 300 + 4 * 200, `${ran.totals.rows}`);
});

Deno.test("a table's end begins anew when it has grown long, so that a round reads little of the source", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10 } } } });
  const startMs = Date.now();
  await following(pair, async () => {
    await until(() => pair.differences().length === 0, "the first pass");
    for (const [i, seconds] of [1, 40, 80, 81].entries()) {
      write(pair, "air", 1000 + i, 1, startMs + seconds * 1000);
      await until(() => pair.differences().length === 0, `the row of second ${seconds}`);
      await sleep(100);
    }
    const tails = pair.old.requests.filter(({ body }) => body.includes("count(time)"));
    const [, from = ""] = /time >= '([^']+)'/.exec(tails.at(-1)!.body) ?? [];
    assertEquals(Math.round((Date.parse(`${from.slice(0, 23)}Z`) - startMs) / 1000), 75);
  });
});

Deno.test("late rows are found by a recheck, and by the last pass", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 100 } } } });
  const ran = await following(pair, async () => {
    await until(() => pair.rows("young", "db", "air").length === 100, "the first pass");
    write(pair, "air", 5000, 3, Date.now() - 7_200_000);
    await until(() => pair.rows("young", "db", "air").length === 103, "the recheck");
    write(pair, "air", 6000, 3, Date.now() - 9_200_000);
  }, { follow: { ...quick, recheckMs: 200 } });
  assertEquals([equal(ran), pair.differences()], [["air equal"], []]);
});

Deno.test("the last pass verifies as --verify says: another value is found and copied", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 100 } } } });
  const ran = await following(pair, async () => {
    await until(() => pair.rows("young", "db", "air").length === 100, "the first pass");
    await sleep(100);
    pair.rows("old", "db", "air")[7]!.v = 123.5;
  }, { verify: "full" });
  assertEquals(equal(ran), ["air equal"]);
  assertEquals(ran.results[0]!.verify, "full");
  assertEquals(pair.differences(), []);
});

Deno.test("a still table is looked at less and less often, by its end alone", async () => {
  const tables = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`t${i}`, 3]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  let [before, after, onTarget] = [0, 0, 0];
  await following(pair, async () => {
    await until(() => pair.differences().length === 0, "the first pass");
    await sleep(200);
    before = pair.old.requests.length;
    onTarget = pair.young.requests.length;
    await sleep(1000);
    after = pair.old.requests.length;
    onTarget = pair.young.requests.length - onTarget;
  });
  const asked = pair.old.requests.slice(before, after).map(({ body }) => body);
  assertEquals(onTarget, 0);
  assert(asked.length > 0 && asked.length <= 12, `${asked.length} statements in 50 rounds`);
  for (const text of asked) assert(!text.includes("UNION") || /WHERE time >= /.test(text), text);
});

Deno.test("a table that is dropped on the source does not keep the others from being followed", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 5, gone: 5 } } } });
  const ran = await following(pair, async () => {
    await until(() => pair.differences().length === 0, "the first pass");
    await sql(pair.old, `DROP TABLE "db"."gone"`);
    write(pair, "air", 100, 5);
    await until(() => pair.rows("young", "db", "air").length === 10, "the other's rows");
  });
  assertEquals(equal(ran), ["air equal", "gone refused"]);
});

Deno.test("a table that cannot be followed is told once, left alone for a while, and refused at the end", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 5, bad: 5 } } } });
  const ran = await following(pair, async () => {
    await until(() => pair.differences().length === 0, "the first pass");
    pair.young.put("cnosdb", "db", "bad", [row(7000, Date.now()), row(7001, Date.now() + 1)]);
    write(pair, "bad", 8000, 1, Date.now() + 1);
    await sleep(600);
    write(pair, "air", 100, 5);
    await until(() => pair.rows("young", "db", "air").length === 10, "the other's rows");
  });
  assertEquals(
    ran.said.filter((text) => text.includes("db.bad: ") && text.includes("tried again")).length,
    1,
  );
  assertEquals(equal(ran), ["air equal", "bad refused"]);
});

Deno.test("a run that was killed in a round is begun again and ends equal; what another worker holds is taken over", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 20, sea: 20 } } } });
  const child = pair.start(["--all", "--follow"]);
  await until(() => pair.differences().length === 0, "the first pass");
  write(pair, "air", 100, 5);
  child.child.kill("SIGKILL");
  await child.done;
  write(pair, "sea", 100, 5);
  const ran = await pair.script(["--all", "--follow", "--quiet-for", "1s"]);
  assertEquals([ran.code, pair.differences()], [0, []], ran.stderr);
  assertEquals(ran.results.map((one) => one.status), ["equal", "equal"]);
});

Deno.test("two workers share the tables that are followed, and each exit code is the list's", async () => {
  const tables = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`t${i}`, 3]));
  await using pair = await Pair.start({ databases: { a: { tables }, b: { tables } } });
  const ran = await Promise.all([1, 2].map(() => pair.script(["--all", "--follow", "--quiet-for", "2s"])));
  assertEquals(ran.map(({ code }) => code), [0, 0], ran.map(({ stderr }) => stderr).join("\n"));
  assertEquals(ran.map(({ results }) => results.length), [80, 80]);
  assertEquals(pair.differences(), []);
});

Deno.test("Ctrl-C ends it after a last pass with 0, a second one at once with 130", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 20 } } } });
  const ran = await pair.script(["--all", "--follow"], {
    whileRunning: async (child) => {
      await until(() => pair.differences().length === 0, "the first pass");
      await sleep(300);
      write(pair, "air", 100, 5);
      child.kill("SIGINT");
    },
  });
  assertEquals([ran.code, pair.differences()], [0, []], ran.stderr);
  assertEquals(ran.results.map((one) => one.status), ["equal"]);
  const held = Promise.withResolvers<void>();
  const left = await pair.script(["--all", "--follow"], {
    whileRunning: async (child) => {
      pair.old.fault = ({ body }): Fault | undefined =>
        body.includes("count(time)") ? { kind: "delay", until: held.promise } : undefined;
      await until(
        () => pair.old.requests.some(({ body, status }) => body.includes("count(time)") && !status),
        "it waits",
      );
      child.kill("SIGINT");
      await sleep(300);
      child.kill("SIGINT");
    },
  });
  held.resolve();
  assertEquals(left.code, 130, left.stderr);
});

Deno.test("--follow goes with both clusters and no end", async () => {
  await using pair = await Pair.start();
  for (
    const args of [
      ["--only", "export", "--stage", "file:///tmp"],
      ["--until", "2026-01-01"],
      ["--dry-run"],
      ["--recheck", "soon"],
    ]
  ) {
    const { code, stderr } = await pair.script(["--all", "--follow", ...args]);
    assertEquals(code, 2, stderr);
  }
});

Deno.test("a clock that is more than a minute off is said, and the cluster's is used", async () => {
  await using pair = await Pair.start({
    databases: { db: { tables: { air: 5 }, startMs: Date.now() + 3_500_000 } },
    old: { nowMs: () => Date.now() + 3_600_000 },
  });
  const { code, stderr } = await pair.script(["--all", "--follow", "--quiet-for", "1s"]);
  assertEquals([code, pair.differences()], [0, []], stderr);
  assertMatch(
    stderr,
    /the clock of the source, .*, is (1h|59m).* ahead of this machine's: the cluster's is used/,
  );
});

/** What may go wrong with a statement while it follows. */
function randomFault(random: () => number): Fault | undefined {
  const dice = random();
  if (dice > 0.06) return undefined;
  if (dice < 0.015) return { kind: "close" };
  if (dice < 0.03) return { kind: "cut-after" };
  if (dice < 0.045) return { kind: "truncate" };
  const body = JSON.stringify({
    error_code: "050026",
    error_message: "The Operation can only Exec in Leader",
  });
  return { kind: "answer", status: 422, body, execute: dice < 0.05 };
}

const seeds = Deno.env.get("CNOSDB_TEST_ALL") ? 50 : 5;
Deno.test(`${seeds} runs that follow through faults lose no row`, async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const random = randomOf(seed);
    const tables = Object.fromEntries(
      Array.from({ length: 6 }, (_, i) => [`t${i}`, Math.floor(random() * 40)]),
    );
    await using pair = await Pair.start({ databases: { db: { tables } } });
    pair.old.fault = ({ path }) => path.startsWith("/api/v1/sql") ? randomFault(random) : undefined;
    pair.young.fault = ({ path }) => path.startsWith("/api/v1/sql") ? randomFault(random) : undefined;
    const ran = await following(pair, async () => {
      for (let i = 0; i < 30; i++) {
        const late = random() < 0.2 ? 3_600_000 : 0;
        write(
          pair,
          `t${Math.floor(random() * 6)}`,
          1000 + 10 * i,
          1 + Math.floor(random() * 9),
          Date.now() - late,
        );
        await sleep(10 * random());
      }
    }, { follow: { ...quick, recheckMs: 150 } });
    assertEquals(ran.totals.stopped, undefined, `seed ${seed}`);
    assertEquals(pair.differences(), [], `seed ${seed}`);
    assertEquals(ran.results.map(({ status }) => status), Array(6).fill("equal"), `seed ${seed}`);
  }
});

Deno.test("with 20 tables and 1 000 rows a second it ends 5 s after the last row at most, and one profile of both sides", async () => {
  const tables = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`t${i}`, 500]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  let n = 0;
  const { endMs, ...ran } = await following(pair, async () => {
    await until(
      () => Object.keys(tables).every((name) => pair.rows("young", "db", name).length === 500),
      "the first pass",
    );
    for (const startMs = performance.now(); performance.now() - startMs < 5000;) {
      for (; n < performance.now() - startMs; n += 20) write(pair, `t${n / 20 % 20}`, 10_000 + n, 20);
      await sleep(10);
    }
  }, { follow: { ...quick, roundMs: 1000 } });
  assertEquals([ran.totals.stopped, pair.differences()], [undefined, []]);
  assertEquals(equal(ran).filter((line) => line.endsWith(" equal")).length, 20);
  console.log(`${n} rows in 5 s; from the last row to the end ${Math.round(endMs)} ms`);
  assert(endMs < 6000, `${endMs} ms`);
});
