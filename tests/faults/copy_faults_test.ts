/** copy_tables when things go wrong: cut connections, restarts, limits, kills, signals. At the end every row is there. */
import { parseEndpoint } from "../../lib/cnosdb/http.ts";
import { Side } from "../../lib/copy/side.ts";
import { startChild } from "./copy_child.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../helpers/deps.ts";
import { Pair, row, ttlOf, until } from "../unit/copy/copying.ts";
import { TestPostgres } from "../unit/copy/postgres.ts";
import { type Fault, type RecordedRequest, rowsKey } from "../standin/standin.ts";

const isExport = ({ body }: RecordedRequest) =>
  body.startsWith("COPY INTO 'file://") || body.startsWith("COPY INTO 's3://");
const isImport = ({ body }: RecordedRequest) => body.startsWith('COPY INTO "');
const probes = ({ body }: RecordedRequest) => body.includes("SELECT 1 AS x");
const refusal = (code: string, message: string): Fault => ({
  kind: "answer",
  status: 422,
  body: JSON.stringify({ error_code: code, error_message: message }),
});

/** Does something to the first `times` requests that fit. */
function first(times: number, fits: (request: RecordedRequest) => boolean, fault: () => Fault) {
  return (request: RecordedRequest) => fits(request) && !probes(request) && times-- > 0 ? fault() : undefined;
}

// ---- unknown outcomes ----

for (const kind of ["close", "cut-during", "cut-after", "truncate"] as const) {
  Deno.test(`an export whose connection suffers "${kind}" is done again into a new directory`, async () => {
    for (const files of [false, true]) {
      await using pair = await Pair.start();
      pair.old.fault = first(2, isExport, () => ({ kind }));
      const { results } = await pair.copy({}, { files });
      assertEquals(results.map(({ status, attempts, error }) => [error ?? status, attempts]), [[
        "verified",
        3,
      ]]);
      assertEquals(pair.differences(), []);
      const paths = pair.old.requests.filter(isExport).map(({ body }) => body.split("'")[1]);
      assertEquals([paths.length, new Set(paths).size], [3, 3]);
      // What the cut exports had written is never imported.
      assertEquals(results[0]?.rows_imported, 10);
    }
  });

  Deno.test(`an import whose connection suffers "${kind}" is done again, and counted`, async () => {
    for (const version of ["2.4.0", "2.4.3"] as const) {
      await using pair = await Pair.start({ version });
      pair.young.fault = first(2, isImport, () => ({ kind }));
      const { results } = await pair.copy();
      assertEquals(results.map(({ status, attempts, error }) => [error ?? status, attempts]), [[
        "verified",
        3,
      ]]);
      assertEquals(pair.differences(), []);
    }
  });

  Deno.test(`any other statement that suffers "${kind}" is simply asked again`, async () => {
    await using pair = await Pair.start();
    pair.old.fault = first(1, ({ body }) => body.startsWith("SELECT count"), () => ({ kind }));
    pair.young.fault = first(1, ({ body }) => body.includes("information_schema.columns"), () => ({ kind }));
    const { results } = await pair.copy();
    assertEquals(results[0]?.status, "verified", results[0]?.error);
  });
}

Deno.test("a statement whose outcome stays unknown is given up after --attempts", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 5, good: 5 } } } });
  pair.young.fault = (request) =>
    isImport(request) && request.body.includes("air") ? { kind: "cut-after" } : undefined;
  const { results, totals } = await pair.copy({ attempts: 4 });
  const air = results.find(({ table }) => table === "air");
  assertEquals([air?.status, air?.attempts, totals.done], ["failed", 4, 1]);
  assertMatch(air?.error ?? "", /connection was cut before the answer was whole/);
  assertEquals(pair.young.requests.filter((r) => isImport(r) && r.body.includes("air")).length, 4);
});

