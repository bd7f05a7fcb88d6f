/** A writer for tests: it writes rows at a rate straight into the stand-in, some of them late, some over others. */
import type { Row } from "./rows.ts";
import type { StandIn } from "./standin.ts";
import { randomOf } from "../helpers/random.ts";

export interface WriterOptions {
  /** Tables that are written to in turn: tenant, database, table. */
  tables: readonly (readonly [string, string, string])[];
  rowsPerSecond: number;
  /** The time of the row written next, in the unit of the tables' times; later ones follow it. */
  start: bigint;
  /** Between two rows of a table. */
  step: bigint;
  /** A row at a time; it must have a field that is not null. `number` counts all rows written. */
  row: (time: bigint, number: number) => Row;
  /** Which part of the rows comes up to 1 000 steps late. 0 by default. */
  late?: number;
  /** Which part of the rows overwrites one that was written before, with other values. 0 by default. */
  overwrite?: number;
  seed?: number;
}

/** A writer that is at work. */
export interface Writer {
  /** Rows written so far, those included that overwrote. */
  readonly written: number;
  /** Ends after the row under way, and gives the moment of the last one (performance.now()). */
  stop(): Promise<number>;
}

/** Starts to write. */
export function startWriter(standIn: StandIn, options: WriterOptions): Writer {
  const random = randomOf(options.seed ?? 1);
  const startMs = performance.now();
  let written = 0, steps = 0n, lastMs = startMs;
  const write = () => {
    const due = Math.floor((performance.now() - startMs) / 1000 * options.rowsPerSecond);
    for (; written < due; written++) {
      const [tenant, database, table] = options.tables[written % options.tables.length]!;
      if (written % options.tables.length === 0) steps++;
      const dice = random();
      const back =
        dice < (options.late ?? 0) || steps > 0n && dice < (options.late ?? 0) + (options.overwrite ?? 0)
          ? BigInt(Math.floor(random() * Math.min(1000, Number(steps))))
          : 0n;
      // Half a step off its neighbours a late row is new, on a step it overwrites.
      const off = dice < (options.late ?? 0) ? options.step / 2n : 0n;
      const time = options.start + (steps - back) * options.step + off;
      standIn.put(tenant, database, table, [options.row(time, written)]);
      lastMs = performance.now();
    }
  };
  const timer = setInterval(write, 20);
  return {
    get written() {
      return written;
    },
    stop: async () => {
      write();
      clearInterval(timer);
      return await Promise.resolve(lastMs);
    },
  };
}
