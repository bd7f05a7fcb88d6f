/**
 * A database that holds a ledger. Statements and transactions run one after another over one connection, as SQLite
 * has no other way, and as PostgreSQL's client would carry on outside of a transaction whose connection was lost.
 */

export type Row = Record<string, unknown>;
export type Value = string | number | null;
/** Runs a statement with `values` for $1, $2 …; all numbers come back as numbers. */
export type Query = (sql: string, values?: readonly Value[]) => Promise<Row[]>;

/** What the SQL of SQLite and PostgreSQL differs in. */
export interface Dialect {
  /** the type of a key that counts up */
  serial: string;
  /** a statement that gives a row where the ledger's tables are there */
  exists: string;
  /** a statement that lets one transaction at a time make them */
  lock: string;
  /** the end of a lease that begins now, and whether `expires` is past */
  expires: string;
  expired: string;
  forUpdate: string;
  skipLocked: string;
  /** whether WITH takes an UPDATE: one statement, where SQLite needs a transaction of two */
  hasWritingSubqueries: boolean;
  /** locks the database `d`, skipping it where another has, and keeps the worker `w` from being buried */
  lockForClaim: string;
}

const firstPauseMs = 100;
const longestPauseMs = 5000;

export abstract class Store {
  /** how long what failed for a passing reason is tried again; 0 while opening and closing */
  patienceMs = 0;
  /** how often something was tried again, so that it may have been done twice */
  retries = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param name the path, or the URL without credentials; @param oneRun refuses any other run than its first */
  constructor(readonly name: string, readonly oneRun: boolean, readonly dialect: Dialect) {}

  protected abstract run(sql: string, values: readonly Value[]): Promise<Row[]>;
  /** Begins a transaction and gives what runs its statements. */
  protected abstract begin(durable: boolean): Promise<Query>;
  /** Whether what failed may be tried again: whatever a ledger does can be done twice. */
  protected abstract isPassing(error: unknown): boolean;
  /** What an operator is told of an error; one that is not the database's is given back. */
  protected abstract explain(error: unknown): unknown;
  protected abstract end(): Promise<void>;

  readonly query: Query = (sql, values = []) => this.#inTurn(() => this.run(sql, values));

  /** @param work may be run again, from its start; @param durable survives a power loss in any case */
  transaction<T>(work: (query: Query) => Promise<T>, durable = false): Promise<T> {
    return this.#inTurn(async () => {
      const query = await this.begin(durable);
      try {
        const result = await work(query);
        await query("COMMIT");
        return result;
      } catch (error) {
        await query("ROLLBACK").catch(() => {}); // there is none any more where the connection was lost or the disk is full
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    await this.#last;
    await this.end();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    const done = this.#last.then(() => this.#patiently(work, begun));
    this.#last = done.catch(() => {});
    return done;
  }

  async #patiently<T>(work: () => Promise<T>, begun: number): Promise<T> {
    for (let pauseMs = firstPauseMs;; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        return await work();
      } catch (error) {
        const isLast = performance.now() - begun + pauseMs > this.patienceMs;
        if (isLast || !this.isPassing(error)) throw this.explain(error);
      }
      this.retries++;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
