/**
 * The ledger of a copy: which tables there are, which step each has come to, and which TTLs were raised. Every
 * step is written before it is begun and after it ended, so that a run that was killed goes on where it stopped. Two
 * implementations: a SQLite file for one process (ledger_sqlite.ts), PostgreSQL for several (ledger_postgres.ts);
 * what they do alike is in ledger_sql.ts.
 */
import { UsageError } from "../cli/errors.ts";
import { postgresStore } from "./ledger_postgres.ts";
import { openSql } from "./ledger_sql.ts";
import { sqliteStore } from "./ledger_sqlite.ts";

export { LeaseLost } from "./ledger_sql.ts";

/** The steps of a table, or of a piece of one. */
export const steps = [
  "planned",
  "exporting",
  "exported",
  "importing",
  "imported",
  "verified",
  "failed",
  "source-changed",
] as const;
export type Step = (typeof steps)[number];

/** What a ledger belongs to. A ledger of another run is refused, with the difference named. No credentials. */
export interface RunIdentity {
  /** the URLs of the two clusters' data nodes, without credentials */
  from: string;
  to: string;
  /** `served`, or the stage's URL */
  stage: string;
  /** whatever else changes what is copied: --split, --since, --expired, --verify */
  options: Record<string, string>;
}

export interface TableName {
  tenant: string;
  database: string;
  table: string;
}

/** count(time), min(time) and max(time) of a table; min and max are missing where it is empty. */
export interface Summary {
  rows: number;
  min?: string;
  max?: string;
}

/** A table in the ledger. */
export interface LedgerTable extends TableName {
  id: number;
  step: Step;
  /** how often it was begun */
  attempts: number;
  rowsExported?: number;
  rowsImported?: number;
  source?: Summary;
  target?: Summary;
  error?: string;
  seconds?: number;
}

/** A stretch of time of a table that is exported by itself; a table that is not split has one, without bounds. */
export interface LedgerPiece {
  /** from 0, in the order of time */
  index: number;
  /** `[from, to)`, as written in SQL */
  from?: string;
  to?: string;
  step: Step;
  /** the directory in the stage of its latest attempt */
  directory?: string;
  rowsExported?: number;
  rowsImported?: number;
}

/** A TTL that was raised so that expired rows could be imported, and has to be set back. */
export interface RaisedTtl {
  tenant: string;
  database: string;
  /** the TTL to set back, as ALTER DATABASE takes it on the target */
  former: string;
}

/** Changes of a table or a piece; what is undefined stays. */
export type TableChange = Partial<
  Pick<LedgerTable, "step" | "rowsExported" | "rowsImported" | "source" | "target" | "error" | "seconds">
>;
export type PieceChange = Partial<Pick<LedgerPiece, "step" | "directory" | "rowsExported" | "rowsImported">>;

