#!/usr/bin/env -S deno run --allow-read --allow-write --allow-net --allow-sys --allow-env=CNOSDB_USER,CNOSDB_PASSWORD,NODE_USE_SYSTEM_CA,NO_COLOR,TMPDIR,TMP,TEMP
/**
 * Turns a dump of CnosDB's meta store into one that another version can be restored from.
 *
 *     dump_meta.ts OLD | filter_meta.ts --target 2.4.2 | restore_meta.ts NEW
 *
 * Reads stdin, writes stdout; see --help. Exit codes: 0 done, 1 the dump cannot be converted, 2 usage, 130 interrupted.
 */
import { Buffer } from "node:buffer";
import { Choice } from "../lib/filter/choice.ts";
import { type Args, type Command, main, type Say } from "../lib/cli/cli.ts";
import { loadBcrypt } from "../lib/cli/deps.ts";
import { DumpWriter } from "../lib/dump/dump.ts";
import { messageOf, UsageError } from "../lib/cli/errors.ts";
import type { Outcome } from "../lib/filter/account.ts";
import { Filter } from "../lib/filter/filter.ts";
import { atomicFile, LineWriter, stdinSource, warnOfReaders, writeStdout } from "../lib/cli/io.ts";
import { parseRules, type Rule } from "../lib/filter/rules.ts";
import { isSource, sources, targetFormat } from "../lib/versions/versions.ts";

export const command: Command = {
  name: "filter_meta",
  summary: "turns a dump of one version's meta store into one for another version",
  usage: ["--target VERSION [FLAGS] < dump > dump"],
  flags: [
    {
      name: "target",
      short: "t",
      value: "VERSION",
      help:
        "the version of the new cluster (2.4.0 to 2.4.3.4), or the URL\nof one of its data nodes, which is asked. Required",
    },
    {
      name: "source",
      value: "VERSION",
      help:
        "the version of the dump, where its shapes do not say it:\n2.3.0 and 2.3.1 meant 365 days by a missing TTL",
    },
    { name: "cluster", value: "NAME", help: "the new cluster's name, where it differs from the old one's" },
    {
      name: "tenant",
      value: "TENANT",
      many: true,
      help:
        "carry over this tenant and what is in it (* and ? as in a\nshell; names with dots in double quotes)",
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
      name: "memcache-partitions",
      value: "N",
      help:
        "what CREATE DATABASE of 2.4.2 and later sets to the node's\ncores; 16 by default, as in CnosDB's own database public",
    },
    {
      name: "root",
      value: "auto|keep|drop",
      help:
        "auto drops a root without a password: it would lock all out\nof a cluster with authentication on",
    },
    { name: "keep-system", help: "keep the databases usage_schema and cluster_schema of cnosdb" },
    { name: "rules", value: "FILE", help: "further drops and patches, as YAML; see the README" },
    { name: "print-rules", help: "print the built-in drops in that form" },
    { name: "drop-invalid", help: "drop entries that cannot be converted, and name them" },
    { name: "report", value: "FILE", help: "what became of each entry, as JSON lines" },
    { name: "diff", help: "print each changed entry before and after, instead of a dump" },
    { name: "check", help: "write no dump, only say whether it would convert" },
  ],
  examples: [
    "# a 2.3 cluster into 2.4.2",
    "filter_meta.ts --target 2.4.2 < old.dump > new.dump",
    "# ask the new cluster for its version; it has another name",
    "filter_meta.ts --target http://new:8902 --cluster cluster_new < old.dump",
    "# one tenant, without its test databases",
    'filter_meta.ts -t 2.4.3 --tenant acme --exclude "acme.test_*" < old.dump',
    "# look before you restore",
    "filter_meta.ts --target 2.4.2 --diff < old.dump | less -R",
  ],
};

/** The built-in drops, in the form that --rules takes. */
export const builtInRules =
  `# The cluster's own bookkeeping. Buckets name raft groups that do not exist in the new cluster, and data_nodes
# would point it at the old one's addresses.
- drop: /data_version
- drop: /already_init_key
- drop: /test_alive
- drop: /*/auto_incr_id
- drop: /*/data_nodes/*
- drop: /*/data_nodes_metrics/*
- drop: /*/resourceinfos/**
- drop: /*/resourceinfosmark
- drop: /*/queries/*
- drop: /*/*/queries/*
- drop: /*/tenants/**/dbs/**/buckets/*
# The server's own metrics and views (--keep-system keeps them).
- drop: /*/tenants/cnosdb/dbs/usage_schema
- drop: /*/tenants/cnosdb/dbs/usage_schema/**
- drop: /*/tenants/cnosdb/dbs/cluster_schema
- drop: /*/tenants/cnosdb/dbs/cluster_schema/**
# Only where root has no password (--root keep keeps it), with its /*/tenants/**/members/{id of root}:
# - drop: /*/users/root
`;

/** bcrypt, cost 12, with a salt made of the user's 128-bit id: random, unique, and the same in every run. */
async function loadHash(): Promise<(password: string, userId: string) => string> {
  const bcrypt = await loadBcrypt();
  return (password, userId) => {
    const id = Buffer.from(BigInt(userId).toString(16).padStart(32, "0"), "hex");
    return bcrypt.hashSync(password, `$2b$12$${bcrypt.encodeBase64(id, 16)}`);
  };
}

