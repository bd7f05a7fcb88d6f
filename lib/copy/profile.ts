/** What one cluster says of tables: their columns, and what lies in stretches of them. */
import { databaseKey, displayTable, type TableName } from "../cnosdb/names.ts";
import type { Row } from "../cnosdb/sql.ts";
import type { Cluster, Send } from "./cluster.ts";
import type { Hold, Schedule, Step } from "./schedule.ts";
import * as statements from "./statements.ts";
import type { Ask, Column } from "./statements.ts";
import { Refused } from "./trouble.ts";
import { type Bins, noRows, overlap, type Summary } from "./windows.ts";

/** Before 1970 date_bin is not to be relied on (see `binsSql`). */
const epoch = "1970-01-01T00:00:00";
/** Databases whose columns are kept: those that are at work. */
const columnsKept = 64;
/** Columns that are digested in one statement, so that its text stays below 16 MiB by far. */
const columnsInStatement = 4_000;

/** Sends a statement once, as a `Send` does. */
type Query = (sql: string, idleMs?: () => number) => Promise<Row[]>;

/** Asks one cluster, when its turn comes. */
export class Profiler {
  readonly #columns = new Map<string, Promise<Map<string, Column[]>>>();

  /** @param signal no further statement is begun when it is aborted */
  constructor(
    readonly cluster: Cluster,
    private readonly schedule: Schedule,
    private readonly signal: AbortSignal,
    private readonly told: {
      onStep?: (name: TableName, step: Step, end?: true) => void;
      onAgain?: (error: unknown) => void;
    } = {},
  ) {}

  /** Does something in turn, and again if a failure passes by itself. @param action starts anew each time */
  inTurn<T>(name: TableName, step: Step, action: (query: Query) => Promise<T>, hold?: Hold): Promise<T> {
    const { cluster, schedule, signal, told: { onStep, onAgain } } = this;
    const { tenant, database } = name;
    const once = (send: Send) => {
      onStep?.(name, step);
      return action((sql, idleMs) => send(sql, { tenant, database }, idleMs)).finally(() =>
        onStep?.(name, step, true)
      );
    };
    const turn = { role: cluster.role, step, database: databaseKey(name), hold };
    return cluster.attempt((send) => schedule.turn(turn, () => once(send)), { signal, onAgain });
  }

  #query(name: TableName, sql: string, step: Step = "profile"): Promise<Row[]> {
    return this.inTurn(name, step, (query) => query(sql));
  }

  /**
   * The columns of a table; those of all tables of its database are asked for at once, and once.
   * @throws {Refused} where there is no such table that holds rows of its own, or it may not be read
   */
  async columns(name: TableName): Promise<Column[]> {
    const key = databaseKey(name);
    const asked = this.#columns.get(key) ??
      this.#query(name, statements.columnsSql(name.database)).then(statements.readColumns);
    this.#columns.set(key, asked);
    asked.catch(() => this.#columns.delete(key));
    const [oldest] = this.#columns.keys();
    if (this.#columns.size > columnsKept) this.#columns.delete(oldest!);
    const columns = (await asked).get(name.table);
    // In stream and external tables every column is a FIELD. COPY of a stream table would never end.
    if (columns?.some(({ kind }) => kind === "TIME")) return columns;
    const { role, user } = this.cluster;
    throw new Refused(
      columns
        ? `${displayTable(name)} is a stream or an external table on the ${role}; only TSKV tables are copied`
        : `${displayTable(name)} is not on the ${role}, or ${user} may not read it`,
    );
  }

  /** Forgets what columns there were: they are asked for anew. */
  forgetColumns(): void {
    this.#columns.clear();
  }

  /** What lies in stretches of tables of one tenant, in the order of the questions. */
  async summaries(asks: readonly Ask[], step: Step = "profile"): Promise<Summary[]> {
    const columns = Math.max(1, ...asks.map(({ columns }) => columns?.length ?? 0));
    const most = Math.max(1, Math.min(statements.unionMost, Math.floor(columnsInStatement / columns)));
    const answers: Summary[] = [];
    for (const some of statements.inStatements(asks, ({ name }) => name.tenant, most)) {
      const rows = await this.#query(some[0]!.name, statements.summariesSql(some), step);
      answers.push(...statements.readSummaries(rows, some));
    }
    return answers;
  }

  /** A stretch of a table by bins of so many seconds. @param early if it has rows before 1970: one bin */
  async bins(ask: Ask, seconds: number, early: boolean): Promise<Bins> {
    const later = early ? { ...ask, window: overlap(ask.window, { from: epoch }) } : ask;
    const bins = statements.readBins(await this.#query(ask.name, statements.binsSql(later, seconds)), ask);
    if (!early) return bins;
    const [before = noRows] = await this.summaries([{ ...ask, window: overlap(ask.window, { to: epoch }) }]);
    return new Map(before.rows ? [["", before], ...bins] : bins);
  }
}
