/** copy_tables stopped, killed, out of disk, or there twice. The next run ends with every row there and all TTLs as they were. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../helpers/deps.ts";
import type { Fault, RecordedRequest } from "../standin/standin.ts";
import { Pair, sql, ttlOf, until } from "../unit/copy/copying.ts";
import {
  aged,
  day,
  exportPaths,
  isExport,
  isImport,
  isProbe,
  outcomes,
  refusal,
  tablesOf,
} from "./faults.ts";

// ---- stopped ----

Deno.test("the first SIGINT lets running statements end and tells how to go on; the next run ends it", async () => {
  const tables = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`t${i}`, 5]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  const gate = Promise.withResolvers<void>();
  let importing: RecordedRequest | undefined;
  pair.young.fault = (request) => {
    if (!isImport(request) || importing) return undefined;
    importing = request;
    return { kind: "delay", until: gate.promise };
  };
  const run = pair.start(["--all", "--jobs", "2"]);
  const done = run.done;
  await until(() => importing !== undefined, "an import");
  run.child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 100));
  gate.resolve();
  const ran = await done;
  assertEquals(ran.code, 130, ran.stderr);
  assertEquals(importing?.status, 200, ran.stderr + JSON.stringify(importing));
  assertMatch(ran.stderr, /\d+ of 40 tables are not done/);
  const second = await pair.script(["--all", "--jobs", "2"]);
  assertEquals([second.code, pair.differences()], [0, []], second.stderr);
});

Deno.test("a second SIGINT leaves at once", async () => {
  await using pair = await Pair.start();
  let importing = false;
  pair.young.fault = (request) => {
    if (!isImport(request) || importing) return undefined;
    importing = true;
    return { kind: "delay", until: new Promise(() => {}) };
  };
  const run = pair.start(["--all"]);
  const done = run.done;
  await until(() => importing, "an import");
  run.child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 100));
  run.child.kill("SIGINT");
  assertEquals((await done).code, 130);
  assertEquals([(await pair.script(["--all"])).code, pair.differences()], [0, []]);
});

// ---- killed ----

/** Kills a process at its request `at`: before it is carried out, or after. @returns how often it was tried, and a fault */
function killAt(at: number, moment: "before" | "after", kill: () => void, dead: Promise<unknown>) {
  let count = 0;
  return (request: RecordedRequest): Fault | undefined => {
    // Only statements that change something are worth being killed after.
    if (isProbe(request) || moment === "after" && !/^(COPY|ALTER)/.test(request.body)) return undefined;
    if (count++ !== at) return undefined;
    if (moment === "before") {
      kill();
      return { kind: "close" };
    }
    setTimeout(kill, 20);
    return { kind: "delay", after: true, until: dead };
  };
}

for (const stage of ["served", "files"] as const) {
  for (const moment of ["before", "after"] as const) {
    Deno.test(`killed ${moment} any request is carried out, stage ${stage}: the next run ends equal, with TTLs as they were`, async () => {
      for (let at = 0, ended = false; !ended; at++) {
        await using pair = await Pair.start({ databases: { db: aged({ old: 4, none: 0 }) } });
        const ttl = await ttlOf(pair.young, "db");
        const files = stage === "files" ? ["--stage", `file://${pair.directory}/stage`] : [];
        const args = ["--all", "--jobs", "1", ...files];
        const run = pair.start(args);
        const done = run.done;
        pair.old.fault = pair.young.fault = killAt(at, moment, () => run.child.kill("SIGKILL"), done);
        const killed = await done;
        ended = killed.signal === null;
        pair.old.fault = pair.young.fault = undefined;
        const place = `${stage}, ${moment} request ${at}`;
        if (ended) {
          assertEquals(killed.code, 0, killed.stderr);
          assert(at >= (moment === "before" ? 8 : 4), `only ${at} moments`);
        } else {
          const second = await pair.script(args);
          assertEquals(second.code, 0, `${place}: ${second.stderr}`);
        }
        assertEquals(pair.differences(), [], place);
        assertEquals(await ttlOf(pair.young, "db"), ttl, place);
        assertEquals(new Set(exportPaths(pair)).size, exportPaths(pair).length, place);
      }
    });
  }
}

// ---- TTLs ----

Deno.test("rows that expire between their export and their import are left out, too", async () => {
  let aheadMs = 0;
  await using pair = await Pair.start({
    databases: {
      db: { ttl: "30d", startMs: Date.now() - 40 * day, stepMs: day / 48, tables: { a: 40 * 48 } },
    },
    young: { nowMs: () => Date.now() + aheadMs },
  });
  pair.young.fault = (request) => {
    // Two hours pass during the first import.
    aheadMs = isImport(request) && aheadMs === 0 ? 2 * 3_600_000 : aheadMs && -1;
    return undefined;
  };
  const { results } = await pair.copy({ expired: "skip" });
  assertEquals(outcomes(results), ["equal"]);
  const from = pair.old.requests.filter(isExport).map(({ body }) =>
    /time >= '([^']*)'/.exec(body)?.[1] ?? ""
  );
  assertEquals([from.length, from[0]! < from[1]!], [2, true]);
});

Deno.test("a TTL that cannot be set back is told with its statement, and set back by the next run", async () => {
  await using pair = await Pair.start({ databases: { db: aged({ a: 5 }) } });
  pair.young.fault = ({ body }) => body.includes("'30d'") ? refusal("010001", "not now") : undefined;
  const first = await pair.script(["--all"]);
  assertEquals(first.results[0].status, "equal");
  assertStringIncludes(first.stderr, "the TTL of cnosdb.db is still raised");
  assertStringIncludes(first.stderr, `ALTER DATABASE "db" SET TTL '30d'`);
  assertEquals(first.code, 1, "a TTL that stays raised is not all well");
  pair.young.fault = undefined;
  const second = await pair.script(["--all"]);
  assertEquals([second.code, await ttlOf(pair.young, "db")], [0, "30days"], second.stderr);
});

