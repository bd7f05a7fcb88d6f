/**
 * The ledger of a copy: what must survive a crash. That is which tables are proven, which worker holds the
 * others until when, and which TTLs were raised; all else is asked of the clusters. Every change is one
 * statement that may run twice: a process that is killed or suspended between two of them holds no lock, and
 * if an answer is lost the statement is sent again.
 */
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { databaseKey, tableKey, type TableName } from "../cnosdb/names.ts";
import { postgresStore } from "./ledger_postgres.ts";
import { sqliteStore } from "./ledger_sqlite.ts";
import { proven, type TableResult } from "./result.ts";
import { helpFor } from "./trouble.ts";

/** The ledger if `--ledger` names no other. */
export const defaultLedger = "copy_tables.sqlite";

/** A table of the list. Status "": it is to be done, and its result line is an earlier run's. */
export type LedgerRow = TableName & { status: string; result: string | null; holder: string | null };

/** A database whose TTL may be raised, and what it was before. */
export type RaisedTtl = { cluster: string; tenant: string; database: string; formerSeconds: number };

/** What the SQL here needs of a database; see `sqliteStore`. */
type Store = Awaited<ReturnType<typeof sqliteStore | typeof postgresStore>>;

const name = `tenant, database, "table"`;
const itemName = "value ->> 'tenant', value ->> 'database', value ->> 'table'";
/** The names end in the version. `listed`: when a table was last in a list, by which the newest is found. */
const schema = [
  `CREATE TABLE IF NOT EXISTS cnosdb_migrate_table_3 (proof TEXT NOT NULL, tenant TEXT NOT NULL,
    database TEXT NOT NULL, "table" TEXT NOT NULL, listed BIGINT NOT NULL, status TEXT NOT NULL DEFAULT '',
    result TEXT, holder TEXT, until BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (proof, ${name}))`,
  "CREATE INDEX IF NOT EXISTS cnosdb_migrate_open_3 ON cnosdb_migrate_table_3 (holder) WHERE status = ''",
  `CREATE TABLE IF NOT EXISTS cnosdb_migrate_ttl_3 (cluster TEXT NOT NULL, tenant TEXT NOT NULL,
    database TEXT NOT NULL, "formerSeconds" FLOAT NOT NULL, PRIMARY KEY (cluster, tenant, database))`,
];
const release = "UPDATE cnosdb_migrate_table_3 SET holder = NULL, until = 0 WHERE";

/** An error of the ledger's database with its name and what to do; any other error unchanged. */
function explain(name: string, error: unknown): unknown {
  if (error instanceof TypeError && error.message.startsWith("Invalid URL")) {
    return new UsageError(`--ledger ${name}: is no URL`, helpFor(error));
  }
  if (!(error instanceof Error && "code" in error) || error instanceof Deno.errors.NotCapable) return error;
  const hint = helpFor(new Error(`ledger ${error.code}: ${error.message}`));
  return new Failure(`ledger ${name}: ${messageOf(error)}`, hint, { cause: error });
}

/**
 * Opens a ledger, and makes it if there is none.
 * @param where the path of a SQLite file, or `postgres://…`
 * @param options.readOnly only to look at it: works while others write, and if we may not write there
 * @param options.leaseMs how long a worker that is not heard of keeps its tables
 * @throws {Failure} if it cannot be used: foreign, damaged, of another version, out of reach, no room
 */
export async function openLedger(
  where: string = defaultLedger,
  { readOnly = false, leaseMs = 30_000 }: { readOnly?: boolean; leaseMs?: number } = {},
): Promise<Ledger> {
  const scheme = /^[a-z][a-z0-9+.-]+(?=:)/i.exec(where)?.[0] ?? "";
  const isPostgres = /^postgres(ql)?$/i.test(scheme);
  if (!isPostgres && (scheme || where === "" || where === ":memory:")) {
    const hint = "expected a file, or postgres://USER@HOST/DATABASE";
    throw new UsageError(`--ledger ${scheme ? `${scheme}:…` : where || '""'}: cannot be used`, hint);
  }
  // Up to the last @, as a password may hold one; and the parameters may hold a password.
  const name = isPostgres ? where.replace(/\/\/.*@/s, "//").replace(/\?.*/s, "") : where;
  let store: Store | undefined;
  try {
    store = await (isPostgres ? postgresStore : sqliteStore)(where, readOnly);
    const why = await prepare(store, readOnly);
    if (!why) return new Ledger(name, store, leaseMs);
    throw new Failure(`ledger ${name} ${why}`, "--ledger names another one; where none is, one is made.");
  } catch (error) {
    await store?.close();
    throw explain(name, error);
  }
}

