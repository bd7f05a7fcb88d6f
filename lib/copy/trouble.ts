/** What can go wrong with a copy beside what a server refuses: what it concerns, and how it is reported. */
import { Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { displayTable, type TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import type { TableResult } from "./result.ts";

/** Trouble with a cluster, which every table would have. It ends the run, and its tables are not done. */
export class ClusterTrouble extends Failure {}

/** Retrying did not help, for as long as it was tried. */
export class GivenUp extends Failure {}

/** Nothing was copied, and a repeat would be refused again. */
export class Refused extends Failure {}

/**
 * Whether an error is the outcome of the table that was worked on. If not, it is the run's, the cluster's
 * or a bug; or rows have become older than the TTL and their table is to be compared again, without them.
 */
export function concernsTable(error: unknown): error is Failure {
  return error instanceof Failure && meaningOf(error) !== "expired" &&
    !(error instanceof ClusterTrouble || error instanceof Interrupted);
}

/**
 * Asks for several tables together, and if that fails because of a table one by one, so that it fails alone.
 * @returns the answer for each, or why there is none
 */
export async function eachAlone<T, R>(
  items: readonly T[],
  ask: (items: readonly T[]) => Promise<R[]>,
): Promise<(R | Failure)[]> {
  try {
    return await ask(items);
  } catch (error) {
    if (!concernsTable(error)) throw error;
    // Retrying one by one would take as long again for each.
    if (items.length === 1 || error instanceof GivenUp) return items.map(() => error);
  }
  const answers: (R | Failure)[] = [];
  for (const item of items) answers.push(...await eachAlone([item], ask));
  return answers;
}

/** A failure as a table's line has it. */
export function resultOf(failure: Failure): Pick<TableResult, "status" | "error" | "hint"> {
  const status = failure instanceof Refused ? "refused" : "failed";
  return { status, error: messageOf(failure), ...(failure.hint ? { hint: failure.hint } : {}) };
}

/** The message of a failure without its table and statement: the same for all that fail alike. */
export function gistOf(error: unknown): string {
  return messageOf(error).replace(/^.* answered (\d+ )?/, "");
}

/** What helps against what does not pass by itself, or not soon. */
const help: readonly [RegExp, string][] = [
  // A tenant's bucket that is smaller than what one import writes never lets it in (2.4.3.4).
  [
    /reached limit/i,
    "the tenant's limiter lets in less than one import writes: leave it out until all is copied, and restore it then.",
  ],
  [
    /valid node is not enough, need: \d+, but found: [1-9]/i,
    "start the data node that is down; or if the database has more replicas than there are data nodes, ALTER DATABASE … SET REPLICA 1",
  ],
  // seen after weeks of running, even for SHOW DATABASES (CnosDB issue 2410)
  [
    /resources exhausted/i,
    "if that node answers so to everything, a restart of it helps, and waiting does not; else take fewer --jobs",
  ],
  // of a ledger: PostgreSQL's by code; SQLite's, which all have one code, and the file's by their texts
  [/^Invalid URL/, "in its password % @ : / ? # are written %25 %40 %3A %2F %3F %23."],
  [/^ledger 28/, "user and password come from the URL, or PGUSER and PGPASSWORD."],
  [/^ledger 3D/, "make the database first: createdb NAME."],
  [/^ledger (42501|3F)/, "its user must be allowed to make tables: GRANT CREATE ON SCHEMA …"],
  [
    /^ledger (53100|58|.*(disk is full|disk I\/O))/,
    "make room there and start again: it goes on where it stopped.",
  ],
  [
    /^ledger .*(malformed|not a database)/,
    "it is damaged, or no ledger: move it away; what is equal is found equal.",
  ],
  [/^ledger .*locked/, "another program has it open."],
  [
    /^ledger (ERR_SQLITE|E[NIAPR][A-Z]+:)/,
    "it is made when tables are copied, in a directory that is there and writable.",
  ],
  [/^ledger /, "is it running, and reachable from here? Start again: it goes on where it stopped."],
];

/** What helps against a failure; undefined if only waiting does. */
export function helpFor(error: unknown): string | undefined {
  if (error instanceof Failure && error.hint) return error.hint;
  return help.find(([pattern]) => pattern.test(messageOf(error)))?.[1];
}

/** Why tables are not equal, by `gistOf`: the first table with that reason, and how many have it. */
export type Reasons = Map<string, { first: string; tables: number }>;

/** Counts a table that is not equal. @returns whether it is the first one with this reason */
export function addReason(reasons: Reasons, name: TableName, why: string): boolean {
  const gist = gistOf(why.replaceAll(displayTable(name), "it"));
  const { first, tables } = reasons.get(gist) ?? { first: displayTable(name), tables: 0 };
  reasons.set(gist, { first, tables: tables + 1 });
  return tables === 0;
}
