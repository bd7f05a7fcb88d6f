/**
 * The ledger of a copy: what must survive a crash. Which tables are to be done and who holds them until when, what is proven of them,
 * and which TTLs were raised. All else is asked of the clusters. Every change is one statement and may run twice: a process that is
 * killed or suspended between two of them holds no lock, and an answer that is lost costs nothing.
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { UsageError } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { postgresStore } from "./ledger_postgres.ts";
import { sqliteStore } from "./ledger_sqlite.ts";
import { free, prepare, Sql, sql, type Store, type Value } from "./ledger_store.ts";

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

const pageTables = 2000;
/** Results that stand until the ledger is told otherwise; a table with any other is done again by the next run. */
const isProven = new Sql("status IN ('equal', 'exported', 'imported', 'definition')");
const fields = new Sql(
  `value ->> 'tenant' AS tenant, value ->> 'database' AS database, value ->> 'table' AS "table"`,
);
const sameName = new Sql(`t.tenant = r.tenant AND t.database = r.database AND t."table" = r."table"`);

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
    const told = scheme === undefined ? where || '""' : `${scheme}:…`;
    throw new UsageError(
      `--ledger ${told}: cannot be used`,
      "expected a file, or postgres://USER@HOST/DATABASE",
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
  readonly #isHeld: Sql;
  readonly #until: Sql;

  constructor(private readonly store: Store, private readonly leaseMs: number) {
    this.name = store.name;
    this.#isHeld = sql`(holder IS NOT NULL AND until >= ${store.now})`;
    this.#until = new Sql(`${store.now.text} + ${Math.trunc(leaseMs)}`);
  }

  #run<T>(parts: TemplateStringsArray, ...given: (Sql | Value)[]): Promise<T[]> {
    return this.store.run<T>(sql(parts, ...given));
  }

  /**
   * Enters a list of tables: makes it where it is new, takes over what other lists have proven in the same way, and opens again what is
   * not proven. All else is about these tables alone, so that leftovers of another input are not copied.
   * @param proof what a result is a proof of (clusters, how it was verified, bounds); results of another proof do not count
   * @param names the tables; without them the newest list of that proof; without both the newest of all, to be looked at
   * @returns false where there is no such list
   */
  async start(proof?: string, names?: readonly TableName[]): Promise<boolean> {
    if (proof !== undefined && names) await this.#add(proof, names);
    else {
      const [newest] = await this.#run<{ id: string; proof: string }>`
        SELECT id, proof FROM cnosdb_migrate_list WHERE whole = 1 AND ${
        proof === undefined ? sql`true` : sql`proof = ${proof}`
      } ORDER BY used DESC, id LIMIT 1`;
      if (!newest) return false;
      [this.#list, this.proof] = [newest.id, newest.proof];
    }
    if (proof === undefined) return true;
    const list = this.#list;
    await this.#run`UPDATE cnosdb_migrate_list SET used = ${this.store.now} WHERE id = ${list}`;
    await this.#run`UPDATE cnosdb_migrate_table SET status = ''
      WHERE list = ${list} AND status <> '' AND NOT ${isProven}`;
    const others = await this
      .#run`SELECT 1 FROM cnosdb_migrate_list WHERE proof = ${proof} AND id <> ${list}`;
    if (others.length) {
      await this.#run`
        UPDATE cnosdb_migrate_table AS t SET status = r.status, result = r.result, rows = r.rows
          FROM (SELECT o.* FROM cnosdb_migrate_table o JOIN cnosdb_migrate_list l ON l.id = o.list
            WHERE l.proof = ${proof} AND o.list <> ${list} AND o.${isProven}) r
          WHERE t.list = ${list} AND t.status = '' AND t.holder IS NULL AND ${sameName}`;
    }
    // a lease that is lost does no harm, and that the ledger is out of reach is told by what else is asked of it
    this.#timer ??= setInterval(() => this.#renewing = this.#renew().catch(() => {}), this.leaseMs / 3);
    Deno.unrefTimer(this.#timer);
    return true;
  }

  async #add(proof: string, names: readonly TableName[]): Promise<void> {
    const lines = new Set(names.map((n) => JSON.stringify([n.tenant, n.database, n.table])));
    const list = createHash("sha256").update([proof, ...[...lines].sort()].join("\n")).digest("hex").slice(
      0,
      32,
    );
    [this.#list, this.proof] = [list, proof];
    const whole = await this.#run`SELECT 1 FROM cnosdb_migrate_list WHERE id = ${list} AND whole = 1`;
    if (whole.length) return;
    await this
      .#run`INSERT INTO cnosdb_migrate_list (id, proof, used) VALUES (${list}, ${proof}, ${this.store.now})
      ON CONFLICT DO NOTHING`;
    for (let at = 0; at < names.length; at += pageTables) {
      const page = this.store.items(JSON.stringify(names.slice(at, at + pageTables)));
      await this.#run`INSERT INTO cnosdb_migrate_table (list, tenant, database, "table")
        SELECT CAST(${list} AS TEXT), ${fields} FROM ${page} WHERE true ON CONFLICT DO NOTHING`;
    }
    await this.#run`ANALYZE cnosdb_migrate_table`;
    // a list that a killed process left half added is none to go on with
    await this.#run`UPDATE cnosdb_migrate_list SET whole = 1 WHERE id = ${list}`;
  }

  /**
   * Leases tables of one database to this worker: of the one with the fewest tables in progress, then of the one with the most left.
   * @returns none where nothing is free now, though others may hold some
   */
  async claim(most: number): Promise<TableName[]> {
    for (let isFresh = await this.#count(false);; isFresh = await this.#count(true)) {
      while (this.#databases.length) {
        const next = this.#databases.reduce((a, b) => (a.held - b.held || b.free - a.free) <= 0 ? a : b);
        const claimed = await this.#claimIn(next.tenant, next.database, most);
        next.held += claimed.length;
        next.free -= claimed.length;
        if (claimed.length) return claimed;
        this.#databases = this.#databases.filter((database) => database !== next);
      }
      if (isFresh) return [];
    }
  }

  async #claimIn(tenant: string, database: string, most: number): Promise<TableName[]> {
    const list = this.#list;
    const mine = sql`holder = ${this.worker} AND claim = ${++this.#claims} AND list = ${list}`;
    await this.#run`
      WITH r AS MATERIALIZED (SELECT tenant, database, "table" FROM cnosdb_migrate_table
          WHERE list = ${list} AND tenant = ${tenant} AND database = ${database} AND status = '' AND NOT ${this.#isHeld}
          ORDER BY "table" LIMIT ${most} ${this.store.skipLocked})
        UPDATE cnosdb_migrate_table AS t SET holder = ${this.worker}, claim = ${this.#claims}, until = ${this.#until}
          FROM r WHERE t.list = ${list} AND ${sameName} AND NOT EXISTS (SELECT 1 FROM cnosdb_migrate_table WHERE ${mine})`;
    // asked for by itself, as the statement above may have run without its answer having come
    return await this.#run<TableName>`
      SELECT tenant, database, "table" FROM cnosdb_migrate_table WHERE ${mine} ORDER BY "table"`;
  }

  /** Counts what is free in each database, but spends at most a tenth of the time on it, however long the list. */
  async #count(always: boolean): Promise<boolean> {
    const begun = performance.now();
    if (!always && begun < this.#countAgainMs) return false;
    this.#databases = await this.#run`
      SELECT tenant, database, count(CASE WHEN ${this.#isHeld} THEN NULL ELSE 1 END) AS free,
          count(CASE WHEN ${this.#isHeld} THEN 1 END) AS held
        FROM cnosdb_migrate_table WHERE list = ${this.#list} AND status = '' GROUP BY tenant, database`;
    this.#databases = this.#databases.filter(({ free }) => free > 0);
    this.#countAgainMs = performance.now() + 10 * (performance.now() - begun);
    return true;
  }

  /**
   * Writes what became of tables and gives their leases back. Of a table that another worker has taken over meanwhile nothing is
   * written: that one finds out by itself.
   */
  async finish(results: readonly Finished[]): Promise<void> {
    const items = this.store.items(
      JSON.stringify(results.map(({ name, ...rest }) => ({ ...name, ...rest }))),
    );
    await this.#run`
      UPDATE cnosdb_migrate_table AS t SET status = r.status, result = r.result, rows = r.rows, ${free}
        FROM (SELECT ${fields}, value ->> 'status' AS status, value ->> 'result' AS result,
          CAST(value ->> 'rows' AS BIGINT) AS rows FROM ${items}) r
        WHERE t.list = ${this.#list} AND coalesce(t.holder, '') = ${this.worker} AND ${sameName}`;
  }

  /** Opens proven tables again: the clusters say otherwise. */
  async reopen(names: readonly TableName[]): Promise<void> {
    await this.#run`
      UPDATE cnosdb_migrate_table AS t SET status = '' FROM (SELECT ${fields} FROM ${
      this.store.items(JSON.stringify(names))
    }) r WHERE t.list = ${this.#list} AND t.status <> '' AND ${sameName}`;
    this.#countAgainMs = 0;
  }

  /** Gives back all that this worker holds. */
  async release(): Promise<void> {
    await this.#run`UPDATE cnosdb_migrate_table SET ${free} WHERE holder = ${this.worker}`;
  }

  async #renew(): Promise<void> {
    await this.#run`UPDATE cnosdb_migrate_table SET until = ${this.#until} WHERE holder = ${this.worker}`;
  }

  /** The tables of the list in the order of their names, a page at a time. */
  async *rows(): AsyncGenerator<LedgerRow> {
    type Page = TableName & { status: string; rows: number; result: string | null; holder: string | null };
    for (let last: TableName = { tenant: "", database: "", table: "" };;) {
      const page = await this.#run<Page>`
        SELECT tenant, database, "table", status, rows, result, CASE WHEN ${this.#isHeld} THEN holder END AS holder
          FROM cnosdb_migrate_table WHERE list = ${this.#list}
            AND (tenant, database, "table") > (${last.tenant}, ${last.database}, ${last.table})
          ORDER BY tenant, database, "table" LIMIT ${pageTables}`;
      for (const { status, rows, result, holder, ...name } of page) {
        const more = { ...(result === null ? {} : { result }), ...(holder === null ? {} : { holder }) };
        yield { name: last = name, status, rows, ...more };
      }
      if (page.length < pageTables) return;
    }
  }

  /** How many tables of the list there are by status, their rows, and how many are held. Reads all of it. */
  counts(): Promise<{ status: string; tables: number; rows: number; held: number }[]> {
    return this.#run`
      SELECT status, count(*) AS tables, CAST(sum(rows) AS BIGINT) AS rows, count(CASE WHEN ${this.#isHeld} THEN 1 END) AS held
        FROM cnosdb_migrate_table WHERE list = ${this.#list} GROUP BY status ORDER BY status`;
  }

  /** How many tables other workers hold: there may be something to claim later. */
  async others(): Promise<number> {
    const [row] = await this.#run<{ n: number }>`SELECT count(*) AS n FROM cnosdb_migrate_table
      WHERE list = ${this.#list} AND holder <> ${this.worker} AND ${this.#isHeld}`;
    return row!.n;
  }

  /** Whether a table of this database is still to be done, or held by a worker. */
  async isBusy(tenant: string, database: string): Promise<boolean> {
    const rows = await this.#run`SELECT 1 FROM cnosdb_migrate_table WHERE list = ${this.#list}
      AND tenant = ${tenant} AND database = ${database} AND (status = '' OR ${this.#isHeld}) LIMIT 1`;
    return rows.length > 0;
  }

  /** Writes down, to outlast a power loss, that this worker is about to raise a TTL, or that it has done so. */
  async writeTtl(
    { cluster, tenant, database, formerSeconds }: RaisedTtl,
    isConfirmed: boolean,
  ): Promise<void> {
    const former = formerSeconds === Infinity ? null : formerSeconds;
    this.store.sync(true);
    await this
      .#run`INSERT INTO cnosdb_migrate_ttl (cluster, tenant, database, holder, former, confirmed, written)
      VALUES (${cluster}, ${tenant}, ${database}, ${this.worker}, ${former}, ${
      isConfirmed ? 1 : 0
    }, ${this.store.now})
      ON CONFLICT (cluster, tenant, database, holder)
      DO UPDATE SET former = excluded.former, confirmed = excluded.confirmed, written = excluded.written`;
    this.store.sync(false);
  }

  /** Removes what was read as such, and nothing that was written since. */
  async removeTtl({ cluster, tenant, database, holder, writtenMs }: TtlRow): Promise<void> {
    await this.#run`DELETE FROM cnosdb_migrate_ttl WHERE cluster = ${cluster} AND tenant = ${tenant}
      AND database = ${database} AND holder = ${holder} AND written = ${writtenMs}`;
  }

  /** The TTLs that are to be set back, of all lists, the newest first. @param cluster that one's alone */
  async ttls(cluster?: string): Promise<TtlRow[]> {
    const rows = await this.#run<TtlRow & { former: number | null; confirmed: number }>`
      SELECT cluster, tenant, database, holder, former, confirmed, written AS "writtenMs",
          ${this.store.now} - written AS "ageMs" FROM cnosdb_migrate_ttl ORDER BY written DESC, holder`;
    return rows.filter((row) => cluster === undefined || row.cluster === cluster).map(
      ({ former, confirmed, ...row }) => ({
        ...row,
        formerSeconds: former ?? Infinity,
        isConfirmed: confirmed === 1,
      }),
    );
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
