/** The command lines of copy_tables and compare_tables. */
import { type Args, caFlag } from "../cli/command.ts";
import { UsageError } from "../cli/errors.ts";
import { readInput, readText } from "../cli/files.ts";
import { sqlEndpoint } from "../cnosdb/sql.ts";
import { formatTime, parseDuration, parseTime } from "../cnosdb/time.ts";
import { Selection } from "../filter/selection.ts";
import type { Stage } from "../stage/stage.ts";
import { checkTwoClusters, Cluster } from "./cluster.ts";
import type { FollowOptions } from "./follow.ts";
import type { Ledger } from "./ledger.ts";
import { readHours, type Role } from "./schedule.ts";
import { listTables, readTables, type TableList } from "./tables.ts";
import type { Window } from "./windows.ts";

/** The flags of both scripts. */
export const sharedFlags = `
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
`;

/** What a run is to do. */
export type RunPlan = Awaited<ReturnType<typeof readPlan>> & {
  stage?: Stage;
  /** missing: no result is kept */
  ledger?: Ledger;
};

/**
 * Reads what a command line asks for, and opens its clusters.
 * @param work the task if no flag says otherwise
 * @throws {UsageError} if it cannot be carried out; if the flags alone show that, before any server is asked
 */
export async function readPlan(args: Args, work: "copy" | "compare", signal: AbortSignal) {
  const only = args.choice("only", ["export", "import"], undefined);
  if (only && args.value("stage") === undefined) {
    throw new UsageError(
      `--only ${only} needs a --stage: what this script serves is gone at its end`,
      "give --stage file:///directory or s3://bucket/directory.",
    );
  }
  if (only === "import" && (args.value("since") ?? args.value("until")) !== undefined) {
    throw new UsageError(
      "--only import takes all that was exported",
      "give --since and --until to --only export.",
    );
  }
  if (args.on("follow") && (only || args.on("dry-run") || args.value("until") !== undefined)) {
    throw new UsageError(
      "--follow goes with both clusters and has no end: leave --only, --until and --dry-run out",
    );
  }
  const rounds: Omit<FollowOptions, "clockMs"> = {
    recheckMs: readMs(args, "recheck") ?? 600_000,
    quietMs: readMs(args, "quiet-for"),
  };
  const plan = {
    task: args.on("dry-run") ? "plan" : only ?? work,
    // A half needs only its own side, and may not reach the other one.
    from: only === "import" ? undefined : await readCluster(args, "source", "from", "CNOSDB_FROM"),
    to: only === "export" ? undefined : await readCluster(args, "target", "to", "CNOSDB_TO"),
    range: readRange(args),
    verify: args.choice("verify", work === "copy" ? ["count", "full", "none"] : ["count", "full"], "count"),
    expired: args.choice("expired", ["raise", "skip"], "raise"),
    intoExisting: args.on("into-existing"),
    jobs: args.integer("jobs", 1, 1000) ?? 4,
    aheadBytes: args.bytes("ahead") ?? 2 * 1024 ** 3,
    hours: args.parsed("hours", readHours, "two times of the day such as 02:00-06:00"),
    follow: args.on("follow") ? rounds : undefined,
  } as const;
  const { from, to } = plan;
  await Promise.all([from?.open(signal), to?.open(signal)]);
  if (from && to) await checkTwoClusters(from, to);
  // without a list: the ledger's newest
  return { ...plan, list: await readList(args, from, signal) };
}

function readMs(args: Args, flag: string): number | undefined {
  const seconds = args.parsed(flag, (text) => parseDuration(text) || undefined, "a duration such as 10m");
  return seconds && seconds * 1000;
}

/** The cluster of `--from` or `--to`. @param variable of the environment, if the flag is not given */
async function readCluster(args: Args, role: Role, flag: string, variable: string): Promise<Cluster> {
  const given = args.values(flag).join() || Deno.env.get(variable) || "";
  const urls = given.split(",").filter(Boolean);
  const ca = args.value("ca");
  const patience = parseDuration(Deno.env.get("CNOSDB_RETRY_FOR") ?? "10m");
  if (patience === undefined) throw new UsageError("CNOSDB_RETRY_FOR: expected a duration such as 10m");
  return new Cluster(
    role,
    (urls.length ? urls : [undefined]).map((url) => sqlEndpoint(`--${flag}`, url, variable)),
    { patienceMs: patience * 1000, ca: ca === undefined ? ca : await readText(ca) },
  );
}

/** The bounds of `--since` and `--until`. */
function readRange(args: Args): Window {
  const time = (flag: string) => {
    const nanos = args.parsed(flag, parseTime, "a time such as 2026-11-22T10:00:00Z");
    return nanos === undefined ? undefined : formatTime(nanos);
  };
  const range = { from: time("since"), to: time("until") };
  if (range.from === undefined || range.to === undefined || range.from < range.to) return range;
  throw new UsageError("--until is not after --since");
}

/**
 * The tables of FILE or stdin, or with `--all` those of the source.
 * @returns undefined if nobody gave a list, as stdin is a terminal
 * @throws {Failure} if the input is not whole, or a flag selects none of it: a misspelt name would copy
 * nothing, in silence
 */
async function readList(
  args: Args,
  source: Cluster | undefined,
  signal: AbortSignal,
): Promise<TableList | undefined> {
  const [file] = args.positional;
  const all = args.on("all");
  if (all && (!source || file !== undefined)) {
    throw new UsageError("--all asks the source, so give --from, and no file");
  }
  if (!all && file === undefined && Deno.stdin.isTerminal()) return undefined;
  const where = all ? `the source, ${source!.url}` : file ?? "stdin";
  const selection = new Selection(args);
  const list = all
    ? await listTables(source!, selection.wants, signal)
    : await readTables(readInput(file, signal), where, selection.wants);
  const misspelt = selection.unmatched();
  if (misspelt.length) {
    throw new UsageError(
      `${misspelt.join(", ")}: matches no table of ${where}`,
      "is the name spelt as there? It is case sensitive, and only * and ? stand for anything else.",
    );
  }
  if (all || list.names.length + list.definitions.length) return list;
  throw new UsageError(
    `no tables: ${where} has none that is wanted`,
    "say --all for all tables of the source; or did the command before in the pipe fail?",
  );
}
