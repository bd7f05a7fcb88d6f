/** Which statement runs next, and when: `--hours` and SIGUSR1. */
import {
  type Hold,
  isWithin,
  readHours,
  type Role,
  Schedule,
  type ScheduleOptions,
  type Step,
} from "../../../lib/copy/schedule.ts";
import { SqlError } from "../../../lib/cnosdb/sql.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../helpers/deps.ts";
import { Pair, until } from "./copying.ts";

const roles: Record<Step, Role> = { profile: "source", export: "source", import: "target", verify: "target" };

/** A schedule, and statements that run until they are told to end. */
function scheduled(options: Partial<ScheduleOptions> = {}) {
  const halt = new AbortController();
  const schedule = new Schedule({
    ...{ jobs: 100, aheadBytes: Infinity, left: () => 0, signal: halt.signal },
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
  return { schedule, halt, running, begin, end, settle };
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

Deno.test("an export that is sent again does not wait for the room that it holds itself", async () => {
  const { schedule, begin, end, running, settle } = scheduled({ aheadBytes: 100 });
  const ended = schedule.staged(async (hold) => {
    hold.bytes = 60;
    await begin("export", "a", "first", hold);
    await begin("export", "a", "again", hold);
  });
  await settle();
  await end("first", new Error("a lost connection"));
  assertEquals(running, ["again"]);
  await end("again");
  await ended;
});

const overload = new SqlError("busy", 429, "", "too many requests");

Deno.test("a side that has too much to do gets as many statements as it bears, half as many at least, and good ones bring it back", async () => {
  const { begin, end, running, settle } = scheduled({ jobs: 8 });
  for (let i = 0; i < 40; i++) begin("import", `d${i}`, `i${i}`);
  await settle();
  assertEquals(running.length, 8);
  for (let i = 0; i < 3; i++) await end(`i${i}`, overload);
  assertEquals(running.length, 5, "as many as went on");
  for (let i = 3; i < 11; i++) await end(`i${i}`);
  assertEquals(running.length, 7);
  for (let i = 11; i < 30; i++) await end(`i${i}`);
  assertEquals(running.length, 8, "and not more than before");
  const alone = scheduled({ jobs: 8 });
  alone.begin("import", "d", "one");
  await alone.settle();
  await alone.end("one", overload);
  for (let i = 0; i < 8; i++) alone.begin("import", `d${i}`, `i${i}`);
  alone.begin("export", "d", "out");
  await alone.settle();
  assertEquals(alone.running, ["i0", "i1", "i2", "i3", "out"], "the other side is not meant");
});

Deno.test("a schedule whose signal is aborted lets nothing through, and what runs goes on", async () => {
  const { halt, begin, running, settle } = scheduled({ jobs: 1 });
  begin("export", "a", "runs");
  const waiting = begin("export", "a", "waits");
  await settle();
  halt.abort("stopped");
  assertEquals([await waiting, running], ["stopped", ["runs"]]);
  assertEquals(await begin("verify", "a", "late"), "stopped");
});

const at = (hour: number, minute = 0) => new Date(2026, 0, 1, hour, minute);

Deno.test("hours of the day may go over midnight", () => {
  const night = readHours("22:30-06:00")!;
  assertEquals([at(22, 29), at(22, 30), at(0), at(5, 59), at(6)].map((time) => isWithin(night, time)), [
    ...[false, true, true, true, false],
  ]);
  const day = readHours("9:00-17:30")!;
  assertEquals([at(8, 59), at(9), at(17, 29), at(17, 30)].map((time) => isWithin(day, time)), [
    ...[false, true, true, false],
  ]);
  for (
    const text of [
      "",
      "2-6",
      "02:00",
      "25:00-26:00",
      "02:00-02:00",
      "2:00-02:00",
      "02:00-06:60",
      "24:00-01:00",
    ]
  ) {
    assertEquals(readHours(text), undefined);
  }
});

Deno.test("out of its --hours it begins nothing and says until when", async () => {
  await using pair = await Pair.start();
  const hour = (new Date().getHours() + 2) % 24;
  const text = (n: number) => `${String(n).padStart(2, "0")}:00`;
  const { stderr, code } = await pair.script(["--all", "--hours", `${text(hour)}-${text((hour + 1) % 24)}`], {
    whileRunning: async (child) => {
      await until(() => pair.young.requests.some(({ body }) => body.startsWith("COPY INTO")), "the probe");
      await new Promise((resolve) => setTimeout(resolve, 700));
      child.kill("SIGINT");
    },
  });
  assertEquals(code, 130, stderr);
  assertMatch(stderr, new RegExp(`waits until ${text(hour)} \\(`));
  assertEquals(pair.rows("young", "db", "air").length, 0);
});

Deno.test("SIGUSR1 pauses, and goes on", async () => {
  await using pair = await Pair.start({ databases: { db: { tables: { air: 10, sea: 10 } } } });
  const first = Promise.withResolvers<void>();
  pair.old.fault = ({ body }) =>
    body.includes("information_schema.columns") ? { kind: "delay", until: first.promise } : undefined;
  const { stderr, code } = await pair.script(["--all"], {
    whileRunning: async (child) => {
      await until(
        () => pair.old.requests.some(({ body }) => body.includes("information_schema.columns")),
        "the columns",
      );
      child.kill("SIGUSR1");
      await new Promise((resolve) => setTimeout(resolve, 300));
      first.resolve();
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert(!pair.old.requests.some(({ body }) => body.includes("count(time)")));
      child.kill("SIGUSR1");
    },
  });
  assertEquals([code, pair.differences()], [0, []], stderr);
  assertStringIncludes(stderr, "paused: what runs goes on");
});