export interface Ledger {
  /** what it belongs to; where it was opened for reading without a run, the one that is in it */
  readonly run: RunIdentity;
  /** Aborted, with a LeaseLost, once this worker is known to have lost its lease; never with SQLite. */
  readonly lost: AbortSignal;
  /** Adds the tables that are not in it yet; all in one transaction a thousand. */
  plan(tables: AsyncIterable<TableName> | Iterable<TableName>): Promise<void>;
  /**
   * Takes a table to work on and leases it to this worker: planned, or left in the middle by a worker whose lease expired (with
   * SQLite: by a process that is gone); then its step and pieces are as they were left. It comes from the database with
   * the fewest tables being worked on, among those from the one with the most tables left. Its attempts are counted up.
   * Undefined: nothing to take now; `pending` tells whether there may be later.
   */
  claim(): Promise<LedgerTable | undefined>;
  /** Puts a table back: planned, free for others (it waits for a limiter, or this run stops). Nothing where the lease is lost. */
  release(id: number): Promise<void>;
  /**
   * Writes what became of a table that this worker holds. Ends the lease at verified, failed and source-changed;
   * verified clears the error of an earlier attempt.
   * @throws {LeaseLost}
   */
  update(id: number, change: TableChange): Promise<void>;
  /** Cuts a table into pieces, once; later calls give what is there. @throws {LeaseLost} */
  cut(id: number, pieces: Pick<LedgerPiece, "from" | "to">[]): Promise<LedgerPiece[]>;
  /** @throws {LeaseLost} */
  updatePiece(id: number, index: number, change: PieceChange): Promise<void>;
  /** Makes failed and source-changed tables planned again, for a second run. Gives how many. */
  retryFailed(): Promise<number>;
  /**
   * Written, to outlast a power loss, before a TTL is raised, and removed after the former one was read back. The first
   * `former` of a database stands. For a worker that holds a table of that database.
   * @throws {LeaseLost}
   */
  raiseTtl(ttl: RaisedTtl): Promise<void>;
  ttlsRaised(): Promise<RaisedTtl[]>;
  /**
   * Sets a TTL back, unless a table of its database is being worked on, by this worker or another: whoever ends last does it.
   * From before `setBack` until after it no table of the database can be claimed: otherwise a worker could begin
   * an import, or raise the TTL once more, between its reading back and its removal from here.
   * @param setBack sets the TTL back on the target and reads it back; where it throws, the TTL stays in the ledger
   * @returns false where nothing was done, as a table is being worked on
   */
  ttlReset(ttl: RaisedTtl, setBack?: () => Promise<void>): Promise<boolean>;
  /** Whether another worker is at work at a table of this database (a TTL must not be set back under its feet). */
  othersAtWork(tenant: string, database: string): Promise<boolean>;
  /**
   * How many tables wait to be claimed and how many are being worked on, by any worker. Cheap, from counters. Where `claim`
   * gave nothing and this worker holds nothing, others are at work, or a TTL is being set back, unless both are 0.
   */
  pending(): Promise<{ waiting: number; working: number }>;
  /**
   * How many tables are at each step, by database; their rows (imported, else exported) and seconds added up. Reads all
   * tables: for the start, the end and `--status`.
   */
  counts(): Promise<
    { tenant: string; database: string; step: Step; tables: number; rows: number; seconds: number }[]
  >;
  /** Tables in the order of planning, those at one of `steps` only. Streams: a list of a million must not matter. */
  tables(steps?: readonly Step[]): AsyncIterable<LedgerTable>;
  /** Frees the tables that this worker still holds, at the step they are at. */
  close(): Promise<void>;
}

export interface LedgerOptions {
  /** to look at it only, also while others work; then the run may be left out, and nothing is made */
  readOnly?: boolean;
  /** how long the tables of a worker that is not heard of any more stay its own; it is renewed every third of that */
  leaseMs?: number;
}

/** The ledger where no other is named. */
export const defaultLedger = "copy_tables.sqlite";

/**
 * Opens a ledger, and makes it where it is not there.
 * @param where the path of a SQLite file, or `postgres://…`; see {@link defaultLedger}
 * @param run what is copied; without it only for reading
 * @throws {Failure} where it cannot be used: of another run (naming each difference), locked by another process, damaged, on a
 * full disk, not reachable. {UsageError} for a URL of something else
 */
export async function openLedger(
  where: string = defaultLedger,
  run: RunIdentity | undefined,
  { readOnly = false, leaseMs = 60_000 }: LedgerOptions = {},
): Promise<Ledger> {
  if (!run && !readOnly) throw new TypeError("a ledger to work on needs a run");
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(where)?.[1];
  if (scheme && !/^postgres(ql)?$/i.test(scheme)) {
    throw new UsageError(
      `--ledger ${scheme}://…: cannot be used`,
      "expected a file's path, or postgres://USER@HOST/DATABASE",
    );
  }
  const options = { readOnly, leaseMs };
  return await openSql(await (scheme ? postgresStore : sqliteStore)(where, options), run, options);
}