Deno.test("a refused statement is not sent twice, and the other tables go on", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { bad: 5, good: 5 } } } });
  pair.old.fault = (request) =>
    isExport(request) && request.body.includes("bad")
      ? refusal("010001", "Datafusion: something is wrong")
      : undefined;
  const { results, totals } = await pair.copy();
  assertEquals([totals.failed, totals.done], [1, 1]);
  assertMatch(results.find(({ table }) => table === "bad")?.error ?? "", /something is wrong/);
  assertEquals(pair.old.requests.filter((r) => isExport(r) && r.body.includes("bad")).length, 1);
});

Deno.test("a cluster that is away for a while is waited for", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { a: 5, b: 5, c: 5 } } } });
  let restarts = 0;
  pair.young.fault = async (request) => {
    if (!isImport(request) || restarts++ > 0) return undefined;
    await pair.young.restart();
    return { kind: "close" };
  };
  const { totals } = await pair.copy();
  assertEquals([totals.done, totals.failed], [3, 0]);
  assertEquals(pair.differences(), []);
});

// ---- too much at once ----

Deno.test("a limiter, want of memory and a full stage make a table wait, and fewer run at once", async () => {
  const tables = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`t${i}`, 3]));
  await using pair = await Pair.start({
    databases: { a: { tables }, b: { tables }, c: { tables }, d: { tables } },
  });
  const texts = [
    "Meta request error: CoordDataIn reached limit",
    "Memory Exhausted Retry Later",
    "Resources exhausted: Failed to allocate additional 1 bytes",
  ];
  let refused = 0;
  pair.young.fault = (request) =>
    isImport(request) && request.number % 3 === 0 && refused < 20
      ? (refused++, refusal("030024", texts[refused % 3]!))
      : undefined;
  const { totals, events } = await pair.copy({ jobs: 8, exportJobs: 8, importJobs: 8 });
  assertEquals([totals.done, totals.failed], [48, 0]);
  assertEquals(pair.differences(), []);
  assert(events.filter(({ what }) => what === "again").length >= refused);
});

Deno.test("a real limiter on what is written only slows the copy down", async () => {
  const tables = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`t${i}`, 50]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  pair.young.limits.set("cnosdb", { rows: 60, max: 60, refillPerSecond: 2000 });
  const { totals } = await pair.copy();
  assertEquals([totals.done, totals.failed], [6, 0]);
  assertEquals(pair.differences(), []);
});

Deno.test("a limit on how long TTLs may be does not look like one that refills", async () => {
  await using pair = await Pair.start({
    databases: { db: { ttl: "10d", startMs: Date.now() - 20 * 86_400_000, tables: { a: 5 } } },
  });
  pair.young.fault = ({ body }) =>
    body.startsWith("ALTER DATABASE") ? refusal("050001", "TTL reached limit, max is 30 days") : undefined;
  const { results } = await pair.copy();
  assertEquals([results[0]?.status, results[0]?.attempts], ["failed", 1]);
  assertMatch(results[0]?.error ?? "", /TTL reached limit, max is 30 days/);
});

// ---- writers, and rows that do not come through ----

Deno.test("rows that the new cluster shows with a delay are waited for", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { late: 5 } } } });
  let unseen = 0;
  let imported = false;
  pair.young.fault = ({ body }) => {
    if (body.startsWith('COPY INTO "db"')) imported = true;
    if (!imported || !body.startsWith("SELECT count(time)") || unseen >= 3) return undefined;
    unseen++;
    return { kind: "answer", status: 200, body: '[{"n":0}]' };
  };
  const { results } = await pair.copy();
  assertEquals([results[0]?.status, results[0]?.attempts, unseen], ["verified", 1, 3]);
  assertEquals(pair.differences(), []);
});

