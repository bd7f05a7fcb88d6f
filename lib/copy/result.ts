/** The lines that copy_tables and compare_tables print, and that they read again. */
import type { TableName } from "../cnosdb/names.ts";
import type { Column } from "./statements.ts";
import type { ComparedWindow, Summary } from "./windows.ts";

/**
 * What became of a table. `equal`: both sides were profiled and are the same. `refused`: nothing was copied.
 * `exported`: an export half is done. `imported`: it was copied, and not compared (`--verify none`).
 * `definition`: a stream or an external table, without rows of its own.
 */
export type Status =
  | "equal"
  | "differs"
  | "source-changed"
  | "refused"
  | "failed"
  | "exported"
  | "imported"
  | "definition";

/** What is compared: `count`: rows and times by window; `full`: also a digest of whole rows; `none`: nothing after an import. */
export type Verify = "count" | "full" | "none";

/** A line for a table. */
export interface TableResult extends TableName {
  status: Status;
  /** found by an earlier run, or by another worker */
  earlier?: true;
  source?: Summary | undefined;
  target?: Summary | undefined;
  verify?: Verify;
  copied?: { rows: number; bytes: number; windows: number };
  /** ISO 8601 */
  started?: string;
  seconds?: number;
  /** those that differ, or with `exported` all */
  windows?: Partial<ComparedWindow>[] | undefined;
  /** with `exported`: what the import half compares the target's with */
  schema?: readonly Column[] | undefined;
  error?: string;
  hint?: string;
}

/** The statuses of tables that are done: a later run does not compare them again. */
export const proven: ReadonlySet<string> = new Set(["equal", "exported", "imported", "definition"]);
