/** One table on its way: prepared, exported, imported and verified, each step in the ledger before it begins and after it ended. */
import { Difference, Failure, messageOf, messageWithHint } from "../cli/errors.ts";
import type { Gate, Kind } from "./gate.ts";
import { pause } from "../cnosdb/http.ts";
import { displayName } from "../dump/key.ts";
import {
  LeaseLost,
  type Ledger,
  type LedgerPiece,
  type LedgerTable,
  type Step,
  steps,
  type Summary,
  type TableName,
} from "./ledger.ts";
import { type Side, troubleOf } from "./side.ts";
import { freshDirectory, type Stage } from "../stage/stage.ts";
import {
  type Column,
  columnDifferences,
  columnsOf,
  cutSpan,
  digest,
  digestDifferences,
  exportSql,
  importSql,
  rowsOf,
  sameSummary,
  type Span,
  summarize,
  summaryDifferences,
  tellSummary,
} from "./table.ts";
import { formatTime } from "../cnosdb/time.ts";
import { readTtl, type Ttls } from "./ttl.ts";

/** How tables are copied. */
export interface CopySettings {
  jobs: number;
  exportJobs: number;
  importJobs: number;
  aheadBytes: number;
  /** how often a statement is sent whose outcome stays unknown */
  attempts: number;
  /** 0: tables in one piece */
  splitSeconds: number;
  since?: string;
  expired: "raise" | "skip";
  verify: "count" | "full" | "none";
  only?: "export" | "import";
  intoExisting: boolean;
  failFast: boolean;
}

/** What became of a table: a line of output, and of input of `--only import`. */
export interface TableResult {
  tenant: string;
  database: string;
  table: string;
  status: "verified" | "imported" | "exported" | "source-changed" | "failed";
  rows_exported?: number;
  rows_imported?: number;
  source?: Summary;
  target?: Summary;
  attempts: number;
  seconds: number;
  error?: string;
  /** where `--only export` left it, in the stage */
  pieces?: ExportedPiece[];
}

/** A directory of the stage that an export filled. */
export interface ExportedPiece {
  directory: string;
  rows: number;
}

/** What happens to a table, for whoever shows it: a statement begins, ends, or will be tried again and why. */
export interface CopyEvent {
  what: "begin" | "end" | "again";
  table: LedgerTable;
  step: Kind;
  /** of the whole table, where they are known */
  rows?: number;
  atMs: number;
  note?: string;
}

/** What all tables of a run share. */
export interface CopyRun {
  /** the first pause before a statement is sent again; doubled each time */
  pauseMs: number;
  /** missing for `--only import` */
  from?: Side;
  /** missing for `--only export` */
  to?: Side;
  stage: Stage;
  ledger: Ledger;
  settings: CopySettings;
  gate: Gate;
  ttls?: Ttls;
  /** aborted when no further statement is to be begun */
  stopped: AbortSignal;
  /** Bytes that so many rows will take in the stage, as far as is known. */
  estimateBytes: (rows: number) => number;
  /** Told what an export staged. */
  onStaged: (rows: number, bytes: number) => void;
  /** whether an import of this run brought rows, so that the new cluster does see the stage */
  imported: boolean;
  onEvent: (event: CopyEvent) => void;
  /** Ends the run, as no other table would fare better. */
  stop: (reason: Failure) => void;
  /** what `--only import` was told of a table */
  exported?: (table: LedgerTable) => { pieces?: ExportedPiece[]; source?: Summary } | undefined;
}

/** How often rows that do not show are looked for again: half a second, doubled, 8 s in all. */
const looksAgain = 4;
/** Waits for a cluster that is away or has too much to do: half a second, doubled up to a minute, some ten minutes in all. */
const waitsMost = 16;
const waitMostMs = 60_000;

/** What an earlier run left is of no use: all is to be done again. */
class Useless extends Failure {}

/** A piece with what this process knows of it. */
interface Piece extends LedgerPiece {
  exportedHere?: boolean;
  /** imported by an earlier run */
  earlier?: boolean;
  /** what lies in the stage and waits for its import */
  stagedBytes?: number | undefined;
}

