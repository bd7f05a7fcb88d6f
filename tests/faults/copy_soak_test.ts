/**
 * copy_tables under seeded faults, stops and kills, with writers meanwhile: whatever happens, the runs that follow end with every row
 * there, no TTL left raised and no directory used twice. `COPY_SEEDS=200` for more of them, `SOAK_SEED=n` runs one alone.
 */
import { proven } from "../../lib/copy/result.ts";
import { assert, assertEquals } from "../helpers/deps.ts";
import { randomOf } from "../helpers/random.ts";
import { type Fault, type RecordedRequest, rowsKey, type Version } from "../standin/standin.ts";
import { NO_LEADER, TIMED_OUT } from "../standin/troubles.ts";
import { copyTables, Pair, type Place, row, type Settings, ttlOf } from "../unit/copy/copying.ts";
import { startChild } from "./copy_child.ts";
import { day, exportPaths, isExport, isImport, refusal, tableOf, tablesOf } from "./faults.ts";

const only = Deno.env.get("SOAK_SEED");
const seeds = only
  ? [Number(only)]
  : Array.from({ length: Number(Deno.env.get("COPY_SEEDS") ?? 24) }, (_, i) => i + 1);
const versions: readonly Version[] = ["2.4.0", "2.4.1", "2.4.2", "2.4.3"];

const databases = () => ({
  fresh: { tables: { a: 5, b: 30, c: 0 } },
  aged: { ttl: "30d", startMs: Date.now() - 60 * day, stepMs: day, tables: { a: 20, b: 60 } },
  other: { tables: { a: 12, d: 400 } },
});

/** Faults for some of the requests, by a seed. */
function faults(next: () => number, pair: Pair, hit: () => void, kill: () => void) {
  const choose = async (request: RecordedRequest): Promise<Fault | undefined> => {
    if (request.method !== "POST" || next() > 0.08) return undefined;
    const pick = <T>(...choices: T[]): T => choices[Math.floor(next() * choices.length)]!;
    const passing = pick(...NO_LEADER, TIMED_OUT);
    switch (Math.floor(next() * 13)) {
      case 0:
        return { kind: "close" };
      case 1:
        return { kind: "cut-during" };
      case 2:
        return { kind: "cut-after" };
      case 3:
        return { kind: "truncate" };
      case 4:
        return { kind: "answer", status: 500, body: "" };
      case 5:
        return /^COPY/.test(request.body) ? refusal("010001", "Datafusion: some refusal") : undefined;
      case 6:
        return isExport(request)
          ? refusal("010047", "ObjectStore: No space left on device (os error 28)")
          : undefined;
      case 7:
        return isImport(request)
          ? refusal("030024", "Meta request error: CoordDataIn reached limit")
          : undefined;
      case 8:
        await pair.young.restart();
        return { kind: "close" };
      case 9: {
        // A writer writes while its table is copied.
        const rows = pair.old.rows.get(rowsKey("cnosdb", "other", "a"))!;
        if (isExport(request) && tableOf(request) === '"other"."a"') {
          rows.push(row(1000 + rows.length, Date.now() - 60_000 + rows.length));
        }
        return undefined;
      }
      case 10:
        return isImport(request) ? refusal(passing.code, passing.message, next() < 0.5) : undefined;
      case 11:
        pair.young.troubles.hide(`cnosdb/${pick("fresh/b", "aged/b", "other/d")}`, 3, 1);
        return undefined;
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

interface RunEnd {
  /** how many tables have a line that says that they are well */
  proven: number;
  /** whether it ended by itself */
  whole: boolean;
}

/** A run in a process of its own, which the faults may kill. */
async function killable(
  place: Place,
  settings: Settings,
  options: { files: boolean; tables: ReturnType<typeof tablesOf> },
  begin: (kill: () => void) => void,
): Promise<RunEnd> {
  const { child, done } = startChild({ place, settings, options: { ...options, patienceMs: 300 } });
  begin(() => child.kill("SIGKILL"));
  const { killed, output } = await done;
  const totals = JSON.parse(/^\{"totals":(.*),"ms":[\d.]+\}$/m.exec(output)?.[1] ?? "{}");
  assert(killed || totals.statuses !== undefined, output);
  const statuses = Object.entries<number>(totals.statuses ?? {});
  return {
    proven: statuses.filter(([status]) => proven.has(status)).reduce((sum, [, n]) => sum + n, 0),
    whole: !killed && totals.stopped === undefined,
  };
}

Deno.test(`${seeds.length} seeded runs of faults, stops and kills each end with every row there`, async () => {
  const counts = { runs: 0, faults: 0, kills: 0, stops: 0, claimed: 0 };
  const hit = () => void counts.faults++;
  for (const seed of seeds) {
    const next = randomOf(seed);
    const nodes = next() < 0.5 ? 1 : 3;
    await using pair = await Pair.start({
      databases: databases(),
      version: versions[Math.floor(next() * versions.length)]!,
      young: { dataNodes: nodes, elections: nodes === 3 ? 3 : 0 },
    });
    const ttl = await ttlOf(pair.young, "aged");
    const settings: Settings = {
      jobs: 1 + Math.floor(next() * 6),
      rowsPerWindow: next() < 0.5 ? 7 : 5_000_000,
      verify: "full",
    };
    const files = next() < 0.5;
    const killing = seed % 5 === 0;
    const place = { ...pair.place, to: pair.young.sqlUrls.join(",") };
    const tables = tablesOf(pair);
    let dropped = false;
    for (let run = 1, ended = false; !ended; run++) {
      assert(run < 30, `seed ${seed} does not come to an end`);
      counts.runs++;
      const calm = run > 4;
      const begin = (kill: () => void) => {
        const fault = faults(next, pair, hit, kill);
        pair.old.fault = pair.young.fault = calm ? undefined : fault;
      };
      let ran: RunEnd;
      if (killing) {
        ran = await killable(
          place,
          settings,
          { files, tables },
          (kill) => begin(() => (counts.kills++, kill())),
        );
      } else {
        const stop = new AbortController();
        begin(() => {
          if (!stop.signal.aborted) counts.stops++;
          stop.abort();
        });
        const { totals, results } = await copyTables(place, settings, {
          ...{ files, tables, stop: stop.signal, patienceMs: 300 },
        });
        ran = {
          proven: results.filter(({ status }) => proven.has(status)).length,
          whole: totals.stopped === undefined,
        };
      }
      pair.old.fault = pair.young.fault = undefined;
      ended = ran.whole && ran.proven === tables.length;
      if (ended) break;
      counts.claimed += ran.proven;
      if (files && next() < 0.3) {
        await Deno.remove(`${pair.directory}/stage`, { recursive: true }).catch(() => {});
      }
      if (next() < 0.2) {
        dropped = true;
        pair.young.dropExpired();
      }
    }
    assertEquals(await ttlOf(pair.young, "aged"), ttl, `seed ${seed}`);
    // A server takes what lies wholly beyond the TTL once a table is proven and its TTL is set back.
    const kept = pair.differences().filter((key) => !dropped || !key.includes("/aged/"));
    assertEquals(kept, [], `seed ${seed} (SOAK_SEED=${seed} runs it alone)`);
    const paths = exportPaths(pair);
    assertEquals(new Set(paths).size, paths.length, `seed ${seed}`);
    assertEquals(pair.young.crash ?? pair.old.crash, undefined, `seed ${seed}`);
  }
  console.log(`    ${JSON.stringify(counts)}`);
});
