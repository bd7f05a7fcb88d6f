/** How far a long job is, on stderr: a line that is refreshed on a terminal, else one every 10 s. */
import type { Say } from "./cli.ts";

/** @param line says how far it is @returns ends it */
export function showProgress(line: () => string, say: Say): () => void {
  const terminal = Deno.stderr.isTerminal();
  const write = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(text));
  const timer = setInterval(
    () => terminal ? write(`\r\x1b[K${line()}`) : say(line()),
    terminal ? 200 : 10_000,
  );
  return () => {
    clearInterval(timer);
    if (terminal) write("\r\x1b[K");
  };
}

/** `1200 of 5000 entries, 480/s, 8 s left`. */
export function describeProgress(done: number, total: number, what: string, startMs: number): string {
  const perSecond = done / Math.max(Date.now() - startMs, 1) * 1_000;
  const left = done > 0 ? `, ${describeSeconds((total - done) / perSecond)} left` : "";
  return `${done} of ${total} ${what}, ${Math.round(perSecond)}/s${left}`;
}

/** `1 h 20 min`, `3 min 5 s`, `8 s`. */
export function describeSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

/** `1 table`, `2 tables`. */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