Deno.test("a table that is written to meanwhile is told apart from one that was not copied well", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { written: 5, lost: 5 } } } });
  const rows = pair.old.rows.get(rowsKey("cnosdb", "db", "written"))!;
  pair.old.fault = (request) => {
    if (isExport(request) && request.body.includes("written")) rows.push(row(99, Date.now()));
    return undefined;
  };
  const lose = { what: "end" as const, table: "lost" };
  const { results, totals } = await pair.copy({}, {
    hooks: {
      onEvent: ({ what, table, step }) => {
        if (what === lose.what && table.table === lose.table && step === "import") {
          pair.rows("young", "db", "lost").pop();
        }
      },
    },
  });
  const [written, lost] = ["written", "lost"].map((name) => results.find(({ table }) => table === name));
  assertEquals([written?.status, lost?.status], ["source-changed", "failed"]);
  assertStringIncludes(written?.error ?? "", "--since");
  assertMatch(lost?.error ?? "", /it differs: 5 rows .* on the old cluster, 4 rows/);
  assertEquals([totals.changed, totals.failed, totals.different], [1, 1, 1]);
  // Both are done again, from the start, by the next run.
  pair.old.fault = undefined;
  const second = await pair.copy();
  assertEquals(second.results.map(({ status }) => status), ["verified", "verified"]);
  assertEquals(pair.differences(), []);
});

Deno.test("fewer rows imported than exported fail the table", async () => {
  await using pair = await Pair.start();
  pair.young.fault = first(
    1,
    isImport,
    () => ({ kind: "answer", status: 200, body: '[{"rows":9}]', execute: true }),
  );
  const { results } = await pair.copy();
  assertEquals(results[0]?.status, "failed");
  assertMatch(results[0]?.error ?? "", /9 rows were imported, 10 had been exported/);
  assertEquals((await pair.copy()).results[0]?.status, "verified");
});

Deno.test("the exit code tells a difference from a failure", async () => {
  await using pair = await Pair.start();
  pair.young.fault = ({ body }) =>
    body.startsWith("SELECT count") && pair.rows("young", "db", "air").length
      ? { kind: "answer", status: 200, body: '[{"n":9}]' }
      : undefined;
  const ran = await pair.script(["--all"]);
  assertEquals(ran.code, 3, ran.stderr);
  assertMatch(ran.stderr, /1 tables do not read back as they should/);
});

// ---- the order of things ----

Deno.test("imports into one database follow each other while those of others run", async () => {
  const tables = { a: 2, b: 2, c: 2 };
  await using pair = await Pair.start({ databases: { x: { tables }, y: { tables }, z: { tables } } });
  const running = new Map<string, number>();
  let most = 0, together = 0;
  const { totals } = await pair.copy({ jobs: 8, exportJobs: 8, importJobs: 8 }, {
    hooks: {
      onEvent: ({ what, table, step }) => {
        if (step !== "import" || what === "again") return;
        running.set(table.database, (running.get(table.database) ?? 0) + (what === "begin" ? 1 : -1));
        most = Math.max(most, ...running.values());
        together = Math.max(together, [...running.values()].reduce((a, b) => a + b));
      },
    },
  });
  assertEquals(totals.done, 9);
  assertEquals(most, 1);
  assert(together > 1, `${together} together`);
});

Deno.test("exports wait while more is staged than --ahead, but one table always goes", async () => {
  const tables = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`t${i}`, 50]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  let staged = 0, most = 0;
  const { totals } = await pair.copy({ aheadBytes: 1 }, {
    hooks: {
      onEvent: ({ what, step }) => {
        if (step === "export" && what === "begin") most = Math.max(most, ++staged);
        if (step === "import" && what === "end") staged--;
      },
    },
  });
  assertEquals(totals.done, 8);
  // The first four began before anything was known of their size.
  assert(most <= 4, `${most}`);
});

Deno.test("--fail-fast takes no further table", async () => {
  const tables = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`t${i}`, 2]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  pair.old.fault = (request) => isExport(request) && !probes(request) ? refusal("010001", "no") : undefined;
  const { totals } = await pair.copy({ jobs: 1, failFast: true });
  assert(totals.failed < 8, `${totals.failed}`);
  assertMatch(totals.stopped?.message ?? "", /--fail-fast/);
});

// ---- stopped and killed ----

