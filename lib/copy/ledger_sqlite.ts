/** A ledger in a SQLite file: for the workers of one machine. */
import { pathToFileURL } from "node:url";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Failure } from "../cli/errors.ts";

/** Opens the file, or makes it, with mode 0600. Throws the system's and SQLite's own errors. */
export async function sqliteStore(path: string, readOnly: boolean) {
  for (const file of ["", "-lock", "-wal", "-shm", "-journal"].map((suffix) => path + suffix)) {
    const isLink = await Deno.lstat(file).then(({ isSymlink }) => isSymlink, () => false);
    if (isLink) throw new Failure(`ledger ${file}: is a symbolic link`, "name the file that it points to.");
  }
  const open = (file: string) => Deno.open(file, { append: true, create: true, mode: 0o600 });
  if (!readOnly) (await open(path)).close();
  // without a log nobody is writing
  const isStill = readOnly && !(await Deno.stat(`${path}-wal`).catch(() => undefined))?.size;
  const database = isStill ? openStill(path) : new DatabaseSync(path, { readOnly, timeout: 10_000 });
  // The system frees this lock when its process ends, however that happens: whoever gets it exclusively knows
  // that no other process is left. It is on a file of its own, as SQLite has locks on the ledger.
  const lock = readOnly ? undefined : await open(`${path}-lock`);
  const isAlone = await lock?.tryLock(true);
  if (!isAlone) await lock?.lock(false);
  if (isAlone && (await Deno.stat(path)).size === 0) database.exec("PRAGMA journal_mode = WAL");
  // The log grows to 64 MiB before it goes into the file, and only then anything is synced.
  database.exec("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 16384");
  const statements = new Map<string, StatementSync>();
  return {
    /** selects the `name` of each table in it */
    tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
    /** its own clock in milliseconds since 1970, the same throughout a statement */
    now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    /** the items of the JSON array $1, as rows with a `value` */
    items: "json_each($1)",
    /** lets other processes in; undefined if others work on it already */
    share: isAlone ? () => lock!.lock(false) : undefined,
    /** Runs a statement, perhaps twice. @param values of $1, $2 … */
    run: (text: string, values: (string | number)[] = []): Promise<Record<string, unknown>[]> => {
      const statement = statements.get(text) ?? database.prepare(text.replaceAll("$", "?"));
      statements.set(text, statement);
      return Promise.resolve(statement.all(...values));
    },
    close: () => {
      database.close();
      lock?.close();
    },
  };
}

/** If SQLite can make no log in its directory: by a URL, which Deno 2.9.6 takes only with --allow-all. */
function openStill(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.searchParams.set("immutable", "1");
  try {
    return new DatabaseSync(url, { readOnly: true });
  } catch {
    return new DatabaseSync(path, { readOnly: true });
  }
}
