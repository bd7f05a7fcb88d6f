/** A ledger in a SQLite file: for the workers of one machine. */
import { pathToFileURL } from "node:url";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Failure, messageOf } from "../cli/errors.ts";

/** How long a process waits for another one's statement. */
const busyMs = 10_000;

/** Opens the file, or makes it for its owner alone. Throws what the system and SQLite say. @throws {Failure} at a symbolic link */
export async function sqliteStore(path: string, readOnly: boolean) {
  for (const file of ["", "-lock", "-wal", "-shm", "-journal"].map((suffix) => path + suffix)) {
    const isLink = await Deno.lstat(file).then(({ isSymlink }) => isSymlink, () => false);
    if (isLink) throw new Failure(`ledger ${file}: is a symbolic link`, "name the file that it points to.");
  }
  const open = (file: string) => Deno.open(file, { append: true, create: true, mode: 0o600 });
  if (!readOnly) (await open(path)).close();
  const database = await openDatabase(path, readOnly);
  // The system frees this lock with its process, however that ends: who gets it alone knows that all others are gone.
  // It is of a file beside the ledger, on which SQLite has locks of its own.
  const lock = readOnly ? undefined : await open(`${path}-lock`);
  const isAlone = await lock?.tryLock(true);
  if (!isAlone) await lock?.lock(false);
  if (isAlone && (await Deno.stat(path)).size === 0) database.exec("PRAGMA journal_mode = WAL");
  // The log gets 64 MiB long before it goes into the file, which alone is synced. After a power loss the last changes may be missing.
  database.exec("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 16384");
  const statements = new Map<string, StatementSync>();
  return {
    tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
    now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    items: "json_each(?)",
    share: isAlone ? () => lock!.lock(false) : undefined,
    run: (text: string, values: (string | number)[] = []) => {
      const statement = statements.get(text) ?? database.prepare(text);
      statements.set(text, statement);
      return Promise.resolve(statement.all(...values));
    },
    close: () => {
      database.close();
      lock?.close();
      return Promise.resolve();
    },
  };
}

/**
 * Without a log nobody writes, so that no file has to be made beside it to read it, where that may not be
 * allowed: only a URL can say so, which Deno (2.9.6) takes for the name of a file unless all is allowed.
 */
async function openDatabase(path: string, readOnly: boolean): Promise<DatabaseSync> {
  if (readOnly) {
    await Deno.stat(path).catch((error) => {
      const hint = "--ledger FILE names it; it is made when tables are copied.";
      throw new Failure(`ledger ${path}: cannot be read: ${messageOf(error)}`, hint);
    });
  }
  const options = { readOnly, timeout: busyMs };
  const log = await Deno.stat(`${path}-wal`).catch(() => undefined);
  if (readOnly && !log?.size) {
    const url = pathToFileURL(path);
    url.searchParams.set("immutable", "1");
    try {
      return new DatabaseSync(url, options);
    } catch { /* not all is allowed */ }
  }
  return new DatabaseSync(path, options);
}
