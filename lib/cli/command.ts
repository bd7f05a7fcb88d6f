/** A script's command line: its help and its parser follow from one table of flags. */
import { parseArgs } from "node:util";
import config from "../../deno.json" with { type: "json" };
import { closestString } from "./deps.ts";
import { UsageError } from "./errors.ts";
import { translate } from "./language.ts";
import { echoed } from "./presentable.ts";
import { widthOf, wrap } from "./text.ts";

/** The command line of a script. */
export interface Command {
  name: string;
  summary: string;
  /** the lines after "Usage:", without the script's name */
  usage: string[];
  /** the arguments that are no flags, such as META_URL; undefined: there are none */
  positional?: { name: string; least?: number; most?: number };
  /** as `flagsOf` reads them */
  flags: string;
  /** command lines, each after a comment */
  examples: string[];
  /** false: the script reads nothing back, so its exit code is never 3 */
  reads?: false;
  /** paragraphs that follow the flags in the help */
  notes?: string[];
}

/** A flag. Without `value` it is a switch; `many` flags may be repeated. */
export interface Flag {
  name: string;
  short: string | undefined;
  /** the placeholder of its value in the help, such as FILE */
  value: string | undefined;
  many: boolean;
  /** its heading in the help */
  group: string;
  help: string;
}

/**
 * Reads flags written as the help shows them: `-o, --output FILE  what it does`, with two blanks before the
 * help, and `FILE...` if the flag may be repeated. A line that ends with a colon is the heading of the flags
 * after it; any other line continues the help before it.
 */
export function flagsOf(text: string): Flag[] {
  const flags: Flag[] = [];
  let group = "Flags";
  for (const line of text.trim().split(/\s*\n\s*/)) {
    const [, short, name, value, many, help = ""] =
      /^(?:-(\w), )?--([\w-]+)(?: (\S+?)(\.{3})?)?(?: {2,}(.*))?$/.exec(line) ?? [];
    const last = flags.at(-1);
    if (name !== undefined) flags.push({ name, short, value, many: many !== undefined, group, help });
    else if (/^[A-Z].*:$/.test(line)) group = line.slice(0, -1);
    else if (last) last.help = `${last.help} ${line}`.trim();
  }
  return flags;
}

/** Flags that several scripts have, with the same meaning. */
export const outputFlag = "-o, --output FILE  write to FILE (mode 0600), which appears whole or not at all";
export const unmarkedFlag =
  "--unmarked  take a dump without an end mark, such as one that curl saved: it may be cut";
export const caFlag = "--ca FILE  PEM of a certificate authority to trust, for https";

/** Flags that all scripts have. */
export const sharedFlags = `
  -q, --quiet    say nothing but errors
  --debug        print stack traces with errors
  -h, --help     print this
  --version      print the version
`;

/** The version of these scripts, from deno.json. */
export const version: string = config.version;

/** Parsed arguments. */
export class Args {
  constructor(
    /** the arguments that are no flags */
    readonly positional: readonly string[],
    /** values by flag; that of a switch is "" */
    private readonly given: ReadonlyMap<string, string[]>,
  ) {}

  /** Whether a flag was given. */
  on(name: string): boolean {
    return this.given.has(name);
  }

  /** The value of a flag, or undefined. */
  value(name: string): string | undefined {
    return this.given.get(name)?.[0];
  }

  /** All values of a flag that may be repeated. */
  values(name: string): string[] {
    return this.given.get(name) ?? [];
  }

  /** The value of a flag as `read` parses it, if it was given. @throws {UsageError} if that is undefined */
  parsed<T>(name: string, read: (text: string) => T | undefined, expected: string): T | undefined {
    const text = this.value(name);
    if (text === undefined) return undefined;
    const value = read(text);
    if (value !== undefined) return value;
    throw new UsageError(`--${name} ${echoed(text)}: expected ${expected}`);
  }

  /** A whole number, if the flag was given. @throws {UsageError} if it is none or out of range */
  integer(name: string, least = 0, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const range = most < Number.MAX_SAFE_INTEGER ? `${least} to ${most}` : `${least} or more`;
    const read = (text: string) =>
      /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most ? Number(text) : undefined;
    return this.parsed(name, read, `a whole number, ${range}`);
  }

  /** Bytes of `2GiB`, `500MB`, `1000`, if the flag was given. @throws {UsageError} for anything else */
  bytes(name: string): number | undefined {
    return this.parsed(name, (text) => {
      const [, number, unit = "", binary] = /^(\d+)\s*([kmgt]?)(i?)b?$/i.exec(text) ?? [];
      return number
        ? Number(number) * (binary ? 1024 : 1000) ** " kmgt".indexOf(unit.toLowerCase() || " ")
        : undefined;
    }, "a size such as 2GiB");
  }

