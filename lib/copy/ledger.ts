/**
 * The ledger of a copy: what must survive a crash. Which tables are to be done and who holds them until when, what is proven of them,
 * and which TTLs were raised. All else is asked of the clusters. Every change is one statement and may run twice: a process that is
 * killed or suspended between two of them holds no lock, and an answer that is lost costs nothing.
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { Failure, UsageError } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { postgresStore } from "./ledger_postgres.ts";
import { sqliteStore } from "./ledger_sqlite.ts";
import type { Store } from "./ledger_store.ts";

/** The ledger where no other is named. */
export const defaultLedger = "copy_tables.sqlite";

/** What became of a table: its result line (JSON), and what of it is counted. */
export interface Finished {
  readonly name: TableName;
  readonly status: string;
  readonly result: string;
  readonly rows: number;
}

/** A table of the list. `status` is "" while it is to be done; then `result` is an earlier run's, if any. */
export interface LedgerRow extends Omit<Finished, "result"> {
  readonly result?: string;
  /** the worker whose lease on it has not expired */
  readonly holder?: string;
}

/** A TTL that was, or is about to be, raised and has to be set back. */
export interface RaisedTtl {
  /** the id of the cluster where */
  readonly cluster: string;
  readonly tenant: string;
  readonly database: string;
  /** what to set it back to; Infinity for INF */
  readonly formerSeconds: number;
}

/** The same as it stands in the ledger. */
export interface TtlRow extends RaisedTtl {
  readonly holder: string;
  /** whether ALTER DATABASE was answered, so that its holder sends none any more */
  readonly isConfirmed: boolean;
  /** when it was written by the ledger's clock, and how long ago that is */
  readonly writtenMs: number;
  readonly ageMs: number;
}

const version = 2;
const schema = `
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_ledger (version INTEGER NOT NULL PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_list (id TEXT NOT NULL PRIMARY KEY, proof TEXT NOT NULL,
    whole INTEGER NOT NULL DEFAULT 0, used BIGINT NOT NULL);
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_table (list TEXT NOT NULL, tenant TEXT NOT NULL, database TEXT NOT NULL,
    "table" TEXT NOT NULL, status TEXT NOT NULL DEFAULT '', result TEXT, rows BIGINT NOT NULL DEFAULT 0,
    holder TEXT, claim BIGINT, until BIGINT, PRIMARY KEY (list, tenant, database, "table"));
  CREATE INDEX IF NOT EXISTS cnosdb_migrate_open ON cnosdb_migrate_table (list, tenant, database, "table")
    WHERE status = '';
  CREATE INDEX IF NOT EXISTS cnosdb_migrate_held ON cnosdb_migrate_table (holder, claim) WHERE holder IS NOT NULL;
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_ttl (cluster TEXT NOT NULL, tenant TEXT NOT NULL, database TEXT NOT NULL,
    holder TEXT NOT NULL, former BIGINT, confirmed INTEGER NOT NULL, written BIGINT NOT NULL,
    PRIMARY KEY (cluster, tenant, database, holder));
  INSERT INTO cnosdb_migrate_ledger VALUES (${version}) ON CONFLICT DO NOTHING;`;
const pageTables = 2000;
/** Results that stand until the ledger is told otherwise; a table with any other is done again by the next run. */
const isProven = "status IN ('equal', 'exported', 'imported', 'definition')";
const named =
  `SELECT value ->> 'tenant' AS tenant, value ->> 'database' AS database, value ->> 'table' AS "table"`;
const sameName = `t.tenant = r.tenant AND t.database = r.database AND t."table" = r."table"`;
const free = "holder = NULL, claim = NULL, until = NULL";

/**
 * Opens a ledger, and makes it where it is not there.
 * @param where the path of a SQLite file, or `postgres://…`
 * @param options.readOnly to look at it, also while others work and where nothing may be written
 * @param options.leaseMs how long the tables of a worker that is not heard of stay its own
 * @throws {Failure} where it cannot be used: foreign, damaged, of another version, on a full disk, out of reach; {UsageError} for
 * what can be no ledger
 */
