#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-sys --allow-env=CNOSDB_*,NODE_USE_SYSTEM_CA,LC_ALL,LC_MESSAGES,LANG --no-prompt
/**
 * Puts a dump that filter_meta has converted into a new cluster's meta service, and reads everything back.
 *
 *     dump_meta.ts OLD | filter_meta.ts --target 2.4.2 | restore_meta.ts NEW | copy_tables.ts --from OLD --to NEW
 *
 * Exit codes: 0 done, 1 refused or failed, 2 usage, 3 all is written but does not read back as it should, 130 interrupted.
 */
import { type Args, caFlag, type Command, unmarkedFlag } from "../lib/cli/command.ts";
import { main } from "../lib/cli/main.ts";
import type { Say } from "../lib/cli/say.ts";
import { UsageError } from "../lib/cli/errors.ts";
import { printLine, readInput, readText, warnOfReaders, writeStdout } from "../lib/cli/files.ts";
import { sqlEndpoint } from "../lib/cnosdb/sql.ts";
import { readDump, writeDump } from "../lib/dump/text.ts";
import { restore } from "../lib/restore/restore.ts";
import { defaults, type RestoreOptions } from "../lib/restore/target.ts";
import { undo } from "../lib/restore/undo.ts";

const timeoutS = defaults.timeoutMs / 1_000;

export const command: Command = {
  name: "restore_meta",
  summary: "restore a converted dump into a CnosDB 2.4 cluster, and prove that it arrived",
  usage: ["META_URL... [FLAGS] [DUMP] > dump", "META_URL... --undo BACKUP [--yes]"],
  positional: { name: "META_URL", least: 1 },
  flags: `
    --dry-run              check everything and print the plan, write nothing
    --backup FILE          keep what the target holds before the first write (mode 0600)
    --add                  restore only what the target has not yet, and leave and list what differs: for tenant by tenant
    --force                overwrite and list what differs, and leave what is not in the dump
    --undo BACKUP          show what would give overwritten entries their value in BACKUP, and the SQL that removes what was added
    --yes                  with --undo: write it
    ${unmarkedFlag}
    --sql URL              a data node of the target (host:8902): tells its version exactly, and SQL is asked for what was restored
    -j, --jobs N           posts at once (default ${defaults.jobs})
    --timeout SECONDS      give up when nothing could be written for this long (default ${timeoutS})
    ${caFlag}
  `,
  notes: [
    `META_URL is host:port or a URL of a meta node (port 8901 by default): give all of them. Only these are asked or written to. DUMP is a file
that begins with ./ or / or ends in .dump; else stdin is read. What was restored is passed on to stdout, unless that is a terminal; after a
failure it has no end mark, so that copy_tables copies nothing.

Credentials for --sql: in its URL, or CNOSDB_USER and CNOSDB_PASSWORD; those that hold after the restore: where the dump has that user,
the dump's password.`,
  ],
  examples: [
    "# look first",
    "restore_meta.ts new:8901 --dry-run < new.dump",
    "# restore, and be able to go back",
    "restore_meta.ts new1:8901 new2:8901 --sql new1:8902 --backup before.dump < new.dump",
    "# one more tenant",
    "filter_meta.ts --target 2.4.2 --tenant acme < old.dump | restore_meta.ts new:8901 --add",
    "# go back",
    "restore_meta.ts new1:8901 --undo before.dump --yes",
  ],
};

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  const isFile = (text: string) => /^-$|^\.{0,2}\/|\.dump$/.test(text);
  const urls = args.positional.filter((text) => !isFile(text));
  const [file, ...more] = args.positional.filter(isFile);
  if (!urls.length) throw new UsageError("META_URL is missing");
  if (more.length) throw new UsageError("more than one DUMP is given");
  const backup = args.value("undo");
  const others = ["add", "backup", "force", "unmarked"].filter((name) => args.on(name));
  if (backup !== undefined && (others.length || file !== undefined)) {
    throw new UsageError(`--undo does not go with ${file ?? `--${others.join(", --")}`}`);
  }
  if (args.on("add") && args.on("force")) throw new UsageError("--add does not go with --force");
  if (args.on("yes") && backup === undefined) throw new UsageError("--yes goes with --undo alone");
  if (args.on("yes") && args.on("dry-run")) throw new UsageError("--yes does not go with --dry-run");
  const [ca, sql] = [args.value("ca"), args.value("sql")];
  const options: RestoreOptions = {
    urls,
    sql: sql === undefined ? undefined : sqlEndpoint("--sql", sql, "CNOSDB_TO"),
    ca: ca === undefined ? undefined : await readText(ca),
    backup: args.value("backup"),
    add: args.on("add"),
    force: args.on("force"),
    dryRun: args.on("dry-run"),
    jobs: args.integer("jobs", 1, 256) ?? defaults.jobs,
    timeoutMs: (args.integer("timeout", 1) ?? timeoutS) * 1_000,
    signal,
    say,
  };
  if (backup !== undefined) {
    const dump = await readDump(readInput(backup, signal), backup);
    for (const line of await undo(dump, args.on("yes"), options)) await printLine(line);
    return 0;
  }
  const dump = await readDump(readInput(file, signal), file ?? "stdin", { unmarked: args.on("unmarked") });
  const restored = await restore(dump, options);
  if (!restored || Deno.stdout.isTerminal()) return 0;
  await warnOfReaders(say);
  // Only now, since its end mark lets the next script in the pipe begin.
  await writeDump(restored, writeStdout);
  return 0;
}

if (import.meta.main) await main(command, run);
