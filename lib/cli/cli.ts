/** The command line that all scripts share: flags from one table, help, exit codes, SIGINT, errors for an operator. */
import config from "../../deno.json" with { type: "json" };
import { completions, shells } from "./completions.ts";
import { closestString, parseArgs } from "./deps.ts";
import { Failure, Interrupted, messageOf, ReaderGone, UsageError } from "./errors.ts";

/** A flag. Without `value` it is a switch; `many` flags may be repeated. */
export interface Flag {
  name: string;
  short?: string;
  /** what stands for its value in the help, such as FILE */
  value?: string;
  many?: true;
  /** what it does; wrapped where it is shown */
  help: string;
}

/** What a script is called with, for parsing and for `--help`. */
export interface Command {
  name: string;
  summary: string;
  /** argument patterns, without the script's name */
  usage: string[];
  flags: Flag[];
  /** whole command lines, each with a comment before it */
  examples: string[];
  /** texts that follow the flags in the help: what an exit code means here, environment variables */
  notes?: string[];
}

const sharedFlags: Flag[] = [
  { name: "quiet", short: "q", help: "say nothing but errors" },
  { name: "debug", help: "print stack traces with errors" },
  { name: "help", short: "h", help: "print this" },
  { name: "version", help: "print the version" },
  { name: "completions", value: shells.join("|"), help: "print completions for that shell" },
];

const exitCodes = `Exit codes:
  0    done
  1    failed, or a part of it failed
  2    the command line cannot be carried out
  3    done, but reading back found a difference
  130  interrupted`;

/** The version of these scripts, from deno.json. */
export const version: string = config.version;

/** Parsed arguments. */
export class Args {
  constructor(
    readonly positional: string[],
    private readonly found: Record<string, string | boolean | string[] | undefined>,
  ) {}

  /** Whether a switch was given. */
  on(name: string): boolean {
    return this.found[name] === true;
  }

  /** The value of a flag, or undefined. */
  value(name: string): string | undefined {
    const value = this.found[name];
    return typeof value === "string" ? value : undefined;
  }

  /** All values of a flag that may be repeated. */
  values(name: string): string[] {
    const value = this.found[name];
    return Array.isArray(value) ? value : [];
  }

  /** A whole number, or undefined where the flag was not given. @throws {UsageError} where it is none or out of range */
  integer(name: string, least = 0, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const text = this.value(name);
    if (text === undefined) return undefined;
    const number = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(number >= least && number <= most)) {
      throw new UsageError(
        `--${name} ${JSON.stringify(text)}: expected a whole number, ${least}${
          most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : " or more"
        }`,
      );
    }
    return number;
  }

  /** One of several words. @throws {UsageError} for another */
  choice<T extends string>(name: string, words: readonly T[], fallback: T): T {
    const text = this.value(name) ?? fallback;
    const word = words.find((w) => w === text);
    if (!word) throw new UsageError(`--${name} ${JSON.stringify(text)}: expected one of ${words.join(", ")}`);
    return word;
  }
}

/**
 * @param argv as the script got them
 * @throws {UsageError} for a flag that is not in the table (naming the nearest), one without its value, or one given twice
 */
export function parse(command: Command, argv: readonly string[]): Args {
  const flags = [...command.flags, ...sharedFlags];
  const strings = flags.filter((f) => f.value).map((f) => f.name);
  const known = new Map(
    flags.flatMap((f) => [[f.name, f], ...(f.short ? [[f.short, f] as const] : [])] as const),
  );
  const seen = new Set<string>();
  for (const [index, word] of argv.entries()) {
    if (word === "--") break;
    const given = /^--([^=]+)(=)?/.exec(word) ?? /^-([a-zA-Z])$/.exec(word);
    const flag = given && known.get(given[1] ?? "");
    if (!flag) continue;
    if (seen.has(flag.name) && !flag.many) throw new UsageError(`--${flag.name} is given twice`);
    seen.add(flag.name);
    const next = argv[index + 1];
    if (flag.value && given[2] === undefined && (next === undefined || /^--?[a-z]/i.test(next))) {
      throw new UsageError(`--${flag.name} needs a value: --${flag.name} ${flag.value}`);
    }
    if (!flag.value && given[2] !== undefined) throw new UsageError(`--${flag.name} takes no value`);
  }
  const found = parseArgs(argv, {
    string: strings,
    boolean: flags.filter((f) => !f.value).map((f) => f.name),
    collect: flags.filter((f) => f.many).map((f) => f.name),
    alias: Object.fromEntries(flags.flatMap((f) => f.short ? [[f.short, f.name]] : [])),
    unknown: (arg, key) => {
      if (key === undefined) return true;
      const nearest = closestString(key, flags.map((f) => f.name));
      throw new UsageError(
        `unknown flag ${arg.split("=")[0]}`,
        `did you mean --${nearest}? --help lists all flags.`,
      );
    },
  });
  return new Args(found._.map(String), found);
}

