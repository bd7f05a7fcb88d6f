/** A whole run of copy_tables or compare_tables, from the first line to the last. */
import { createHash } from "node:crypto";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { counted } from "../cli/text.ts";
import { databaseKey } from "../cnosdb/names.ts";
import { formatTime } from "../cnosdb/time.ts";
import type { Cluster } from "./cluster.ts";
import type { RunPlan } from "./command.ts";
import { restoreTtls, type RunOptions, TableRun } from "./copy.ts";
import { follow } from "./follow.ts";
import type { RunOutput } from "./output.ts";
import { probeStage } from "./probe.ts";
import { Profiler } from "./profile.ts";
import { keepPauses, Schedule } from "./schedule.ts";
import { handOut } from "./tables.ts";
import { gistOf, helpFor } from "./trouble.ts";
import { describeTtl, readTtl, Ttls } from "./ttl.ts";
import { overlap, type Window } from "./windows.ts";

/**
 * What the results in a ledger are a proof of: these clusters, compared in this way; of an import half these
 * exports, of an export half files in this stage.
 */
export function proofOf(plan: RunPlan): string {
  const { task, from, to, range, verify, list, expired, intoExisting, stage } = plan;
  const exported = task === "import" ? [...list?.told ?? []].sort(([a], [b]) => a < b ? -1 : 1) : [];
  // A key that is undefined is left out. New ones are undefined by default, so that older ledgers stay valid.
  return JSON.stringify({
    task,
    from: from?.url,
    to: to?.url,
    verify,
    since: range.from,
    until: range.to,
    expired: expired === "skip" ? expired : undefined,
    exports: exported.length
      ? createHash("sha256").update(JSON.stringify(exported)).digest("hex")
      : undefined,
    intoExisting: intoExisting || undefined,
    stage: task === "export" ? stage?.source.url("TABLE") : undefined,
  });
}

/** What a run goes by. @param output is told what is done */
export function runOptions(plan: RunPlan, output: RunOutput): RunOptions {
  const { from, to, list, ledger, range, expired, jobs, aheadBytes } = plan;
  const ttls = ledger && to && new Ttls(to, ledger);
  const names = list?.names ?? [];
  /** tables that are to be done, by database */
  const left = new Map([...Map.groupBy(names, databaseKey)].map(([key, { length }]) => [key, length]));
  const halt = new AbortController();
  const { signal } = halt;
  const schedule = new Schedule({ jobs, aheadBytes, left: (database) => left.get(database) ?? 0, signal });
  const said = new Set<string>();
  const onAgain = (error: unknown) => {
    const gist = gistOf(error);
    const help = helpFor(error);
    const told = `once more, as this may pass: ${messageOf(error)}${help ? ` (${help})` : ""}`;
    if (!said.has(gist)) output.say(told);
    said.add(gist);
  };
  const onStep = output.step.bind(output);
  const profiler = (side: Cluster | undefined) =>
    side && new Profiler(side, schedule, signal, { onStep, onAgain });
  return {
    ...plan,
    ...{ source: profiler(from), target: profiler(to), schedule, halt, signal, ttls },
    rowsPerWindow: 5_000_000,
    lookAgainMs: 500,
    tally: output.standing,
    raiseTtl: expired === "raise" && ttls ? (name) => ttls.raise(name.tenant, name.database) : undefined,
    bounds: expired === "raise" ? () => Promise.resolve(range) : notExpired((to ?? from)!, range),
    told: list?.told ?? new Map(),
    claim: ledger ? (most) => ledger.claim(most) : handOut(names),
    onResult: async (result) => {
      left.set(databaseKey(result), (left.get(databaseKey(result)) ?? 1) - 1);
      await output.result(result);
    },
    say: output.say,
  };
}

/**
 * Does what a plan says, and sets back the TTLs of what is done.
 * @param show takes how far behind it is where it follows
 * @throws why it stopped before all was done, or that a TTL could not be set back
 */
export async function work(
  { from, list, follow: following, ledger, hours }: RunPlan,
  options: RunOptions,
  show: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const endPauses = keepPauses(options.schedule, options.say, hours);
  const { ttls, say } = options;
  let stopped: unknown;
  try {
    if (following) {
      // what was equal once is to be followed again
      await ledger?.reopen(await Array.fromAsync(ledger.rows()));
      const clockMs = await from!.clockAheadMs(list?.names[0]?.tenant ?? "cnosdb", options.signal, say);
      await follow(options, { ...following, clockMs, show }, signal);
    } else await new TableRun(options).run(signal);
  } catch (error) {
    stopped = error;
  }
  endPauses();
  // Also where nothing was left to do: a run before may have been killed before it came to this.
  const ttlsLeft = await restoreTtls(options);
  if (stopped && !ttlsLeft) { for (const ttl of await ttls?.noted() ?? []) say(describeTtl(ttl)); }
  if (stopped) throw stopped;
  if (ttlsLeft) {
    throw new Failure(
      `${counted(ttlsLeft, "TTL")} could not be set back`,
      "the lines above tell the statements to run.",
    );
  }
}

/**
 * Copies, or compares, all tables of a list, and prints a line for each.
 * @returns the exit code @throws why it stopped before its end, or that not all is well
 */
export async function runTables(plan: RunPlan, output: RunOutput, signal: AbortSignal): Promise<number> {
  const { task, from, to, list, ledger, stage, range, verify } = plan;
  const total = ledger ? await ledger.start(proofOf(plan), list?.names) : list?.names.length;
  if (total === undefined) {
    throw new UsageError(
      "no tables: neither a file nor a list on stdin" +
        (ledger ? `, and ${ledger.name} knows none for these clusters` : ""),
      "say --all for all tables of the source.",
    );
  }
  const options = runOptions(plan, output);
  const tenants = new Set(list?.names.map(({ tenant }) => tenant));
  const [tenant = "cnosdb"] = tenants;
  for (const ttl of await options.ttls?.find([...tenants]) ?? []) output.say(describeTtl(ttl));
  for (const side of [from, to]) if (stage && side) await probeStage(stage, side, tenant, signal);
  const tell = (side: Cluster | undefined) => side && { url: side.url, version: side.version };
  await output.begin(total + (list?.definitions.length ?? 0), {
    ...{ from: tell(from), to: tell(to), verify, since: range.from, until: range.to },
  });
  for (const name of list?.definitions ?? []) await output.result({ ...name, status: "definition" });
  let stopped: unknown;
  try {
    await work(plan, options, (text) => output.head = text, signal);
  } catch (error) {
    stopped = error;
  }
  return await output.end(stopped, task === "plan");
}

/** Bounds what is compared by what the cluster lets in, with what expires until it is there. */
function notExpired(cluster: Cluster, range: Window): RunOptions["bounds"] {
  const ttls = new Map<string, Promise<number>>();
  return async (name) => {
    const key = databaseKey(name);
    if (!ttls.has(key)) ttls.set(key, readTtl(cluster, name.tenant, name.database));
    const ttlSeconds = await ttls.get(key)!;
    if (ttlSeconds === Infinity) return range;
    const beginMs = Date.now() - (ttlSeconds - Math.min(3600, ttlSeconds / 10)) * 1000;
    return overlap(range, { from: formatTime(BigInt(Math.trunc(beginMs)) * 1_000_000n) });
  };
}
