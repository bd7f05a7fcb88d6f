/** `--estimate`: what a copy would move, how long that takes, what would be refused. It changes neither cluster. */
import type { Args } from "../cli/command.ts";
import { atOnce } from "../cli/deps.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { printJson, printLine } from "../cli/files.ts";
import { counted, describeBytes, describeSeconds } from "../cli/text.ts";
import { databaseKey, displayName, displayTable } from "../cnosdb/names.ts";
import { formatTime, parseTime } from "../cnosdb/time.ts";
import type { Cluster } from "./cluster.ts";
import type { RunPlan } from "./command.ts";
import { profileTables, type TableProfile } from "./compare.ts";
import type { RunOutput } from "./output.ts";
import { runOptions } from "./runs.ts";
import { inStatements } from "./statements.ts";
import type { CopyContext } from "./table.ts";
import { exportWindow } from "./transfer.ts";
import { addReason, type Reasons } from "./trouble.ts";
import { readTtl } from "./ttl.ts";
import { differs } from "./windows.ts";

/** About how many rows are exported to see how long that takes. */
const sampleRows = 200_000;
const largestReported = 10;
/** An import takes up to so many times as long as its export (2.4.0 to 2.4.3.4). */
const importFactor = 5;

const rowsOf = ({ source }: TableProfile) => source.rows;
const cellsOf = ({ source, columns }: TableProfile) => source.rows * columns.length;

/**
 * Profiles all tables on both sides, and exports a sample of the largest one into the stage, which is removed
 * again. Bytes are those of files in the stage: Parquet, which COPY INTO does not compress.
 */
async function estimate({ from, to, list, jobs, intoExisting, aheadBytes }: RunPlan, context: CopyContext) {
  if (!from || !to || !list?.names.length) {
    throw new UsageError("--estimate needs --from, --to and a list of tables");
  }
  const profiles: TableProfile[] = [];
  const reasons: Reasons = new Map();
  await atOnce(jobs, inStatements(list.names, databaseKey), async (names) => {
    for (const [i, profile] of (await profileTables({ ...context, verify: "count" }, names)).entries()) {
      if (profile instanceof Failure) addReason(reasons, names[i]!, messageOf(profile));
      else profiles.push(profile);
    }
  });
  const isRefused = ({ source, target }: TableProfile) => !intoExisting && target.rows > source.rows;
  for (const { name } of profiles.filter(isRefused)) {
    addReason(reasons, name, "the target has more rows than the source");
  }
  const toCopy = profiles
    .filter((profile) => profile.source.rows > 0 && differs(profile) && !isRefused(profile))
    .sort((a, b) => cellsOf(b) - cellsOf(a));
  const [largest] = toCopy;
  const sample = largest && await exportSample(context, largest);
  const bytesPerCell = sample ? sample.bytes / Math.max(1, sample.rows * largest.columns.length) : 0;
  const bytesOf = (profile: TableProfile) => Math.round(cellsOf(profile) * bytesPerCell);
  const secondsOf = (bytes: number) => sample?.bytes ? bytes * sample.seconds / sample.bytes : 0;
  const bytesToCopy = Math.sumPrecise(toCopy.map(bytesOf));
  // Imports into one database wait for each other, so the largest one may decide.
  const databases = [...Map.groupBy(toCopy, ({ name }) => databaseKey(name)).values()];
  const importBytes = Math.max(
    bytesToCopy / jobs,
    ...databases.map((tables) => Math.sumPrecise(tables.map(bytesOf))),
  );
  return {
    tables: list.names.length,
    rows: Math.sumPrecise(profiles.map(rowsOf)),
    // what is not equal already
    tablesToCopy: toCopy.length,
    rowsToCopy: Math.sumPrecise(toCopy.map(rowsOf)),
    bytesToCopy,
    // the most that lies there at once
    stageBytes: Math.min(bytesToCopy, aheadBytes),
    exportSeconds: secondsOf(bytesToCopy / Math.min(jobs, Math.max(1, toCopy.length))),
    // at best and at worst
    importSeconds: [secondsOf(importBytes), importFactor * secondsOf(importBytes)] as const,
    jobs,
    // what the seconds are calculated from
    ...(sample ? { sample: { table: displayTable(largest.name), ...sample } } : {}),
    largest: toCopy.slice(0, largestReported).map((profile) => ({
      table: displayTable(profile.name),
      rows: profile.source.rows,
      bytes: bytesOf(profile),
    })),
    expired: await findExpired(to, databases),
    refused: [...reasons].map(([why, tables]) => ({ why, ...tables })),
  };
}

/** Exports the end of a table: `sampleRows` rows if they are spread evenly over its time. */
async function exportSample(context: CopyContext, { name, window, source }: TableProfile) {
  const [start, end] = [parseTime(source.first!)!, parseTime(source.last!)!];
  const share = BigInt(Math.ceil(1e6 * Math.min(1, sampleRows / source.rows)));
  const from = formatTime(end - (end - start) * share / 1_000_000n);
  const startMs = performance.now();
  return await context.schedule.staged(async (hold) => {
    const { directory, rows } = await exportWindow(context, name, { from, to: window.to }, hold);
    await context.stage!.remove(directory);
    return { rows, bytes: hold.bytes, seconds: Math.round(performance.now() - startMs) / 1000 };
  });
}

/** Databases whose TTL on the target would be raised for older rows. */
async function findExpired(target: Cluster, databases: readonly TableProfile[][]) {
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

/** The estimate as text. */
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

/** Prints the estimate of a plan: text, or with `--json` one line. @returns the exit code */
export async function printEstimate(
  args: Args,
  plan: RunPlan,
  output: RunOutput,
  signal: AbortSignal,
): Promise<number> {
  const estimated = await estimate(plan, runOptions(plan, output, signal));
  await (args.on("json") ? printJson(estimated) : printLine(describeEstimate(estimated)));
  return 0;
}