async function readRules(file: string | undefined): Promise<Rule[]> {
  if (file === undefined) return [];
  const text = await Deno.readTextFile(file).catch((error) => {
    throw new UsageError(`--rules ${file}: ${messageOf(error)}`);
  });
  return parseRules(text, file);
}

/** The target's form and how to call it, from a version or a data node's URL. */
async function readTarget(text: string | undefined, signal: AbortSignal) {
  if (text === undefined) {
    throw new UsageError(
      "--target is missing",
      "a wrong guess here makes the new cluster unreadable: say its version, or a data node's URL.",
    );
  }
  if (!/[:/]/.test(text)) return { format: targetFormat(text), name: text };
  const [{ parseEndpoint }, { SqlClient }] = await Promise.all([
    import("../lib/cnosdb/http.ts"),
    import("../lib/cnosdb/sql.ts"),
  ]);
  const node = parseEndpoint(text, 8902);
  const version = await new SqlClient(node, signal).version();
  return { format: targetFormat(version), name: `${version} (as ${node.url} says)` };
}

/** One entry's line in the report. */
function reportLine({ line, key, kind, action, rules, newKey, changes }: Outcome): string {
  const renamed = newKey === undefined ? {} : { new_key: newKey };
  const list = changes.map(({ path, before, after }) => ({ path, old: before, new: after }));
  return JSON.stringify({ line, key, kind, action, rules, ...renamed, changes: list });
}

/** A changed entry, readable; red and green where `colour`. */
function diffText({ key, action, rules, newKey, changes }: Outcome, colour: boolean): string {
  const paint = (code: number, text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  if (action === "dropped") return paint(31, `- ${key}  (${rules.join(", ")})`);
  const rows = changes.flatMap(({ path, before, after }) => [
    ...(before === undefined ? [] : [paint(31, `    - ${path}: ${before}`)]),
    ...(after === undefined ? [] : [paint(32, `    + ${path}: ${after}`)]),
  ]);
  return [`  ${newKey ?? key}  (${rules.join(", ")})`, ...rows].join("\n");
}

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  if (args.on("print-rules")) {
    await writeStdout(new TextEncoder().encode(builtInRules));
    return 0;
  }
  if (args.positional.length) {
    throw new UsageError(
      `unexpected argument ${JSON.stringify(args.positional[0])}`,
      "the dump is read from stdin: filter_meta.ts --target 2.4.2 < FILE",
    );
  }
  const target = await readTarget(args.value("target"), signal);
  const source = args.value("source");
  if (source !== undefined && !isSource(source)) {
    throw new UsageError(
      `--source ${JSON.stringify(source)}: not a version that a dump can come from`,
      `one of ${sources.join(", ")}.`,
    );
  }
  const cluster = args.value("cluster");
  if (cluster !== undefined && !/^[^/\s:]+$/.test(cluster)) {
    throw new UsageError(
      `--cluster ${JSON.stringify(cluster)}: a name without slashes, colons and spaces is expected`,
    );
  }
  const replica = args.integer("replica", 1);
  const rules = await readRules(args.value("rules"));
  if (Deno.stdin.isTerminal()) {
    throw new UsageError("stdin is a terminal", "pipe a dump in: dump_meta.ts OLD | filter_meta.ts …");
  }
  const filter = new Filter({
    target: target.format,
    ...(source === undefined ? {} : { source }),
    ...(cluster === undefined ? {} : { cluster }),
    choice: new Choice(
      args.values("tenant"),
      args.values("database"),
      args.values("table"),
      args.values("exclude"),
    ),
    rules,
    ...(replica === undefined ? {} : { replica }),
    memcachePartitions: args.integer("memcache-partitions", 1, 1024) ?? 16,
    root: args.choice("root", ["auto", "keep", "drop"], "auto"),
    keepSystem: args.on("keep-system"),
    pruneUsers: args.on("prune-users"),
    dropInvalid: args.on("drop-invalid"),
    loadHash,
  });

  const writesDump = !args.on("diff") && !args.on("check");
  if (writesDump) warnOfReaders(say);
  const reportFile = args.value("report");
  const report = reportFile === undefined ? undefined : await atomicFile(reportFile);
  const colour = Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR");
  const output = new DumpWriter(async (bytes) => {
    if (signal.aborted) throw signal.reason;
    await writeStdout(bytes);
  });
  const input = await stdinSource();
  const reported = report && new LineWriter(report.write);
  const shown = args.on("diff") ? new LineWriter(writeStdout) : undefined;
  try {
    const tell = async (outcome: Outcome) => {
      await reported?.add(reportLine(outcome));
      if (outcome.action !== "kept") await shown?.add(diffText(outcome, colour));
    };
    const survey = await filter.run(
      input,
      writesDump ? output : undefined,
      reported || shown ? tell : undefined,
    );
    await reported?.flush();
    await report?.commit();
    await shown?.flush();
    for (const line of filter.account.lines(survey, input.name, target.name)) say(line);
    return 0;
  } catch (error) {
    await report?.abandon();
    // what was found before the error; where that is why it cannot be written, the error says so
    await shown?.flush().catch(() => {});
    throw error;
  } finally {
    await input.close();
  }
}

if (import.meta.main) await main(command, run);
