/** A ledger in a SQLite file: for the workers of one machine. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Failure, messageOf } from "../cli/errors.ts";
import { Sql, sql, type Store } from "./ledger_store.ts";

/** How long a process waits for another one's statement. */
const busyMs = 10_000;
/** How long the log gets, 64 MiB, before it goes into the file, which syncs both. */
const checkpointPages = 16_384;

/** What SQLite's errors ask for; node:sqlite of Deno 2.9 tells them by their text alone. */
const hints: [RegExp, string][] = [
  [/disk is full|disk I\/O/, "make room on its disk and start again: it goes on where it stopped."],
  [
    /malformed|not a database/,
    "it is damaged, or no ledger. Move it away: a new one is made, and what is equal is found equal.",
  ],
  [/locked/, "another program has it open."],
  [/^/, "it and its directory must be there and writable; --ledger FILE names another place."],
];

/** @throws {Failure} where the file cannot be used */
export async function sqliteStore(path: string, readOnly: boolean): Promise<Store> {
  let lock: Deno.FsFile | undefined;
  try {
    for (const file of ["", "-lock", "-wal", "-shm", "-journal"]) await refuseSymlink(path + file);
    if (readOnly) return new SqliteStore(path, await openReadOnly(path));
    // The system frees this lock with its process, however that ends: who gets it alone knows that all others are gone.
    // It is of a file beside the ledger, on which SQLite has locks of its own.
    for (const file of ["-lock", ""]) await make(path + file);
    lock = await Deno.open(`${path}-lock`, { read: true, write: true });
    const isAlone = await lock.tryLock(true);
    if (!isAlone) await lock.lock(false);
    const database = new DatabaseSync(resolve(path), { timeout: busyMs });
    database.exec(`PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${checkpointPages}`);
    return new SqliteStore(path, database, isAlone, lock);
  } catch (error) {
    lock?.close();
    throw explain(path, error);
  }
}

async function refuseSymlink(path: string): Promise<void> {
  const found = await Deno.lstat(path).catch(() => undefined);
  if (found?.isSymlink) {
    throw new Failure(`ledger ${path}: is a symbolic link`, "name the file that it points to.");
  }
}

/** Makes a file for its owner alone, where it is not there. */
async function make(path: string): Promise<void> {
  try {
    (await Deno.open(path, { write: true, createNew: true, mode: 0o600 })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

async function openReadOnly(path: string): Promise<DatabaseSync> {
  await Deno.stat(path).catch((error) => {
    const hint = "--ledger FILE names it; it is made when tables are copied.";
    throw new Failure(`ledger ${path}: cannot be read: ${messageOf(error)}`, hint);
  });
  const database = new DatabaseSync(resolve(path), { readOnly: true, timeout: busyMs });
  try {
    database.prepare("SELECT name FROM sqlite_master").all();
    return database;
  } catch (error) {
    database.close();
    const wal = await Deno.stat(`${path}-wal`).catch(() => undefined);
    if (!/unable to open|readonly/.test(messageOf(error)) || wal?.size) throw error;
    // no file can be made beside it; without a log there is nobody who writes
    const url = pathToFileURL(resolve(path));
    url.searchParams.set("immutable", "1");
    return new DatabaseSync(url, { readOnly: true });
  }
}

class SqliteStore implements Store {
  readonly now = new Sql("CAST(unixepoch('subsec') * 1000 AS INTEGER)");
  readonly tables = new Sql("SELECT name FROM sqlite_master WHERE type = 'table'");
  readonly skipLocked = new Sql("");
  readonly #statements = new Map<string, StatementSync>();

  constructor(
    readonly name: string,
    private readonly database: DatabaseSync,
    readonly isAlone = false,
    private readonly lock?: Deno.FsFile,
  ) {}

  async opened(): Promise<void> {
    if (this.isAlone) await this.lock?.lock(false);
  }

  items(json: string): Sql {
    return sql`json_each(${json})`;
  }

  run<T>({ text, values }: Sql): Promise<T[]> {
    return this.#do(() => {
      let statement = this.#statements.get(text);
      if (!statement) this.#statements.set(text, statement = this.database.prepare(text));
      return statement.all(...values) as T[];
    });
  }

  sync(always: boolean): void {
    this.database.exec(`PRAGMA synchronous = ${always ? "FULL" : "NORMAL"}`);
  }

  script(text: string): Promise<void> {
    return this.#do(() => this.database.exec(`PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ${text} COMMIT`));
  }

  // deno-lint-ignore require-await -- what it throws must be a rejection
  async close(): Promise<void> {
    this.database.close();
    this.lock?.close();
  }

  // deno-lint-ignore require-await -- the same
  async #do<T>(work: () => T): Promise<T> {
    try {
      return work();
    } catch (error) {
      throw explain(this.name, error);
    }
  }
}

function explain(path: string, error: unknown): unknown {
  if (error instanceof Failure || error instanceof Deno.errors.NotCapable) return error;
  const hint = hints.find(([pattern]) => pattern.test(messageOf(error)))?.[1];
  return new Failure(`ledger ${path}: ${messageOf(error)}`, hint, { cause: error });
}
