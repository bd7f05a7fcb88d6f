/** When statements may be begun: within the hours of `--hours`, and not while SIGUSR1 has paused the run. What runs goes on. */
import type { Schedule } from "./schedule.ts";

/** Hours of the day in local time, `[from, to)` as HH:MM; over midnight where `to` is not after `from`. */
export interface Hours {
  readonly from: string;
  readonly to: string;
}

const lookEveryMs = 15_000;

/** Reads `02:00-06:00`. @returns undefined for anything else */
export function readHours(text: string): Hours | undefined {
  const found = /^((?:[01]?\d|2[0-3]):[0-5]\d)-((?:[01]?\d|2[0-3]):[0-5]\d|24:00)$/.exec(text) ?? [];
  const [from = "", to = ""] = found.slice(1).map((time) => time.padStart(5, "0"));
  return from === to ? undefined : { from, to };
}

/** Whether a moment lies within the hours, by the local clock. */
export function isWithin({ from, to }: Hours, at: Date): boolean {
  const time = at.toTimeString().slice(0, 5);
  return from < to ? from <= time && time < to : from <= time || time < to;
}

/** Pauses a schedule and lets it go on, until what it returns is called. */
export function keepPauses(schedule: Schedule, say: (text: string) => void, hours?: Hours): () => void {
  let [byHand, byHours] = [false, false];
  const apply = () => schedule.pause(byHand || byHours);
  const toggle = () => {
    byHand = !byHand;
    say(byHand ? "paused: what runs goes on, nothing is begun; SIGUSR1 again goes on" : "goes on");
    apply();
  };
  const look = () => {
    const isOut = hours !== undefined && !isWithin(hours, new Date());
    if (isOut === byHours) return;
    byHours = isOut;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    say(
      isOut ? `waits until ${hours.from} (${zone}), as --hours says` : `works until ${hours?.to} (${zone})`,
    );
    apply();
  };
  look();
  const timer = setInterval(look, lookEveryMs);
  const isUnix = Deno.build.os !== "windows";
  if (isUnix) Deno.addSignalListener("SIGUSR1", toggle);
  return () => {
    clearInterval(timer);
    if (isUnix) Deno.removeSignalListener("SIGUSR1", toggle);
  };
}
