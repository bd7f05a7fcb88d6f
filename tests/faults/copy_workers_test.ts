/** Several workers that share one list in PostgreSQL, some of them killed or suspended: no table is lost, no TTL stays raised. */
import { assert, assertEquals } from "../helpers/deps.ts";
import { Pair, ttlOf } from "../unit/copy/copying.ts";
import { TestPostgres } from "../unit/copy/postgres.ts";
import { startChild } from "./copy_child.ts";
import { aged, day, exportPaths, isImport, tablesOf } from "./faults.ts";

const tables = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, i % 7]));
const busy = { latency: { statementMs: 5 } };

/** How many lines of tables workers printed. */
const lines = (output: string) =>
  output.split("\n").filter((line) => line.includes('"status":"equal"')).length;

Deno.test("four workers on one PostgreSQL copy 200 tables although two are killed", async () => {
  const server = await TestPostgres.start();
  try {
    const old = { ttl: "30d", startMs: Date.now() - 60 * day, tables: tables(40) };
    await using pair = await Pair.start({
      databases: { a: { tables: tables(80) }, b: { tables: tables(50) }, c: { tables: tables(30) }, old },
      young: busy,
      old: busy,
    });
    const ttl = await ttlOf(pair.young, "old");
    const list = tablesOf(pair);
    assertEquals(list.length, 200);
    const options = { ledger: await server.newDatabase(), tables: list, leaseMs: 1500 };
    const workers = Array.from(
      { length: 4 },
      () => startChild({ place: pair.place, settings: { jobs: 4 }, options }),
    );
    // Killed in the middle of an import each, at different times.
    let imports = 0;
    pair.young.fault = (request) => {
      if (!isImport(request)) return undefined;
      imports++;
      if (imports === 20) workers[0]!.child.kill("SIGKILL");
      if (imports === 60) workers[2]!.child.kill("SIGKILL");
      return undefined;
    };
    const ended = await Promise.all(workers.map(({ done }) => done));
    assertEquals(
      ended.map(({ killed }) => killed),
      [true, false, true, false],
      ended.map(({ output }) => output).join("\n"),
    );
    assertEquals(pair.differences(), []);
    assertEquals(await ttlOf(pair.young, "old"), ttl);
    assertEquals(new Set(exportPaths(pair)).size, exportPaths(pair).length);
    // Each that lives to the end tells of the whole list.
    assertEquals([lines(ended[1]!.output), lines(ended[3]!.output)], [200, 200]);
  } finally {
    await server.stop();
  }
});

Deno.test("a worker that is suspended past its lease does no harm when it wakes, and raises no TTL for good", async () => {
  const server = await TestPostgres.start();
  try {
    for (const moment of ["ALTER", "COPY"] as const) {
      await using pair = await Pair.start({
        databases: { db: aged({ a: 5, b: 5 }), other: { tables: tables(10) } },
      });
      const ttl = await ttlOf(pair.young, "db");
      const options = { ledger: await server.newDatabase(), tables: tablesOf(pair), leaseMs: 400 };
      const config = { place: pair.place, settings: { jobs: 1 }, options };
      const sleeper = startChild(config);
      let slept = false;
      const second = Promise.withResolvers<ReturnType<typeof startChild>["done"]>();
      // It is suspended with its ALTER, or its import, on the way; another one does its tables meanwhile.
      pair.young.fault = async ({ body }) => {
        if (slept || !(moment === "ALTER" ? body.startsWith("ALTER") : isImport({ body } as never))) {
          return undefined;
        }
        slept = true;
        sleeper.child.kill("SIGSTOP");
        const other = startChild(config).done;
        second.resolve(other);
        await other;
        setTimeout(() => sleeper.child.kill("SIGCONT"), 50);
        return undefined;
      };
      const other = await (await second.promise);
      const woken = await sleeper.done;
      pair.young.fault = undefined;
      for (const { output } of [other, woken]) {
        assert(/"equal":\d+/.test(output) && !/"failed"/.test(output), `${moment}: ${output}`);
      }
      assertEquals(pair.differences(), [], moment);
      // The ALTER of the sleeper came after the other one was done: the sleeper, or a next run, sets it back.
      if (await ttlOf(pair.young, "db") !== ttl) await startChild(config).done;
      assertEquals(await ttlOf(pair.young, "db"), ttl, moment);
    }
  } finally {
    await server.stop();
  }
});

Deno.test("killed on a PostgreSQL ledger at any request, another worker ends it once the lease is over", async () => {
  const server = await TestPostgres.start();
  const step = Deno.env.get("COPY_SEEDS") ? 1 : 3;
  try {
    for (let at = 0, ended = false; !ended; at += step) {
      await using pair = await Pair.start({ databases: { db: aged({ old: 4, none: 0 }) } });
      const ttl = await ttlOf(pair.young, "db");
      const options = { ledger: await server.newDatabase(), tables: tablesOf(pair), leaseMs: 600 };
      const config = { place: pair.place, settings: { jobs: 1 }, options };
      const { child, done } = startChild(config);
      let count = 0;
      pair.old.fault = pair.young.fault = () => {
        if (count++ !== at) return undefined;
        child.kill("SIGKILL");
        return { kind: "close" };
      };
      const first = await done;
      ended = !first.killed;
      pair.old.fault = pair.young.fault = undefined;
      const last = ended ? first : await startChild(config).done;
      assertEquals(lines(last.output), 2, `request ${at}: ${last.output}`);
      if (ended) assert(at >= 10, `only ${at} moments`);
      assertEquals(pair.differences(), [], `request ${at}`);
      assertEquals(await ttlOf(pair.young, "db"), ttl, `request ${at}`);
    }
  } finally {
    await server.stop();
  }
});
