/** How fast the served stage takes in: one bucket for all connections. */
import { setTimeout as delay } from "node:timers/promises";

/** What time it is, in milliseconds since any moment, and how to wait; tests have their own. */
const systemClock = {
  now: (): number => performance.now(),
  sleep: (milliseconds: number, signal: AbortSignal): Promise<void> =>
    delay(milliseconds, undefined, { signal, ref: false }),
};

/** Lets bytes in at a rate. Who has to wait does not read on, and TCP holds the sender back. */
export class Intake {
  /** until when the bytes that were let in keep the bucket busy */
  #busyUntilMs = 0;

  /** @param signal ends all waiting */
  constructor(
    private readonly signal: AbortSignal,
    private readonly bytesPerSecond = Infinity,
    private readonly clock = systemClock,
  ) {}

  /** Returns once so many bytes that have arrived may be used. @throws when the signal is aborted */
  async admit(bytes: number): Promise<void> {
    const nowMs = this.clock.now();
    this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + bytes / this.bytesPerSecond * 1000;
    if (this.#busyUntilMs > nowMs) await this.clock.sleep(this.#busyUntilMs - nowMs, this.signal);
  }
}
