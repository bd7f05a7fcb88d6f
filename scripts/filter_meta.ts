#!/usr/bin/env -S deno run --allow-read --allow-write --allow-net --allow-sys --allow-env=NODE_USE_SYSTEM_CA,LC_ALL,LC_MESSAGES,LANG --no-prompt
/**
 * Turns a dump of CnosDB's meta store into one that another version can be restored from.
 *
 *     dump_meta.ts OLD | filter_meta.ts --target 2.4.2 | restore_meta.ts NEW
 *
 * Exit codes: 0 done, 1 the dump cannot be converted, 2 usage, 130 interrupted.
 */
import { type Args, type Command, flagsOf, outputFlag, unmarkedFlag } from "../lib/cli/command.ts";
import { main } from "../lib/cli/main.ts";
import type { Say } from "../lib/cli/say.ts";
import { messageOf, UsageError } from "../lib/cli/errors.ts";
import { atomicFile, LineWriter, readInput, writeStdout } from "../lib/cli/files.ts";
import { readDump, saveDump, writeDump } from "../lib/dump/text.ts";
import { entriesOf, filterDump } from "../lib/filter/filter.ts";
import { loadHash } from "../lib/filter/hash.ts";
import { parseRules } from "../lib/filter/own_rules.ts";
import { diffText, endLine, Notes, reportLine, runLine, Sums } from "../lib/filter/report.ts";
import type { FilterOptions } from "../lib/filter/rule.ts";
import { printRules } from "../lib/filter/rules.ts";
import { Selection } from "../lib/filter/selection.ts";
import { readTarget } from "../lib/filter/target.ts";
import { sources } from "../lib/versions/versions.ts";

export const command: Command = {
  name: "filter_meta",
  reads: false,
  summary: "turns a dump of one version's meta store into one for another version",
  usage: ["--target VERSION [FLAGS] [DUMP]", "[FLAGS] --print-rules"],
  positional: { name: "DUMP", most: 1 },
  flags: [
    {
      name: "target",
      short: "t",
      value: "VERSION",
      help:
        "the version of the new cluster (2.4.0 to 2.4.3.4), or the URL of one of its data nodes, which is asked. Required",
    },
    {
      name: "source",
      value: "VERSION",
      help: "the version of the dump, if it does not show: in 2.3.0 and 2.3.1 a missing TTL means 365 days",
    },
    { name: "cluster", value: "NAME", help: "the new cluster's name, if it differs from the old one's" },
    {
      name: "tenant",
      value: "TENANT",
      many: true,
      help:
        "carry over this tenant and what is in it (* and ? as in a shell; names with dots in double quotes)",
    },
    { name: "database", value: "T.DATABASE", many: true, help: "carry over this database, with its tenant" },
    {
      name: "table",
      value: "T.D.TABLE",
      many: true,
      help: "carry over this table, with its database and tenant",
    },
    {
      name: "exclude",
      value: "NAME",
      many: true,
      help: "leave out a tenant, a database or a table, with all in it",
    },
    { name: "prune-users", help: "leave out users who are members of no tenant carried over" },
    { name: "replica", value: "N", help: "cap the replicas of every database, for a smaller cluster" },
    {
      name: "root",
      value: "auto|keep|drop",
      help: "auto drops a root without a password: it would lock all out of a cluster with authentication on",
    },
    { name: "keep-system", help: "keep the databases usage_schema and cluster_schema of cnosdb" },
    { name: "rules", value: "FILE", help: "further drops and patches, as YAML; see docs/en/recipes.md" },
    { name: "print-rules", help: "print the rules in the order in which they run, as YAML" },
    { name: "drop-invalid", help: "drop entries that cannot be converted, and name them" },
    ...flagsOf(unmarkedFlag),
    ...flagsOf(outputFlag),
    { name: "report", value: "FILE", help: "what became of each entry, as JSON lines" },
    { name: "diff", help: "print each changed entry before and after, instead of a dump" },
    { name: "check", help: "write no dump, only say whether it would convert" },
  ],
  examples: [
    "# a 2.3 cluster into 2.4.2",
    "filter_meta.ts --target 2.4.2 old.dump -o new.dump",
    "# ask the new cluster for its version; it has another name",
    "filter_meta.ts --target http://new:8902 --cluster cluster_new < old.dump > new.dump",
    "# one tenant, without its test databases",
    'filter_meta.ts -t 2.4.3 --tenant acme --exclude "acme.test_*" old.dump -o new.dump',
    "# look before you restore",
    "filter_meta.ts --target 2.4.2 --diff old.dump | less -R",
  ],
};

