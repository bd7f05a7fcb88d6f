/**
 * What goes wrong inside a cluster and passes by itself: replica groups without a leader, nodes that have just
 * started, statements that time out although they were carried out, rows that show late.
 */
import type { Row } from "./rows.ts";
import { SqlError } from "./sql_values.ts";

/** Refusals as three data nodes of 2.3.5.4, 2.4.2.1 and 2.4.3.4 answered them while their replica groups had no leader. */
export const NO_LEADER: readonly SqlError[] = [
  new SqlError(
    "050026",
    "The Operation Can only Exec in Leader ReplicationSet { id: 51, leader_node_id: 1001, leader_vnode_id: 52 }",
  ),
  new SqlError(
    "050019",
    "grpc client request error: Write to Raft Node Wrong (write to replica: 51, id: 53, failed: has to forward " +
      "request to: None, None)",
  ),
  new SqlError(
    "050027",
    "Write to Raft Node Wrong (write to replica: 51, id: 52, failed: has to forward request to: None, None)",
  ),
  new SqlError("050016", 'pre-execution failed: status: Unknown, message: "request timed out"'),
];

/** Issue 2250: it comes although the write was done. */
export const TIMED_OUT = new SqlError("050016", "request timed out");

/** Issue 2410: after weeks of running, for any statement; only a restart of the node helps. */
export const EXHAUSTED = new SqlError(
  "010001",
  "Datafusion: Resources exhausted: Failed to allocate additional 1048576 bytes for GroupedHashAggregateStream[0] " +
    "with 0 bytes already allocated - maximum available is 0",
);

/** Statements that are refused. */
export interface Failing {
  /** How many times; for ever with Infinity. */
  times: number;
  refusal: SqlError;
  /** Which statements; all by default. */
  when?: (sql: string, node: number) => boolean;
  /** They are carried out all the same, and refused then. */
  done?: boolean;
}

/** Which statements write rows. */
export const isWrite = (sql: string) => /^\s*(INSERT|COPY\s+INTO\s+(?!'))/i.test(sql);
/** Which statements export rows. */
export const isExport = (sql: string) => /^\s*COPY\s+INTO\s+'/i.test(sql);

/** The troubles of one cluster. */
export class Troubles {
  readonly #failing: Failing[] = [];
  /** By database: so many more writes find no leader. */
  readonly #elections = new Map<string, number>();
  readonly #hidden = new Map<string, { rows: number; looks: number }>();

  /** Refuses statements from now on. */
  fail(failing: Failing): void {
    this.#failing.push({ ...failing });
  }

  /** Ends all refusals, as a restart does. */
  clear(): void {
    this.#failing.length = 0;
  }

  /** Throws what a statement is refused with, before it is carried out or, if `done`, after. */
  check(sql: string, node: number, done: boolean): void {
    const found = this.#failing.find((failing) =>
      failing.times > 0 && (failing.done ?? false) === done && (failing.when?.(sql, node) ?? true)
    );
    if (found === undefined) return;
    found.times--;
    throw found.refusal;
  }

  /** Throws if a database's replica groups have no leader yet: its first `writes` writes find none. */
  checkLeader(database: string, writes: number): void {
    const left = this.#elections.get(database) ?? writes;
    if (left <= 0) return;
    this.#elections.set(database, left - 1);
    throw NO_LEADER[left % NO_LEADER.length]!;
  }

  /** The next `looks` at a table miss its last `rows` rows: they show late, or one replica is behind. */
  hide(key: string, rows: number, looks: number): void {
    this.#hidden.set(key, { rows, looks });
  }

  /** What a look at a table sees of its rows. */
  visible(key: string, rows: Row[]): Row[] {
    const hidden = this.#hidden.get(key);
    if (hidden === undefined) return rows;
    if (--hidden.looks <= 0) this.#hidden.delete(key);
    return rows.slice(0, Math.max(0, rows.length - hidden.rows));
  }
}