  /** One of several words. @throws {UsageError} for another */
  choice<T extends string, F extends T | undefined>(name: string, words: readonly T[], fallback: F): T | F {
    const read = (text: string) => words.find((word) => word === text);
    return this.parsed(name, read, `one of ${words.join(", ")}`) ?? fallback;
  }
}

/**
 * Parses the arguments of a script.
 * @throws {UsageError} for an unknown flag (and names the nearest), a flag without its value or given twice,
 * and too many or too few other arguments. It shows no value that may hold a password
 */
export function parse(command: Command, argv: readonly string[]): Args {
  const flags = [...flagsOf(command.flags), ...flagsOf(sharedFlags)];
  const options = flags.map(({ name, short, value }) =>
    [name, { type: value ? "string" : "boolean", ...(short ? { short } : {}) }] as const
  );
  const { tokens, positionals } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(options),
    strict: false,
    tokens: true,
  });
  const given = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const flag = flags.find(({ name }) => name === token.name);
    if (!flag) {
      const nearest = closestString(token.name, flags.map(({ name }) => name));
      throw new UsageError(
        `unknown flag ${token.rawName}`,
        `did you mean --${nearest}? --help lists all flags.`,
      );
    }
    const earlier = given.get(flag.name);
    if (earlier && !flag.many) throw new UsageError(`--${flag.name} is given twice`);
    if (!flag.value && token.inlineValue) throw new UsageError(`--${flag.name} takes no value`);
    const isFlag = !token.inlineValue && /^--?[a-z]/i.test(token.value ?? "");
    if (flag.value && (token.value === undefined || isFlag)) {
      throw new UsageError(`--${flag.name} needs a value: --${flag.name} ${flag.value}`);
    }
    given.set(flag.name, [...earlier ?? [], token.value ?? ""]);
  }
  if (!given.has("help") && !given.has("version")) checkPositional(command, positionals);
  return new Args(positionals, given);
}

function checkPositional({ positional, usage }: Command, given: readonly string[]): void {
  const { name = "argument", least = 0, most = positional ? Infinity : 0 } = positional ?? {};
  if (given.length < least) throw new UsageError(`${name} is missing`);
  if (given.length > most) {
    throw new UsageError(
      `unexpected argument ${echoed(given[most] ?? "")}`,
      `expected: ${usage.join("; or: ")}`,
    );
  }
}

const leftColumns = 24;
const rightColumns = 70;

const exitCodes = [
  ["0", "done"],
  ["1", "failed, or a part of it failed"],
  ["2", "the command line cannot be carried out"],
  ["3", "done, but reading back found a difference"],
  ["130", "interrupted"],
] as const;

/** The help text, in the operator's language; flags stand under the heading of their group. */
export function help(command: Command): string {
  const groups = Map.groupBy(flagsOf(command.flags), ({ group }) => group);
  const last = groups.size > 1 || !groups.has("Flags") ? "General" : "Flags";
  groups.set(last, [...groups.get(last) ?? [], ...flagsOf(sharedFlags)]);
  const notes = (command.notes ?? []).flatMap((note) => translate(note).split("\n\n"));
  return [
    `${command.name}: ${translate(command.summary)}`,
    "",
    ...command.usage.map((line, i) =>
      `${i === 0 ? `${translate("Usage")}: ` : "       "}${command.name} ${line}`
    ),
    "",
    ...[...groups].flatMap(([group, flags]) => [`${translate(group)}:`, ...flags.flatMap(rowsOf), ""]),
    ...notes.flatMap((text) => [...wrap(text, leftColumns + rightColumns + 2), ""]),
    `${translate("Examples")}:`,
    ...command.examples.map((line) => `  ${line.startsWith("# ") ? `# ${translate(line.slice(2))}` : line}`),
    "",
    `${translate("Exit codes")}:`,
    ...exitCodes.filter(([code]) => code !== "3" || command.reads !== false)
      .map(([code, meaning]) => `  ${code.padEnd(3)}  ${translate(meaning)}`),
  ].join("\n");
}

function rowsOf({ name, short, value, many, help }: Flag): string[] {
  const left = `  ${short ? `-${short}, ` : "    "}--${name}${value ? ` ${value}` : ""}`;
  const lines = wrap(translate(help) + (many ? translate(" (may be repeated)") : ""), rightColumns)
    .map((line) => `${" ".repeat(leftColumns + 4)}${line}`);
  const [first = ""] = lines;
  if (widthOf(left) > leftColumns + 2) return [left, ...lines];
  return [left.padEnd(leftColumns + 4) + first.trimStart(), ...lines.slice(1)];
}
