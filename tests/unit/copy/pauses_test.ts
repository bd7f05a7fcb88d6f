/** `--hours` and SIGUSR1. */
import { isWithin, readHours } from "../../../lib/copy/pauses.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../helpers/deps.ts";
import { Pair, until } from "./copying.ts";

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
