/** The ledger of one process: a SQLite file, which others may read at any time. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Failure, messageOf } from "../cli/errors.ts";
import type { LedgerOptions } from "./ledger.ts";
import { type Query, type Row, Store, type Value } from "./ledger_store.ts";

const busyMs = 5000;
/** How long the log gets, 64 MiB, before it goes into the file, which syncs both. */
const checkpointPages = 16_384;

/** What SQLite's errors ask for; node:sqlite of Deno 2.9 tells them by their text alone. */
const hints: [RegExp, string][] = [
  [/disk is full|disk I\/O/, "make room on its disk and start again: it goes on where it stopped."],
  [
    /malformed|not a database/,
    "it is damaged, or no ledger. Put a copy of it back, or move it away to begin anew: tables that were copied " +
    "before then need --into-existing.",
  ],
  [/locked/, "another program has it open."],
  [/^/, "it and its directory must be writable."],
];

/** @throws {Failure} where the file cannot be used, or another process works on it */
export async function sqliteStore(path: string, { readOnly }: Required<LedgerOptions>): Promise<Store> {
  const lock = readOnly ? await mustExist(path) : await lockLedger(path);
  try {
    return new SqliteStore(path, lock);
  } catch (error) {
    lock?.close();
    throw explain(path, error);
  }
}

async function mustExist(path: string): Promise<undefined> {
  await Deno.stat(path).catch((error) => {
    const hint = "--ledger FILE names it; it is made when tables are copied.";
    throw new Failure(`ledger ${path}: cannot be read: ${messageOf(error)}`, hint);
  });
}

/**
 * Makes the file where it is not there, for its owner alone, and locks one beside it, as SQLite has locks of its own on
 * the ledger. The system frees the lock with the process, however that ends; the file stays.
 */
async function lockLedger(path: string): Promise<Deno.FsFile> {
  const options = { read: true, write: true, create: true, mode: 0o600 };
  let lock: Deno.FsFile | undefined;
  try {
    (await Deno.open(path, options)).close();
    lock = await Deno.open(`${path}-lock`, options);
    if (await lock.tryLock(true)) {
      await lock.truncate();
      await lock.write(new TextEncoder().encode(`${Deno.pid}\n`));
      return lock;
    }
  } catch (error) {
    lock?.close();
    const hint = "its directory must be there, writable and not full; --ledger FILE names another place.";
    throw new Failure(`ledger ${path}: cannot be opened for writing: ${messageOf(error)}`, hint);
  }
  lock.close();
  const process = (await Deno.readTextFile(`${path}-lock`).catch(() => "")).trim();
  throw new Failure(
    `ledger ${path}: locked by ${process ? `process ${process}` : "another process"}`,
    "one process works on it at a time; --status looks at it meanwhile, --ledger postgres://… is for several.",
  );
}

class SqliteStore extends Store {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string, private readonly lock: Deno.FsFile | undefined) {
    super(path, true, {
      serial: "INTEGER PRIMARY KEY",
      exists: "SELECT name FROM sqlite_master WHERE name = 'cnosdb_migrate_run'",
      lock: "SELECT 1",
      expires: "1",
      expired: "expires = 0",
      forUpdate: "",
      skipLocked: "",
      hasWritingSubqueries: false,
      lockForClaim: "",
    });
    this.#database = new DatabaseSync(path, { readOnly: !lock, timeout: busyMs });
    try {
      const isThere = this.#run(this.dialect.exists).length > 0;
      if (!isThere && this.#run("SELECT 1 FROM sqlite_master LIMIT 1").length) {
        throw new Failure(`ledger ${path}: a SQLite file, but no ledger`, "--ledger FILE names another.");
      }
      if (!lock) return;
      this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = ${checkpointPages}`);
      // with the lock held, every worker that is in the ledger is gone
      if (isThere) this.#run("UPDATE cnosdb_migrate_worker SET expires = 0");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #run(sql: string, values: readonly Value[] = []): Row[] {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql.replaceAll("$", "?"));
      this.#statements.set(sql, statement);
    }
    return statement.all(...values) as Row[];
  }

  // deno-lint-ignore require-await -- what it throws must be a rejection
  protected async run(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return this.#run(sql, values);
  }

  protected async begin(durable: boolean): Promise<Query> {
    this.#database.exec(`PRAGMA synchronous = ${durable ? "FULL" : "NORMAL"}`);
    await this.run("BEGIN IMMEDIATE");
    return (sql, values) => this.run(sql, values);
  }

  protected isPassing(): boolean {
    return false;
  }

  protected explain(error: unknown): unknown {
    return explain(this.name, error);
  }

  // deno-lint-ignore require-await -- what it throws must be a rejection
  protected async end(): Promise<void> {
    this.#database.close();
    this.lock?.close();
  }
}

function explain(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "code" in error && error.code === "ERR_SQLITE_ERROR")) return error;
  const hint = hints.find(([pattern]) => pattern.test(error.message))?.[1];
  return new Failure(`ledger ${path}: ${messageOf(error)}`, hint, { cause: error });
}