Deno.test("the first SIGINT lets running statements end and tells how to go on; the next run ends it", async () => {
  const tables = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`t${i}`, 5]));
  await using pair = await Pair.start({ databases: { db: { tables } } });
  const gate = Promise.withResolvers<void>();
  let importing: RecordedRequest | undefined;
  pair.young.fault = (request) => {
    if (!isImport(request) || importing) return undefined;
    importing = request;
    return { kind: "delay", until: gate.promise };
  };
  const { child, done } = pair.start(["--all", "--jobs", "2"]);
  await until(() => importing !== undefined, "an import");
  child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 100));
  gate.resolve();
  const ran = await done;
  assertEquals(ran.code, 130, ran.stderr);
  assertEquals(importing?.status, 200);
  assertMatch(ran.stderr, /\d+ left/);
  assertStringIncludes(ran.stderr, "run the same again: it goes on where it stopped");
  const second = await pair.script(["--all", "--jobs", "2"]);
  assertEquals(second.code, 0, second.stderr);
  assertEquals(pair.differences(), []);
});

Deno.test("a second SIGINT leaves at once", async () => {
  await using pair = await Pair.start();
  let importing = false;
  pair.young.fault = (request) => {
    if (!isImport(request) || importing) return undefined;
    importing = true;
    return { kind: "delay", until: new Promise(() => {}) };
  };
  const { child, done } = pair.start(["--all"]);
  await until(() => importing, "an import");
  child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 100));
  child.kill("SIGINT");
  assertEquals((await done).code, 130);
  assertEquals((await pair.script(["--all"])).code, 0);
  assertEquals(pair.differences(), []);
});

Deno.test("killed at any request, before or after it was carried out, the next run ends with all verified and TTLs as they were", async () => {
  const databases = {
    db: {
      ttl: "30d",
      startMs: Date.now() - 40 * 86_400_000,
      stepMs: 86_400_000 / 2,
      tables: { old: 4, none: 0 },
    },
  };
  await Promise.all((["served", "files"] as const).map(async (stage) => {
    for (const moment of ["before", "after"] as const) {
      for (let at = 0, ended = false; !ended; at++) {
        await using pair = await Pair.start({ databases });
        const ttl = await ttlOf(pair.young, "db");
        const args = [
          "--all",
          "--jobs",
          "1",
          ...(stage === "files" ? ["--stage", `file://${pair.directory}/stage`] : []),
        ];
        const { child, done } = pair.start(args);
        let count = 0;
        const strike = (request: RecordedRequest): Fault | undefined => {
          // Only statements that change something are worth being killed after.
          if (probes(request) || (moment === "after" && !/^(COPY|ALTER)/.test(request.body))) {
            return undefined;
          }
          if (count++ !== at) return undefined;
          if (moment === "before") {
            child.kill("SIGKILL");
            return { kind: "close" };
          }
          const dead = done.then(() => {});
          return {
            kind: "delay",
            after: true,
            until: (queueMicrotask(() => setTimeout(() => child.kill("SIGKILL"), 20)), dead),
          };
        };
        pair.old.fault = pair.young.fault = strike;
        const killed = await done;
        ended = killed.signal === null;
        pair.old.fault = pair.young.fault = undefined;
        if (ended) {
          assertEquals(killed.code, 0, killed.stderr);
          assert(at >= (moment === "before" ? 15 : 5), `only ${at} moments`);
        } else {
          const second = await pair.script(args);
          assertEquals(second.code, 0, `${stage}, ${moment} request ${at}: ${second.stderr}`);
        }
        assertEquals(pair.differences(), [], `${stage}, ${moment} request ${at}`);
        assertEquals(await ttlOf(pair.young, "db"), ttl, `${stage}, ${moment} request ${at}`);
        const exports = pair.old.requests.filter((request) => isExport(request) && !probes(request));
        const paths = exports.map(({ body }) => body.split("'")[1]);
        assertEquals(new Set(paths).size, paths.length);
      }
    }
  }));
});

Deno.test("rows that expire between their export and their import are skipped, too", async () => {
  const day = 86_400_000;
  let aheadMs = 0;
  await using pair = await Pair.start({
    databases: {
      db: { ttl: "30d", startMs: Date.now() - 40 * day, stepMs: day / 48, tables: { a: 40 * 48 } },
    },
    young: { nowMs: () => Date.now() + aheadMs },
  });
  pair.young.fault = (request) => {
    // Two hours pass during the first import.
    aheadMs = isImport(request) && !request.body.includes("probe") && aheadMs === 0
      ? 2 * 3_600_000
      : aheadMs && -1;
    return undefined;
  };
  const { results } = await pair.copy({ expired: "skip" });
  assertEquals(results.map(({ status, attempts, error }) => [error ?? status, attempts]), [["verified", 2]]);
  const from = pair.old.requests.filter(isExport).map(({ body }) =>
    /time >= '([^']*)'/.exec(body)?.[1] ?? ""
  );
  assertEquals([from.length, from[0]! < from[1]!], [2, true]);
});

