/**
 * Restores with whatever can go wrong, at random: at the end the target holds the dump, or the exit code is not 0 and a second run
 * makes it so. Never a success that is none. `SOAK_SEED=n` runs one seed alone.
 */
import { Failure } from "../../lib/cli/errors.ts";
import { atOnce } from "../../lib/cli/deps.ts";
import { assert } from "../helpers/deps.ts";
import { randomOf } from "../helpers/random.ts";
import { accepted, holds, run, versions } from "../unit/restore/restoring.ts";
import { type Fault, type RecordedRequest, type StandIn, startStandIn } from "../standin/standin.ts";

/** 300 in `task test:all`, which sets SOAK_RUNS. */
const runs = Number(Deno.env.get("SOAK_RUNS") ?? 24);

interface Trouble {
  faults: number;
  /** whether something was changed behind the script's back */
  meddled: boolean;
}

/** Makes a part of all requests go wrong, and lets the leader change. */
function disturb(target: StandIn, random: () => number, until: Promise<void>): Trouble {
  const trouble: Trouble = { faults: 0, meddled: false };
  const rate = random() * 0.3;
  const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)]!;
  target.fault = (request: RecordedRequest): Fault | undefined => {
    if (random() < 0.05) target.setLeader(pick(0, 1, 2, 0, 1, 2, -1));
    if (random() >= rate) return undefined;
    trouble.faults++;
    const cut: Fault[] = [{ kind: "close" }, { kind: "cut-after" }, { kind: "truncate" }];
    if (request.path !== "/restore") {
      return pick<Fault>(...cut, { kind: "answer", status: 503, body: "" });
    }
    if (random() < 0.02) {
      target.store.delete(pick(...target.store.keys()));
      trouble.meddled = true;
    }
    return pick<Fault>(
      ...cut,
      { kind: "cut-during" },
      { kind: "answer", status: 500, body: "no" },
      { kind: "answer", status: 502, body: "", execute: true },
      { kind: "answer", status: 200, body: "quorum is lost" },
      { kind: "answer", status: 200, body: "has to forward request to: None, None" },
      random() < 0.1 ? { kind: "total", total: Math.floor(random() * 50) } : { kind: "close" },
      random() < 0.1 ? { kind: "delay", until } : { kind: "close" },
      random() < 0.1 ? { kind: "delay", until, after: true } : { kind: "cut-during" },
    );
  };
  return trouble;
}

Deno.test(`${runs} restores with faults at random end equal or not at all`, async () => {
  const only = Deno.env.get("SOAK_SEED");
  const counts = { succeeded: 0, failed: 0, differed: 0, faults: 0, requests: 0 };
  const seeds = only ? [Number(only)] : Array.from({ length: runs }, (_, i) => i);
  await atOnce(6, seeds, async (seed) => {
    const random = randomOf(seed);
    const version = versions[seed % versions.length]!;
    const dump = await accepted(version);
    const target = await startStandIn({ version, mode: "separate", metaNodes: 3 });
    const fresh = new Map(target.store);
    const { promise: until, resolve: release } = Promise.withResolvers<void>();
    const trouble = disturb(target, random, until);
    const options = {
      // Mostly all three: a leader that was not given is an error.
      urls: [target.metaUrl, ...target.followerUrls].slice(0, 1 + Math.floor(random() * 8)),
      jobs: 1 + Math.floor(random() * 16),
      timeoutMs: 250,
    };
    try {
      const failure = await run(target, dump, options).then(() => undefined, (error: unknown) => error);
      release();
      target.fault = undefined;
      target.setLeader(0);
      counts.faults += trouble.faults;
      counts.requests += target.requests.length;
      if (failure === undefined) {
        counts.succeeded++;
        assert(holds(target, dump), "a success that is none");
      } else {
        assert(failure instanceof Failure && failure.exitCode !== 0, `not meant for an operator: ${failure}`);
        assert(failure.exitCode !== 3 || trouble.meddled, `a difference that is none: ${failure.message}`);
        counts[failure.exitCode === 3 ? "differed" : "failed"]++;
        // What a fault took from the store was not restore_meta's, so it does not bring it back.
        if (trouble.meddled) {
          for (const [key, value] of fresh) if (!target.store.has(key)) target.store.set(key, value);
        }
        await run(target, dump, { force: trouble.meddled });
        assert(holds(target, dump), "a second run does not mend it");
      }
    } catch (error) {
      throw new Error(`seed ${seed} (SOAK_SEED=${seed} runs it alone): ${error}`, { cause: error });
    } finally {
      release();
      await target.close();
    }
  });
  console.log(
    `soak: ${counts.succeeded} succeeded, ${counts.failed} failed and ${counts.differed} found a difference, all of which a ` +
      `second run mended; ${counts.faults} faults in ${counts.requests} requests`,
  );
});
