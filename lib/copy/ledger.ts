/**
 * The ledger of a copy: what must survive a crash. Which tables are proven, who holds the others until when, and which TTLs were raised.
 * All else is asked of the clusters. Every change is one statement and may run twice: a process that is killed or suspended between two
 * of them holds no lock, and an answer that is lost costs nothing.
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { databaseKey, tableKey, type TableName } from "../cnosdb/names.ts";
import { postgresStore } from "./ledger_postgres.ts";
import { sqliteStore } from "./ledger_sqlite.ts";
import { proven, type TableResult } from "./result.ts";

/** The ledger where no other is named. */
export const defaultLedger = "copy_tables.sqlite";

/** A table of the list: "" while it is to be done, its result line (then an earlier run's), and who has a lease on it. */
export interface LedgerRow extends TableName {
  readonly status: string;
  readonly result: string | null;
  readonly holder: string | null;
}

/** A database of the cluster `cluster` whose TTL may be raised, and what it was. */
export interface RaisedTtl extends Omit<TableName, "table"> {
  readonly cluster: string;
  readonly formerSeconds: number;
}

type Value = string | number;

/** What the SQL here needs of a database. Texts have a `?` for each value; errors come as the database tells them. */
interface Store {
  /** selects the `name` of each table that is there */
  readonly tables: string;
  /** its own clock in milliseconds since 1970, the same throughout a statement */
  readonly now: string;
  /** the items of a JSON array, as rows with a `value` */
  readonly items: string;
  /** Runs one statement, perhaps twice. */
  run(text: string, values?: Value[]): Promise<Record<string, unknown>[]>;
  /** Lets other processes in; there where none works on the ledger, so that who holds tables is dead. SQLite alone can tell. */
  readonly share?: (() => Promise<void>) | undefined;
  close(): Promise<void>;
}

const version = 3;
/** `run` is short for `proof`; `listed` is when a table was last in a list, which tells the newest list. */
const schema = [
  "CREATE TABLE IF NOT EXISTS cnosdb_migrate_ledger (version INTEGER NOT NULL PRIMARY KEY)",
  `CREATE TABLE IF NOT EXISTS cnosdb_migrate_table (run TEXT NOT NULL, tenant TEXT NOT NULL,
    database TEXT NOT NULL, "table" TEXT NOT NULL, proof TEXT NOT NULL, listed BIGINT NOT NULL,
    status TEXT NOT NULL DEFAULT '', result TEXT, holder TEXT, until BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (run, tenant, database, "table"))`,
  "CREATE INDEX IF NOT EXISTS cnosdb_migrate_open ON cnosdb_migrate_table (run, holder) WHERE status = ''",
  `CREATE TABLE IF NOT EXISTS cnosdb_migrate_ttl (cluster TEXT NOT NULL, tenant TEXT NOT NULL,
    database TEXT NOT NULL, former BIGINT NOT NULL, PRIMARY KEY (cluster, tenant, database))`,
  `INSERT INTO cnosdb_migrate_ledger VALUES (${version}) ON CONFLICT DO NOTHING`,
];
const name = `tenant, database, "table"`;
const isItem =
  `tenant = value ->> 'tenant' AND database = value ->> 'database' AND "table" = value ->> 'table'`;
const pageTables = 2000;

/** What helps, by an error's code (SQLite has one for all) and text. */
const hints: [RegExp, string][] = [
  [/^28/, "user and password come from the URL, or PGUSER and PGPASSWORD."],
  [/^3D/, "make the database first: createdb NAME."],
  [/^(42501|3F)/, "its user must be allowed to make tables: GRANT CREATE ON SCHEMA …"],
  [
    /^(53100|58)|disk is full|disk I\/O/,
    "make room on its disk and start again: it goes on where it stopped.",
  ],
  [
    /malformed|not a database/,
    "it is damaged, or no ledger: move it away, and what is equal is found equal.",
  ],
  [/locked/, "another program has it open."],
  [
    /^(ERR_SQLITE|E[NIAPR][A-Z]+ )/,
    "it and its directory must be there and writable; or name another --ledger.",
  ],
  [/^/, "is it running, and reachable from here? Start again: it goes on where it stopped."],
];

