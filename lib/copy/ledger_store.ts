/** A database that holds a ledger: what the SQL in ledger.ts needs of SQLite and of PostgreSQL. */

export type Value = string | number | null;

export interface Store {
  /** the path, or the URL without credentials and parameters */
  readonly name: string;
  /** no other process works on it, so whoever holds tables in it is gone (SQLite alone can tell) */
  readonly isAlone: boolean;
  /** in SQL: its own clock in milliseconds since 1970, and the items of the JSON array $1, as `value` */
  readonly now: string;
  readonly items: string;
  /** in SQL: what keeps a claim from waiting for another one */
  readonly skipLocked: string;
  /** a query for the tables that are there, as `name` */
  readonly tables: string;
  /** Runs one statement with `values` for $1, $2 …, perhaps twice: what passes by itself is tried again. @throws {Failure} */
  run<T>(sql: string, values?: readonly Value[]): Promise<T[]>;
  /** Runs several statements as one, while no other process does. */
  script(sql: string): Promise<void>;
  /** What is run from now on outlasts a power loss, or need not. */
  sync(always: boolean): void;
  /** Lets other processes in: the ledger is whole. */
  opened(): Promise<void>;
  close(): Promise<void>;
}
