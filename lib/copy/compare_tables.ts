/** `--only verify`: compares two clusters table by table and changes nothing. */
import { messageOf } from "../cli/errors.ts";
import { displayName } from "../dump/key.ts";
import type { Summary, TableName } from "./ledger.ts";
import type { Side } from "./side.ts";
import {
  columnDifferences,
  columnsOf,
  digest,
  digestDifferences,
  summarize,
  summaryDifferences,
} from "./table.ts";

/** A line of output: what was found of a table. */
export interface Comparison extends TableName {
  status: "equal" | "different" | "failed";
  source?: Summary;
  target?: Summary;
  differences?: string[];
  error?: string;
}

/** Compares one table on both sides. @param full whether every column is compared, too. Never throws but when stopped */
export async function compareTable(
  from: Side,
  to: Side,
  { tenant, database, table }: TableName,
  full: boolean,
  stop: AbortSignal,
): Promise<Comparison> {
  const name = { tenant, database, table };
  try {
    const [old, young, source, target] = await Promise.all([
      columnsOf(from, name),
      columnsOf(to, name),
      summarize(from, name),
      summarize(to, name),
    ]);
    const differences = [...columnDifferences(old, young), ...summaryDifferences(source, target)];
    if (full && !differences.length) {
      const [oldDigest, newDigest] = await Promise.all([digest(from, name, old), digest(to, name, young)]);
      differences.push(...digestDifferences(oldDigest, newDigest));
    }
    const status = differences.length ? "different" : "equal";
    return { ...name, status, source, target, ...(differences.length ? { differences } : {}) };
  } catch (error) {
    stop.throwIfAborted();
    return { ...name, status: "failed", error: messageOf(error) };
  }
}

/** A comparison's differences, a line each. */
export function tellComparison({ tenant, database, table, differences = [], error }: Comparison): string[] {
  return [...differences, ...(error === undefined ? [] : [error])].map((text) =>
    `${displayName(tenant, database, table)}: ${text}`
  );
}
