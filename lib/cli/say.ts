/** Messages to the operator, on stderr. */
import { translate } from "./language.ts";
import { presentable } from "./presentable.ts";
import { describeSeconds, fit } from "./text.ts";

/** Where a script's messages go: stderr, or nowhere under `--quiet`. */
export type Say = (message: string) => void;

/** What nothing is said to, as --quiet asks. */
export const silent: Say = () => {};

function write(text: string): void {
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  } catch { /* stderr is closed: nobody is left to be told */ }
}

/** Writes a message in the operator's language; lines that are not indented begin with the script's name. */
export function writeMessage(name: string, message: string): void {
  const text = presentable(translate(message)).replaceAll(/\n(?! )/g, `\n${name}: `);
  hideProgress();
  write(`${name}: ${text}\n`);
}

let isDrawn = false;

/** Takes away the line that showProgress() drew, until it is drawn again in a moment. */
export function hideProgress(): void {
  if (isDrawn) write("\r\x1b[K");
  isDrawn = false;
}

/**
 * Shows how far a long job is: a line that is refreshed on a terminal, else one every 10 s.
 * @param line says how far it is
 * @returns ends it
 */
export function showProgress(line: () => string, say: Say): () => void {
  if (say === silent) return () => {};
  const terminal = Deno.stderr.isTerminal();
  // 0: a terminal that does not tell its size
  const columns = terminal && Deno.consoleSize().columns || 80;
  const draw = () => {
    hideProgress();
    write(fit(presentable(line()), columns - 1));
    isDrawn = true;
  };
  const timer = setInterval(() => terminal ? draw() : say(line()), terminal ? 200 : 10_000);
  return () => {
    clearInterval(timer);
    hideProgress();
  };
}

/** `1200 of 5000 entries, 480/s, 8s left`. */
export function describeProgress(done: number, total: number, what: string, startMs: number): string {
  const perSecond = done / Math.max(Date.now() - startMs, 1) * 1_000;
  const left = done > 0 ? `, ${describeSeconds((total - done) / perSecond)} left` : "";
  return `${done} of ${total} ${what}, ${Math.round(perSecond)}/s${left}`;
}