/** The help text of a command, also what the README's flag tables are made from. */
export function help(command: Command): string {
  const rows = [...command.flags, ...sharedFlags].map((f) => ({
    left: `${f.short ? `-${f.short}, ` : "    "}--${f.name}${f.value ? ` ${f.value}` : ""}`,
    lines: wrap(f.help + (f.many ? " (may be repeated)" : ""), 70),
  }));
  const width = 24;
  const list = rows.flatMap(({ left, lines }) =>
    left.length > width
      ? [`  ${left}`, ...lines.map((line) => `  ${" ".repeat(width)}  ${line}`)]
      : lines.map((line, i) => `  ${(i === 0 ? left : "").padEnd(width)}  ${line}`)
  );
  return [
    `${command.name}: ${command.summary}`,
    "",
    ...command.usage.map((line, i) => `${i === 0 ? "Usage: " : "       "}${command.name} ${line}`),
    "",
    "Flags:",
    ...list,
    "",
    ...(command.notes ?? []).flatMap((note) => note.split("\n\n")).flatMap((text) => [...wrap(text, 96), ""]),
    "Examples:",
    ...command.examples.map((line) => `  ${line}`),
    "",
    exitCodes,
  ].join("\n");
}

function completionsOf({ name, flags }: Command, args: Args): string {
  return completions(args.choice("completions", shells, "bash"), { name, flags: [...flags, ...sharedFlags] });
}

/** Cuts a text into lines of at most `width` characters, between words. */
function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1) ?? "";
    if (line && line.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}

/** Where a script's messages go: stderr, or nowhere under `--quiet`. */
export type Say = (message: string) => void;

/**
 * Runs a script to its end and exits the process with its code.
 * @param run does the work and gives the exit code; its signal is aborted by SIGINT and SIGTERM (a second one ends at once)
 */
export async function main(
  command: Command,
  run: (args: Args, signal: AbortSignal, say: Say) => Promise<number>,
): Promise<never> {
  const complain = (text: string) =>
    console.error(`${command.name}: ${text.replaceAll(/\n(?! )/g, `\n${command.name}: `)}`);
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort(new Interrupted("interrupted"));
  };
  Deno.addSignalListener("SIGINT", interrupt);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", interrupt);
  const debug = Deno.args.includes("--debug");
  try {
    const args = parse(command, Deno.args);
    if (args.on("help")) console.log(help(command));
    else if (args.on("version")) console.log(`${command.name} ${version}`);
    else if (args.value("completions") !== undefined) console.log(completionsOf(command, args));
    else Deno.exit(await run(args, controller.signal, args.on("quiet") ? () => {} : complain));
    Deno.exit(0);
  } catch (thrown) {
    if (thrown instanceof ReaderGone) Deno.exit(1);
    const error = controller.signal.aborted && !(thrown instanceof Failure)
      ? controller.signal.reason
      : thrown;
    complain(`error: ${error instanceof Failure ? error.message : messageOf(error)}`);
    if (error instanceof Failure && error.hint) complain(error.hint);
    if (error instanceof UsageError) complain("--help shows what it takes");
    if (debug) console.error(error);
    else if (!(error instanceof Failure)) complain("this should not happen; --debug shows where it does");
    Deno.exit(error instanceof Failure ? error.exitCode : 1);
  }
}
