#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-sys --allow-env=CNOSDB_USER,CNOSDB_PASSWORD,NODE_USE_SYSTEM_CA
/**
 * Puts a dump that filter_meta has converted into a new cluster's meta service, and reads everything back.
 *
 *     dump_meta.ts OLD | filter_meta.ts --target 2.4.2 | restore_meta.ts NEW | copy_tables.ts --from OLD --to NEW
 *
 * Exit codes: 0 done, 1 refused or failed, 2 usage, 3 all is written but does not read back as it should, 130 interrupted.
 */
import { type Args, type Command, main, type Say } from "../lib/cli/cli.ts";
import { type Block, DumpWriter, linesOf } from "../lib/dump/dump.ts";
import { UsageError } from "../lib/cli/errors.ts";
import { chunksOf, printLine, readText, warnOfReaders, writeStdout } from "../lib/cli/io.ts";
import { showProgress } from "../lib/cli/progress.ts";
import { defaults, restore, type RestoreOptions } from "../lib/restore/restore.ts";
import { sqlEndpoint } from "../lib/cnosdb/sql.ts";
import { undo } from "../lib/restore/undo.ts";

export const command: Command = {
  name: "restore_meta",
  summary: "restore a converted dump into a CnosDB 2.4 cluster, and prove that it arrived",
  usage: ["META_URL... [FLAGS] < dump > dump", "META_URL... --undo BACKUP"],
  flags: [
    { name: "dry-run", help: "check everything and print the plan, write nothing" },
    { name: "backup", value: "FILE", help: "keep what the target holds before the first write (mode 0600)" },
    {
      name: "undo",
      value: "BACKUP",
      help: "give overwritten entries their value in BACKUP; prints the SQL that\nremoves what was added",
    },
    { name: "force", help: "write into a target that is not empty, over what differs" },
    { name: "unmarked", help: "take a dump without an end mark: it may be cut" },
    {
      name: "sql",
      value: "URL",
      help:
        "a data node of the target (host:8902): tells its version exactly,\nand SQL is asked for what was restored",
    },
    { name: "jobs", short: "j", value: "N", help: `posts at once (default ${defaults.jobs})` },
    {
      name: "batch-bytes",
      value: "N",
      help:
        `size of a post (default ${defaults.batchBytes}); the server writes line by line,\nsome 7 ms each on three nodes`,
    },
    {
      name: "timeout",
      value: "SECONDS",
      help: `give up when nothing could be written for this long (default ${defaults.timeoutMs / 1_000})`,
    },
    { name: "ca", value: "FILE", help: "PEM of a certificate authority to trust, for https" },
  ],
  notes: [
    `META_URL is host:port or a URL of a meta node (port 8901 by default); the leader is found from any of
them. What was read is passed on to stdout, unless that is a terminal; after a failure it has no end mark,
so that copy_tables copies nothing.

Credentials for --sql: in its URL, or CNOSDB_USER and CNOSDB_PASSWORD. They are used after the restore: where
the dump has a root, its password is the dump's by then.`,
  ],
  examples: [
    "# look first",
    "restore_meta.ts new:8901 --dry-run < new.dump",
    "# restore, and be able to go back",
    "restore_meta.ts new1:8901 new2:8901 --sql new1:8902 --backup before.dump < new.dump",
    "# go back",
    "restore_meta.ts new1:8901 --undo before.dump",
  ],
};

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  if (!args.positional.length) throw new UsageError("META_URL is missing");
  const backup = args.value("undo");
  const refused = backup === undefined
    ? []
    : ["backup", "force", "unmarked"].filter((name) => args.on(name) || args.value(name) !== undefined);
  if (refused.length) throw new UsageError(`--undo does not go with --${refused.join(", --")}`);
  const [ca, sql, timeout] = [args.value("ca"), args.value("sql"), args.integer("timeout", 1)];
  const options: RestoreOptions = {
    ...defaults,
    urls: args.positional,
    sql: sql === undefined ? undefined : sqlEndpoint("--sql", sql, "CNOSDB_TO"),
    ca: ca === undefined ? undefined : await readText(ca),
    backup: args.value("backup"),
    force: args.on("force"),
    unmarked: args.on("unmarked"),
    dryRun: args.on("dry-run"),
    jobs: args.integer("jobs", 1, 256) ?? defaults.jobs,
    batchBytes: args.integer("batch-bytes", 1) ?? defaults.batchBytes,
    timeoutMs: timeout === undefined ? defaults.timeoutMs : timeout * 1_000,
    ...{ signal, say },
    ...(args.on("quiet") ? {} : { progress: (line) => showProgress(line, say) }),
  };
  if (backup !== undefined) {
    for (const line of await undo(backup, options)) await printLine(line);
    return 0;
  }
  if (Deno.stdin.isTerminal()) throw new UsageError("stdin is a terminal: restore_meta reads a dump from it");
  const blocks = await restore(chunksOf(Deno.stdin), options);
  if (blocks && !Deno.stdout.isTerminal()) await passOn(blocks, say);
  return 0;
}

/** Gives the dump to what comes next in the pipe: only now, as its end mark is what lets that begin. */
async function passOn(blocks: Block[], say: Say): Promise<void> {
  warnOfReaders(say);
  const writer = new DumpWriter(writeStdout);
  for (const block of blocks) await writer.write(block.bytes, linesOf(block));
  await writer.end();
}

if (import.meta.main) await main(command, run);