export async function openLedger(
  where: string = defaultLedger,
  { readOnly = false, leaseMs = 30_000 }: { readOnly?: boolean; leaseMs?: number } = {},
): Promise<Ledger> {
  const scheme = /^[a-z][a-z0-9+.-]+(?=:)/i.exec(where)?.[0];
  const isPostgres = /^postgres(ql)?$/i.test(scheme ?? "");
  if (!isPostgres && (scheme !== undefined || where === "" || where === ":memory:")) {
    throw new UsageError(
      `--ledger ${scheme === undefined ? where || '""' : `${scheme}:…`}: cannot be used`,
      "expected a file's path, or postgres://USER@HOST/DATABASE",
    );
  }
  const store = await (isPostgres ? postgresStore : sqliteStore)(where, readOnly);
  try {
    await prepare(store, readOnly);
    await store.opened();
    return new Ledger(store, leaseMs);
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function prepare(store: Store, readOnly: boolean): Promise<void> {
  const refuse = (why: string) => {
    throw new Failure(
      `ledger ${store.name} ${why}`,
      "--ledger names another one; where none is, a new one is made.",
    );
  };
  const tables = (await store.run<{ name: string }>(store.tables)).map(({ name }) => name);
  if (tables.includes("cnosdb_migrate_run")) refuse("was made by an older version of these scripts");
  if (tables.includes("cnosdb_migrate_ledger")) {
    const [row] = await store.run<{ v: number }>("SELECT max(version) AS v FROM cnosdb_migrate_ledger");
    if (row?.v !== version) refuse(`is of version ${row?.v}, these scripts know version ${version}`);
  } else {
    if (tables.length) refuse("is a database of something else");
    if (readOnly) refuse("is empty: it is filled when tables are copied");
    await store.script(schema);
  }
  if (readOnly || !store.isAlone) return;
  // what dead processes held is free, and no ALTER of theirs will follow
  await store.run(`UPDATE cnosdb_migrate_table SET ${free} WHERE holder IS NOT NULL`);
  await store.run("UPDATE cnosdb_migrate_ttl SET confirmed = 1 WHERE confirmed = 0");
}

/** An open ledger, and this process as a worker of it. */
export class Ledger {
  readonly worker = `${hostname()}:${Deno.pid}:${crypto.randomUUID().slice(0, 8)}`;
  /** the path, or the URL without credentials */
  readonly name: string;
  /** what the results of the list are a proof of */
  proof = "";
  #list = "";
  #claims = 0;
  /** databases with tables to claim, as they were when last counted */
  #databases: { tenant: string; database: string; free: number; held: number }[] = [];
  #countAgainMs = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #renewing: Promise<unknown> = Promise.resolve();
  /** whether another worker holds a row */
  readonly #isHeld: string;

  constructor(private readonly store: Store, private readonly leaseMs: number) {
    this.name = store.name;
    this.#isHeld = `(holder IS NOT NULL AND until >= ${store.now})`;
  }

  /**
   * Enters a list of tables: makes it where it is new, takes over what other lists have proven in the same way, and opens again what is
   * not proven. All else is about these tables alone, so that leftovers of another input are not copied.
   * @param proof what a result is a proof of (clusters, how it was verified, bounds); results of another proof do not count
   * @param names the tables; without them the newest list of that proof; without both the newest of all, to be looked at
   * @returns false where there is no such list
   */
  async start(proof?: string, names?: readonly TableName[]): Promise<boolean> {
    const { now } = this.store;
    if (proof !== undefined && names) await this.#add(proof, names);
    else {
      const [newest] = await this.store.run<{ id: string; proof: string }>(
        `SELECT id, proof FROM cnosdb_migrate_list WHERE whole = 1 AND ($1 = '' OR proof = $1)
          ORDER BY used DESC, id LIMIT 1`,
        [proof ?? ""],
      );
      if (!newest) return false;
      [this.#list, this.proof] = [newest.id, newest.proof];
    }
    if (proof === undefined) return true;
    await this.store.run(`UPDATE cnosdb_migrate_list SET used = ${now} WHERE id = $1`, [this.#list]);
    await this.store.run(
      `UPDATE cnosdb_migrate_table SET status = '' WHERE list = $1 AND status <> '' AND NOT ${isProven}`,
      [this.#list],
    );
    const others = await this.store.run(
      "SELECT 1 AS one FROM cnosdb_migrate_list WHERE proof = $1 AND id <> $2",
      [
        proof,
        this.#list,
      ],
    );
    if (others.length) {
      await this.store.run(
        `UPDATE cnosdb_migrate_table AS t SET status = r.status, result = r.result, rows = r.rows
        FROM (SELECT o.* FROM cnosdb_migrate_table o JOIN cnosdb_migrate_list l ON l.id = o.list
          WHERE l.proof = $2 AND o.list <> $1 AND o.${isProven}) r
        WHERE t.list = $1 AND t.status = '' AND t.holder IS NULL AND ${sameName}`,
        [this.#list, proof],
      );
    }
    this.#timer ??= setInterval(() => this.#renewing = this.#renew(), this.leaseMs / 3);
    Deno.unrefTimer(this.#timer);
    return true;
  }

  async #add(proof: string, names: readonly TableName[]): Promise<void> {
    const { now, items } = this.store;
    const lines = new Set(names.map((n) => JSON.stringify([n.tenant, n.database, n.table])));
    this.#list = createHash("sha256").update([proof, ...[...lines].sort()].join("\n")).digest("hex").slice(
      0,
      32,
    );
    this.proof = proof;
    const [there] = await this.store.run<{ whole: number }>(
      "SELECT whole FROM cnosdb_migrate_list WHERE id = $1",
      [
        this.#list,
      ],
    );
    if (there?.whole) return;
    await this.store.run(
      `INSERT INTO cnosdb_migrate_list (id, proof, used) VALUES ($1, $2, ${now}) ON CONFLICT DO NOTHING`,
      [this.#list, proof],
    );
    for (let at = 0; at < names.length; at += pageTables) {
      await this.store.run(
        `INSERT INTO cnosdb_migrate_table (tenant, database, "table", list)
          ${named}, $2 FROM ${items} WHERE true ON CONFLICT DO NOTHING`,
        [JSON.stringify(names.slice(at, at + pageTables)), this.#list],
      );
    }
    await this.store.run("ANALYZE cnosdb_migrate_table");
    // a list that a killed process left half added is none to go on with
    await this.store.run("UPDATE cnosdb_migrate_list SET whole = 1 WHERE id = $1", [this.#list]);
  }

  /**
   * Leases tables of one database to this worker: of the one with the fewest tables in progress, then of the one with the most left.
   * @returns none where nothing is free now, though others may hold some
   */
  async claim(most: number): Promise<TableName[]> {
    for (let isFresh = await this.#count(false);; isFresh = await this.#count(true)) {
      while (this.#databases.length) {
        const next = this.#databases.reduce((a, b) => (a.held - b.held || b.free - a.free) <= 0 ? a : b);
        const claimed = await this.#claimIn(next, most);
        next.held += claimed.length;
        next.free -= claimed.length;
        if (claimed.length) return claimed;
        this.#databases = this.#databases.filter((database) => database !== next);
      }
      if (isFresh) return [];
    }
  }

  async #claimIn(
    { tenant, database }: { tenant: string; database: string },
    most: number,
  ): Promise<TableName[]> {
    const { now, skipLocked } = this.store;
    const claim = [this.worker, ++this.#claims, this.#list];
    await this.store.run(
      `WITH r AS MATERIALIZED (SELECT tenant, database, "table" FROM cnosdb_migrate_table
          WHERE list = $3 AND tenant = $4 AND database = $5 AND status = '' AND (holder IS NULL OR until < ${now})
          ORDER BY "table" LIMIT $6 ${skipLocked})
        UPDATE cnosdb_migrate_table AS t SET holder = $1, claim = $2, until = ${now} + ${this.leaseMs} FROM r
          WHERE t.list = $3 AND ${sameName} AND NOT EXISTS
            (SELECT 1 FROM cnosdb_migrate_table WHERE holder = $1 AND claim = $2 AND list = $3)`,
      [...claim, tenant, database, most],
    );
    // asked for by itself, as the statement above may have run without its answer having come
    return await this.store.run<TableName>(
      `SELECT tenant, database, "table" FROM cnosdb_migrate_table WHERE holder = $1 AND claim = $2 AND list = $3
        ORDER BY "table"`,
      claim,
    );
  }

  /** Counts what is free in each database, but spends at most a tenth of the time on it, however long the list. */
  async #count(always: boolean): Promise<boolean> {
    const begun = performance.now();
    if (!always && begun < this.#countAgainMs) return false;
    this.#databases = await this.store.run(
      `SELECT tenant, database, count(CASE WHEN ${this.#isHeld} THEN NULL ELSE 1 END) AS free,
          count(CASE WHEN ${this.#isHeld} THEN 1 END) AS held
        FROM cnosdb_migrate_table WHERE list = $1 AND status = '' GROUP BY tenant, database`,
      [this.#list],
    );
    this.#databases = this.#databases.filter(({ free }) => free > 0);
    this.#countAgainMs = performance.now() + 10 * (performance.now() - begun);
    return true;
  }

  /**
   * Writes what became of tables and gives their leases back. Of a table that another worker has taken over meanwhile nothing is
   * written: that one finds out by itself.
   */
  async finish(results: readonly Finished[]): Promise<void> {
    const { items } = this.store;
    await this.store.run(
      `UPDATE cnosdb_migrate_table AS t SET status = r.status, result = r.result, rows = r.rows, ${free}
        FROM (${named}, value ->> 'status' AS status, value ->> 'result' AS result,
          CAST(value ->> 'rows' AS BIGINT) AS rows FROM ${items}) r
        WHERE t.list = $2 AND coalesce(t.holder, '') = $3 AND ${sameName}`,
      [JSON.stringify(results.map(({ name, ...rest }) => ({ ...name, ...rest }))), this.#list, this.worker],
    );
  }

  /** Opens proven tables again: the clusters say otherwise. */
  async reopen(names: readonly TableName[]): Promise<void> {
    const { items } = this.store;
    await this.store.run(
      `UPDATE cnosdb_migrate_table AS t SET status = '' FROM (${named} FROM ${items}) r
        WHERE t.list = $2 AND t.status <> '' AND ${sameName}`,
      [JSON.stringify(names), this.#list],
    );
    this.#countAgainMs = 0;
  }

  /** Gives back all that this worker holds. */
  async release(): Promise<void> {
    await this.store.run(`UPDATE cnosdb_migrate_table SET ${free} WHERE holder = $1`, [this.worker]);
  }

  async #renew(): Promise<void> {
    const sql =
      `UPDATE cnosdb_migrate_table SET until = ${this.store.now} + ${this.leaseMs} WHERE holder = $1`;
    // a lost lease does no harm, and that the ledger is out of reach is told by what else is asked of it
    await this.store.run(sql, [this.worker]).catch(() => {});
  }

  /** The tables of the list in the order of their names, a page at a time. */
  async *rows(): AsyncGenerator<LedgerRow> {
    type Page = TableName & { status: string; rows: number; result: string | null; holder: string | null };
    for (let last = ["", "", ""];;) {
      const page = await this.store.run<Page>(
        `SELECT tenant, database, "table", status, rows, result, CASE WHEN ${this.#isHeld} THEN holder END AS holder
          FROM cnosdb_migrate_table WHERE list = $1 AND (tenant, database, "table") > ($2, $3, $4)
          ORDER BY tenant, database, "table" LIMIT ${pageTables}`,
        [this.#list, ...last],
      );
      for (const { tenant, database, table, status, rows, result, holder } of page) {
        const more = { ...(result === null ? {} : { result }), ...(holder === null ? {} : { holder }) };
        yield { name: { tenant, database, table }, status, rows, ...more };
        last = [tenant, database, table];
      }
      if (page.length < pageTables) return;
    }
  }

  /** How many tables of the list there are by status, their rows, and how many are held. Reads all of it. */
  counts(): Promise<{ status: string; tables: number; rows: number; held: number }[]> {
    return this.store.run(
      `SELECT status, count(*) AS tables, CAST(sum(rows) AS BIGINT) AS rows, count(CASE WHEN ${this.#isHeld} THEN 1 END) AS held
        FROM cnosdb_migrate_table WHERE list = $1 GROUP BY status ORDER BY status`,
      [this.#list],
    );
  }

  /** How many tables other workers hold: there may be something to claim later. */
  async others(): Promise<number> {
    const [row] = await this.store.run<{ n: number }>(
      `SELECT count(*) AS n FROM cnosdb_migrate_table WHERE list = $1 AND holder <> $2 AND ${this.#isHeld}`,
      [this.#list, this.worker],
    );
    return row!.n;
  }

  /** Whether a table of this database is still to be done, or held by a worker. */
  async isBusy(tenant: string, database: string): Promise<boolean> {
    const rows = await this.store.run(
      `SELECT 1 AS busy FROM cnosdb_migrate_table WHERE list = $1 AND tenant = $2 AND database = $3
        AND (status = '' OR ${this.#isHeld}) LIMIT 1`,
      [this.#list, tenant, database],
    );
    return rows.length > 0;
  }

  /** Writes down, to outlast a power loss, that this worker is about to raise a TTL, or that it has done so. */
  async writeTtl(
    { cluster, tenant, database, formerSeconds }: RaisedTtl,
    isConfirmed: boolean,
  ): Promise<void> {
    this.store.sync(true);
    const former = formerSeconds === Infinity ? null : formerSeconds;
    await this.store.run(
      `INSERT INTO cnosdb_migrate_ttl (cluster, tenant, database, holder, former, confirmed, written)
        VALUES ($1, $2, $3, $4, $5, $6, ${this.store.now}) ON CONFLICT (cluster, tenant, database, holder)
        DO UPDATE SET former = excluded.former, confirmed = excluded.confirmed, written = excluded.written`,
      [cluster, tenant, database, this.worker, former, isConfirmed ? 1 : 0],
    );
    this.store.sync(false);
  }

  /** Removes what was read as such, and nothing that was written since. */
  async removeTtl({ cluster, tenant, database, holder, writtenMs }: TtlRow): Promise<void> {
    await this.store.run(
      `DELETE FROM cnosdb_migrate_ttl
        WHERE cluster = $1 AND tenant = $2 AND database = $3 AND holder = $4 AND written = $5`,
      [cluster, tenant, database, holder, writtenMs],
    );
  }

  /** The TTLs that are to be set back, of all lists, the newest first. @param cluster that one's alone */
  async ttls(cluster = ""): Promise<TtlRow[]> {
    const rows = await this.store.run<TtlRow & { former: number | null; confirmed: number }>(
      `SELECT cluster, tenant, database, holder, former, confirmed, written AS "writtenMs",
          ${this.store.now} - written AS "ageMs" FROM cnosdb_migrate_ttl
        WHERE $1 = '' OR cluster = $1 ORDER BY written DESC, holder`,
      [cluster],
    );
    return rows.map(({ former, confirmed, ...row }) => ({
      ...row,
      formerSeconds: former ?? Infinity,
      isConfirmed: confirmed === 1,
    }));
  }

  /** Gives back what it holds and closes. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    // where that fails, the leases expire
    if (this.#timer !== undefined) await this.release().catch(() => {});
    await this.store.close();
  }
}
