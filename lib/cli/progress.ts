/** How far a long job is, on stderr: a line that is refreshed on a terminal, else one every 10 s. */
import { presentable } from "./errors.ts";
import type { Say } from "./say.ts";
import { describeSeconds } from "./text.ts";

/** @param line says how far it is @returns ends it */
export function showProgress(line: () => string, say: Say): () => void {
  const terminal = Deno.stderr.isTerminal();
  const write = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
  const timer = setInterval(
    () => terminal ? write(presentable(line())) : say(line()),
    terminal ? 200 : 10_000,
  );
  return () => {
    clearInterval(timer);
    if (terminal) write("");
  };
}

/** `1200 of 5000 entries, 480/s, 8s left`. */
export function describeProgress(done: number, total: number, what: string, startMs: number): string {
  const perSecond = done / Math.max(Date.now() - startMs, 1) * 1_000;
  const left = done > 0 ? `, ${describeSeconds((total - done) / perSecond)} left` : "";
  return `${done} of ${total} ${what}, ${Math.round(perSecond)}/s${left}`;
}