Deno.test("killed on a PostgreSQL ledger, another worker ends it once the lease is over", async () => {
  const server = await TestPostgres.start();
  const step = Deno.env.get("COPY_SEEDS") ? 1 : 3;
  const databases = {
    db: {
      ttl: "30d",
      startMs: Date.now() - 40 * 86_400_000,
      stepMs: 86_400_000 / 2,
      tables: { old: 4, none: 0 },
    },
  };
  try {
    for (let at = 0, ended = false; !ended; at += step) {
      await using pair = await Pair.start({ databases });
      const ttl = await ttlOf(pair.young, "db");
      const tables = ["old", "none"].map((table) => ({ tenant: "cnosdb", database: "db", table }));
      const options = { ledger: await server.newDatabase(), tables, leaseMs: 600 };
      const config = { place: pair.place, settings: { jobs: 1 }, options };
      const { child, done } = startChild(config);
      let count = 0;
      pair.old.fault = pair.young.fault = () => {
        if (count++ !== at) return undefined;
        child.kill("SIGKILL");
        return { kind: "close" };
      };
      ended = !(await done).killed;
      pair.old.fault = pair.young.fault = undefined;
      if (!ended) assertMatch((await startChild(config).done).output, /"stopped"|"failed":0/);
      else assert(at >= 15, `only ${at} moments`);
      assertEquals(pair.differences(), [], `request ${at}`);
      assertEquals(await ttlOf(pair.young, "db"), ttl, `request ${at}`);
    }
  } finally {
    await server.stop();
  }
});

Deno.test("--status tells how it is while another process is at work", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { a: 5, b: 5 } } } });
  const gate = Promise.withResolvers<void>();
  let importing = false;
  pair.young.fault = (request) => {
    if (!isImport(request)) return undefined;
    importing = true;
    return { kind: "delay", until: gate.promise };
  };
  const { done } = pair.start(["--all"]);
  await until(() => importing, "an import");
  const status = await pair.script(["--status"], { urls: false });
  assertEquals(status.code, 0, status.stderr);
  assertMatch(status.stdout, /cnosdb\.db\s+0\s+0\s+0\.0\s+0\s+2\n/);
  const locked = await pair.script(["--all"]);
  assertEquals(locked.code, 1);
  assertMatch(locked.stderr, /ledger .*locked by process/);
  gate.resolve();
  assertEquals((await done).code, 0);
});

Deno.test("a node that answers no ping while a statement runs is given up, and the statement done again", async () => {
  await using pair = await Pair.start();
  let dead = false;
  pair.young.fault = (request) => {
    if (isImport(request) && !dead) {
      dead = true;
      return { kind: "delay", until: new Promise(() => {}) };
    }
    if (request.path.includes("ping")) return dead ? { kind: "close" } : undefined;
    return undefined;
  };
  const to = new Side("new", parseEndpoint(pair.young.sqlUrl, 8902));
  await to.checkVersion(new AbortController().signal);
  to.pingEveryMs = 2;
  const { results, events } = await pair.copy({}, { hooks: { to } });
  assertEquals(results[0]?.status, "verified", results[0]?.error);
  assert(events.some(({ note }) => note?.includes("answered none of 10 pings while a statement ran")));
});