const urlHint = "in its password % @ : / ? # are written %25 %40 %3A %2F %3F %23.";

/** An error of the database with the ledger's name and what to do; any other as it is. */
function explain(name: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Deno.errors.NotCapable) return error;
  if (error.message.startsWith("Invalid URL")) return new UsageError(`--ledger ${name}: is no URL`, urlHint);
  if (!("code" in error)) return error;
  const hint = hints.find(([pattern]) => pattern.test(`${error.code} ${error.message}`))?.[1];
  return new Failure(`ledger ${name}: ${messageOf(error)}`, hint, { cause: error });
}

/**
 * Opens a ledger, and makes it where it is not there.
 * @param where the path of a SQLite file, or `postgres://…`
 * @param options.readOnly to look at it, also while others work and where nothing may be written
 * @param options.leaseMs how long the tables of a worker that is not heard of stay its own
 * @throws {Failure} where it cannot be used: foreign, damaged, of another version, on a full disk, out of reach
 * @throws {UsageError} where it can be no ledger
 */
export async function openLedger(
  where: string = defaultLedger,
  { readOnly = false, leaseMs = 30_000 }: { readOnly?: boolean; leaseMs?: number } = {},
): Promise<Ledger> {
  const scheme = /^[a-z][a-z0-9+.-]+(?=:)/i.exec(where)?.[0] ?? "";
  const isPostgres = /^postgres(ql)?$/i.test(scheme);
  if (!isPostgres && (scheme !== "" || where === "" || where === ":memory:")) {
    const told = scheme === "" ? where || '""' : `${scheme}:…`;
    const hint = "expected a file, or postgres://USER@HOST/DATABASE";
    throw new UsageError(`--ledger ${told}: cannot be used`, hint);
  }
  // up to the last @, as a password may hold one; so may the parameters
  const name = isPostgres ? where.replace(/\/\/.*@/s, "//").replace(/\?.*/s, "") : where;
  let store: Store | undefined;
  try {
    store = await (isPostgres ? postgresStore : sqliteStore)(where, readOnly);
    await prepare(name, store, readOnly);
    return new Ledger(name, store, leaseMs);
  } catch (error) {
    await store?.close();
    throw explain(name, error);
  }
}

/** Makes a ledger's tables where there are none. @throws {Failure} where something else is there; nothing was written then */
async function prepare(name: string, store: Store, readOnly: boolean): Promise<void> {
  const refuse = (why: string) => {
    throw new Failure(
      `ledger ${name} ${why}`,
      "--ledger names another one; where none is, a new one is made.",
    );
  };
  const tables = (await store.run(store.tables)).map((row) => row.name);
  const isLedger = tables.includes("cnosdb_migrate_ledger");
  if (tables.length && !isLedger) refuse("is a database of something else, or of older scripts");
  const [made] = isLedger ? await store.run("SELECT version FROM cnosdb_migrate_ledger") : [];
  if (made && made.version !== version) {
    refuse(`is of version ${made.version}, these scripts know ${version}`);
  }
  if (!made && readOnly) refuse("is empty: it is filled when tables are copied");
  // the version comes last: where a process was killed before it, all is made again
  for (const text of made ? [] : schema) await store.run(text);
  if (!store.share) return;
  // what dead processes held is free
  await store.run("UPDATE cnosdb_migrate_table SET holder = NULL, until = 0 WHERE holder IS NOT NULL");
  await store.share();
}

/** An open ledger, and this process as a worker of it. */
export class Ledger {
  readonly worker = `${hostname()}:${Deno.pid}:${crypto.randomUUID().slice(0, 8)}`;
  /** what the results of the list are a proof of */
  proof = "";
  #run = "";
  /** the list, by `tableKey` */
  #list: ReadonlySet<string> = new Set();
  /** what was free of it when it was looked at last, by `databaseKey` */
  #free = new Map<string, TableName[]>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #renewing: Promise<unknown> = Promise.resolve();

