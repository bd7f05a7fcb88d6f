/** Runs a script: signals, errors for the operator, the exit code. */
import { type Args, type Command, help, parse, version } from "./command.ts";
import { Failure, Interrupted, messageOf, UsageError } from "./errors.ts";
import { keepSecretsOf } from "./presentable.ts";
import { type Say, silent, writeMessage } from "./say.ts";
import { printLine } from "./files.ts";

/**
 * Runs a script to its end and exits the process with its code.
 * @param run does the work and returns the exit code. SIGINT or SIGTERM aborts its signal; a second one exits
 * at once
 */
export async function main(
  command: Command,
  run: (args: Args, signal: AbortSignal, say: Say) => Promise<number>,
): Promise<never> {
  const say = (message: string) => writeMessage(command.name, message);
  const signal = interruptSignal();
  keepSecretsOf(Deno.args);
  try {
    const args = parse(command, Deno.args);
    if (args.on("help")) await printLine(help(command));
    else if (args.on("version")) await printLine(`${command.name} ${version}`);
    else Deno.exit(await run(args, signal, args.on("quiet") ? silent : say));
    Deno.exit(0);
  } catch (thrown) {
    const error = signal.aborted && !(thrown instanceof Failure) ? signal.reason : thrown;
    Deno.exit(report(error, say));
  }
}

function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort(new Interrupted("interrupted"));
  };
  Deno.addSignalListener("SIGINT", interrupt);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", interrupt);
  return controller.signal;
}

/** Reports what was thrown. @returns the exit code */
function report(error: unknown, say: Say): number {
  const debug = Deno.args.includes("--debug");
  if (error instanceof Failure) {
    say(`error: ${error.message}`);
    if (error.hint) say(error.hint);
    if (error instanceof UsageError) say("--help shows what it takes");
  } else {
    say(`error: ${messageOf(error)}`);
    if (!(error instanceof Deno.errors.NotCapable) && !debug) {
      say("this should not happen: it is a bug of this script; --debug shows where");
    }
  }
  if (debug) say(error instanceof Error ? error.stack ?? "" : String(error));
  return error instanceof Failure ? error.exitCode : 1;
}
