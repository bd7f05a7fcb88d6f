import assert from "node:assert/strict";
import { Intake } from "../../../lib/stage/rate.ts";

/** A clock that jumps to where somebody sleeps until. */
function clock() {
  let nowMs = 0;
  return {
    now: () => nowMs,
    sleep: (milliseconds: number) => {
      nowMs += milliseconds;
      return Promise.resolve();
    },
  };
}

Deno.test("bytes are let in at the rate, whoever brings them", async () => {
  const time = clock();
  const intake = new Intake(new AbortController().signal, 1000, time);
  for (let i = 0; i < 10; i++) await intake.admit(500);
  assert.equal(time.now(), 5000);
});

Deno.test("several senders share one bucket", async () => {
  const until: number[] = [];
  const intake = new Intake(new AbortController().signal, 1000, {
    now: () => 0,
    sleep: (milliseconds) => {
      until.push(milliseconds);
      return Promise.resolve();
    },
  });
  await Promise.all([intake.admit(1000), intake.admit(1000), intake.admit(1000)]);
  assert.deepEqual(until, [1000, 2000, 3000]);
});

Deno.test("time in which nothing came is not saved up", async () => {
  const time = clock();
  const intake = new Intake(new AbortController().signal, 1000, time);
  await time.sleep(60_000);
  await intake.admit(1000);
  assert.equal(time.now(), 61_000);
});

Deno.test("without a rate all is let in at once", async () => {
  const time = clock();
  await new Intake(new AbortController().signal, undefined, time).admit(1e12);
  assert.equal(time.now(), 0);
});

Deno.test("closing ends all waiting", async () => {
  const stop = new AbortController();
  const slow = new Intake(stop.signal, 1).admit(1e9);
  stop.abort();
  await assert.rejects(slow);
});
