/** `--html`: one page of what was carried over, for those who sign the migration off. */
import type { Comparison } from "../copy/compare_tables.ts";
import { Failure, messageOf, messageWithHint, ReaderGone } from "../cli/errors.ts";
import { page } from "./html_page.ts";
import { atomicFile } from "../cli/io.ts";
import { displayName } from "../dump/key.ts";
import type { Ledger, LedgerTable, Summary, TableName } from "../copy/ledger.ts";
import { setTtlSql } from "../copy/ttl.ts";

/** What a page says of its run besides the tables. Nothing of it is secret but `secrets`, which are blotted out wherever they occur. */
export interface ReportRun {
  from: string;
  to: string;
  /** three parts; "" where that side was not asked */
  fromVersion: string;
  toVersion: string;
  stage: string;
  /** as in the ledger; `only` decides what became of a table that is done */
  options: Record<string, string>;
  /** the script and its version */
  tool: string;
  secrets: string[];
}

const steps = ["prepare", "export", "import", "verify"] as const;

/** What happens to a table; a CopyEvent is one. */
export interface ReportEvent {
  what: "begin" | "end" | "again";
  table: TableName & { id: number };
  step: (typeof steps)[number];
  atMs: number;
  note?: string;
}

export type ReportStatus =
  | "verified"
  | "imported"
  | "exported"
  | "different"
  | "source changed"
  | "failed"
  | "left";

/** A table at the end of the run. */
export interface ReportTable extends TableName {
  id: number;
  status: ReportStatus;
  rowsExported?: number | undefined;
  rowsImported?: number | undefined;
  source?: Summary | undefined;
  target?: Summary | undefined;
  attempts: number;
  seconds: number;
  error?: string | undefined;
  differences?: string[];
}

/** What differs: of a column (its type, or a digest of its values), or of the table where `column` is missing. */
export interface ReportDifference {
  column?: string;
  what: string;
  old: string;
  young: string;
}

/** A page of more would open in no browser: of tables that are verified, and of others, so many are listed; all are counted. */
const listedMost = 50_000;
const segmentsMost = 200_000;
const retriesMost = 5_000;

/** Gathers what happens in a run, and writes the page. */
export class HtmlReport {
  /** bytes that came through the stage so far, where they are seen */
  bytes: () => number | undefined = () => undefined;
  readonly #beganMs: number;
  /** what an operator has to do still */
  readonly #todo: string[] = [];
  #nextId = 1;
  readonly #counts: Partial<Record<ReportStatus, number>> = {};
  readonly #databases = new Map<string, { index: number; name: string; cells: Record<string, number> }>();
  readonly #listed = { done: [] as unknown[][], other: [] as unknown[][] };
  /** slots of the timeline, each with what it is at; a slot is freed when its statement ends */
  readonly #slots: (string | undefined)[] = [];
  readonly #open = new Map<string, { slot: number; sinceMs: number }>();
  /** by fives: slot, table's id, step (+ 4 where it was tried again), begin, length; both in ms */
  readonly #segments: number[] = [];
  readonly #retries = new Map<string, [string, string, number, number, number, string]>();
  readonly #repeats = new Map<number, number>();
  readonly #run: Omit<ReportRun, "secrets">;
  readonly #secrets: string[];

  /**
   * @param nowMs a clock
   * @throws {Failure} where the page could not be written, before days are spent
   */
  static async open(path: string, run: ReportRun, nowMs: () => number = Date.now): Promise<HtmlReport> {
    await (await atomicFile(path)).abandon();
    return new HtmlReport(path, nowMs, run);
  }

  private constructor(
    readonly path: string,
    private readonly nowMs: () => number,
    { secrets, ...run }: ReportRun,
  ) {
    this.#beganMs = nowMs();
    this.#run = run;
    this.#secrets = secrets.filter((secret) => secret.length > 3);
  }

