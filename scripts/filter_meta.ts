#!/usr/bin/env -S deno run --allow-read --allow-write --allow-net --allow-sys --allow-env=NODE_USE_SYSTEM_CA,LC_ALL,LC_MESSAGES,LANG --no-prompt
/**
 * Turns a dump of CnosDB's meta store into one that another version can be restored from.
 *
 *     dump_meta.ts OLD | filter_meta.ts --target 2.4.2 | restore_meta.ts NEW
 *
 * Exit codes: 0 done, 1 the dump cannot be converted, 2 usage, 130 interrupted.
 */
import { type Args, type Command, outputFlag, unmarkedFlag } from "../lib/cli/command.ts";
import { messageOf, UsageError } from "../lib/cli/errors.ts";
import { readInput, saveFile, type Sink, writeLines, writeStdout } from "../lib/cli/files.ts";
import { main } from "../lib/cli/main.ts";
import type { Say } from "../lib/cli/say.ts";
import { readDump, saveDump, writeDump } from "../lib/dump/text.ts";
import { entriesOf, filterDump, loadHash } from "../lib/filter/filter.ts";
import { parseRules } from "../lib/filter/own_rules.ts";
import { diffLines, reportLines, summary } from "../lib/filter/report.ts";
import { type FilterOptions, printRules } from "../lib/filter/rules.ts";
import { Selection } from "../lib/filter/selection.ts";
import { sources, targetFormat } from "../lib/versions/versions.ts";

export const command: Command = {
  name: "filter_meta",
  reads: false,
  summary: "turns a dump of one version's meta store into one for another version",
  usage: ["--target VERSION [FLAGS] [DUMP]", "[FLAGS] --print-rules"],
  positional: { name: "DUMP", most: 1 },
  flags: `
    -t, --target VERSION      the version of the new cluster (2.4.0 to 2.4.3.4), or the URL of one of its data
                              nodes, which is asked. Required
    --source VERSION          the version of the dump, if it does not show: in 2.3.0 and 2.3.1 a missing TTL means
                              365 days
    --cluster NAME            the new cluster's name, if it differs from the old one's
    --tenant TENANT...        carry over this tenant and what is in it (* and ? as in a shell; names with dots
                              in double quotes)
    --database T.DATABASE...  carry over this database, with its tenant
    --table T.D.TABLE...      carry over this table, with its database and tenant
    --exclude NAME...         leave out a tenant, a database or a table, with all in it
    --prune-users             leave out users who are members of no tenant carried over
    --replica N               cap the replicas of every database, for a smaller cluster
    --root auto|keep|drop     auto drops a root without a password: it would lock all out of a cluster with
                              authentication on
    --keep-system             keep the databases usage_schema and cluster_schema of cnosdb
    --rules FILE              further drops and patches, as YAML; see docs/en/recipes.md
    --print-rules             print the rules in the order in which they run, as YAML
    --drop-invalid            drop entries that cannot be converted, and name them
    ${unmarkedFlag}
    ${outputFlag}
    --report FILE             what became of each entry, as JSON lines
    --diff                    print each changed entry before and after, instead of a dump
    --check                   write no dump, only say whether it would convert
  `,
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
  const file = args.value("rules");
  const rules = file === undefined ? "" : await Deno.readTextFile(file).catch((error) => {
    throw new UsageError(`--rules ${file}: ${messageOf(error)}`);
  });
  return {
    source: args.parsed(
      "source",
      (text) => sources.find((source) => source === text),
      `one of ${sources.join(", ")}`,
    ),
    cluster: args.parsed(
      "cluster",
      (text) => /^[^/\s:]+$/.test(text) ? text : undefined,
      "a name without slashes, colons and spaces",
    ),
    replica: args.integer("replica", 1),
    selection: new Selection(args),
    own: file === undefined ? [] : await parseRules(rules, file),
    root: args.choice("root", ["auto", "keep", "drop"], "auto"),
    keepSystem: args.on("keep-system"),
    pruneUsers: args.on("prune-users"),
    dropInvalid: args.on("drop-invalid"),
    details: args.value("report") !== undefined || args.on("diff"),
    loadHash,
  };
}

/**
 * The target's release, its format, and what to call it in messages.
 * @param text a release, or a data node's URL, which is asked
 * @throws {UsageError} if no dump can be converted for it
 */
async function readTarget(text: string, signal: AbortSignal) {
  if (!/[:/]/.test(text)) return { release: text, format: targetFormat(text), name: text };
  const { parseEndpoint } = await import("../lib/cnosdb/endpoint.ts");
  const { SqlClient } = await import("../lib/cnosdb/sql.ts");
  const node = parseEndpoint(text, 8902);
  const release = await new SqlClient(node, signal).version();
  return { release, format: targetFormat(release), name: `${release} (as ${node.url} says)` };
}

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  const started = new Date();
  const given = await readOptions(args);
  const text = args.value("target");
  const target = text === undefined ? undefined : await readTarget(text, signal);
  if (args.on("print-rules")) {
    await writeStdout(new TextEncoder().encode(printRules(given, target?.release)));
    return 0;
  }
  if (target === undefined) {
    throw new UsageError(
      "--target is missing",
      "a wrong guess here makes the new cluster unreadable: say its version, or a data node's URL.",
    );
  }
  const output = args.value("output");
  const writesDump = !args.on("diff") && !args.on("check");
  if (output !== undefined && !writesDump) {
    throw new UsageError("--diff and --check write no dump: they do not go with --output");
  }
  const [file] = args.positional;
  const dump = await readDump(readInput(file, signal), file ?? "stdin", { unmarked: args.on("unmarked") });
  const filtered = await filterDump(dump, { ...given, target: target.format }, signal);
  const print: Sink = (bytes) => {
    signal.throwIfAborted();
    return writeStdout(bytes);
  };
  const reportFile = args.value("report");
  // Before the end mark goes out: a restore that waits for it must not start where this run then fails.
  if (reportFile !== undefined) {
    await saveFile(reportFile, (sink) => writeLines(reportLines(filtered, target.name, started), sink));
  }
  if (args.on("diff")) {
    await writeLines(diffLines(filtered, Deno.stdout.isTerminal() && !Deno.noColor), print);
  } else if (writesDump) {
    const entries = entriesOf(filtered);
    await (output === undefined ? writeDump(entries, print) : saveDump(entries, output));
  }
  for (const line of summary(filtered, target.name)) say(line);
  return 0;
}

if (import.meta.main) await main(command, run);
