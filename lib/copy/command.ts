/** What copy_tables and compare_tables share of their command lines. */
import { type Args, caFlag, type Flag, flagsOf } from "../cli/command.ts";
import type { Say } from "../cli/say.ts";
import { UsageError } from "../cli/errors.ts";
import { readInput, readText } from "../cli/files.ts";
import { describeSeconds } from "../cli/text.ts";
import { sqlEndpoint } from "../cnosdb/sql.ts";
import { formatTime, parseDuration, parseTime } from "../cnosdb/time.ts";
import type { TableSelection } from "../filter/selection.ts";
import { Cluster } from "./cluster.ts";
import type { FollowOptions } from "./follow.ts";
import { listTables, readTables, type TableList } from "./tables.ts";
import { type Window, window } from "./windows.ts";

/** The flags of both scripts. */
export const sharedFlags: Flag[] = flagsOf(`
  Clusters:
    --from URL...   a data node of the source (host:8902), or several of it; or CNOSDB_FROM
    --to URL...     a data node of the target, or several of it; or CNOSDB_TO
    ${caFlag}
  Tables and rows:
    --all           all tables of the source, instead of a list
    --tenant TENANT...                of the list, that tenant's tables alone; * and ? as in a shell
    --database TENANT.DATABASE...     of the list, that database's
    --table TENANT.DATABASE.TABLE...  of the list, that one
    --exclude NAME...                 of the list, not that tenant, database or table
    --since TIME    only rows from then on, such as 2026-11-22T10:00:00Z
    --until TIME    only rows before then
  The run:
    -j, --jobs N    statements at once, on both sides together (default 4)
    -o, --output FILE   where the lines go instead of stdout
`);

/** The cluster of `--from` or `--to`. @throws {UsageError} where it is missing or no URL */
export async function readCluster(args: Args, role: "source" | "target"): Promise<Cluster> {
  const [flag, variable] = role === "source" ? ["from", "CNOSDB_FROM"] : ["to", "CNOSDB_TO"];
  const given = args.values(flag!).join(",") || Deno.env.get(variable!) || "";
  const urls = given.split(",").filter(Boolean);
  const endpoints = (urls.length ? urls : [undefined]).map((url) => sqlEndpoint(`--${flag}`, url, variable!));
  const ca = args.value("ca");
  const patience = parseDuration(Deno.env.get("CNOSDB_RETRY_FOR") ?? "10m");
  if (patience === undefined) throw new UsageError("CNOSDB_RETRY_FOR: expected a duration such as 10m");
  return new Cluster(role, endpoints, {
    patienceMs: patience * 1000,
    ca: ca === undefined ? ca : await readText(ca),
  });
}

/** The bounds of `--since` and `--until`. @throws {UsageError} where they are no times, or none lies between them */
export function readRange(args: Args): Window {
  const time = (flag: string) => {
    const text = args.value(flag);
    if (text === undefined) return undefined;
    const nanos = parseTime(text);
    if (nanos !== undefined) return formatTime(nanos);
    throw new UsageError(`--${flag} ${JSON.stringify(text)}: expected a time such as 2026-11-22T10:00:00Z`);
  };
  const range = window(time("since"), time("until"));
  if (range.from !== undefined && range.to !== undefined && range.to <= range.from) {
    throw new UsageError("--until is not after --since");
  }
  return range;
}

/** Milliseconds of `10m`, `60s`. @throws {UsageError} where it is no duration */
function readDuration(flag: string, text: string): number {
  const seconds = parseDuration(text);
  if (seconds) return seconds * 1000;
  throw new UsageError(`--${flag} ${JSON.stringify(text)}: expected a duration such as 10m`);
}

/** The durations of `--recheck` and `--quiet-for`. @throws {UsageError} */
export function readPace(args: Args): Pick<FollowOptions, "recheckMs" | "quietMs"> {
  const quiet = args.value("quiet-for");
  return {
    recheckMs: readDuration("recheck", args.value("recheck") ?? "10m"),
    quietMs: quiet === undefined ? undefined : readDuration("quiet-for", quiet),
  };
}

/** How far a cluster's clock is ahead of ours; more than a minute is said. @param tenant one in which our user may work */
export async function readClock(
  cluster: Cluster,
  tenant: string,
  signal: AbortSignal,
  say: Say,
): Promise<number> {
  const aheadMs = await cluster.clockAheadMs(tenant, signal);
  const [off, how] = [describeSeconds(Math.abs(aheadMs) / 1000), aheadMs > 0 ? "ahead of" : "behind"];
  if (Math.abs(aheadMs) > 60_000) {
    say(
      `the clock of the ${cluster.role}, ${cluster.url}, is ${off} ${how} this machine's: the cluster's is used`,
    );
  }
  return aheadMs;
}

/**
 * The tables of FILE or stdin, or with `--all` those of the source.
 * @param selection which of them are taken
 * @returns undefined where stdin is a terminal, so that nobody gave a list
 * @throws {Failure} where the input is not whole, or a flag selects no table of it: a misspelt name would copy nothing in silence
 */
export async function readList(
  args: Args,
  source: Cluster | undefined,
  selection: TableSelection,
  signal: AbortSignal,
): Promise<TableList | undefined> {
  const [file] = args.positional;
  if (args.on("all")) {
    if (!source || file !== undefined) {
      throw new UsageError("--all asks the source, so give --from, and no file");
    }
    const list = await listTables(source, selection.wants, signal);
    assertMatched(selection, `the source, ${source.url}`);
    return list;
  }
  if (file === undefined && Deno.stdin.isTerminal()) return undefined;
  const list = await readTables(readInput(file, signal), file ?? "stdin", selection.wants);
  assertMatched(selection, file ?? "stdin");
  if (list.names.length + list.definitions.length) return list;
  throw new UsageError(
    `no tables: ${file ?? "stdin"} has none that is wanted`,
    "say --all for all tables of the source; or did the command before in the pipe fail?",
  );
}

function assertMatched(selection: TableSelection, where: string): void {
  const unmatched = selection.unmatched();
  if (!unmatched.length) return;
  throw new UsageError(
    `${unmatched.join(", ")}: matches no table of ${where}`,
    "is the name spelt as there? It is case sensitive, and only * and ? stand for anything else.",
  );
}
