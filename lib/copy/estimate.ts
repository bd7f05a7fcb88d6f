/** `--estimate`: what a copy would move, how long that takes and what would be refused. Nothing is written to either cluster. */
import type { Args } from "../cli/command.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import type { Say } from "../cli/say.ts";
import { printJson, printLine } from "../cli/files.ts";
import { atOnce } from "../cli/deps.ts";
import { counted, describeBytes, describeSeconds } from "../cli/text.ts";
import { databaseKey, displayName, displayTable, type TableName } from "../cnosdb/names.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";
import type { Cluster } from "./cluster.ts";
import { gistOf } from "./trouble.ts";
import { readClock } from "./command.ts";
import { lookAtTables, type Seen } from "./compare.ts";
import type { RunOptions } from "./copy.ts";
import { runOptions, type RunPlan } from "./runs.ts";
import { inStatements } from "./statements.ts";
import { exportWindow } from "./table.ts";
import { readTtl } from "./ttl.ts";
import { sameSummary, window } from "./windows.ts";

/** What `--estimate` prints. Bytes are those of files in the stage: Parquet, which COPY INTO does not compress. */
export interface Estimate {
  readonly tables: number;
  readonly rows: number;
  /** of the tables that are not equal already */
  readonly tablesToCopy: number;
  readonly rowsToCopy: number;
  readonly bytesToCopy: number;
  /** what lies there at once at most, by `--ahead` */
  readonly stageBytes: number;
  readonly exportSeconds: number;
  /** at best and at worst: an import takes up to five times as long as its export (2.4.0 to 2.4.3.4) */
  readonly importSeconds: readonly [number, number];
  readonly jobs: number;
  /** what the seconds are reckoned from; undefined where there is nothing to copy */
  readonly sample?: {
    readonly table: string;
    readonly rows: number;
    readonly bytes: number;
    readonly seconds: number;
  };
  readonly largest: readonly { readonly table: string; readonly rows: number; readonly bytes: number }[];
  /** databases whose TTL on the target would be raised for older rows */
  readonly expired: readonly {
    readonly database: string;
    readonly ttlDays: number;
    readonly oldest: string;
  }[];
  /** why tables would not be copied */
  readonly refused: readonly { readonly why: string; readonly tables: number; readonly first: string }[];
}

/** So many rows are exported to see how long that takes. */
const sampleRows = 200_000;
const largestTold = 10;
const importFactor = 5;

/**
 * Profiles all tables on both sides and exports a sample of the largest one into the stage, where it is thrown away.
 * @param clockMs how far the source's clock is ahead of ours
 */