/** Makes the tables if there are none. @returns why this is no ledger; nothing was written then */
async function prepare(store: Store, readOnly: boolean): Promise<string | undefined> {
  const tables = (await store.run(store.tables)).map((row) => row.name);
  const isOther = tables.length > 0 && !tables.includes("cnosdb_migrate_table_3");
  if (isOther) return "is of something else, or of another version of these scripts";
  // It is made last. Without it, a process may have been killed halfway, so everything is made again.
  const isWhole = tables.includes("cnosdb_migrate_ttl_3");
  if (!isWhole && readOnly) return "is empty: it is filled when tables are copied";
  for (const text of isWhole ? [] : schema) await store.run(text);
  // no other process works on it, so whoever holds tables is dead
  if (store.share) await store.run(`${release} until > 0`);
  await store.share?.();
}

/** An open ledger, and this process as a worker of it. */
export class Ledger {
  readonly worker = `${Deno.hostname()}:${Deno.pid}:${crypto.randomUUID().slice(0, 8)}`;
  /** what the list's results are a proof of */
  proof = "";
  /** the list, by `tableKey` */
  #list: ReadonlySet<string> = new Set();
  /** tables of it that were free at the last look, less those that were claimed since, by database */
  #free: TableName[][] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param name the path, or the URL without credentials */
  constructor(readonly name: string, private readonly store: Store, private readonly leaseMs: number) {}