/** The flags but for the target. @throws {UsageError} */
async function readOptions(args: Args): Promise<Omit<FilterOptions, "target">> {
  const [source, cluster, file] = [args.value("source"), args.value("cluster"), args.value("rules")];
  if (source !== undefined && !sources.includes(source)) {
    throw new UsageError(
      `--source ${JSON.stringify(source)}: not a version that a dump can come from`,
      `one of ${sources.join(", ")}.`,
    );
  }
  if (cluster !== undefined && !/^[^/\s:]+$/.test(cluster)) {
    throw new UsageError(
      `--cluster ${JSON.stringify(cluster)}: a name without slashes, colons and spaces is expected`,
    );
  }
  const rules = file === undefined ? "" : await Deno.readTextFile(file).catch((error) => {
    throw new UsageError(`--rules ${file}: ${messageOf(error)}`);
  });
  const replica = args.integer("replica", 1);
  return {
    ...(source === undefined ? {} : { source }),
    ...(cluster === undefined ? {} : { cluster }),
    ...(replica === undefined ? {} : { replica }),
    selection: new Selection(
      args.values("tenant"),
      args.values("database"),
      args.values("table"),
      args.values("exclude"),
    ),
    own: file === undefined ? [] : await parseRules(rules, file),
    root: args.choice("root", ["auto", "keep", "drop"], "auto"),
    keepSystem: args.on("keep-system"),
    pruneUsers: args.on("prune-users"),
    dropInvalid: args.on("drop-invalid"),
    details: args.value("report") !== undefined || args.on("diff"),
    loadHash,
  };
}

/** Lets signals arrive, and stops where one has. */
async function breathe(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
  signal.throwIfAborted();
}

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  const [file] = args.positional;
  const given = await readOptions(args);
  if (args.on("print-rules")) {
    await writeStdout(new TextEncoder().encode(printRules(given, args.value("target"))));
    return 0;
  }
  const target = await readTarget(args.value("target"), signal);
  const options: FilterOptions = { ...given, target: target.format };
  const [outputFile, reportFile] = [args.value("output"), args.value("report")];
  const writesDump = !args.on("diff") && !args.on("check");

  const name = file ?? "stdin";
  const dump = await readDump(readInput(file, signal), name, { unmarked: args.on("unmarked") });
  const [notes, sums] = [new Notes(), new Sums()];
  const { facts, outcomes, kept } = await filterDump(dump, options, notes);
  const report = reportFile === undefined ? undefined : await atomicFile(reportFile);
  const lines = report && new LineWriter(report.write);
  const print = (bytes: Uint8Array) => {
    signal.throwIfAborted();
    return writeStdout(bytes);
  };
  const shown = args.on("diff") ? new LineWriter(writeStdout) : undefined;
  const colour = Deno.stdout.isTerminal() && !Deno.noColor;
  try {
    await lines?.add(runLine(facts, target.name));
    let n = 0;
    for (const outcome of outcomes) {
      sums.add(outcome);
      const writing = lines?.add(reportLine(outcome));
      if (writing) await writing;
      if (shown && outcome.action !== "kept") await shown.add(diffText(outcome, colour));
      if (++n % 10_000 === 0) await breathe(signal);
    }
    await lines?.add(endLine(sums));
    await lines?.flush();
    // Before the end mark goes out: a restore that waits for it must not start where this run then fails.
    await report?.commit();
    await shown?.flush();
  } catch (error) {
    await report?.abandon();
    // what was found before the error, if it is not that stdout is closed
    await shown?.flush().catch(() => {});
    throw error;
  }
  if (writesDump) {
    await (outputFile === undefined
      ? writeDump(entriesOf(kept), print)
      : saveDump(entriesOf(kept), outputFile));
  }
  for (const line of sums.lines(dump, facts, target.name)) say(line);
  for (const line of notes.lines(kept.length)) say(line);
  return 0;
}

if (import.meta.main) await main(command, run);
