#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-sys --allow-env=CNOSDB_*,NODE_USE_SYSTEM_CA,LC_ALL,LC_MESSAGES,LANG --no-prompt
/**
 * Compares the tables of two CnosDB clusters by windows of time, and changes nothing.
 *
 *     compare_tables.ts --from OLD --to NEW --all --verify full > results
 *
 * Exit codes: 0 all tables are equal, 1 some could not be compared, 2 usage, 3 some differ, 130 interrupted.
 */
import { type Args, type Command } from "../lib/cli/command.ts";
import { main } from "../lib/cli/main.ts";
import type { Say } from "../lib/cli/say.ts";
import { readPlan, sharedFlags } from "../lib/copy/command.ts";
import { printer, RunOutput } from "../lib/copy/output.ts";
import { runTables } from "../lib/copy/runs.ts";

export const command: Command = {
  name: "compare_tables",
  summary: "compare the tables of two CnosDB clusters, window by window, and change nothing",
  usage: ["--from URL --to URL [FLAGS] [DUMP or list] > results"],
  positional: { name: "DUMP or list", most: 1 },
  flags: `${sharedFlags}
    Flags:
    --verify count|full  count (default): rows, first and last time by window; full: every row with every column
  `,
  notes: [
    `In FILE or on stdin: a dump with its end mark, or lines {"tenant":…,"database":…,"table":…}, such as copy_tables prints. On stdout: a JSON
line a table, with the windows that differ, and with --verify full the columns. Credentials: in the URLs, or CNOSDB_USER and
CNOSDB_PASSWORD; without a user, root.`,
  ],
  examples: [
    "# are two clusters equal, every row?",
    "compare_tables.ts --from old:8902 --to new:8902 --all --verify full > results",
    "# what copy_tables copied, compared once more",
    "compare_tables.ts --from old:8902 --to new:8902 results",
  ],
};

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  const plan = await readPlan(args, "compare", signal);
  return await runTables(plan, new RunOutput(command.name, say, printer(args.value("output"))), signal);
}

if (import.meta.main) await main(command, run);
