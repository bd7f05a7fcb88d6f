/** `--estimate`: what a copy would move, how long that takes, what would be refused. It writes to neither cluster. */
import type { Args } from "../cli/command.ts";
import { atOnce } from "../cli/deps.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { printJson, printLine } from "../cli/files.ts";
import { counted, describeBytes, describeSeconds } from "../cli/text.ts";
import { databaseKey, displayName, displayTable } from "../cnosdb/names.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";
import type { Cluster } from "./cluster.ts";
import type { RunPlan } from "./command.ts";
import { lookAtTables, type Seen } from "./compare.ts";
import type { RunOutput } from "./output.ts";
import { runOptions } from "./runs.ts";
import { inStatements } from "./statements.ts";
import type { CopyContext } from "./table.ts";
import { exportWindow } from "./transfer.ts";
import { addReason, type Reasons } from "./trouble.ts";
import { readTtl } from "./ttl.ts";
import { sameSummary } from "./windows.ts";

/** So many rows are exported to see how long that takes. */
const sampleRows = 200_000;
const largestTold = 10;
/** An import takes up to so many times as long as its export (2.4.0 to 2.4.3.4). */
const importFactor = 5;

const cells = ({ source, columns }: Seen) => source.rows * columns.length;

/**
 * Profiles all tables on both sides and exports a sample of the largest one into the stage, where it is
 * thrown away. Bytes are those of files in the stage: Parquet, which COPY INTO does not compress.
 */
async function estimate(
  { from, to, list, range, jobs, intoExisting, aheadBytes }: RunPlan,
  context: CopyContext,
) {
  if (!from || !to || !list?.names.length) {
    throw new UsageError("--estimate needs --from, --to and a list of tables");
  }
  const seen: Seen[] = [];
  const reasons: Reasons = new Map();
  const hasMore = ({ source, target }: Seen) => !intoExisting && target.rows > source.rows;
  await atOnce(jobs, inStatements(list.names, databaseKey), async (group) => {
    const asks = group.map((name) => ({ name, window: range }));
    for (const [i, one] of (await lookAtTables({ ...context, verify: "count" }, asks)).entries()) {
      if (!(one instanceof Failure)) seen.push(one);
      if (one instanceof Failure) addReason(reasons, group[i]!, messageOf(one));
      else if (hasMore(one)) addReason(reasons, one.name, "the target has more rows than the source");
    }
  });
  const left = seen
    .filter((one) => one.source.rows > 0 && !sameSummary(one.source, one.target) && !hasMore(one))
    .sort((a, b) => cells(b) - cells(a));
  const [largest] = left;
  const sample = largest && await measure(context, largest);
  const bytesPerCell = sample ? sample.bytes / Math.max(1, sample.rows * largest.columns.length) : 0;
  const bytesOf = (one: Seen) => Math.round(cells(one) * bytesPerCell);
  const secondsOf = (bytes: number) => sample?.bytes ? bytes * sample.seconds / sample.bytes : 0;
  const bytesToCopy = sum(left, bytesOf);
  // imports into one database wait for each other, so the largest one may decide
  const databases = [...Map.groupBy(left, ({ name }) => databaseKey(name)).values()];
  const importSeconds = secondsOf(
    Math.max(bytesToCopy / jobs, ...databases.map((tables) => sum(tables, bytesOf))),
  );
  return {
    tables: list.names.length,
    rows: sum(seen, ({ source }) => source.rows),
    // what is not equal already
    tablesToCopy: left.length,
    rowsToCopy: sum(left, ({ source }) => source.rows),
    bytesToCopy,
    // what lies there at once at most
    stageBytes: Math.min(bytesToCopy, aheadBytes),
    exportSeconds: secondsOf(bytesToCopy / Math.min(jobs, Math.max(1, left.length))),
    // at best and at worst
    importSeconds: [importSeconds, importFactor * importSeconds] as const,
    jobs,
    // what the seconds are reckoned from
    ...(sample ? { sample: { table: displayTable(largest.name), ...sample } } : {}),
    largest: left.slice(0, largestTold).map((one) => ({
      ...{ table: displayTable(one.name), rows: one.source.rows, bytes: bytesOf(one) },
    })),
    expired: await findExpired(to, databases),
    refused: [...reasons].map(([why, told]) => ({ why, ...told })),
  };
}

