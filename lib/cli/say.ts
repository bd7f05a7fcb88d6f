/** Messages to the operator, on stderr. */
import { presentable } from "./errors.ts";
import { translate } from "./language.ts";

/** Where a script's messages go: stderr, or nowhere under `--quiet`. */
export type Say = (message: string) => void;

/** Writes a message to stderr in the operator's language, each line with the script's name but for those that are indented. */
export function writeMessage(name: string, message: string): void {
  const text = presentable(translate(message)).replaceAll(/\n(?! )/g, `\n${name}: `);
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(`${name}: ${text}\n`));
  } catch { /* stderr is closed: nobody is left to be told */ }
}
