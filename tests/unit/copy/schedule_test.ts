/** Which statement runs next. */
import {
  type Hold,
  type Role,
  Schedule,
  type ScheduleOptions,
  type Step,
} from "../../../lib/copy/schedule.ts";
import { assertEquals } from "../../helpers/deps.ts";

const roles: Record<Step, Role> = { profile: "source", export: "source", import: "target", verify: "target" };

/** A schedule, and statements that run until they are told to end. */
function scheduled(options: Partial<ScheduleOptions> = {}) {
  const schedule = new Schedule({
    ...{ jobs: 100, aheadBytes: Infinity, left: () => 0, overloaded: (error) => error === "overload" },
    ...options,
  });
  const running: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const begin = (step: Step, database: string, name: string, hold?: Hold) => {
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    return schedule.turn({ role: roles[step], step, database, ...(hold ? { hold } : {}) }, async () => {
      running.push(name);
      await end.promise.finally(() => running.splice(running.indexOf(name), 1));
    }).catch((error) => error);
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  const end = async (name: string, error?: unknown) => {
    if (error === undefined) ends.get(name)?.resolve();
    else ends.get(name)?.reject(error);
    await settle();
  };
  return { schedule, running, begin, end, settle };
}

Deno.test("one import a database runs, of the database with the most left first", async () => {
  const left: Record<string, number> = { small: 1, large: 9 };
  const one = scheduled({ jobs: 1, left: (database) => left[database] ?? 0 });
  one.begin("import", "small", "first");
  one.begin("import", "small", "s");
  one.begin("import", "large", "l1");
  await one.settle();
  assertEquals(one.running, ["first"]);
  await one.end("first");
  assertEquals(one.running, ["l1"]);
  const wide = scheduled();
  for (const name of ["a1", "a2", "b1"]) wide.begin("import", name[0]!, name);
  await wide.settle();
  assertEquals(wide.running, ["a1", "b1"]);
});

Deno.test("imports go first, then what keeps them going, then what ends a table", async () => {
  const { begin, end, running, settle } = scheduled({ jobs: 2 });
  begin("export", "a", "e1");
  begin("export", "b", "e2");
  begin("profile", "c", "p");
  begin("import", "c", "i");
  begin("verify", "d", "v");
  await settle();
  assertEquals(running, ["e1", "e2"]);
  await end("e1");
  assertEquals(running, ["e2", "i"]);
  await end("i");
  assertEquals(running, ["e2", "p"]);
  await end("p");
  assertEquals(running, ["e2", "v"]);
});

Deno.test("an export waits for room in the stage, unless nothing is staged; what it held is free when its window ends, however it ends", async () => {
  const { schedule, begin, end, running, settle } = scheduled({ aheadBytes: 100 });
  const window = (name: string, bytes: number, then: Promise<void>) =>
    schedule.staged(async (hold) => {
      hold.bytes = bytes;
      await begin("export", "a", name, hold);
      await then;
    }).catch(() => {});
  const [imported, failed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  window("huge", 500, imported.promise);
  window("small", 60, failed.promise);
  window("next", 60, Promise.resolve());
  await settle();
  assertEquals(running, ["huge"]);
  await end("huge");
  assertEquals(running, [], "it is exported, and not imported yet");
  imported.resolve();
  await settle();
  assertEquals(running, ["small"]);
  await end("small");
  assertEquals(running, []);
  failed.reject(new Error("rows expired"));
  await settle();
  assertEquals(running, ["next"]);
});

Deno.test("overload halves a side's limit once for all that ran together, and good ones bring it back", async () => {
  const { begin, end, running, settle } = scheduled({ jobs: 8 });
  for (let i = 0; i < 30; i++) begin("import", `d${i}`, `i${i}`);
  await settle();
  assertEquals(running.length, 8);
  for (let i = 0; i < 8; i++) await end(`i${i}`, "overload");
  assertEquals(running.length, 4);
  for (let i = 8; i < 24; i++) await end(`i${i}`);
  assertEquals(running.length, 6);
});

Deno.test("a schedule that is stopped lets nothing through, and what runs goes on", async () => {
  const { schedule, begin, running, settle } = scheduled({ jobs: 1 });
  begin("export", "a", "runs");
  const waiting = begin("export", "a", "waits");
  await settle();
  schedule.stop("stopped");
  assertEquals([await waiting, running], ["stopped", ["runs"]]);
  assertEquals(await begin("verify", "a", "late"), "stopped");
});