  /** Notes a statement for the timeline, or that it is tried again. */
  event({ what, table, step, atMs, note = "" }: ReportEvent): void {
    const key = `${table.id}/${step}`;
    if (what === "begin") {
      const free = this.#slots.indexOf(undefined);
      const slot = free < 0 ? this.#slots.length : free;
      this.#slots[slot] = key;
      this.#open.set(key, { slot, sinceMs: atMs });
    } else if (what === "end") {
      const { slot, sinceMs } = this.#open.get(key) ?? { slot: 0, sinceMs: atMs };
      this.#open.delete(key);
      this.#slots[slot] = undefined;
      if (this.#segments.length >= 5 * segmentsMost) return;
      this.#segments.push(slot, table.id, steps.indexOf(step), sinceMs - this.#beganMs, atMs - sinceMs);
    } else {
      this.#again(table, step, atMs, this.#hide(note));
    }
  }

  #again(table: ReportEvent["table"], step: ReportEvent["step"], atMs: number, note: string): void {
    this.#repeats.set(table.id, (this.#repeats.get(table.id) ?? 0) + 1);
    const segments = this.#segments;
    // Its statement ended just before this; others may have ended in between.
    for (let at = segments.length - 5; at >= Math.max(0, segments.length - 5_000); at -= 5) {
      if (segments[at + 1] !== table.id || segments[at + 2] !== steps.indexOf(step)) continue;
      segments[at + 2] = steps.indexOf(step) + 4;
      break;
    }
    const key = `${table.id}/${step}/${note}`;
    const name = displayName(table.tenant, table.database, table.table);
    const found = this.#retries.get(key);
    if (found) [found[2], found[4]] = [found[2] + 1, atMs];
    else if (this.#retries.size < retriesMost) this.#retries.set(key, [name, step, 1, atMs, atMs, note]);
  }

  /** Adds what became of a table. */
  add(table: ReportTable): void {
    const { tenant, database, status, source, target } = table;
    const carried = /^(verified|imported|exported)$/.test(status);
    const rows = carried && (table.rowsImported || table.rowsExported || target?.rows) || 0;
    const name = displayName(tenant, database);
    const entry = this.#databases.get(name) ?? { index: this.#databases.size, name, cells: {} };
    this.#databases.set(name, entry);
    for (const [cell, by] of Object.entries({ tables: 1, [status]: 1, rows, seconds: table.seconds })) {
      entry.cells[cell] = (entry.cells[cell] ?? 0) + by;
    }
    this.#counts[status] = (this.#counts[status] ?? 0) + 1;
    const listed = this.#listed[status === "verified" ? "done" : "other"];
    if (listed.length >= listedMost) return;
    const error = this.#hide(table.error ?? "");
    listed.push([
      table.id,
      entry.index,
      displayName(table.table),
      status,
      source?.rows ?? table.rowsExported ?? null,
      target?.rows ?? table.rowsImported ?? null,
      source ? [source.min ?? "", source.max ?? ""] : null,
      target ? [target.min ?? "", target.max ?? ""] : null,
      table.attempts + (this.#repeats.get(table.id) ?? 0),
      table.seconds,
      error,
      (table.differences ?? differencesIn(error)).flatMap(readDifference),
    ]);
  }

  /** Adds what a ledger holds, also of earlier runs and of other workers. */
  async addLedger(ledger: Ledger): Promise<void> {
    for await (const table of ledger.tables()) {
      this.add({ ...table, status: this.#statusOf(table), seconds: table.seconds ?? 0 });
    }
    for (const ttl of await ledger.ttlsRaised()) {
      const name = displayName(ttl.tenant, ttl.database);
      this.#todo.push(`${name}: its TTL is raised; set it back by ${setTtlSql(ttl)}`);
    }
  }

  /** Notes that a table begins to be compared. @returns to be told what was found */
  comparing(table: TableName): (found: Comparison) => void {
    const id = this.#nextId++;
    const startMs = this.nowMs();
    const tell = (what: "begin" | "end", atMs: number) =>
      this.event({ what, table: { ...table, id }, step: "verify", atMs });
    tell("begin", startMs);
    return (found) => {
      const endMs = this.nowMs();
      tell("end", endMs);
      const status = found.status === "equal" ? "verified" : found.status;
      this.add({ ...found, id, status, attempts: 1, seconds: (endMs - startMs) / 1000 });
    };
  }

  #statusOf({ step, target, error = "" }: LedgerTable): ReportStatus {
    if (step === "failed") return error.startsWith(differs) ? "different" : "failed";
    if (step === "source-changed") return "source changed";
    if (step !== "verified") return "left";
    // So reads in the ledger what is done, also where nothing was to be compared; only what was counted has a target.
    return target ? "verified" : this.#run.options.only === "export" ? "exported" : "imported";
  }

  /** Writes the page. @param error why the run failed, if it did @throws {Failure} where it cannot be written */
  async write(exit: number, error: unknown): Promise<void> {
    const data = {
      run: {
        ...this.#run,
        beganMs: this.#beganMs,
        endedMs: this.nowMs(),
        exit,
        error: error === undefined ? "" : this.#hide(messageWithHint(error)),
        bytes: this.bytes() ?? null,
        retries: [...this.#repeats.values()].reduce((sum, times) => sum + times, 0),
      },
      todo: this.#todo,
      counts: this.#counts,
      databases: [...this.#databases.values()].map(({ name, cells }) => ({ name, ...cells })),
      tables: [...this.#listed.other, ...this.#listed.done],
      slots: this.#slots.length,
      segments: this.#segments,
      retries: [...this.#retries.values()],
    };
    const file = await atomicFile(this.path);
    await file.write(new TextEncoder().encode(await page(data)));
    await file.commit();
  }

  #hide(text: string): string {
    return this.#secrets.reduce((shown, secret) => shown.replaceAll(secret, "…"), text);
  }
}

/**
 * Does what is reported, and writes the page at its end, however it ends.
 * @param ledger holds the tables; without one they were added meanwhile
 * @returns the exit code of `run` @throws what `run` throws, or {Failure} where the page cannot be written
 */
export async function reported(
  report: HtmlReport | undefined,
  ledger: Ledger | undefined,
  say: (text: string) => void,
  run: () => Promise<number>,
): Promise<number> {
  if (!report) return await run();
  const exitOf = (error: unknown) =>
    error instanceof ReaderGone ? 0 : error instanceof Failure ? error.exitCode : 1;
  const end = await run().then(
    (exit) => ({ exit, error: undefined }),
    (error: unknown) => ({ exit: exitOf(error), error }),
  );
  try {
    if (ledger) await report.addLedger(ledger);
    await report.write(end.exit, end.error);
    say(`what was carried over is in ${report.path}`);
  } catch (error) {
    if (end.error === undefined) throw error;
    say(`the page was not written: ${messageOf(error)}`);
  }
  if (end.error !== undefined) throw end.error;
  return end.exit;
}

const differs = "it differs: ";

/** The differences that an error of the ledger lists, which has them as text; they end in one of two ways. */
function differencesIn(error: string): string[] {
  const list = /^(?:it differs|its columns differ): (.*)$/s.exec(error)?.[1];
  if (list === undefined) return [];
  return list.replace(/( on the new| cluster only) \([^()]*\)$/, "$1")
    .split(/(?<= on the new| cluster only); /);
}

/** Reads a difference as lib/table.ts tells it, one of rows as up to three: their number, first and last time. Other text is left as it is. */
export function readDifference(text: string): ReportDifference[] {
  const only = /^column ("(?:[^"\\]|\\.)*") is on the (old|new) cluster only$/.exec(text);
  if (only?.[1]) {
    const [old = "", young = ""] = only[2] === "old" ? ["present", "missing"] : ["missing", "present"];
    return [{ column: JSON.parse(only[1]), what: "column", old, young }];
  }
  const [, before, young] = /^(.*) on the old cluster, (.*) on the new$/s.exec(text) ?? [];
  if (before === undefined || young === undefined) return [{ what: text, old: "", young: "" }];
  const [, name, type] = /^column ("(?:[^"\\]|\\.)*") is (.*)$/.exec(before) ?? [];
  if (name && type) return [{ column: JSON.parse(name), what: "type", old: type, young }];
  const [, column, what, old] = /^(.*) (count|xor|true|min|max|octets|md5) is (.*)$/s.exec(before) ?? [];
  if (what && old) return [{ column: column ?? "", what, old, young }];
  const [ours, theirs] = [before, young].map((told) => /^(\d+) rows from (\S+) to (\S+)$/.exec(told) ?? []);
  return ["rows", "first time", "last time"].map((what, i) => ({
    what,
    old: ours?.[i + 1] ?? (i ? "none" : "0"),
    young: theirs?.[i + 1] ?? (i ? "none" : "0"),
  })).filter(({ old, young }) => old !== young);
}
