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

Deno.test("a pause lets nothing in until it ends, and without a rate all at once", async () => {
  const intake = new Intake(new AbortController().signal);
  await intake.admit(1e12);
  intake.pause();
  let admitted = false;
  const waiting = intake.admit(1).then(() => admitted = true);
  await new Promise((done) => setTimeout(done));
  assert.equal(admitted, false);
  intake.resume();
  await waiting;
});

Deno.test("closing ends all waiting: in a pause, and for the rate", async () => {
  const stop = new AbortController();
  const intake = new Intake(stop.signal, 1);
  const slow = intake.admit(1e9);
  intake.pause();
  const paused = intake.admit(1);
  stop.abort();
  await assert.rejects(slow);
  await assert.rejects(paused);
});
