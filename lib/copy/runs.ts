/** A whole run of copy_tables or compare_tables, from the first line to the last. */
import { createHash } from "node:crypto";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { counted } from "../cli/text.ts";
import { databaseKey } from "../cnosdb/names.ts";
import { formatTime } from "../cnosdb/time.ts";
import type { Cluster } from "./cluster.ts";
import type { RunPlan } from "./command.ts";
import { restoreTtls, type RunOptions, TableRun } from "./copy.ts";
import { Follower } from "./follow.ts";
import type { RunOutput } from "./output.ts";
import { Profiler } from "./profile.ts";
import { keepPauses, Schedule } from "./schedule.ts";
import { handOut } from "./tables.ts";
import { probeStage } from "./transfer.ts";
import { gistOf, helpFor } from "./trouble.ts";
import { describeTtl, readTtl, Ttls } from "./ttl.ts";
import { overlap, type Window } from "./windows.ts";

/**
 * What the results in a ledger are a proof of: these clusters, compared in this way; of an import half these
 * exports, of an export half files in this stage.
 */
export function proofOf(plan: RunPlan): string {
  const { task, from, to, range, verify, list, expired, intoExisting, stage } = plan;
  const exported = task === "import" ? [...list?.exported ?? []].sort(([a], [b]) => a < b ? -1 : 1) : [];
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
    stage: task === "export" ? stage?.source.storage : undefined,
  });
}

/**
 * What a run needs, from its plan.
 * @param output prints its lines
 * @param stop stops the run; with `--follow` it ends the rounds, and a last pass comes after it
 */
export function runOptions(plan: RunPlan, output: RunOutput, stop: AbortSignal): RunOptions {
  const { from, to, list, ledger, range, expired, jobs, aheadBytes } = plan;
  const ttls = ledger && to && new Ttls(to, ledger);
  const names = list?.names ?? [];
  /** how many tables are left, by database */
  const left = new Map([...Map.groupBy(names, databaseKey)].map(([key, { length }]) => [key, length]));
  const halt = new AbortController();
  const signal = plan.follow ? halt.signal : AbortSignal.any([halt.signal, stop]);
  const schedule = new Schedule({ jobs, aheadBytes, left: (database) => left.get(database) ?? 0, signal });
  const reported = new Set<string>();
  const onRetry = (error: unknown) => {
    const gist = gistOf(error);
    if (reported.has(gist)) return;
    reported.add(gist);
    const help = helpFor(error);
    output.say(`once more, as this may pass: ${messageOf(error)}${help ? ` (${help})` : ""}`);
  };
  const onStep = output.step.bind(output);
  const profiler = (side: Cluster | undefined) =>
    side && new Profiler(side, schedule, signal, { onStep, onRetry });
  return {
    ...plan,
    source: profiler(from),
    target: profiler(to),
    schedule,
    halt,
    signal,
    ttls,
    rowsPerWindow: 5_000_000,
    lookAgainMs: 500,
    tally: output.standing,
    raiseTtl: expired === "raise" && ttls ? (name) => ttls.raise(name.tenant, name.database) : undefined,
    bounds: expired === "raise" ? () => Promise.resolve(range) : notExpired((to ?? from)!, range),
    exported: list?.exported ?? new Map(),
    claim: ledger ? (most) => ledger.claim(most) : handOut(names),
    onResult: async (result) => {
      left.set(databaseKey(result), (left.get(databaseKey(result)) ?? 1) - 1);
      await output.result(result);
    },
    say: output.say,
    show: (text) => output.head = text,
  };
}

/**
 * Does what a plan says, and restores the TTLs of what is done.
 * @param stop as it was given to `runOptions`
 * @throws why it stopped before all was done, or that a TTL could not be restored
 */
export async function work(plan: RunPlan, options: RunOptions, stop: AbortSignal): Promise<void> {
  const { from, list, follow: following, ledger, hours } = plan;
  const { ttls, say, signal } = options;
  let stopped: unknown;
  using _ = keepPauses(options.schedule, say, hours);
  try {
    if (following) {
      // what was equal once is to be followed again
      await ledger?.reopen(await Array.fromAsync(ledger.rows()));
      const clockMs = await from!.clockAheadMs(list?.names[0]?.tenant ?? "cnosdb", signal, say);
      await new Follower(options, { ...following, clockMs }).follow(stop);
    } else await new TableRun(options).run();
  } catch (error) {
    stopped = error;
  }
  // also if nothing was left to do: an earlier run may have been killed before it came to this
  const ttlsLeft = await restoreTtls(options);
  if (stopped) {
    if (!ttlsLeft) { for (const ttl of await ttls?.noted() ?? []) say(describeTtl(ttl)); }
    throw stopped;
  }
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
export async function runTables(plan: RunPlan, output: RunOutput, stop: AbortSignal): Promise<number> {
  const { task, from, to, list, ledger, stage, range, verify } = plan;
  const tables = ledger ? await ledger.start(proofOf(plan), list?.names) : list?.names.length;
  if (tables === undefined) {
    throw new UsageError(
      "no tables: neither a file nor a list on stdin" +
        (ledger ? `, and ${ledger.name} knows none for these clusters` : ""),
      "say --all for all tables of the source.",
    );
  }
  const options = runOptions(plan, output, stop);
  const tenants = new Set(list?.names.map(({ tenant }) => tenant));
  const [tenant = "cnosdb"] = tenants;
  for (const ttl of await options.ttls?.find([...tenants]) ?? []) output.say(describeTtl(ttl));
  for (const side of [from, to]) if (stage && side) await probeStage(stage, side, tenant, stop);
  const definitions = list?.definitions ?? [];
  const about = (side: Cluster | undefined) => side && { url: side.url, version: side.version };
  const { from: since, to: until } = range;
  const run = { from: about(from), to: about(to), verify, since, until };
  await output.begin(tables + definitions.length, run);
  for (const name of definitions) await output.result({ ...name, status: "definition" });
  const stopped = await work(plan, options, stop).then(() => undefined, (error) => error);
  return await output.end(stopped, task === "plan");
}

/** Bounds of rows that a cluster's TTLs let in, but for those that would expire before they are there. */
function notExpired(cluster: Cluster, range: Window): RunOptions["bounds"] {
  const ttls = new Map<string, Promise<number>>();
  return async (name) => {
    const ask = () => readTtl(cluster, name.tenant, name.database);
    const ttlSeconds = await ttls.getOrInsertComputed(databaseKey(name), ask);
    if (ttlSeconds === Infinity) return range;
    const marginSeconds = Math.min(3600, ttlSeconds / 10);
    const beginMs = Math.trunc(Date.now() - (ttlSeconds - marginSeconds) * 1000);
    return overlap(range, { from: formatTime(BigInt(beginMs) * 1_000_000n) });
  };
}
