/** The lines that copy_tables and compare_tables print, and that they read again. */
import type { TableName } from "../cnosdb/names.ts";
import type { Column } from "./statements.ts";
import type { ComparedWindow, Summary } from "./windows.ts";

/**
 * What became of a table. `equal`: both sides were profiled and are the same. `refused`: nothing was copied.
 * `exported`, `imported`: a half is done (`imported` also where nothing was to be proven). `definition`: a
 * stream or an external table, without rows of its own.
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

/** What is compared: rows and times by window; `full`: a digest of whole rows, too; `none`: nothing after an import. */
export type Verify = "count" | "full" | "none";

/** A line for a table. */
export interface TableResult extends TableName {
  status: Status;
  /** another run found it */
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

/** Statuses that need no further look. */
export const proven: ReadonlySet<string> = new Set(["equal", "exported", "imported", "definition"]);
