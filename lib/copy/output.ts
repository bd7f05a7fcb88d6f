/** The lines of a run, to stdout or a file: the first one, one a table, the last one; and the exit code that they come to. */
import { hostname } from "node:os";
import { type Args, version } from "../cli/command.ts";
import { Difference, Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { writeAll } from "../cli/files.ts";
import { printJson } from "../cli/stdout.ts";
import { counted, describeSeconds } from "../cli/text.ts";
import type { RunTotals } from "./copy.ts";
import { Progress } from "./progress.ts";
import { exitCodeOf, type RunLine, type TableResult } from "./result.ts";

/** Where a run's lines go, and what is shown of it meanwhile. */
export class RunOutput {
  readonly progress: Progress;
  readonly #startedMs = Date.now();
  readonly #path: string | undefined;
  #file: Deno.FsFile | undefined;
  #printed: Promise<void> = Promise.resolve();
  #tables = 0;

  /** @param args `--output`, `--quiet` @param tables of the list */
  constructor(private readonly script: string, args: Args, tables: number) {
    this.#path = args.value("output");
    const quiet = args.on("quiet");
    this.progress = new Progress(script, tables, {
      columns: !quiet && Deno.stderr.isTerminal() ? Deno.consoleSize().columns : undefined,
      write: (text) => void (quiet || Deno.stderr.writeSync(new TextEncoder().encode(text))),
    });
  }

  /** Prints the run's first line. */
  async begin(run: Omit<RunLine["run"], "script" | "version" | "started" | "host">): Promise<void> {
    const started = new Date(this.#startedMs).toISOString();
    await this.#print({ run: { script: this.script, version, ...run, started, host: hostname() } });
  }

  /** Prints a table's line. */
  async result(result: TableResult): Promise<void> {
    this.#tables++;
    this.progress.add({ ended: 1, failed: result.error === undefined ? 0 : 1 });
    await this.#print(result);
  }

  #print(line: unknown): Promise<void> {
    this.#printed = this.#printed.then(async () => {
      this.progress.hide();
      if (this.#path === undefined) return await printJson(line);
      try {
        this.#file ??= await Deno.open(this.#path, { write: true, create: true, truncate: true });
        await writeAll(this.#file, new TextEncoder().encode(`${JSON.stringify(line)}\n`));
      } catch (error) {
        throw new Failure(`${this.#path}: cannot be written: ${messageOf(error)}`, "is the disk full?");
      }
    });
    return this.#printed;
  }

  /**
   * Prints the last line and says what it came to.
   * @param isPlan whether to differ is what was asked for
   * @returns the exit code @throws why the run stopped before its end, or that not all is well
   */
  async end({ statuses, rows, bytes, ttlsLeft, stopped }: RunTotals, isPlan: boolean): Promise<number> {
    const seconds = (Date.now() - this.#startedMs) / 1000;
    const found = isPlan && exitCodeOf(statuses) === 3 ? 0 : exitCodeOf(statuses);
    const done = ttlsLeft ? 1 : found;
    const exit = stopped === undefined ? done : stopped instanceof Interrupted ? 130 : 1;
    const end = {
      ...Object.fromEntries(statuses),
      rows,
      bytes,
      seconds,
      exit,
      ended: new Date().toISOString(),
    };
    this.progress.close();
    try {
      // A reader that is gone, or a full disk, has stopped the run already, and is what is told.
      await this.#print({ end: { tables: this.#tables, ...end } }).catch((error) => {
        throw stopped ?? error;
      });
    } finally {
      this.#file?.close();
    }
    const parts = [...statuses].map(([status, tables]) => `${tables} ${status}`);
    this.progress.say(
      `tables: ${parts.join(", ") || "none"}; ${counted(rows, "row")} copied, in ${describeSeconds(seconds)}`,
    );
    if (stopped !== undefined) throw stopped;
    if (ttlsLeft) {
      throw new Failure(
        `${counted(ttlsLeft, "TTL")} could not be set back`,
        "the lines above tell the statements to run.",
      );
    }
    if (exit === 1) {
      throw new Failure(
        "not all tables are well",
        "their lines tell why; run the same again to try them once more.",
      );
    }
    if (exit === 3) throw new Difference("the two clusters differ");
    return exit;
  }
}