/** The copying of one table that this worker holds. */
export class TableCopy {
  readonly #key: string;
  readonly #name: string;
  #pieces: Piece[] = [];
  #columns: Column[] = [];
  #source: Summary | undefined;
  #before: Summary | undefined;
  #target: Summary | undefined;
  /** where the rows that are copied and compared begin, if not at the first */
  #from: string | undefined;
  #repeats = 0;
  /** how long its statements took, without waiting for a turn */
  #workMs = 0;
  #step: Step = "planned";

  constructor(private readonly run: CopyRun, private readonly table: LedgerTable) {
    this.#key = databaseKey(table);
    this.#name = displayName(table.tenant, table.database, table.table);
  }

  /** Rows of the target before and after, for `--since`. */
  get grown(): number {
    return (this.#target?.rows ?? 0) - (this.#before?.rows ?? 0);
  }

  /**
   * Copies the table and writes what became of it into the ledger.
   * @returns the line to print, and why it failed if it did
   * @throws {Failure} where this worker stops, or lost its lease; nothing is written then
   */
  async copy(): Promise<{ result: TableResult; failure?: unknown }> {
    const { ledger, settings, stopped } = this.run;
    let failure: unknown;
    try {
      await this.#toTheEnd();
    } catch (error) {
      if (error instanceof LeaseLost || (stopped.aborted && error === stopped.reason)) throw error;
      failure = error;
    } finally {
      for (const piece of this.#pieces) await this.#unstage(piece, !this.run.stage.durable);
    }
    const status = failure === undefined
      // Verified is only what was counted on the new cluster and compared.
      ? settings.only === "export" ? "exported" : this.#target ? "verified" : "imported"
      : failure instanceof SourceChanged
      ? "source-changed"
      : "failed";
    const error = failure === undefined ? {} : { error: messageWithHint(failure) };
    const seconds = Math.round(this.#workMs) / 1000;
    const sum = (of: "rowsExported" | "rowsImported") =>
      this.#pieces.reduce((rows, p) => rows + (p[of] ?? 0), 0);
    const [rowsExported, rowsImported] = [sum("rowsExported"), sum("rowsImported")];
    const summaries = {
      ...(this.#source ? { source: this.#source } : {}),
      ...(this.#target ? { target: this.#target } : {}),
    };
    await ledger.update(this.table.id, {
      // What was only exported, or is not to be verified, is as far as this run goes with it.
      step: failure === undefined ? "verified" : status as Step,
      rowsExported,
      ...(settings.only === "export" ? {} : { rowsImported }),
      ...summaries,
      ...error,
      seconds,
    });
    const { tenant, database, table, attempts } = this.table;
    return {
      result: {
        tenant,
        database,
        table,
        status,
        rows_exported: rowsExported,
        ...(status === "exported"
          ? { pieces: this.#pieces.map((p) => ({ directory: p.directory ?? "", rows: p.rowsExported ?? 0 })) }
          : { rows_imported: rowsImported }),
        ...summaries,
        attempts: attempts + this.#repeats,
        seconds,
        ...error,
      },
      ...(failure === undefined ? {} : { failure }),
    };
  }

  async #toTheEnd(): Promise<void> {
    for (let pass = 1;; pass++) {
      const repeatable = pass < this.run.settings.attempts;
      try {
        await this.#prepare();
        await this.#move();
        if (this.run.settings.only === "export") return;
        const difference = await this.#difference();
        if (!difference) return;
        // What an earlier run imported may be gone with its TTL, or be older than what the source now has.
        const earlier = this.#pieces.some((piece) => piece.earlier);
        await this.#startOver();
        if (!earlier || !repeatable) throw difference;
        this.#tell("again", "export", difference.message);
      } catch (error) {
        // With `--expired skip` rows may expire between their export and their import: once more, with a later beginning.
        const late = this.run.settings.expired === "skip" && troubleOf(error) === "expired";
        if (!(late || error instanceof Useless) || !repeatable) throw error;
        await this.#startOver();
        this.#tell("again", "export", messageOf(error));
      }
      this.#repeats++;
    }
  }

  /** Compares the columns, counts both sides, cuts the table into pieces; refuses a target with rows that are not ours. */
  async #prepare(): Promise<void> {
    const { from, to, settings, ledger } = this.run;
    const counts = settings.verify !== "none" || settings.splitSeconds > 0;
    await this.#attempt("prepare", 0, async () => {
      if (settings.expired === "skip") this.#from = await this.#notExpired((to ?? from)!);
      const [old, young, source, before] = await Promise.all([
        from && columnsOf(from, this.table),
        to && columnsOf(to, this.table),
        from && counts ? summarize(from, this.table, { from: this.#from }) : undefined,
        to && summarize(to, this.table),
      ]);
      const differences = old && young ? columnDifferences(old, young) : [];
      if (differences.length) {
        throw new Failure(
          `its columns differ: ${differences.join("; ")}`,
          "restore its schema first, or add the columns by hand.",
        );
      }
      [this.#columns, this.#source, this.#before] = [young ?? old ?? [], source, before];
    });
    const given = this.run.exported?.(this.table);
    if (given?.source) this.#source = given.source;
    const begin = later(settings.since, this.#from);
    const spans: Span[] = given?.pieces
      ? given.pieces.map(() => ({}))
      : this.#source
      ? cutSpan(this.#source, settings.splitSeconds, begin)
      : [{ from: begin }];
    this.#pieces = await ledger.cut(this.table.id, spans.map(bounds));
    for (const [i, piece] of this.#pieces.entries()) {
      piece.earlier = piece.step === "imported";
      const { directory, rows } = given?.pieces?.[i] ?? {};
      if (directory === undefined || rows === undefined || piece.directory !== undefined) continue;
      await this.#update(piece, { step: "exported", directory, rowsExported: rows });
    }
    const ours = this.#pieces.some((piece) => piece.rowsImported !== undefined);
    if (this.#before?.rows && !ours && !settings.intoExisting && settings.since === undefined) {
      throw new Failure(
        `it has ${this.#before.rows} rows on the new cluster that this ledger did not write`,
        "empty it there, or give --into-existing: rows with the same time and tags are overwritten.",
      );
    }
  }

  /** The time before which the new cluster would refuse rows, with what expires until they are there. */
  async #notExpired(to: Side): Promise<string | undefined> {
    const ttlSeconds = await readTtl(to, this.table.tenant, this.table.database);
    if (ttlSeconds === Infinity) return undefined;
    const beginMs = Date.now() - (ttlSeconds - Math.min(3600, ttlSeconds / 10)) * 1000;
    return formatTime(BigInt(Math.trunc(beginMs)) * 1_000_000n);
  }

  /** Exports a piece while the one before it is imported. */
  async #move(): Promise<void> {
    const todo = this.#pieces.filter((piece) => piece.step !== "imported");
    let staged: Piece | undefined;
    for (const piece of [...todo, undefined]) {
      const results = await Promise.allSettled([
        piece && this.#export(piece),
        staged && this.run.to && this.#import(staged),
      ]);
      for (const result of results) if (result.status === "rejected") throw result.reason;
      staged = piece;
    }
    if (todo.length) await this.#reach(this.run.to ? "imported" : "exported");
  }

  async #export(piece: Piece): Promise<void> {
    const { stage, from, estimateBytes } = this.run;
    const whole = /^(exported|importing)$/.test(piece.step) && piece.rowsExported !== undefined;
    if (whole && (stage.durable || piece.exportedHere)) return await this.#count(piece);
    if (!from) throw new Failure("it was not exported: there is no directory to import it from");
    const rows = Math.ceil((this.#source?.rows ?? 0) / this.#pieces.length);
    await this.#attempt("export", estimateBytes(rows), () => this.#exportOnce(piece, from));
  }

  /** Counts a piece as staged. */
  async #count(piece: Piece): Promise<void> {
    if (!piece.rowsExported || piece.directory === undefined) return;
    piece.stagedBytes = await this.run.stage.bytes(piece.directory) ?? 0;
    this.run.onStaged(piece.rowsExported, piece.stagedBytes);
    this.run.gate.staged(piece.stagedBytes);
  }

  /** Counts a piece as staged no more. */
  async #unstage(piece: Piece, remove: boolean): Promise<void> {
    this.run.gate.staged(-(piece.stagedBytes ?? 0));
    piece.stagedBytes = undefined;
    if (remove && piece.directory !== undefined) await this.run.stage.remove(piece.directory);
  }

  async #exportOnce(piece: Piece, from: Side): Promise<void> {
    const { stage } = this.run;
    if (piece.directory !== undefined) await stage.remove(piece.directory);
    const directory = freshDirectory(this.table);
    await this.#reach("exporting");
    await this.#update(piece, { step: "exporting", directory });
    // Where rows that expire are skipped, more of them may have expired since the table was cut.
    const span = { from: later(piece.from, this.#from), to: piece.to };
    const sql = exportSql(this.table, stage.exportUrl(directory), stage.exportConnection, span);
    const rows = rowsOf(await this.#send(from, sql), this.table);
    piece.exportedHere = true;
    await this.#update(piece, { step: "exported", rowsExported: rows });
    if (this.#pieces.every(({ step }) => step === "exported")) await this.#reach("exported");
    await this.#count(piece);
  }

  async #import(piece: Piece): Promise<void> {
    if (piece.rowsExported === 0) return await this.#update(piece, { step: "imported" });
    await this.#attempt("import", 0, () => this.#importOnce(piece));
    await this.#unstage(piece, true);
  }

  async #importOnce(piece: Piece): Promise<void> {
    const { to, stage, ttls, settings } = this.run;
    if (!to || piece.directory === undefined) return;
    await this.#reach("importing");
    // Rows count as ours from here on, whatever becomes of the statement.
    await this.#update(piece, { step: "importing", rowsImported: 0 });
    const sql = importSql(this.table, stage.importUrl(piece.directory), stage.importConnection);
    const answer = await this.#send(to, sql).catch(async (error) => {
      if (troubleOf(error) !== "expired" || settings.expired === "skip" || !ttls) throw error;
      await ttls.raise(this.table.tenant, this.table.database);
      return await this.#send(to, sql);
    });
    const rows = rowsOf(answer, this.table);
    if (rows === piece.rowsExported) {
      this.run.imported ||= rows > 0;
      return await this.#update(piece, { step: "imported", rowsImported: rows });
    }
    // Whatever lies there is not what was exported: the next attempt begins with a new export.
    await this.#update(piece, { step: "planned" });
    const told = `${rows} rows were imported, ${piece.rowsExported} had been exported`;
    if (!piece.exportedHere) throw new Useless(`${told} by an earlier run`);
    if (rows === 0 && !this.run.imported && stage.durable) {
      const unseen = new Failure(
        `${this.#name}: ${told}: the new cluster does not see what the old one wrote to ${
          stage.exportUrl(piece.directory)
        }`,
        "give --import-stage, the path at which the new cluster's node sees it; or leave --stage out: then the script is the stage.",
      );
      this.run.stop(unseen);
      throw new Failure(unseen.message, unseen.hint);
    }
    throw new Failure(told, stage.problem());
  }

  /**
   * Compares both sides, and where they differ the old one with what it was. Gives what to report. A new table's first rows may show
   * with a delay (one table in 50 on 2.4.0 and 2.4.1), so where it has too few the new side is looked at again.
   */
  async #difference(): Promise<Failure | undefined> {
    const { to, settings, stopped, pauseMs } = this.run;
    if (!to || settings.verify === "none" || !this.#source) return undefined;
    for (let look = 0;; look++) {
      const { rows } = this.#source;
      const difference = await this.#look(to, this.#source);
      const tooMany = (this.#target?.rows ?? 0) > rows;
      if (!(difference instanceof Difference) || tooMany || look === looksAgain) return difference;
      await pause(pauseMs * 2 ** look, stopped);
    }
  }

  async #look(to: Side, source: Summary): Promise<Failure | undefined> {
    const { from, settings } = this.run;
    const span = { from: this.#from };
    const target = await this.#attempt("verify", 0, () => summarize(to, this.table, span));
    this.#target = target;
    let different = summaryDifferences(source, target);
    let digests: Map<string, string> | undefined;
    if (!different.length && settings.verify === "full" && from) {
      const [old, young] = await Promise.all([
        this.#attempt("prepare", 0, () => digest(from, this.table, this.#columns, span)),
        this.#attempt("verify", 0, () => digest(to, this.table, this.#columns, span)),
      ]);
      digests = old;
      different = digestDifferences(old, young);
    }
    if (!different.length) return undefined;
    const told = `it differs: ${different.join("; ")}`;
    if (!from) return new Difference(told);
    const now = await this.#attempt("prepare", 0, () => summarize(from, this.table, span));
    const changed = !sameSummary(now, source) || (digests !== undefined && digestDifferences(
          digests,
          await this.#attempt("prepare", 0, () => digest(from, this.table, this.#columns, span)),
        ).length > 0);
    if (!changed) return new Difference(told, "run it again: it will be copied anew.");
    this.#source = now;
    return new SourceChanged(
      `the old cluster's table changed meanwhile: ${tellSummary(source)} before, ${tellSummary(now)} now`,
      "stop the writers and run it again, or make a second pass with --since.",
    );
  }

  /** Forgets what was exported and imported, so that all of it is done again. */
  async #startOver(): Promise<void> {
    for (const piece of this.#pieces) {
      await this.#update(piece, { step: "planned" });
      piece.exportedHere = false;
    }
    this.#step = "planned";
  }

  /** Does something until it is done, or refused, or its outcome has been unknown too often, or nobody was there for too long. */
  async #attempt<T>(kind: Kind, bytes: number, action: () => Promise<T>): Promise<T> {
    const { gate, settings, stopped, pauseMs } = this.run;
    for (let waits = 0, unknown = 0;;) {
      try {
        return await gate.run(kind, this.#key, bytes, async () => {
          this.#tell("begin", kind);
          const startMs = performance.now();
          try {
            return await action();
          } finally {
            this.#workMs += performance.now() - startMs;
            this.#tell("end", kind);
          }
        });
      } catch (error) {
        const trouble = troubleOf(error);
        const again = trouble === "wait"
          ? ++waits <= waitsMost
          : trouble === "unknown" && ++unknown < settings.attempts;
        if (!again) throw error;
        this.#repeats++;
        this.#tell("again", kind, messageOf(error));
        await pause(Math.min(pauseMs * 2 ** (waits + unknown - 1), waitMostMs), stopped);
      }
    }
  }

  #tell(what: CopyEvent["what"], step: Kind, note?: string): void {
    this.run.onEvent({
      what,
      table: this.table,
      step,
      atMs: Date.now(),
      ...(this.#source ? { rows: this.#source.rows } : {}),
      ...(note === undefined ? {} : { note }),
    });
  }

  #send(side: Side, sql: string) {
    const { tenant, database } = this.table;
    return side.run(sql, { tenant, database }, this.run.ledger.lost);
  }

  async #update(piece: Piece, change: Partial<LedgerPiece>): Promise<void> {
    await this.run.ledger.updatePiece(this.table.id, piece.index, change);
    Object.assign(piece, change);
  }

  /** Writes that the table has come to a step, unless a piece of it was there before. */
  async #reach(step: Step): Promise<void> {
    if (steps.indexOf(step) <= steps.indexOf(this.#step)) return;
    this.#step = step;
    await this.run.ledger.update(this.table.id, { step });
  }
}

/** The old cluster's table is not any more what was exported. */
export class SourceChanged extends Failure {
  override name = "SourceChanged";
}

/** What databases are told apart by here; no name has a NUL. */
export function databaseKey({ tenant, database }: Pick<TableName, "tenant" | "database">): string {
  return `${tenant}\0${database}`;
}

/** The later of two times as written in SQL, or the one that there is. */
const later = (a: string | undefined, b: string | undefined) =>
  [a, b].filter((time) => time !== undefined).sort().at(-1);

const bounds = ({ from, to }: Span): { from?: string; to?: string } => ({
  ...(from === undefined ? {} : { from }),
  ...(to === undefined ? {} : { to }),
});
