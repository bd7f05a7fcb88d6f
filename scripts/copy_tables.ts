#!/usr/bin/env -S deno run --v8-flags=--optimize-for-size --allow-net --allow-read --allow-write --allow-sys --allow-env=CNOSDB_*,PG*,NODE_USE_SYSTEM_CA,LC_ALL,LC_MESSAGES,LANG --no-prompt
/**
 * Copies the rows of all TSKV tables from a CnosDB 2.3 or 2.4 cluster to a 2.4 one by COPY INTO, and proves
 * them equal.
 *
 *     restore_meta.ts NEW < new.dump | copy_tables.ts --from OLD --to NEW > results
 *
 * Exit codes: 0 every table of the list is equal, 1 some are not done, 2 usage, 3 some differ, 130
 * interrupted.
 */
import { type Args, type Command } from "../lib/cli/command.ts";
import { main } from "../lib/cli/main.ts";
import type { Say } from "../lib/cli/say.ts";
import { readPlan, sharedFlags } from "../lib/copy/command.ts";
import { printEstimate } from "../lib/copy/estimate.ts";
import { defaultLedger, openLedger } from "../lib/copy/ledger.ts";
import { printer, RunOutput } from "../lib/copy/output.ts";
import { runTables } from "../lib/copy/runs.ts";
import { printStatus } from "../lib/copy/status.ts";
import { openStage } from "../lib/stage/open.ts";

export const command: Command = {
  name: "copy_tables",
  summary: "copy every row from one CnosDB cluster to another, and prove that it arrived",
  usage: ["--from URL --to URL [FLAGS] [DUMP or list] > results", "--status [--json] [--ledger LEDGER]"],
  positional: { name: "DUMP or list", most: 1 },
  flags: `${sharedFlags}
    The run:
      --ledger LEDGER     a file (default ${defaultLedger}), or postgres://… for several workers
      --ahead BYTES       how much exports may run ahead of imports (default 2GiB)
      --hours HH:MM-HH:MM   begin statements only then, by this machine's clock
    Comparing:
      --verify count|full|none  count (default): rows, first and last time by window; full: every row with
                                every column
      --expired raise|skip      rows older than the TTL: raise it meanwhile (default), or leave them out
      --into-existing     copy into tables that hold other rows; those with the same time and tags are
                          overwritten
    While writers go on:
      --follow              go on with what is new, until Ctrl-C or --quiet-for; then one last pass over
                            everything
      --recheck DURATION    with --follow: how often to look for late rows (default 10m)
      --quiet-for DURATION  with --follow: end when no row was new for so long
    The stage:
      --stage URL         where files pass through: file://, s3://, gcs:// or azblob://, reached by both.
                          Without it this script serves the stage itself
      --import-stage URL  where the target sees the same files
      --connection KEY=VALUE...   an option of COPY INTO's CONNECTION, such as region; or all of them as JSON
                                  in CNOSDB_STAGE_CONNECTION, unseen by ps
      --serve-address HOST:PORT   by which the clusters reach the served stage
      --rate BYTES        how much the served stage takes in a second
      --only export|import  one half, where no machine sees both sides; import takes what export printed
    Looking:
      --estimate    say how much there is to copy, how long it takes and what would be refused; write to
                    neither cluster
      --dry-run     say which windows would be copied, and change nothing
      --status      print how far a ledger's run is, also while it goes on
      --watch       with --status: print it again every two seconds
      --json        with --status or --estimate: as JSON
  `,
  notes: [
    `In FILE or on stdin: a dump with its end mark, as restore_meta passes it on, or lines {"tenant":…,"database":…,"table":…}, such as this
script prints. Nothing is copied before it has ended well. What differs between the two sides is copied, so run it again after whatever
went wrong. On stdout: a JSON line for every table of the list. The first Ctrl-C waits for running
statements; the second exits at once.

Credentials: in the URLs, or CNOSDB_USER and CNOSDB_PASSWORD; without a user, root. What passes by itself is tried again for
CNOSDB_RETRY_FOR, 10m unless told.`,
  ],
  examples: [
    "# after a restore, in its pipe",
    "restore_meta.ts new:8901 < new.dump | copy_tables.ts --from old:8902 --to new:8902 > results",
    "# everything, by two data nodes of the target, verified row by row",
    "copy_tables.ts --from old:8902 --to new1:8902,new2:8902 --all --jobs 8 --verify full > results",
    "# how far is it?",
    "copy_tables.ts --status",
  ],
};

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  if (args.on("status")) return await printStatus(args, signal);
  const plan = await readPlan(args, "copy", signal);
  const { task, from, to } = plan;
  const output = new RunOutput(command.name, say, printer(args.value("output")));
  if (task === "plan") return await runTables(plan, output, signal);
  const nodes = { from: from?.url.split(",") ?? [], to: to?.url.split(",") ?? [] };
  const stage = await openStage(args, { ...nodes, say });
  try {
    if (args.on("estimate")) return await printEstimate(args, { ...plan, stage }, output, signal);
    await using ledger = await openLedger(args.value("ledger"));
    return await runTables({ ...plan, stage, ledger }, output, signal);
  } finally {
    const leftBehind = await stage.close();
    if (leftBehind) say(leftBehind);
  }
}

if (import.meta.main) await main(command, run);
