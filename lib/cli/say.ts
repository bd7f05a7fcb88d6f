/** Messages to the operator, on stderr. */
import { translate } from "./language.ts";
import { presentable } from "./presentable.ts";
import { describeSeconds, fit } from "./text.ts";

/** Where a script's messages go: stderr, or nowhere under `--quiet`. */
export type Say = (message: string) => void;

/** Says nothing, for --quiet. */
export const silent: Say = () => {};

function write(text: string): void {
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  } catch { /* stderr is closed: nobody reads it */ }
}

/** Writes a message in the operator's language; lines that are not indented begin with the script's name. */
export function writeMessage(name: string, message: string): void {
  const text = presentable(translate(message)).replaceAll(/\n(?! )/g, `\n${name}: `);
  hideProgress();
  write(`${name}: ${text}\n`);
}

let isDrawn = false;

/** Removes the line that showProgress() drew; it is soon drawn again. */
export function hideProgress(): void {
  if (isDrawn) write("\r\x1b[K");
  isDrawn = false;
}

/** The width of the terminal at this moment: its window can be resized, or closed. */
function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns || 80; // 0: it does not know
  } catch {
    return 80;
  }
}

/**
 * Shows how far a long job is: one line that is redrawn on a terminal, elsewhere a message every 10 s.
 * @param line returns what to show
 * @returns a function that ends it
 */
export function showProgress(line: () => string, say: Say): () => void {
  if (say === silent) return () => {};
  const terminal = Deno.stderr.isTerminal();
  const draw = () => {
    hideProgress();
    write(fit(presentable(line()), terminalColumns() - 1));
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
