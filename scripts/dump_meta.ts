#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-sys --allow-env=NODE_USE_SYSTEM_CA,LC_ALL,LC_MESSAGES,LANG --no-prompt
/**
 * Writes what a cluster's meta service holds, with an end mark: what a migration starts from.
 *
 * dump_meta.ts META_URL... [-o FILE | --compare FILE] [--redact]
 *
 * Exit codes: 0 done, 1 failed, 2 usage, 3 --compare found a difference, 130 interrupted.
 */
import { type Args, caFlag, type Command, outputFlag } from "../lib/cli/command.ts";
import { main } from "../lib/cli/main.ts";
import type { Say } from "../lib/cli/say.ts";
import { Difference, UsageError } from "../lib/cli/errors.ts";
import { harmless } from "../lib/cli/presentable.ts";
import { printLine, readInput, readText, warnOfReaders, writeStdout } from "../lib/cli/files.ts";
import { MetaClient } from "../lib/cnosdb/meta.ts";
import { findLeader } from "../lib/cnosdb/meta_nodes.ts";
import { displayName } from "../lib/cnosdb/names.ts";
import { compareDumps, userNames } from "../lib/dump/compare.ts";
import { redacted } from "../lib/dump/redact.ts";
import { type Entry, readDump, saveDump, writeDump } from "../lib/dump/text.ts";

export const command: Command = {
  name: "dump_meta",
  summary: "dump the meta store of a CnosDB cluster, 2.3 or 2.4",
  usage: ["META_URL... [-o FILE]", "META_URL... --compare FILE"],
  positional: { name: "META_URL", least: 1 },
  flags: `
    ${outputFlag}
    --compare FILE  write no dump, but how the cluster differs from the dump in FILE, a line per key; what
                    every cluster has of its own is no difference
    --redact        replace password hashes, keys and comments, for a bug report; the result can still be
                    converted
    ${caFlag}
  `,
  notes: [
    "META_URL is host:port or a URL of a meta node (port 8901 by default): give all of them. The leader's dump " +
    "is written, whole or not at all: a follower may lag behind. A dump holds password hashes: keep it like a " +
    "password.",
  ],
  examples: [
    "# to a file",
    "dump_meta.ts old1:8901 old2:8901 old3:8901 -o old.dump",
    "# does the new cluster hold what was restored?",
    "dump_meta.ts new:8901 --compare new.dump",
  ],
};

/** Prints a line for each entry that differs. @returns how many */
async function printDifferences(here: readonly Entry[], there: readonly Entry[]): Promise<number> {
  const differences = compareDumps(here, there);
  const users = userNames([...there, ...here]);
  for (const { key, side, fields } of differences) {
    const what = { here: "only in the cluster", there: "only in the dump", both: "differs" }[side];
    const user = users.get(/\/members\/(\d+)$/.exec(key)?.[1] ?? "");
    const more = [...user === undefined ? [] : [`user ${displayName(user)}`], ...fields].join(", ");
    await printLine(harmless(`${what.padEnd(20)} ${key}${more && `  ${more}`}`));
  }
  return differences.length;
}

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  const output = args.value("output");
  const against = args.value("compare");
  const ca = args.value("ca");
  if (against !== undefined && (output !== undefined || args.on("redact"))) {
    throw new UsageError("--compare writes no dump: it goes with neither --output nor --redact");
  }
  const pem = ca === undefined ? undefined : await readText(ca);
  const meta = new MetaClient(args.positional, { signal, ca: pem });
  const leader = await meta.retry(() => findLeader(meta, say));
  const { entries } = await meta.dump(leader);
  if (against !== undefined) {
    const there = await readDump(readInput(against, signal), against, { unmarked: true });
    const differing = await printDifferences(entries, there.entries);
    if (differing) throw new Difference(`${differing} entries of ${leader.url} and ${against} differ`);
    return 0;
  }
  const shown = args.on("redact") ? redacted(entries) : entries;
  if (output === undefined) {
    await warnOfReaders(say);
    await writeDump(shown, writeStdout);
  } else await saveDump(shown, output);
  const leftOut = entries.length - shown.length;
  say(`${shown.length} entries${leftOut ? `, ${leftOut} left out` : ""}`);
  return 0;
}

if (import.meta.main) await main(command, run);
