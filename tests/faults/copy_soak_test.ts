/**
 * copy_tables under seeded faults and kills: whatever happens, the runs that follow end with every row there, no TTL left raised
 * and no directory used twice. COPY_SEEDS=200 for more of them.
 */
import type { CopySettings } from "../../lib/copy/copy_table.ts";
import { startChild } from "./copy_child.ts";
import { Pair, row, ttlOf } from "../unit/copy/copying.ts";
import { assert, assertEquals } from "../helpers/deps.ts";
import { TestPostgres } from "../unit/copy/postgres.ts";
import { randomOf } from "../helpers/random.ts";
import { type Fault, type RecordedRequest, rowsKey } from "../standin/standin.ts";

const seeds = Number(Deno.env.get("COPY_SEEDS") ?? 24);
const day = 86_400_000;

const isExport = ({ body }: RecordedRequest) => /^COPY INTO '(file|s3):/.test(body);
const isImport = ({ body }: RecordedRequest) => body.startsWith('COPY INTO "');
const tableOf = ({ body }: RecordedRequest) => /"(\w+)"\."(\w+)"/.exec(body)?.[0] ?? "";

const databases = () => ({
  fresh: { tables: { a: 5, b: 30, c: 0 } },
  aged: { ttl: "30d", startMs: Date.now() - 60 * day, stepMs: day, tables: { a: 20, b: 60 } },
  other: { tables: { a: 12 } },
});

const answer = (status: number, message: string): Fault => ({
  kind: "answer",
  status,
  body: message && JSON.stringify({ error_code: "010001", error_message: message }),
});

/** Faults for some of the requests, by a seed. */
function faults(next: () => number, pair: Pair, hit: () => void, kill: () => void) {
  const choose = async (request: RecordedRequest): Promise<Fault | undefined> => {
    if (request.method !== "POST" || next() > 0.08) return undefined;
    const copy = /^COPY/.test(request.body);
    const choice = Math.floor(next() * 11);
    switch (choice) {
      case 0:
        return { kind: "close" };
      case 1:
        return { kind: "cut-during" };
      case 2:
        return { kind: "cut-after" };
      case 3:
        return { kind: "truncate" };
      case 4:
        return answer(500, "");
      case 5:
        return copy ? answer(422, "Datafusion: some refusal") : undefined;
      case 6:
        return isExport(request)
          ? answer(422, "ObjectStore: No space left on device (os error 28)")
          : undefined;
      case 7:
        return isImport(request) ? answer(422, "Meta request error: CoordDataIn reached limit") : undefined;
      case 8:
        await pair.young.restart();
        return { kind: "close" };
      case 9: {
        const rows = pair.old.rows.get(rowsKey("cnosdb", "other", "a"))!;
        if (isExport(request) && tableOf(request) === '"other"."a"') {
          rows.push(row(1000 + rows.length, Date.now() - 60_000));
        }
        return undefined;
      }
      default:
        kill();
        return next() < 0.5 ? { kind: "close" } : undefined;
    }
  };
  return async (request: RecordedRequest) => {
    const fault = await choose(request);
    if (fault) hit();
    return fault;
  };
}

