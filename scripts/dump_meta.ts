#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-sys --allow-env=NODE_USE_SYSTEM_CA
/**
 * Writes what a cluster's meta service holds, with an end mark: what a migration starts from.
 *
 * dump_meta.ts META_URL... [-o FILE | --compare FILE] [--redact]
 *
 * Exit codes: 0 done, 1 failed, 2 usage, 3 --compare found a difference, 130 interrupted.
 */
import { type Args, type Command, main, type Say } from "../lib/cli/cli.ts";
import { compareDumps } from "../lib/dump/compare.ts";
import { DumpReader, DumpWriter, entriesOf, linesOf, toText } from "../lib/dump/dump.ts";
import { Difference, Failure, messageOf, UsageError } from "../lib/cli/errors.ts";
import { atomicFile, chunksOf, printLine, readText, warnOfReaders, writeStdout } from "../lib/cli/io.ts";
import { firstPauseMs, MetaClient, type OpenDump } from "../lib/cnosdb/meta.ts";
import { askStates, endpointAt } from "../lib/cnosdb/meta_group.ts";
import { redact } from "../lib/dump/redact.ts";

export const command: Command = {
  name: "dump_meta",
  summary: "dump the meta store of a CnosDB cluster, 2.3 or 2.4",
  usage: ["META_URL... [-o FILE]", "META_URL... --compare FILE"],
  flags: [
    {
      name: "output",
      short: "o",
      value: "FILE",
      help: "write to FILE (mode 0600), which appears whole or not at all",
    },
    {
      name: "compare",
      value: "FILE",
      help: "write no dump, but how the cluster differs from the dump in FILE: a line per key",
    },
    {
      name: "all",
      help:
        "with --compare: also what a running cluster rewrites by itself\n(metrics of nodes, queries, counters)",
    },
    {
      name: "redact",
      help:
        "replace password hashes, keys and comments, for a bug report;\nthe result can still be converted",
    },
    { name: "ca", value: "FILE", help: "PEM of a certificate authority to trust, for https" },
  ],
  notes: [
    "META_URL is host:port or a URL of a meta node, leader or follower (port 8901 by default). Of several the\nleader is asked first, then the others in turn. A dump holds password hashes: keep it like a password.",
  ],
  examples: [
    "# to a file",
    "dump_meta.ts old1:8901 old2:8901 -o old.dump",
    "# what did the restore change?",
    "dump_meta.ts new:8901 --compare before.dump",
  ],
};

/** Copies a dump. @returns how many entries are written, and how many left out */
async function copy(
  { blocks }: OpenDump,
  redacted: boolean,
  sink: (bytes: Uint8Array) => Promise<void>,
): Promise<string> {
  let leftOut = 0;
  const writer = new DumpWriter(sink);
  for await (const block of blocks) {
    if (!redacted) await writer.write(block.bytes, linesOf(block));
    else {
      for (const { key, value } of entriesOf(block)) {
        const shown = redact(key, value);
        if (shown === undefined) leftOut++;
        else await writer.write(`${key}: ${shown}\n`, 1);
      }
    }
  }
  await writer.end();
  return `${writer.entries} entries${leftOut ? `, ${leftOut} left out` : ""}`;
}

/** Has the leader asked first, or the node that has come furthest, and warns where the cluster may be further than any of them. */
async function chooseNode(meta: MetaClient, say: Say): Promise<void> {
  const { states, silent } = await askStates(meta, meta.nodes);
  const [furthest] = states;
  if (!furthest) return; // a single instance, or none that answers: that is said where it is dumped
  for (const { url } of silent) say(`warning: ${url} does not answer`);
  const leading = states.find(({ state }) => state === "Leader");
  const { node, term, leader, addresses } = leading ?? furthest;
  meta.preferred = node;
  if (leading) return;
  const address = leader === undefined ? undefined : addresses.get(leader);
  const named = address === undefined ? undefined : endpointAt(node, address);
  const answers = named ? (await askStates(meta, [named])).states : [];
  if (answers.some((other) => other.state === "Leader" && other.term >= term)) return;
  say(
    `warning: no leader of these meta nodes can be reached${
      address ? ` (${address} is named as one)` : ""
    }: what ${node.url} holds ` +
      "may be older than the cluster; give the addresses of all meta nodes",
  );
}

/** Prints a line per difference. @returns how many there are, and of which node */
async function compare(
  meta: MetaClient,
  path: string,
  exact: boolean,
): Promise<{ differences: number; url: string }> {
  const there = new Map<string, string>();
  using file = await Deno.open(path).catch((error) => {
    throw new Failure(`${path}: ${messageOf(error)}`);
  });
  for await (const { bytes, line } of new DumpReader(path).blocks(chunksOf(file))) {
    for (const { key, value } of entriesOf({ bytes: toText(bytes), line })) there.set(key, value);
  }
  const { url, lines } = await meta.dump(async ({ node, blocks }) => {
    const here = (async function* () {
      for await (const { bytes, line } of blocks) yield* entriesOf({ bytes: toText(bytes), line });
    })();
    const lines = await Array.fromAsync(
      compareDumps(here, new Map(there), exact),
      ({ key, side, fields }) => {
        if (side === "both") return `differs              ${key}  ${fields.join(", ")}`;
        return side === "here" ? `only in the cluster  ${key}` : `only in the dump     ${key}`;
      },
    );
    return { url: node.url, lines };
  });
  for (const line of lines) await printLine(line);
  return { differences: lines.length, url };
}

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  if (!args.positional.length) throw new UsageError("META_URL is missing");
  const [output, against, ca] = [args.value("output"), args.value("compare"), args.value("ca")];
  if (against !== undefined && (output !== undefined || args.on("redact"))) {
    throw new UsageError("--compare writes no dump: it goes with neither --output nor --redact");
  }
  if (output === undefined && against === undefined) warnOfReaders(say);
  const meta = new MetaClient(args.positional, {
    signal,
    ca: ca === undefined ? undefined : await readText(ca),
    pauseMs: firstPauseMs,
  });
  await chooseNode(meta, say);
  if (against !== undefined) {
    const { differences, url } = await compare(meta, against, args.on("all"));
    if (!differences) return 0;
    throw new Difference(`${differences} entries of ${url} and ${against} differ`);
  }
  // What is in a pipe cannot be taken back, and a disk that is full stays so: only what a node did is tried again with the next.
  let final = false;
  const entries = await meta.dump(async (dump) => {
    if (output === undefined) {
      return await copy(dump, args.on("redact"), (bytes) => {
        final = true;
        return writeStdout(bytes);
      });
    }
    const file = await atomicFile(output);
    try {
      const entries = await copy(dump, args.on("redact"), (bytes) =>
        file.write(bytes).catch((error) => {
          final = true;
          throw error;
        }));
      await file.commit();
      return entries;
    } catch (error) {
      await file.abandon();
      throw error;
    }
  }, () => !final);
  say(entries);
  return 0;
}

if (import.meta.main) await main(command, run);
