/**
 * What both ledgers do alike, in SQL that SQLite and PostgreSQL take. A table names the worker that holds it; a worker
 * that does not renew its row is buried by the others, which frees its tables. Each database counts its tables that
 * wait and that are worked on, so that no claim looks at more than a few rows, however long the list.
 */
import { Failure } from "../cli/errors.ts";
import type {
  Ledger,
  LedgerOptions,
  LedgerPiece,
  LedgerTable,
  PieceChange,
  RaisedTtl,
  RunIdentity,
  Step,
  TableChange,
  TableName,
} from "./ledger.ts";
import { free, openRun } from "./ledger_schema.ts";
import type { Query, Row, Store, Value } from "./ledger_store.ts";

const pageTables = 1000;
const finalSteps: readonly Step[] = ["verified", "failed", "source-changed"];
// CROSS, as SQLite then goes through the tables in their order, instead of sorting all of them for each page
const selectTables = `SELECT t.*, d.tenant, d.name AS database FROM cnosdb_migrate_table t
  CROSS JOIN cnosdb_migrate_database d WHERE d.id = t.database_id`;

/** A worker was not heard of for as long as its lease lasts, and others may have taken its tables over: it must stop. */
export class LeaseLost extends Failure {
  override name = "LeaseLost";
}

/** Opens the ledger that is in `store`, which is closed where that fails. @throws {Failure} */
export async function openSql(
  store: Store,
  run: RunIdentity | undefined,
  { readOnly, leaseMs }: Required<LedgerOptions>,
): Promise<Ledger> {
  try {
    const found = await openRun(store, run, readOnly);
    const ledger = new SqlLedger(store, found.run, found.id, leaseMs);
    if (!readOnly) await ledger.enter();
    store.patienceMs = leaseMs;
    return ledger;
  } catch (error) {
    await store.close();
    throw error;
  }
}