export async function estimate(
  plan: RunPlan,
  names: readonly TableName[],
  clockMs: number,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<Estimate> {
  const { context, outer, jobs, halt } = runOptions(plan, {
    step() {},
    result: () => Promise.resolve(),
    tally: { rowsPlanned: 0, rowsCopied: 0, bytes: 0 },
    say,
  });
  const stop = () => halt.abort(signal.reason);
  signal.addEventListener("abort", stop);
  const seen: Seen[] = [];
  const hasMore = ({ source, target }: Seen) => !context.intoExisting && target.rows > source.rows;
  const refused = new Map<string, { tables: number; first: string }>();
  const refuse = (name: TableName, why: string) => {
    const gist = gistOf(why.replaceAll(displayTable(name), "it"));
    const known = refused.get(gist) ?? { tables: 0, first: displayTable(name) };
    refused.set(gist, { ...known, tables: known.tables + 1 });
  };
  await atOnce(jobs, inStatements(names, databaseKey), async (group) => {
    const asks = group.map((name) => ({ name, window: outer }));
    for (const [i, one] of (await lookAtTables({ ...context, full: false }, asks)).entries()) {
      if (one instanceof Failure) refuse(group[i]!, messageOf(one));
      else {
        seen.push(one);
        if (hasMore(one)) refuse(one.name, "the target has more rows than the source");
      }
    }
  });
  const left = seen.filter((one) =>
    one.source.rows > 0 && !sameSummary(one.source, one.target) && !hasMore(one)
  )
    .sort((a, b) => cells(b) - cells(a));
  const [first] = left;
  const sample = first && await measure(context, first);
  const bytesPerCell = sample ? sample.bytes / Math.max(1, sample.rows * first.columns.length) : 0;
  const bytesOf = (one: Seen) => Math.round(cells(one) * bytesPerCell);
  const sum = (tables: readonly Seen[], of: (one: Seen) => number) =>
    tables.reduce((n, one) => n + of(one), 0);
  const bytesToCopy = sum(left, bytesOf);
  const secondsOf = (bytes: number) => sample && sample.bytes ? bytes * sample.seconds / sample.bytes : 0;
  // imports into one database wait for each other, so the largest one may decide
  const databases = [...Map.groupBy(left, ({ name }) => databaseKey(name)).values()];
  const longest = Math.max(bytesToCopy / jobs, ...databases.map((tables) => sum(tables, bytesOf)));
  return {
    tables: names.length,
    rows: sum(seen, ({ source }) => source.rows),
    tablesToCopy: left.length,
    rowsToCopy: sum(left, ({ source }) => source.rows),
    bytesToCopy,
    stageBytes: Math.min(bytesToCopy, plan.aheadBytes ?? Infinity),
    exportSeconds: secondsOf(bytesToCopy / Math.min(jobs, Math.max(1, left.length))),
    importSeconds: [secondsOf(longest), importFactor * secondsOf(longest)],
    jobs,
    ...(sample ? { sample: { table: displayTable(first.name), ...sample } } : {}),
    largest: left.slice(0, largestTold).map((one) => ({
      ...{ table: displayTable(one.name), rows: one.source.rows, bytes: bytesOf(one) },
    })),
    expired: await findExpired(plan.to!, databases, clockMs),
    refused: [...refused].map(([why, told]) => ({ why, ...told })),
  };
}

const cells = ({ source, columns }: Seen) => source.rows * columns.length;

/** Exports the end of a table, as far as it holds some `sampleRows` rows were they spread evenly. */
async function measure(context: RunOptions["context"], { name, source }: Seen) {
  const [start, end] = [parseTime(source.first!)!, parseTime(source.last!)!];
  const share = BigInt(Math.ceil(1e6 * Math.min(1, sampleRows / source.rows)));
  const from = formatTime(end - (end - start) * share / 1_000_000n);
  const begun = performance.now();
  return await context.schedule.staged(async (hold) => {
    const { directory, rows } = await exportWindow(context, name, window(from, formatTime(end + 1n)), hold);
    await context.stage!.remove(directory);
    return { rows, bytes: hold.bytes, seconds: Math.round(performance.now() - begun) / 1000 };
  });
}

async function findExpired(target: Cluster, databases: readonly Seen[][], clockMs: number) {
  const expired: Estimate["expired"][number][] = [];
  for (const tables of databases) {
    const { tenant, database } = tables[0]!.name;
    const oldest = tables.map(({ source }) => source.first!).sort()[0]!;
    const ttlSeconds = await readTtl(target, tenant, database);
    if (ttlSeconds === Infinity) continue;
    const begins = formatTime(BigInt(Math.trunc(Date.now() + clockMs - ttlSeconds * 1000)) * 1_000_000n);
    if (oldest < begins) {
      expired.push({ database: displayName(tenant, database), ttlDays: ttlSeconds / 86_400, oldest });
    }
  }
  return expired;
}

/**
 * Prints what a plan would come to: text, or with `--json` one line.
 * @returns the exit code @throws {UsageError} where a side or the list is missing
 */
export async function printEstimate(
  args: Args,
  plan: RunPlan,
  signal: AbortSignal,
  say: Say,
): Promise<number> {
  const { from, to, list } = plan;
  const tenant = list?.names[0]?.tenant;
  if (!from || !to || !list || tenant === undefined) {
    throw new UsageError("--estimate needs --from, --to and a list of tables");
  }
  const found = await estimate(plan, list.names, await readClock(from, tenant, signal, say), signal, say);
  await (args.on("json") ? printJson(found) : printLine(describeEstimate(found)));
  return 0;
}

/** The same as an operator reads it. */
export function describeEstimate(e: Estimate): string {
  const [best, worst] = e.importSeconds;
  return [
    `${counted(e.tables, "table")}, ${counted(e.rows, "row")}; to copy: ${
      counted(e.tablesToCopy, "table")
    }, ` +
    `${counted(e.rowsToCopy, "row")}, some ${describeBytes(e.bytesToCopy)} (Parquet comes uncompressed)`,
    `stage: up to ${describeBytes(e.stageBytes)} at once`,
    `with ${counted(e.jobs, "job")}: export ${describeSeconds(e.exportSeconds)}, import ${
      describeSeconds(best)
    } to ${describeSeconds(worst)}`,
    ...(e.sample
      ? [
        `  reckoned from ${counted(e.sample.rows, "row")} of ${e.sample.table}: ${
          describeBytes(e.sample.bytes)
        } in ${e.sample.seconds} s`,
      ]
      : []),
    ...(e.largest.length ? ["largest:"] : []),
    ...e.largest.map(({ table, rows, bytes }) =>
      `  ${table}: ${counted(rows, "row")}, ${describeBytes(bytes)}`
    ),
    ...e.expired.map(({ database, ttlDays, oldest }) =>
      `older than its TTL of ${ttlDays} days: ${database}, rows from ${oldest} on; the TTL is raised meanwhile`
    ),
    ...e.refused.map(({ why, tables, first }) =>
      `would be refused: ${first}${tables > 1 ? ` and ${tables - 1} more` : ""}: ${why}`
    ),
  ].join("\n");
}