Deno.test(`${seeds} seeded runs of faults, stops and kills each end with every row there`, async () => {
  const counts = { runs: 0, faults: 0, kills: 0, stops: 0, repeats: 0 };
  const hit = () => void counts.faults++;
  for (let seed = 1; seed <= seeds; seed++) {
    const next = randomOf(seed);
    await using pair = await Pair.start({
      databases: databases(),
      version: next() < 0.5 ? "2.4.0" : "2.4.3",
    });
    const ttl = await ttlOf(pair.young, "aged");
    const settings: Partial<CopySettings> = {
      jobs: 1 + Math.floor(next() * 6),
      splitSeconds: next() < 0.5 ? 0 : 7 * 86_400,
      verify: "full",
      attempts: 5,
    };
    const files = next() < 0.5;
    const killing = seed % 5 === 0;
    let dropped = false;
    for (let run = 1, ended = false; !ended; run++) {
      assert(run < 30, `seed ${seed} does not come to an end`);
      counts.runs++;
      const calm = run > 4;
      const stop = new AbortController();
      let ran: { failed: boolean; left: boolean };
      if (killing) {
        const keys = [...pair.old.rows.keys()].map((key) => key.split("/"));
        const tables = keys.map(([tenant = "", database = "", table = ""]) => ({ tenant, database, table }));
        const { child, done } = startChild({ place: pair.place, settings, options: { files, tables } });
        const kill = () => {
          counts.kills++;
          child.kill("SIGKILL");
        };
        const fault = faults(next, pair, hit, kill);
        pair.old.fault = pair.young.fault = calm ? undefined : fault;
        const { killed, output } = await done;
        const totals = JSON.parse(/\{"totals":(.*),"ms":[\d.]+\}$/m.exec(output)?.[1] ?? "{}");
        assert(killed || totals.done !== undefined, output);
        ran = {
          failed: killed || totals.failed + totals.changed > 0,
          left: killed || totals.stopped !== undefined,
        };
      } else {
        const fault = faults(next, pair, hit, () => {
          if (!stop.signal.aborted) counts.stops++;
          stop.abort();
        });
        pair.old.fault = pair.young.fault = calm ? undefined : fault;
        const { totals, events } = await pair.copy(settings, { files, stop: stop.signal });
        counts.repeats += events.filter(({ what }) => what === "again").length;
        ran = {
          failed: totals.failed + totals.changed + totals.ttlFailures.length > 0,
          left: totals.stopped !== undefined,
        };
      }
      pair.old.fault = pair.young.fault = undefined;
      if (files && next() < 0.3) {
        await Deno.remove(`${pair.directory}/stage`, { recursive: true }).catch(() => {});
      }
      if (next() < 0.2) {
        dropped = true;
        pair.young.dropExpired();
      }
      ended = !ran.failed && !ran.left;
    }
    assertEquals(await ttlOf(pair.young, "aged"), ttl, `seed ${seed}`);
    // A server takes what lies wholly beyond the TTL once a table is verified and its TTL is set back.
    const kept = pair.differences().filter((key) => !dropped || !key.includes("/aged/"));
    assertEquals(kept, [], `seed ${seed}`);
    const paths = pair.old.requests.filter((r) => isExport(r) && tableOf(r)).map(({ body }) =>
      body.split("'")[1]
    );
    assertEquals(new Set(paths).size, paths.length, `seed ${seed}`);
  }
  console.log(`    ${JSON.stringify(counts)}`);
});

Deno.test("four workers on one PostgreSQL copy 200 tables although two are killed, no table twice at a time", async () => {
  const server = await TestPostgres.start();
  try {
    const tables = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, i % 7]));
    const aged = { ttl: "30d", startMs: Date.now() - 60 * day, tables: tables(40) };
    await using pair = await Pair.start({
      databases: { a: { tables: tables(80) }, b: { tables: tables(50) }, c: { tables: tables(30) }, aged },
      young: { latency: { statementMs: 5 } },
      old: { latency: { statementMs: 5 } },
    });
    const ttl = await ttlOf(pair.young, "aged");
    const names = [...pair.old.rows.keys()].map((key) => key.split("/"));
    const list = names.map(([tenant = "", database = "", table = ""]) => ({ tenant, database, table }));
    assertEquals(list.length, 200);
    const options = { ledger: await server.newDatabase(), tables: list, leaseMs: 1500 };
    const workers = Array.from(
      { length: 4 },
      () => startChild({ place: pair.place, settings: { jobs: 4 }, options }),
    );
    // Killed in the middle of an import each, at different times.
    const running = new Map<string, number>();
    let together = 0, imports = 0;
    pair.young.fault = (request) => {
      if (!isImport(request)) return undefined;
      const table = tableOf(request);
      for (const name of running.keys()) {
        const open = pair.young.requests.some((r) =>
          isImport(r) && r !== request && r.endMs === undefined && tableOf(r) === name
        );
        if (!open) running.delete(name);
      }
      together = Math.max(together, running.has(table) ? 2 : 1);
      running.set(table, 1);
      if (++imports === 20) workers[0]!.child.kill("SIGKILL");
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
    assertEquals(together, 1);
    assertEquals(await ttlOf(pair.young, "aged"), ttl);
    const paths = pair.old.requests.filter((r) => isExport(r) && tableOf(r)).map(({ body }) =>
      body.split("'")[1]
    );
    assertEquals(new Set(paths).size, paths.length);
    const verified = ended.flatMap(({ output }) =>
      output.split("\n").filter((line) => line.includes('"verified"'))
    );
    assert(verified.length >= 190, `${verified.length}`);
  } finally {
    await server.stop();
  }
});