  /** @param name the path, or the URL without credentials */
  constructor(readonly name: string, private readonly store: Store, private readonly leaseMs: number) {}

  async #do<T>(text: string, values: Value[] = []): Promise<T[]> {
    try {
      return await this.store.run(text, values) as T[];
    } catch (error) {
      throw explain(this.name, error);
    }
  }

  /**
   * Enters a list of tables, and opens again what is not proven of it. All else is about these tables alone, so that leftovers of another
   * input are not copied; workers share what is in the lists of both.
   * @param proof what a result is a proof of (clusters, how it was verified, bounds); results of another proof do not count
   * @param names the tables; without them the newest list of that proof; without both the newest of all, to be looked at
   * @returns how many tables it has; undefined where there is no such list
   */
  async start(proof?: string, names?: readonly TableName[]): Promise<number | undefined> {
    const short = (proof: string) => createHash("sha256").update(proof).digest("hex").slice(0, 32);
    const found = names ? [] : await this.#do<TableName & { proof: string }>(
      `SELECT proof, ${name} FROM cnosdb_migrate_table WHERE (run, listed) =
        (SELECT run, listed FROM cnosdb_migrate_table WHERE run LIKE ? ORDER BY listed DESC LIMIT 1)`,
      [proof === undefined ? "%" : short(proof)],
    );
    if (!names && found.length === 0) return undefined;
    this.proof = proof ?? found[0]!.proof;
    this.#run = short(this.proof);
    this.#list = new Set((names ?? found).map(tableKey));
    this.#free.clear();
    if (proof === undefined) return this.#list.size;
    const { now, items } = this.store;
    // in one statement, so that a list is never there in part
    await this.#do(
      `INSERT INTO cnosdb_migrate_table AS t (run, proof, tenant, database, "table", listed)
        SELECT DISTINCT CAST(? AS TEXT), CAST(? AS TEXT), value ->> 'tenant', value ->> 'database',
          value ->> 'table', ${now} FROM ${items} WHERE true
        ON CONFLICT (run, tenant, database, "table") DO UPDATE SET listed = excluded.listed, status =
          CASE WHEN t.status IN (${[...proven].map((status) => `'${status}'`)}) THEN t.status ELSE '' END`,
      [this.#run, proof, JSON.stringify(names ?? found)],
    );
    await this.#do("ANALYZE cnosdb_migrate_table");
    // a lease that is lost does no harm, and that the ledger is out of reach is told by what else is asked of it
    const renew = `UPDATE cnosdb_migrate_table SET until = ${now} + ? WHERE run = ? AND holder = ?`;
    this.#timer ??= setInterval(() => {
      this.#renewing = this.#do(renew, [this.leaseMs, this.#run, this.worker]).catch(() => {});
    }, this.leaseMs / 3);
    Deno.unrefTimer(this.#timer);
    return this.#list.size;
  }

  /** The tables of the list that are still to be done and of which `where` is true. */
  async #open(where: string, ...values: string[]): Promise<TableName[]> {
    const rows = await this.#do<TableName>(
      `SELECT ${name} FROM cnosdb_migrate_table WHERE run = ? AND status = '' AND ${where}`,
      [this.#run, ...values],
    );
    return rows.filter((row) => this.#list.has(tableKey(row)));
  }

  /**
   * Leases tables of one database to this worker: of the one with the fewest tables in progress, then of the one with the most left.
   * One call at a time.
   * @returns none where nothing is free now, though others may hold some
   */
  async claim(most: number): Promise<TableName[]> {
    const { now, items } = this.store;
    const held = await this.#do<TableName & { tables: number }>(
      `SELECT tenant, database, count(*) AS tables FROM cnosdb_migrate_table WHERE run = ? AND status = ''
        AND holder IS NOT NULL AND until >= ${now} GROUP BY tenant, database`,
      [this.#run],
    );
    const inProgress = new Map(held.map((row) => [databaseKey(row), row.tables]));
    for (;;) {
      if (this.#free.size === 0) {
        this.#free = Map.groupBy(await this.#open(`until < ${now} ORDER BY ${name}`), databaseKey);
      }
      const [next] = [...this.#free].sort(([a, x], [b, y]) =>
        (inProgress.get(a) ?? 0) - (inProgress.get(b) ?? 0) || y.length - x.length
      );
      if (!next) return [];
      const [database, free] = next;
      const names = free.splice(0, most);
      if (free.length === 0) this.#free.delete(database);
      const claimed = await this.#do<TableName>(
        `UPDATE cnosdb_migrate_table SET holder = ?, until = ${now} + ? FROM ${items} WHERE run = ?
          AND ${isItem} AND status = '' AND (until < ${now} OR holder = ?) RETURNING ${name}`,
        [this.worker, this.leaseMs, JSON.stringify(names), this.#run, this.worker],
      );
      // none where others were faster
      if (claimed.length) return claimed;
    }
  }

  /** How many tables other workers hold: there may be something to claim later. */
  async others(): Promise<number> {
    return (await this.#open(`holder <> ? AND until >= ${this.store.now}`, this.worker)).length;
  }

  /** Whether a table of this database is still to be done, or held by a worker. */
  async isBusy(tenant: string, database: string): Promise<boolean> {
    return (await this.#open("tenant = ? AND database = ?", tenant, database)).length > 0;
  }

  /**
   * Writes what became of tables and gives their leases back. Of a table that another worker has taken over meanwhile nothing is
   * written: that one finds out by itself.
   */
  async finish(results: readonly TableResult[]): Promise<void> {
    await this.#do(
      `UPDATE cnosdb_migrate_table SET status = value ->> 'status', result = CAST(value AS TEXT),
        holder = NULL, until = 0 FROM ${this.store.items} WHERE run = ? AND ${isItem} AND coalesce(holder, '') = ?`,
      [JSON.stringify(results), this.#run, this.worker],
    );
  }

  /** Opens proven tables again: the clusters say otherwise. */
  async reopen(names: readonly TableName[]): Promise<void> {
    const { items } = this.store;
    await this.#do(
      `UPDATE cnosdb_migrate_table SET status = '' FROM ${items} WHERE run = ? AND ${isItem}`,
      [JSON.stringify(names), this.#run],
    );
    this.#free.clear();
  }

  /** The tables of the list in the order of their names, a page at a time. */
  async *rows(): AsyncGenerator<LedgerRow> {
    const select =
      `SELECT ${name}, status, result, CASE WHEN until >= ${this.store.now} THEN holder END AS holder
      FROM cnosdb_migrate_table WHERE run = ? AND (${name}) > (?, ?, ?) ORDER BY ${name} LIMIT ${pageTables}`;
    for (let last: TableName | undefined = { tenant: "", database: "", table: "" }; last;) {
      const page: LedgerRow[] = await this.#do(select, [this.#run, last.tenant, last.database, last.table]);
      for (const row of page) if (this.#list.has(tableKey(row))) yield row;
      last = page[pageTables - 1];
    }
  }

  /** Notes a TTL that may be raised. */
  async writeTtl({ cluster, tenant, database, formerSeconds }: RaisedTtl): Promise<void> {
    await this.#do(
      "INSERT INTO cnosdb_migrate_ttl VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      [cluster, tenant, database, formerSeconds],
    );
  }

  async removeTtl({ cluster, tenant, database }: RaisedTtl): Promise<void> {
    await this.#do(
      "DELETE FROM cnosdb_migrate_ttl WHERE cluster = ? AND tenant = ? AND database = ?",
      [cluster, tenant, database],
    );
  }

  /** The TTLs that may be raised, whatever list that was for. */
  async ttls(): Promise<RaisedTtl[]> {
    return await this.#do(
      `SELECT cluster, tenant, database, former AS "formerSeconds" FROM cnosdb_migrate_ttl ORDER BY 1, 2, 3`,
    );
  }

  /** Gives back all that it holds and closes. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    // where that fails, the leases expire
    const release = "UPDATE cnosdb_migrate_table SET holder = NULL, until = 0 WHERE holder = ?";
    if (this.#timer !== undefined) await this.#do(release, [this.worker]).catch(() => {});
    await this.store.close();
  }
}
