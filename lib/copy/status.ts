/** `--status`: what a ledger says of a run, also while it is being worked on. */
import type { Args } from "../cli/command.ts";
import { UsageError } from "../cli/errors.ts";
import { printJson, printLine, writeStdout } from "../cli/files.ts";
import { pause } from "../cnosdb/http.ts";
import { displayTable } from "../cnosdb/names.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { describeStanding, type Standing } from "./output.ts";
import { proven, type TableResult } from "./result.ts";
import { describeTtl } from "./ttl.ts";

/** How far the newest run of a ledger is. */
export interface LedgerStatus extends Standing {
  /** clusters and options, as the run was started with */
  run: unknown;
  byStatus: Record<string, number>;
  /** tables that a worker holds just now, and who */
  atWork: { table: string; holder: string }[];
  /** what is not well, and why */
  notWell: { table: string; status: string; error: string }[];
}

/** Reads how far a ledger's newest list is. @returns undefined where it has none */
async function readStatus(ledger: Ledger): Promise<LedgerStatus | undefined> {
  if (!await ledger.start()) return undefined;
  const status = { tables: 0, ended: 0, failed: 0, rowsPlanned: 0, rowsCopied: 0, bytes: 0 };
  const more: Pick<LedgerStatus, "byStatus" | "atWork" | "notWell"> = {
    byStatus: {},
    atWork: [],
    notWell: [],
  };
  let [startMs, endMs] = [Infinity, 0];
  for await (const row of ledger.rows()) {
    const table = displayTable(row.name);
    status.tables++;
    more.byStatus[row.status || "open"] = (more.byStatus[row.status || "open"] ?? 0) + 1;
    if (row.holder) more.atWork.push({ table, holder: row.holder });
    if (row.status === "") continue;
    const result = row.result === undefined ? undefined : JSON.parse(row.result) as TableResult;
    status.ended++;
    status.rowsPlanned += result?.source?.rows ?? row.rows;
    status.rowsCopied += result?.copied?.rows ?? 0;
    status.bytes += result?.copied?.bytes ?? 0;
    if (result?.started !== undefined) {
      startMs = Math.min(startMs, Date.parse(result.started));
      endMs = Math.max(endMs, Date.parse(result.started) + 1000 * (result.seconds ?? 0));
    }
    if (proven.has(row.status)) continue;
    status.failed++;
    more.notWell.push({ table, status: row.status, error: result?.error ?? "" });
  }
  const elapsedSeconds = endMs > startMs ? (endMs - startMs) / 1000 : 0;
  return { run: JSON.parse(ledger.proof), ...status, elapsedSeconds, ...more };
}

/** The same as an operator reads it. @param raised sentences on TTLs */
function describeStatus(status: LedgerStatus, raised: readonly string[]): string {
  const { run, byStatus, atWork, notWell } = status;
  return [
    JSON.stringify(run),
    describeStanding(status),
    Object.entries(byStatus).map(([word, tables]) => `${tables} ${word}`).join(", "),
    ...atWork.slice(0, 20).map(({ table, holder }) => `at work: ${table}, ${holder}`),
    ...notWell.slice(0, 100).map(({ table, status, error }) => `${table}: ${status}: ${error}`),
    ...raised,
  ].join("\n");
}

/** How often `--watch` looks. */
const watchMs = 2000;
const clearScreen = new TextEncoder().encode("\x1b[H\x1b[2J");

/** Prints how far a ledger's newest run is, with `--watch` again and again. @throws {UsageError} where it has none */
export async function printStatus(args: Args, where: string, signal: AbortSignal): Promise<number> {
  const ledger = await openLedger(where, { readOnly: true });
  try {
    do {
      const status = await readStatus(ledger);
      if (!status) throw new UsageError(`${ledger.name} has no run`);
      const raised = (await ledger.ttls()).map(describeTtl);
      if (args.on("watch") && Deno.stdout.isTerminal()) await writeStdout(clearScreen);
      await (args.on("json") ? printJson(status) : printLine(describeStatus(status, raised)));
      if (args.on("watch")) await pause(watchMs, signal).catch(() => {});
    } while (args.on("watch") && !signal.aborted);
    return 0;
  } finally {
    await ledger.close();
  }
}
