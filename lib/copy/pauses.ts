/** When statements may be begun: within the hours of `--hours`, and not while SIGUSR1 has paused the run. What runs goes on. */
import { UsageError } from "../cli/errors.ts";
import type { Schedule } from "./schedule.ts";

/** Hours of the day in local time, `[from, to)` in minutes since midnight; over midnight where `to` is not after `from`. */
export interface Hours {
  readonly fromMinute: number;
  readonly toMinute: number;
}

const lookEveryMs = 15_000;

/** Reads `02:00-06:00`. @throws {UsageError} */
export function readHours(text: string): Hours {
  const [, ...parts] = /^([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)$/.exec(text) ?? [];
  const [fromHour, from, toHour, to] = parts.map(Number);
  if (!parts.length || `${parts[0]}:${parts[1]}` === `${parts[2]}:${parts[3]}`) {
    throw new UsageError(
      `--hours ${JSON.stringify(text)}: expected two times of the day such as 02:00-06:00`,
    );
  }
  return { fromMinute: fromHour! * 60 + from!, toMinute: toHour! * 60 + to! };
}

/** Whether a moment lies within the hours, by the local clock. */
export function isWithin({ fromMinute, toMinute }: Hours, at: Date): boolean {
  const minute = at.getHours() * 60 + at.getMinutes();
  return fromMinute < toMinute
    ? minute >= fromMinute && minute < toMinute
    : minute >= fromMinute || minute < toMinute;
}

/** Pauses a schedule and lets it go on. */
export class Pauses {
  #byHand = false;
  #byHours = false;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  readonly #toggle = () => {
    this.#byHand = !this.#byHand;
    this.say(this.#byHand ? "paused: what runs goes on, nothing is begun; SIGUSR1 again goes on" : "goes on");
    this.#apply();
  };

  constructor(
    private readonly schedule: Schedule,
    private readonly say: (text: string) => void,
    private readonly hours?: Hours,
  ) {
    if (Deno.build.os !== "windows") Deno.addSignalListener("SIGUSR1", this.#toggle);
    if (!hours) return;
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
    this.#look();
  }

  close(): void {
    clearInterval(this.#timer);
    if (Deno.build.os !== "windows") Deno.removeSignalListener("SIGUSR1", this.#toggle);
  }

  #look(): void {
    const isOut = !isWithin(this.hours!, new Date());
    if (isOut !== this.#byHours) {
      const until = new Date(2000, 0, 1, 0, isOut ? this.hours!.fromMinute : this.hours!.toMinute);
      const time = until.toTimeString().slice(0, 5);
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      this.say(isOut ? `waits until ${time} (${zone}), as --hours says` : `works until ${time} (${zone})`);
    }
    this.#byHours = isOut;
    this.#apply();
  }

  #apply(): void {
    this.schedule.pause(this.#byHand || this.#byHours);
  }
}