function sum(tables: readonly Seen[], of: (one: Seen) => number): number {
  return tables.reduce((n, one) => n + of(one), 0);
}

/** Exports the end of a table, as far as it holds some `sampleRows` rows were they spread evenly. */
async function measure(context: CopyContext, { name, outer, source }: Seen) {
  const [start, end] = [parseTime(source.first!)!, parseTime(source.last!)!];
  const share = BigInt(Math.ceil(1e6 * Math.min(1, sampleRows / source.rows)));
  const from = formatTime(end - (end - start) * share / 1_000_000n);
  const begun = performance.now();
  return await context.schedule.staged(async (hold) => {
    const { directory, rows } = await exportWindow(context, name, { from, to: outer.to }, hold);
    await context.stage!.remove(directory);
    return { rows, bytes: hold.bytes, seconds: Math.round(performance.now() - begun) / 1000 };
  });
}

/** Databases whose TTL on the target would be raised for older rows. */
async function findExpired(target: Cluster, databases: readonly Seen[][]) {
  const expired: { database: string; ttlDays: number; oldest: string }[] = [];
  for (const tables of databases) {
    const { tenant, database } = tables[0]!.name;
    const oldest = tables.map(({ source }) => source.first!).sort()[0]!;
    const ttlSeconds = await readTtl(target, tenant, database);
    if (Number(parseTime(oldest)) / 1e9 < Date.now() / 1000 - ttlSeconds) {
      expired.push({ database: displayName(tenant, database), ttlDays: ttlSeconds / 86_400, oldest });
    }
  }
  return expired;
}

/** The same as an operator reads it. */
function describeEstimate(estimated: Awaited<ReturnType<typeof estimate>>): string {
  const { sample, largest, expired, refused } = estimated;
  const tables = (n: number) => counted(n, "table");
  const rows = (n: number) => counted(n, "row");
  const bytes = describeBytes;
  const [best, worst] = estimated.importSeconds.map(describeSeconds);
  return [
    `${tables(estimated.tables)}, ${rows(estimated.rows)}; to copy: ${tables(estimated.tablesToCopy)}, ` +
    `${rows(estimated.rowsToCopy)}, some ${bytes(estimated.bytesToCopy)} (Parquet comes uncompressed)`,
    `stage: up to ${bytes(estimated.stageBytes)} at once`,
    `with ${counted(estimated.jobs, "job")}: export ${describeSeconds(estimated.exportSeconds)}, ` +
    `import ${best} to ${worst}`,
    sample &&
    `  reckoned from ${rows(sample.rows)} of ${sample.table}: ${bytes(sample.bytes)} in ${sample.seconds} s`,
    largest.length > 0 && "largest:",
    ...largest.map((one) => `  ${one.table}: ${rows(one.rows)}, ${bytes(one.bytes)}`),
    ...expired.map(({ database, ttlDays, oldest }) =>
      `older than its TTL of ${ttlDays} days: ${database}, rows from ${oldest} on; the TTL is raised meanwhile`
    ),
    ...refused.map(({ why, tables, first }) =>
      `would be refused: ${first}${tables > 1 ? ` and ${tables - 1} more` : ""}: ${why}`
    ),
  ].filter(Boolean).join("\n");
}

/** Prints what a plan would come to: text, or with `--json` one line. @returns the exit code */
export async function printEstimate(
  args: Args,
  plan: RunPlan,
  output: RunOutput,
  signal: AbortSignal,
): Promise<number> {
  const found = await estimate(plan, runOptions(plan, output, signal));
  await (args.on("json") ? printJson(found) : printLine(describeEstimate(found)));
  return 0;
}