class SqlLedger implements Ledger {
  readonly #losing = new AbortController();
  readonly lost = this.#losing.signal;
  /** 0 where it is only read */
  #worker = 0;
  /** what this worker holds, as far as it got answers */
  readonly #held = new Set<number>();
  readonly #resetting = new Set<string>();
  #claiming: Promise<unknown> = Promise.resolve();
  #renewing: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly store: Store,
    readonly run: RunIdentity,
    private readonly runId: number,
    private readonly leaseMs: number,
  ) {}

  /** Becomes a worker, frees what dead ones held, and renews the lease from now on. */
  async enter(): Promise<void> {
    const { query, dialect } = this.store;
    const sql =
      `INSERT INTO cnosdb_migrate_worker (run, expires) VALUES ($1, ${dialect.expires}) RETURNING id`;
    this.#worker = (await query(sql, [this.runId]))[0]!.id as number;
    await this.#bury();
    this.#timer = setInterval(() => this.#renewing = this.#renew(), this.leaseMs / 3);
    Deno.unrefTimer(this.#timer);
  }

  async plan(tables: AsyncIterable<TableName> | Iterable<TableName>): Promise<void> {
    const batch: TableName[] = [];
    for await (const table of tables) {
      if (batch.push(table) === pageTables) await this.#add(batch.splice(0));
    }
    await this.#add(batch);
  }

  #add(batch: TableName[]): Promise<void> {
    const key = (t: TableName) => JSON.stringify([t.tenant, t.database]);
    return this.store.transaction(async (query) => {
      // two workers that plan the same list do so one after the other
      await query(`SELECT id FROM cnosdb_migrate_run WHERE id = $1 ${this.store.dialect.forUpdate}`, [
        this.runId,
      ]);
      const ids = new Map<string, Value>();
      for (const [name, { tenant, database }] of new Map(batch.map((t) => [key(t), t]))) {
        const [row] = await query(
          `INSERT INTO cnosdb_migrate_database (run, tenant, name) VALUES ($1, $2, $3)
            ON CONFLICT (run, tenant, name) DO UPDATE SET name = excluded.name RETURNING id`,
          [this.runId, tenant, database],
        );
        ids.set(name, row!.id as number);
      }
      if (!batch.length) return;
      const added = await query(
        `INSERT INTO cnosdb_migrate_table (database_id, name)
          VALUES ${batch.map((_, i) => `($${2 * i + 1}, $${2 * i + 2})`).join(", ")}
          ON CONFLICT (database_id, name) DO NOTHING RETURNING database_id`,
        batch.flatMap((t) => [ids.get(key(t))!, t.table]),
      );
      await this.#count(query, added, 1, 0);
    });
  }

  /** Adds to the counters of the databases that `rows` belong to, in an order that is everyone's, against deadlocks. */
  async #count(query: Query, rows: Row[], waiting: number, working: number): Promise<void> {
    for (
      const [id, those] of [...Map.groupBy(rows, (row) => row.database_id as number)].sort(([a], [b]) =>
        a - b
      )
    ) {
      await query(
        "UPDATE cnosdb_migrate_database SET waiting = waiting + $2, working = working + $3 WHERE id = $1",
        [id, waiting * those.length, working * those.length],
      );
    }
  }

  claim(): Promise<LedgerTable | undefined> {
    // one after another, so that what else this worker holds is known
    const claimed = this.#claiming.then(() => this.#claim());
    this.#claiming = claimed.catch(() => {});
    return claimed;
  }

  async #claim(): Promise<LedgerTable | undefined> {
    const { skipLocked, lockForClaim } = this.store.dialect;
    const sql = `UPDATE cnosdb_migrate_table SET worker = $1, attempts = attempts + 1 WHERE id =
      (SELECT id FROM cnosdb_migrate_table WHERE ${free} AND database_id =
        (SELECT d.id FROM cnosdb_migrate_database d JOIN cnosdb_migrate_worker w ON w.id = $1
          WHERE d.run = $2 AND d.waiting > 0 AND d.resetting IS NULL
          ORDER BY d.working, d.waiting DESC, d.id LIMIT 1 ${lockForClaim})
        ORDER BY id LIMIT 1 ${skipLocked})
      RETURNING *, (SELECT tenant FROM cnosdb_migrate_database WHERE id = database_id) AS tenant,
        (SELECT name FROM cnosdb_migrate_database WHERE id = database_id) AS database`;
    for (;;) {
      this.lost.throwIfAborted();
      const { retries } = this.store;
      const [row] = await this.#move(sql, [this.#worker, this.runId], -1, 1);
      if (row) this.#held.add(row.id as number);
      if (retries !== this.store.retries) await this.#freeUnknown();
      if (row) return toTable(row);
      if (!await this.#bury() && !await this.#mayClaim()) return undefined;
    }
  }

  /** Frees what was claimed in an answer that did not arrive. */
  async #freeUnknown(): Promise<void> {
    const rows = await this.store.query("SELECT id FROM cnosdb_migrate_table WHERE worker = $1", [
      this.#worker,
    ]);
    for (const id of rows.map((row) => row.id as number).filter((id) => !this.#held.has(id))) {
      const sql = `UPDATE cnosdb_migrate_table SET worker = NULL, attempts = attempts - 1
        WHERE id = $1 AND worker = $2 RETURNING database_id`;
      await this.#move(sql, [id, this.#worker], 1, -1);
    }
  }

  /** Runs a statement on a table that gives its row, and adds to the counters of its database, both or neither. */
  #move(sql: string, values: Value[], waiting: -1 | 0 | 1, working: -1 | 0 | 1): Promise<Row[]> {
    if (this.store.dialect.hasWritingSubqueries) {
      return this.store.query(
        `WITH t AS (${sql}), d AS (UPDATE cnosdb_migrate_database d SET waiting = waiting + ${waiting},
          working = working + ${working} FROM t WHERE d.id = t.database_id) SELECT * FROM t`,
        values,
      );
    }
    return this.store.transaction(async (query) => {
      const rows = await query(sql, values);
      await this.#count(query, rows, waiting, working);
      return rows;
    });
  }

  /** Whether there is something to claim after all, which others had locked. */
  async #mayClaim(): Promise<boolean> {
    const [row] = await this.store.query(
      `SELECT EXISTS (SELECT 1 FROM cnosdb_migrate_worker WHERE id = $2) AS alive, EXISTS (SELECT 1
        FROM cnosdb_migrate_database WHERE run = $1 AND waiting > 0 AND resetting IS NULL) AS waiting`,
      [this.runId, this.#worker],
    );
    if (!row!.alive) throw this.#lose();
    return Boolean(row!.waiting);
  }

  async release(id: number): Promise<void> {
    const sql = `UPDATE cnosdb_migrate_table SET worker = NULL, step = 'planned' WHERE id = $1 AND worker = $2
      RETURNING database_id`;
    await this.#move(sql, [id, this.#worker], 1, -1);
    this.#held.delete(id);
  }

  async update(id: number, change: TableChange): Promise<void> {
    this.lost.throwIfAborted();
    const { step = null, rowsExported = null, rowsImported = null, error = null, seconds = null } = change;
    const isFinal = step !== null && finalSteps.includes(step);
    const sql = `UPDATE cnosdb_migrate_table SET step = coalesce($3, step),
      rows_exported = coalesce($4, rows_exported), rows_imported = coalesce($5, rows_imported),
      source = coalesce($6, source), target = coalesce($7, target),
      error = CASE WHEN $3 = 'verified' THEN NULL ELSE coalesce($8, error) END,
      seconds = coalesce($9, seconds)${isFinal ? ", worker = NULL" : ""}
      WHERE id = $1 AND worker = $2 RETURNING database_id`;
    const [source, target] = [change.source, change.target].map((summary) =>
      summary ? JSON.stringify(summary) : null
    );
    const values = [id, this.#worker, step, rowsExported, rowsImported, source!, target!, error, seconds];
    const rows = await (isFinal ? this.#move(sql, values, 0, -1) : this.store.query(sql, values));
    if (!rows.length && !(isFinal && await this.#wasWritten(id, step))) throw this.#notHeld(id);
    if (isFinal) this.#held.delete(id);
  }

  /** Whether a table is done by a statement whose answer did not arrive. */
  async #wasWritten(id: number, step: Step): Promise<boolean> {
    const sql = "SELECT id FROM cnosdb_migrate_table WHERE id = $1 AND worker IS NULL AND step = $2";
    return this.#held.has(id) && (await this.store.query(sql, [id, step])).length > 0;
  }

  async cut(id: number, pieces: Pick<LedgerPiece, "from" | "to">[]): Promise<LedgerPiece[]> {
    const there = await this.store.query(
      "SELECT * FROM cnosdb_migrate_piece WHERE table_id = $1 ORDER BY number",
      [id],
    );
    if (there.length || !pieces.length) return there.map(toPiece);
    const values = pieces.map(({ from = null, to = null }, index) => [index, from, to]);
    await this.store.transaction(async (query) => {
      for (let at = 0; at < values.length; at += pageTables) {
        const some = values.slice(at, at + pageTables);
        const rows = await query(
          `INSERT INTO cnosdb_migrate_piece (table_id, number, since, before)
            SELECT CAST($1 AS BIGINT), CAST(column1 AS INTEGER), column2, column3
            FROM (VALUES ${some.map((_, i) => `($${3 * i + 3}, $${3 * i + 4}, $${3 * i + 5})`)}) v
            WHERE EXISTS (SELECT 1 FROM cnosdb_migrate_table WHERE id = $1 AND worker = $2)
            ON CONFLICT (table_id, number) DO UPDATE SET number = excluded.number RETURNING number`,
          [id, this.#worker, ...some.flat()],
        );
        if (!rows.length) throw this.#notHeld(id);
      }
    });
    return pieces.map((piece, index) => ({ index, ...piece, step: "planned" }));
  }

  async updatePiece(id: number, index: number, change: PieceChange): Promise<void> {
    this.lost.throwIfAborted();
    const { step = null, directory = null, rowsExported = null, rowsImported = null } = change;
    const rows = await this.store.query(
      `UPDATE cnosdb_migrate_piece SET step = coalesce($4, step), directory = coalesce($5, directory),
        rows_exported = coalesce($6, rows_exported), rows_imported = coalesce($7, rows_imported)
        WHERE table_id = $1 AND number = $2
        AND EXISTS (SELECT 1 FROM cnosdb_migrate_table WHERE id = $1 AND worker = $3) RETURNING number`,
      [id, index, this.#worker, step, directory, rowsExported, rowsImported],
    );
    if (!rows.length) throw this.#notHeld(id);
  }

  async retryFailed(): Promise<number> {
    let count = 0;
    for await (const page of this.#pages(["failed", "source-changed"])) {
      const ids = page.map((row) => row.id as number);
      count += await this.store.transaction(async (query) => {
        const rows = await query(
          `UPDATE cnosdb_migrate_table SET step = 'planned' WHERE id IN (${ids.map((_, i) => `$${i + 1}`)})
            AND step IN ('failed', 'source-changed') RETURNING database_id`,
          ids,
        );
        await this.#count(query, rows, 1, 0);
        return rows.length;
      });
    }
    return count;
  }

  async raiseTtl({ tenant, database, former }: RaisedTtl): Promise<void> {
    // a worker that was buried is not there, or, where that was decided this moment, the TTL is being set back
    const sql = `UPDATE cnosdb_migrate_database SET former_ttl = coalesce(former_ttl, $4)
      WHERE run = $1 AND tenant = $2 AND name = $3 AND resetting IS NULL
      AND EXISTS (SELECT 1 FROM cnosdb_migrate_worker WHERE id = $5) RETURNING id`;
    const values = [this.runId, tenant, database, former, this.#worker];
    const rows = await this.store.transaction((query) => query(sql, values), true);
    if (!rows.length) throw this.#lose();
  }

  async ttlsRaised(): Promise<RaisedTtl[]> {
    const rows = await this.store.query(
      `SELECT tenant, name AS database, former_ttl AS former FROM cnosdb_migrate_database
        WHERE run = $1 AND former_ttl IS NOT NULL ORDER BY id`,
      [this.runId],
    );
    return rows.map((row) => ({ ...row }) as unknown as RaisedTtl);
  }

  async ttlReset({ tenant, database }: RaisedTtl, setBack?: () => Promise<void>): Promise<boolean> {
    const key = JSON.stringify([tenant, database]);
    if (this.#resetting.has(key)) return false;
    this.#resetting.add(key);
    const values = [this.runId, tenant, database, this.#worker];
    const where = "WHERE run = $1 AND tenant = $2 AND name = $3";
    try {
      await this.#bury();
      const [row] = await this.store.query(
        `UPDATE cnosdb_migrate_database SET resetting = $4 ${where} AND working = 0
          AND (resetting IS NULL OR resetting = $4) RETURNING former_ttl`,
        values,
      );
      if (!row) return false;
      let what = "resetting = NULL";
      try {
        if (row.former_ttl !== null) await setBack?.();
        what += ", former_ttl = NULL";
      } finally {
        const sql = `UPDATE cnosdb_migrate_database SET ${what} ${where} AND resetting = $4`;
        await this.store.transaction((query) => query(sql, values), true);
      }
      return true;
    } finally {
      this.#resetting.delete(key);
    }
  }

  async othersAtWork(tenant: string, database: string): Promise<boolean> {
    await this.#bury();
    const rows = await this.store.query(
      `SELECT t.id FROM cnosdb_migrate_table t JOIN cnosdb_migrate_database d ON d.id = t.database_id
        WHERE d.run = $1 AND d.tenant = $2 AND d.name = $3 AND t.worker IS NOT NULL AND t.worker <> $4 LIMIT 1`,
      [this.runId, tenant, database, this.#worker],
    );
    return rows.length > 0;
  }

  async pending(): Promise<{ waiting: number; working: number }> {
    const [row] = await this.store.query(
      `SELECT CAST(coalesce(sum(waiting), 0) AS BIGINT) AS waiting,
        CAST(coalesce(sum(working), 0) AS BIGINT) AS working FROM cnosdb_migrate_database WHERE run = $1`,
      [this.runId],
    );
    return { waiting: row!.waiting as number, working: row!.working as number };
  }

  async counts(): ReturnType<Ledger["counts"]> {
    const rows = await this.store.query(
      `SELECT d.tenant, d.name AS database, t.step, count(*) AS tables,
        CAST(sum(coalesce(t.rows_imported, t.rows_exported, 0)) AS BIGINT) AS rows,
        sum(coalesce(t.seconds, 0)) AS seconds
        FROM cnosdb_migrate_table t JOIN cnosdb_migrate_database d ON d.id = t.database_id
        WHERE d.run = $1 GROUP BY d.tenant, d.name, t.step ORDER BY d.tenant, d.name, t.step`,
      [this.runId],
    );
    return rows.map((row) => ({ ...row }) as unknown as Awaited<ReturnType<Ledger["counts"]>>[number]);
  }

  async *tables(steps?: readonly Step[]): AsyncGenerator<LedgerTable> {
    for await (const page of this.#pages(steps)) yield* page.map(toTable);
  }

  /** Page by page, as an open cursor would keep PostgreSQL from clearing away what is outdated. */
  async *#pages(steps?: readonly Step[]): AsyncGenerator<Row[]> {
    const among = steps ? `AND t.step IN (${steps.map((_, i) => `$${i + 3}`).join(", ")})` : "";
    for (let after = 0, page: Row[];; after = page.at(-1)!.id as number) {
      page = await this.store.query(
        `${selectTables} AND d.run = $1 AND t.id > $2 ${among} ORDER BY t.id LIMIT ${pageTables}`,
        [this.runId, after, ...steps ?? []],
      );
      if (page.length) yield page;
      if (page.length < pageTables) return;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.store.patienceMs = 0;
    await this.#renewing;
    // where that fails the lease ends by itself
    if (this.#worker) {
      await this.store.transaction((query) => this.#free(query, this.#worker)).catch(() => {});
    }
    await this.store.close();
  }

  async #renew(): Promise<void> {
    const sql =
      `UPDATE cnosdb_migrate_worker SET expires = ${this.store.dialect.expires} WHERE id = $1 RETURNING id`;
    try {
      if (!(await this.store.query(sql, [this.#worker])).length) this.#lose();
      await this.#bury();
    } catch { /* not reached: its tables stay its own until another worker, which reaches it, buries it */ }
  }

  #notHeld(id: number): Error {
    return this.#held.has(id) ? this.#lose() : new TypeError(`table ${id} was not claimed, or is done`);
  }

  #lose(): LeaseLost {
    const lost = new LeaseLost(
      `ledger ${this.store.name}: this worker was not heard of for ${
        this.leaseMs / 1000
      } s and lost its lease; ` +
        "others may have taken its tables over",
      "nothing that was written is lost: start it again.",
    );
    this.#losing.abort(lost);
    return lost;
  }

  /** Frees the tables of workers whose lease has expired. Gives how many workers that were. */
  #bury(): Promise<number> {
    const { expired, skipLocked } = this.store.dialect;
    return this.store.transaction(async (query) => {
      const sql = `SELECT id FROM cnosdb_migrate_worker WHERE run = $1 AND ${expired} ${skipLocked}`;
      const dead = await query(sql, [this.runId]);
      for (const { id } of dead) await this.#free(query, id as number);
      return dead.length;
    });
  }

  async #free(query: Query, worker: number): Promise<void> {
    await query("DELETE FROM cnosdb_migrate_worker WHERE id = $1", [worker]);
    const freed = "UPDATE cnosdb_migrate_table SET worker = NULL WHERE worker = $1 RETURNING database_id";
    await this.#count(query, await query(freed, [worker]), 1, -1);
    const reset = "UPDATE cnosdb_migrate_database SET resetting = NULL WHERE run = $1 AND resetting = $2";
    await query(reset, [this.runId, worker]);
  }
}

const given = (fields: Row): Row =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

function toTable(row: Row): LedgerTable {
  const { id, tenant, database, step, attempts, error, seconds } = row;
  return given({
    ...{ id, tenant, database, table: row.name, step, attempts, error, seconds },
    rowsExported: row.rows_exported,
    rowsImported: row.rows_imported,
    source: row.source && JSON.parse(row.source as string),
    target: row.target && JSON.parse(row.target as string),
  }) as unknown as LedgerTable;
}

function toPiece(row: Row): LedgerPiece {
  const { step, directory } = row;
  return given({
    ...{ index: row.number, from: row.since, to: row.before, step, directory },
    rowsExported: row.rows_exported,
    rowsImported: row.rows_imported,
  }) as unknown as LedgerPiece;
}
