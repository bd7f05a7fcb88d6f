/** Asks one cluster about tables: their columns, and what windows of them hold. */
import { databaseKey, displayTable, type TableName } from "../cnosdb/names.ts";
import type { Row } from "../cnosdb/sql.ts";
import type { Cluster, Send } from "./cluster.ts";
import type { Hold, Schedule, Step } from "./schedule.ts";
import * as statements from "./statements.ts";
import type { Column, ProfileRequest } from "./statements.ts";
import { Refused } from "./trouble.ts";
import { type Bins, noRows, overlap, type Summary } from "./windows.ts";

/** Before 1970 date_bin is not reliable (see `binsSql`). */
const epoch = "1970-01-01T00:00:00";
/** How many columns one statement may digest: its text stays far below the limit of 16 MiB. */
const columnsPerStatement = 4_000;

/** Sends a statement once, as a `Send` does. */
type Query = (sql: string, idleMs?: () => number) => Promise<Row[]>;

/** One cluster, whose statements run when the schedule lets them. */
export class Profiler {
  /** by `databaseKey`, the columns of its tables */
  readonly #columns = new Map<string, Promise<Map<string, Column[]>>>();

  /**
   * @param signal no further statement is sent once it is aborted
   * @param report.onStep is called when a statement starts and when it ends
   * @param report.onRetry is called before a statement is sent again, with the reason
   */
  constructor(
    readonly cluster: Cluster,
    private readonly schedule: Schedule,
    private readonly signal: AbortSignal,
    private readonly report: {
      onStep?: (name: TableName, step: Step, end?: true) => void;
      onRetry?: (error: unknown) => void;
    } = {},
  ) {}

  /**
   * Runs an action when the schedule lets it, and again if it fails for a reason that passes.
   * @param action starts from the beginning each time
   */
  inTurn<T>(name: TableName, step: Step, action: (query: Query) => Promise<T>, hold?: Hold): Promise<T> {
    const { cluster, schedule, signal, report: { onStep, onRetry } } = this;
    const { tenant, database } = name;
    const once = (send: Send) => {
      onStep?.(name, step);
      return action((sql, idleMs) => send(sql, { tenant, database }, idleMs)).finally(() =>
        onStep?.(name, step, true)
      );
    };
    const turn = { role: cluster.role, step, database: databaseKey(name), hold };
    return cluster.attempt((send) => schedule.turn(turn, () => once(send)), { signal, onRetry });
  }

  #query(name: TableName, sql: string, step: Step = "profile"): Promise<Row[]> {
    return this.inTurn(name, step, (query) => query(sql));
  }

  /**
   * The columns of a table. Those of all tables of its database are asked for in one statement, and kept.
   * @throws {Refused} if there is no such table, we may not read it, or it holds no rows of its own
   */
  async columns(name: TableName): Promise<Column[]> {
    const key = databaseKey(name);
    if (!this.#columns.has(key)) {
      const asked = this.#query(name, statements.columnsSql(name.database)).then(statements.readColumns);
      this.#columns.set(key, asked);
      asked.catch(() => this.#columns.delete(key));
    }
    const columns = (await this.#columns.get(key)!).get(name.table);
    // In stream and external tables every column is a FIELD. COPY of a stream table would never end.
    if (columns?.some(({ kind }) => kind === "TIME")) return columns;
    const { role, user } = this.cluster;
    throw new Refused(
      columns
        ? `${displayTable(name)} is a stream or an external table on the ${role}; only TSKV tables are copied`
        : `${displayTable(name)} is not on the ${role}, or ${user} may not read it`,
    );
  }

  /** Forgets all columns, so that they are asked for again. */
  forgetColumns(): void {
    this.#columns.clear();
  }

  /** What windows of tables of one tenant hold, in the order of the requests. */
  async summaries(requests: readonly ProfileRequest[], step: Step = "profile"): Promise<Summary[]> {
    const columns = Math.max(1, ...requests.map(({ columns }) => columns?.length ?? 0));
    const most = Math.max(1, Math.min(statements.unionMost, Math.floor(columnsPerStatement / columns)));
    const summaries: Summary[] = [];
    for (const some of statements.inStatements(requests, ({ name }) => name.tenant, most)) {
      const rows = await this.#query(some[0]!.name, statements.summariesSql(some), step);
      summaries.push(...statements.readSummaries(rows, some));
    }
    return summaries;
  }

  /** What bins of so many seconds of a window hold. @param isEarly whether it has rows before 1970: one bin */
  async bins(request: ProfileRequest, seconds: number, isEarly: boolean): Promise<Bins> {
    const later = isEarly ? { ...request, window: overlap(request.window, { from: epoch }) } : request;
    const rows = await this.#query(request.name, statements.binsSql(later, seconds));
    const bins = statements.readBins(rows, request);
    if (!isEarly) return bins;
    const earlier = { ...request, window: overlap(request.window, { to: epoch }) };
    const [before = noRows] = await this.summaries([earlier]);
    return new Map(before.rows ? [["", before], ...bins] : bins);
  }
}
