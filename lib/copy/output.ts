/** The lines of a run, to stdout or a file: the first one, one a table, the last one; and the exit code that they come to. */
import { hostname } from "node:os";
import { type Args, version } from "../cli/command.ts";
import { Difference, Failure, Interrupted, messageOf } from "../cli/errors.ts";
import { printJson, writeAll } from "../cli/files.ts";
import { counted, describeSeconds } from "../cli/text.ts";
import { Progress } from "./progress.ts";
import { exitCodeOf, type RunLine, type Status, type TableResult } from "./result.ts";

/** Where a run's lines go, and what is shown of it meanwhile. */
export class RunOutput {
  readonly progress: Progress;
  readonly #startedMs = Date.now();
  readonly #path: string | undefined;
  #file: Deno.FsFile | undefined;
  #printed: Promise<void> = Promise.resolve();
  /** tables by what became of them, whoever did it */
  readonly #statuses = new Map<Status, number>();

  /** @param args `--output`, `--quiet` @param tables of the list */
  constructor(private readonly script: string, args: Args, private readonly tables: number) {
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
    this.#statuses.set(result.status, (this.#statuses.get(result.status) ?? 0) + 1);
    this.progress.ended(result.error === undefined);
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
   * @param stopped why the run ended before all was done
   * @param isPlan whether to differ is what was asked for
   * @returns the exit code @throws why the run stopped before its end, or that not all is well
   */
  async end(stopped: unknown, isPlan: boolean): Promise<number> {
    const { rowsCopied: rows, bytes } = this.progress.tally;
    const statuses = this.#statuses;
    const seconds = (Date.now() - this.#startedMs) / 1000;
    const printed = [...statuses.values()].reduce((sum, n) => sum + n, 0);
    if (printed < this.tables) {
      const told = `${this.tables - printed} of ${this.tables} tables are not done`;
      if (stopped === undefined) stopped = new Failure(told, "run the same again.");
      else this.progress.say(told);
    }
    const found = isPlan && exitCodeOf(statuses) === 3 ? 0 : exitCodeOf(statuses);
    const exit = stopped === undefined ? found : stopped instanceof Interrupted ? 130 : 1;
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
      await this.#print({ end: { tables: printed, ...end } }).catch((error) => {
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