Deno.test("a TTL that cannot be set back is told with its statement, and set back by the next run", async () => {
  await using pair = await Pair.start({
    databases: { db: { ttl: "30d", startMs: Date.now() - 40 * 86_400_000, tables: { a: 5 } } },
  });
  pair.young.fault = ({ body }) => body.includes("2592000s") ? refusal("010001", "not now") : undefined;
  const first = await pair.script(["--all"]);
  assertEquals(first.code, 1);
  assertStringIncludes(first.stderr, `the TTL of cnosdb.db is still raised`);
  assertStringIncludes(first.stderr, `ALTER DATABASE "db" SET TTL '2592000s'`);
  assertEquals(first.results[0].status, "verified");
  const status = await pair.script(["--status"], { urls: false });
  assertStringIncludes(status.stdout, `ALTER DATABASE "db" SET TTL '2592000s'`);
  pair.young.fault = undefined;
  const second = await pair.script(["--all"]);
  assertEquals(second.code, 0, second.stderr);
  assertEquals(await ttlOf(pair.young, "db"), "30days");
});

Deno.test("rows that a TTL took back between a stop and the next run are copied again", async () => {
  await using pair = await Pair.start({
    databases: {
      db: {
        ttl: "30d",
        startMs: Date.now() - 400 * 86_400_000,
        stepMs: 100 * 86_400_000,
        tables: { a: 4, b: 4 },
      },
    },
  });
  const stop = new AbortController();
  let imports = 0;
  const first = await pair.copy({ jobs: 1 }, {
    files: true,
    stop: stop.signal,
    hooks: {
      onEvent: ({ what, step }) => {
        if (what === "end" && step === "import" && ++imports === 1) stop.abort();
      },
    },
  });
  assertEquals(first.totals.done, 0);
  assertEquals(await ttlOf(pair.young, "db"), "30days");
  pair.young.dropExpired();
  const second = await pair.copy({ jobs: 1 }, { files: true });
  assertEquals(second.results.map(({ status, error }) => error ?? status), ["verified", "verified"]);
});

/** A run by files that is stopped when its first export has ended. */
async function stopAfterExport(pair: Pair): Promise<void> {
  const stop = new AbortController();
  await pair.copy({}, {
    files: true,
    stop: stop.signal,
    hooks: { onEvent: ({ what, step }) => what === "end" && step === "export" && stop.abort() },
  });
}

Deno.test("a staged directory that is gone is exported again", async () => {
  await using pair = await Pair.start();
  await stopAfterExport(pair);
  await Deno.remove(`${pair.directory}/stage`, { recursive: true });
  const { results } = await pair.copy({}, { files: true });
  assertEquals(results.map(({ status, error }) => error ?? status), ["verified"]);
  assertEquals(pair.differences(), []);
});

Deno.test("what an earlier run exported to a disk is imported without another export", async () => {
  await using pair = await Pair.start();
  await stopAfterExport(pair);
  await pair.copy({}, { files: true });
  assertEquals(pair.old.requests.filter((r) => isExport(r) && !probes(r)).length, 1);
  assertEquals(pair.differences(), []);
});

Deno.test("an interruption of a split table costs one piece", async () => {
  await using pair = await Pair.start({
    databases: { db: { startMs: Date.UTC(2026, 0, 1), stepMs: 3_600_000, tables: { a: 24 * 6 } } },
  });
  const stop = new AbortController();
  let imports = 0;
  const settings = { splitSeconds: 86_400, jobs: 1 };
  await pair.copy(settings, {
    stop: stop.signal,
    hooks: {
      onEvent: ({ what, step }) => what === "end" && step === "import" && ++imports === 3 && stop.abort(),
    },
  });
  const before = pair.young.requests.filter(isImport).length;
  const { results } = await pair.copy(settings);
  assertEquals([results[0]?.status, results[0]?.rows_imported], ["verified", 24 * 6]);
  assertEquals(pair.young.requests.filter(isImport).length - before, 3);
  assertEquals(pair.differences(), []);
});

Deno.test("stdout that nobody reads ends the run quietly", async () => {
  const tables = Object.fromEntries(
    Array.from({ length: 200 }, (_, i) => [`a_table_with_a_rather_long_name_${i}`, 2]),
  );
  await using pair = await Pair.start({ databases: { db: { tables } } });
  const { child } = pair.start(["--all"]);
  await child.stdout.cancel();
  const [status, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assertEquals([status.code, /error/.test(stderr)], [0, false], stderr);
});
