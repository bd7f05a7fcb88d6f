/** `--status`: what a ledger says of a run, also while the run goes on. */
import type { Args } from "../cli/command.ts";
import { UsageError } from "../cli/errors.ts";
import { printJson, printLine, writeStdout } from "../cli/files.ts";
import { pause } from "../cnosdb/http.ts";
import { displayTable } from "../cnosdb/names.ts";
import { openLedger } from "./ledger.ts";
import { Standing } from "./output.ts";
import { proven, type TableResult } from "./result.ts";
import { describeTtl } from "./ttl.ts";

/** How far a ledger's newest run is, as JSON and as text. @throws {UsageError} if it has none */
async function readStatus(where: string | undefined) {
  await using ledger = await openLedger(where, { readOnly: true });
  if (!await ledger.start()) throw new UsageError(`${ledger.name} has no run`);
  const standing = new Standing();
  /** tables that are held just now, and by which worker */
  const atWork: { table: string; holder: string }[] = [];
  const notWell: { table: string; status: string; error: string }[] = [];
  let [startMs, endMs] = [Infinity, 0];
  for await (const { status, result, holder, ...name } of ledger.rows()) {
    const table = displayTable(name);
    standing.tables++;
    if (holder) atWork.push({ table, holder });
    if (!status || result === null) continue;
    const { source, copied, started, seconds = 0, error = "" } = JSON.parse(result) as TableResult;
    standing.count(status);
    standing.rowsPlanned += source?.rows ?? 0;
    standing.rowsCopied += copied?.rows ?? 0;
    standing.bytes += copied?.bytes ?? 0;
    if (!proven.has(status)) notWell.push({ table, status, error });
    if (started === undefined) continue;
    startMs = Math.min(startMs, Date.parse(started));
    endMs = Math.max(endMs, Date.parse(started) + 1000 * seconds);
  }
  const open = standing.tables - standing.ended;
  if (open) standing.byStatus.open = open;
  const elapsedSeconds = Math.max(0, endMs - startMs) / 1000;
  const run = JSON.parse(ledger.proof);
  const text = [
    JSON.stringify(run),
    standing.describe(elapsedSeconds),
    standing.describeStatuses(),
    ...atWork.slice(0, 20).map(({ table, holder }) => `at work: ${table}, ${holder}`),
    ...notWell.slice(0, 100).map(({ table, status, error }) => `${table}: ${status}: ${error}`),
    ...(await ledger.ttls()).map(describeTtl),
  ].join("\n");
  return { json: { run, ...standing, elapsedSeconds, atWork, notWell }, text };
}

/** How often `--watch` prints. */
const watchMs = 2000;
const clearScreen = new TextEncoder().encode("\x1b[H\x1b[2J");

/** Prints how far the newest run of `--ledger` is; repeats that with `--watch`. @returns the exit code */
export async function printStatus(args: Args, signal: AbortSignal): Promise<number> {
  const watch = args.on("watch");
  do {
    // The ledger is opened each time, as one that is only read may not show what is written later.
    const { json, text } = await readStatus(args.value("ledger"));
    if (watch && Deno.stdout.isTerminal()) await writeStdout(clearScreen);
    await (args.on("json") ? printJson(json) : printLine(text));
    if (watch) await pause(watchMs, signal).catch(() => {});
  } while (watch && !signal.aborted);
  return 0;
}