  /** Runs a statement. @param values of $1, $2 … */
  async #run<T>(text: string, ...values: (string | number)[]): Promise<T[]> {
    try {
      return await this.store.run(text, values) as T[];
    } catch (error) {
      throw explain(this.name, error);
    }
  }

  /** Changes the rows of tables. @param values of $3 … @returns the tables that were changed */
  #update(items: readonly TableName[], set: string, where: string, ...values: (string | number)[]) {
    const update = `UPDATE cnosdb_migrate_table_3 SET ${set} FROM ${this.store.items}
      WHERE proof = $2 AND (${name}) = (${itemName}) AND ${where} RETURNING ${name}`;
    return this.#run<TableName>(update, JSON.stringify(items), this.proof, ...values);
  }

  /** Tables of the list that are to be done and meet a condition. @param values of $2 … */
  async #open(where: string, ...values: string[]): Promise<TableName[]> {
    const select = `SELECT ${name} FROM cnosdb_migrate_table_3 WHERE proof = $1 AND status = '' AND ${where}`;
    const rows = await this.#run<TableName>(select, this.proof, ...values);
    return rows.filter((row) => this.#list.has(tableKey(row)));
  }

  /**
   * Enters a list of tables, and opens again those that are not proven. From then on it is about these
   * tables alone: leftovers of another input are not copied. Workers share what is in the lists of both.
   * @param proof what a result proves (clusters, how they were compared, bounds): others do not count
   * @param names the tables; without them the newest list of this proof; without both the newest of all, to
   * be looked at
   * @returns how many tables the list has; undefined if there is no such list
   */
  async start(proof?: string, names?: readonly TableName[]): Promise<number | undefined> {
    const found = names ? [] : await this.#run<TableName & { proof: string }>(
      `SELECT proof, ${name} FROM cnosdb_migrate_table_3 WHERE (proof, listed) = (SELECT proof, listed
        FROM cnosdb_migrate_table_3 WHERE $1 IN ('', proof) ORDER BY listed DESC LIMIT 1)`,
      proof ?? "",
    );
    if (!names && found.length === 0) return undefined;
    this.proof = proof ?? found[0]!.proof;
    this.#list = new Set((names ?? found).map(tableKey));
    this.#free = [];
    if (proof === undefined) return this.#list.size;
    const { now, items } = this.store;
    // in one statement, so that never a part of a list is there
    const insert = `INSERT INTO cnosdb_migrate_table_3 AS t (listed, proof, ${name})
      SELECT DISTINCT ${now}, CAST($2 AS TEXT), ${itemName} FROM ${items} WHERE true
      ON CONFLICT (proof, ${name}) DO UPDATE SET listed = excluded.listed, status = CASE
        WHEN t.status IN (${[...proven].map((status) => `'${status}'`)}) THEN t.status ELSE '' END`;
    await this.#run(insert, JSON.stringify(names ?? found), proof);
    await this.#run("ANALYZE cnosdb_migrate_table_3");
    const renew = `UPDATE cnosdb_migrate_table_3 SET until = ${now} + $2 WHERE holder = $1 AND status = ''`;
    // A lost lease does no harm, and other statements report a ledger that is out of reach.
    const renewAll = () => this.#run(renew, this.worker, this.leaseMs).catch(() => {});
    this.#timer ??= setInterval(renewAll, this.leaseMs / 3);
    return this.#list.size;
  }

  /**
   * Leases tables of one database to this worker: prefers the database with the fewest tables in progress,
   * then the one with the most left. One call at a time.
   * @returns none if none is free; other workers may hold some
   */
  async claim(most: number): Promise<TableName[]> {
    const { now } = this.store;
    const held = Map.groupBy(await this.#open(`holder IS NOT NULL AND until >= ${now}`), databaseKey);
    const inProgress = ([name]: TableName[]) => held.get(databaseKey(name!))?.length ?? 0;
    const lease = `holder = $3, until = ${now} + $4`;
    const isFree = `status = '' AND (until < ${now} OR holder = $3)`;
    for (;;) {
      this.#free = this.#free.filter((names) => names.length > 0);
      if (this.#free.length === 0) {
        // What this worker holds is at work, also when its lease has run out.
        const isOthers = `until < ${now} AND coalesce(holder, '') <> $2`;
        const open = await this.#open(`${isOthers} ORDER BY ${name}`, this.worker);
        this.#free = [...Map.groupBy(open, databaseKey).values()];
      }
      this.#free.sort((a, b) => inProgress(a) - inProgress(b) || b.length - a.length);
      const names = this.#free[0]?.splice(0, most);
      if (!names) return [];
      const claimed = await this.#update(names, lease, isFree, this.worker, this.leaseMs);
      if (claimed.length) return claimed;
    }
  }

  /** How many tables other workers hold, which may be free later. */
  async others(): Promise<number> {
    return (await this.#open(`holder <> $2 AND until >= ${this.store.now}`, this.worker)).length;
  }

  /** Whether a table of this database is still to be done, or held by a worker. */
  async isBusy(tenant: string, database: string): Promise<boolean> {
    return (await this.#open("tenant = $2 AND database = $3", tenant, database)).length > 0;
  }

  /** Writes what became of tables and ends their leases; but not for tables that another worker took over. */
  async finish(results: readonly TableResult[]): Promise<void> {
    const set = "status = value ->> 'status', result = CAST(value AS TEXT), holder = NULL, until = 0";
    // With coalesce, as PostgreSQL would otherwise search all tables that are held for each of these.
    await this.#update(results, set, "coalesce(holder, '') = $3", this.worker);
  }

  /** Opens proven tables again, since the clusters say otherwise. */
  async reopen(names: readonly TableName[]): Promise<void> {
    await this.#update(names, "status = ''", "true");
    this.#free = [];
  }

  /** The tables of the list in the order of their names, a page at a time. */
  async *rows(): AsyncGenerator<LedgerRow> {
    const holder = `CASE WHEN until >= ${this.store.now} THEN holder END AS holder`;
    const select = `SELECT ${name}, status, result, ${holder} FROM cnosdb_migrate_table_3
      WHERE proof = $1 AND (${name}) > ($2, $3, $4) ORDER BY ${name} LIMIT 2000`;
    for (let last: TableName | undefined = { tenant: "", database: "", table: "" }; last;) {
      const page: LedgerRow[] = await this.#run(select, this.proof, last.tenant, last.database, last.table);
      for (const row of page) if (this.#list.has(tableKey(row))) yield row;
      last = page.at(-1);
    }
  }

  /** Notes that a TTL may be raised. */
  async writeTtl({ cluster, tenant, database, formerSeconds }: RaisedTtl): Promise<void> {
    const insert = "INSERT INTO cnosdb_migrate_ttl_3 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    await this.#run(insert, cluster, tenant, database, formerSeconds);
  }

  async removeTtl({ cluster, tenant, database }: RaisedTtl): Promise<void> {
    const remove = "DELETE FROM cnosdb_migrate_ttl_3 WHERE (cluster, tenant, database) = ($1, $2, $3)";
    await this.#run(remove, cluster, tenant, database);
  }

  /** The TTLs that may be raised, by whatever list. */
  async ttls(): Promise<RaisedTtl[]> {
    return await this.#run("SELECT * FROM cnosdb_migrate_ttl_3 ORDER BY cluster, tenant, database");
  }

  /** Releases all that this worker holds, and closes. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    // If that fails, as it does for a ledger that is only read, the leases expire.
    await this.#run(`${release} holder = $1`, this.worker).catch(() => {});
    await this.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