Deno.test("a TTL that the operator sets while rows are copied stays as the operator set it", async () => {
  await using pair = await Pair.start({ databases: { db: aged({ a: 5 }) } });
  let set = false;
  pair.young.fault = async (request) => {
    if (!isImport(request) || await ttlOf(pair.young, "db") === "30days" || set) return undefined;
    set = true;
    await sql(pair.young, "ALTER DATABASE db SET TTL '365d'");
    return undefined;
  };
  assertEquals(outcomes((await pair.copy()).results), ["equal"]);
  assertEquals(await ttlOf(pair.young, "db"), "11months 30days 3h 50m 24s");
});

Deno.test("a run that was killed with a TTL raised is told of by a run with another ledger", async () => {
  await using pair = await Pair.start({ databases: { db: aged({ a: 5, b: 5 }) } });
  const run = pair.start(["--all", "--jobs", "1"]);
  const done = run.done;
  let raised = false;
  pair.young.fault = (request) => {
    if (isImport(request) && raised) run.child.kill("SIGKILL");
    raised ||= request.body.startsWith("ALTER");
    return undefined;
  };
  await done;
  pair.young.fault = undefined;
  const other = await pair.script(["--all", "--ledger", "other.sqlite"]);
  assertStringIncludes(other.stderr, "the TTL of cnosdb.db is raised from 30d");
  assertEquals(await ttlOf(pair.young, "db"), "30days");
  const same = await pair.script(["--all"]);
  assertEquals(
    [same.code, await ttlOf(pair.young, "db"), pair.differences()],
    [0, "30days", []],
    same.stderr,
  );
});

Deno.test("a stop leaves a TTL raised and says so; rows that the server drops meanwhile are copied again", async () => {
  await using pair = await Pair.start({
    databases: {
      db: { ttl: "30d", startMs: Date.now() - 400 * day, stepMs: 100 * day, tables: { a: 4, b: 4 } },
    },
  });
  const stop = new AbortController();
  const first = await pair.copy({ jobs: 1 }, {
    stop: stop.signal,
    onStep: (_, step) => void (step === "verify" && stop.abort()),
  });
  assertStringIncludes(first.said.join("\n"), "the TTL of cnosdb.db is raised from 30d");
  await sql(pair.young, "ALTER DATABASE db SET TTL '30d'");
  pair.young.dropExpired();
  assertEquals(outcomes((await pair.copy({ jobs: 1 })).results), ["equal", "equal"]);
  assertEquals(await ttlOf(pair.young, "db"), "30days");
});

// ---- twice, full disks, nobody who reads ----

Deno.test("two runs of the same at once, on one ledger or on two, do no harm", async () => {
  const tables = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`t${i}`, 5]));
  for (const ledger of ["copy_tables.sqlite", "other.sqlite"]) {
    await using pair = await Pair.start({ databases: { db: { tables }, old: aged({ a: 5 }) } });
    const ttl = await ttlOf(pair.young, "old");
    const ran = await Promise.all([pair.script(["--all"]), pair.script(["--all", "--ledger", ledger])]);
    assertEquals(ran.map(({ code }) => code), [0, 0], ran.map(({ stderr }) => stderr).join("\n"));
    assertEquals(ran.map(({ results }) => results.length), [31, 31]);
    assertEquals(pair.differences(), []);
    if (ledger === "copy_tables.sqlite") assertEquals(await ttlOf(pair.young, "old"), ttl);
  }
});

Deno.test("a full disk under the results, the ledger or the stage is no success, and the next run mends it", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { a: 5, b: 5 } } } });
  const full = await pair.script(["--all", "-o", "/dev/full"]);
  assertEquals(full.code, 1, full.stderr);
  assertMatch(full.stderr, /\/dev\/full: cannot be written: .*No space left/);
  pair.old.fault = (request) =>
    isExport(request) ? refusal("010047", "ObjectStore: No space left on device (os error 28)") : undefined;
  pair.young.rows.clear();
  const stage = await pair.copy({}, { patienceMs: 50, ledger: `${pair.directory}/stage.sqlite` });
  assertEquals(stage.results.map(({ status }) => status), ["failed", "failed"]);
  pair.old.fault = undefined;
  const second = await pair.script(["--all"]);
  assertEquals([second.code, second.results.length, pair.differences()], [0, 2, []], second.stderr);
});

Deno.test("a ledger that cannot be written ends the run before anything is copied", async () => {
  await using pair = await Pair.start();
  const ran = await pair.script(["--all", "--ledger", "/proc/ledger.sqlite"]);
  assertEquals([ran.code, ran.results], [1, []]);
  assertStringIncludes(ran.stderr, "/proc/ledger.sqlite");
  assertEquals(pair.old.requests.filter(isExport), []);
});

Deno.test("a table that is dropped on the source while it is copied fails alone", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { gone: 5, good: 5 } } } });
  pair.old.fault = (request) =>
    isExport(request) && request.body.includes("gone")
      ? refusal(
        "010001",
        "Datafusion: Error during planning: Table not found, tenant: cnosdb db: db, table: gone",
      )
      : undefined;
  const ran = await pair.copy({}, { tables: tablesOf(pair) });
  assertEquals(Object.fromEntries(ran.results.map(({ table, status }) => [table, status])), {
    gone: "failed",
    good: "equal",
  });
});
