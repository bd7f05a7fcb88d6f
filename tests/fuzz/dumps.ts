/** Mutated dumps of real servers, through filter_meta and restore_meta in this process. */
import { Failure } from "../../lib/cli/errors.ts";
import { readDump } from "../../lib/dump/text.ts";
import { entriesOf, filterDump } from "../../lib/filter/filter.ts";
import { restore } from "../../lib/restore/restore.ts";
import { startStandIn, type Version } from "../standin/standin.ts";
import { defaults, select } from "../unit/filter/filtering.ts";
import { mark, settings } from "../unit/restore/restoring.ts";
import type { Part, Random } from "./fuzz.ts";

const directory = new URL("../../fixtures/dumps/", import.meta.url);
const files = [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
const targets: Version[] = ["2.4.0", "2.4.1", "2.4.2", "2.4.3"];

interface Input {
  readonly target: Version;
  readonly dropInvalid: boolean;
  /** as latin1, so that any byte can stand in it */
  readonly lines: readonly string[];
}

/** What stands in JSON where something else stood. */
export const tokens = [
  ...[
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "1e400",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
  ],
  ...[
    "[]",
    "{}",
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"Inf"',
    '"Some"',
    "[[[]]]",
    '{"a":1}',
    "{",
    '"',
    "",
    "NaN",
    "-0",
  ],
  ...[
    '"__proto__"',
    '{"__proto__":1}',
    `${"[".repeat(200)}${"]".repeat(200)}`,
    '"\xe6\x97"',
    '"99999999999999999"',
  ],
];
const names = [
  "",
  "..",
  "a/b",
  "a: b",
  " ",
  "\x00",
  "\x1b[2J",
  "\xe2\x80\xae",
  "__proto__",
  "x".repeat(300),
  "*",
  "-x",
];

const mutations: ((lines: string[], random: Random) => void)[] = [
  (lines, random) => void lines.splice(random.below(lines.length), 1),
  (lines, random) => void lines.splice(random.below(lines.length), 0, random.of(lines)),
  (lines, random) => void (lines.length = random.below(lines.length + 1)),
  (lines, random) =>
    void lines.push(random.of(["", "x", "/", "/a", ": ", "/x: ", "/x: {}", "/x/tenants/t: 1", "\r", "#"])),
  // Another's value.
  (lines, random) => {
    const [at, other] = [random.below(lines.length), random.of(lines)];
    lines[at] = `${lines[at]!.split(": ")[0]}: ${other.slice(other.indexOf(": ") + 2)}`;
  },
  // A value or a name in the JSON.
  (lines, random) =>
    change(lines, random, /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|null|true|false|[[\]{},:]/g, tokens),
  (lines, random) => change(lines, random, /(?<=\/)[^/:]+(?=[/:])/g, names),
  // A byte.
  (lines, random) => {
    const at = random.below(lines.length);
    const [line, place] = [lines[at]!, random.below(lines[at]!.length + 1)];
    lines[at] = line.slice(0, place) + String.fromCharCode(random.below(256)) +
      line.slice(place + random.below(2));
  },
  // A member twice, or none of it.
  (lines, random) => change(lines, random, /"\w+":("[^"]*"|\w+),/g, ["", "$&$&"]),
];

/** Changes one place of one line. @param into `$&` stands for what was there */
export function change(lines: string[], random: Random, pattern: RegExp, into: readonly string[]): void {
  const at = random.below(lines.length);
  const line = lines[at] ?? "";
  const found = [...line.matchAll(pattern)];
  if (!found.length) return;
  const { 0: text, index } = random.of(found);
  lines[at] = line.slice(0, index) + random.of(into).replaceAll("$&", text) + line.slice(index + text.length);
}

const bytesOf = (lines: readonly string[]) =>
  Uint8Array.from(lines.map((line) => `${line}\n`).join(""), (character) => character.charCodeAt(0));
const latin1 = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const texts = new Map(
  files.map((name) => [name, latin1(Deno.readFileSync(new URL(name, directory))).trimEnd().split("\n")]),
);

export const dumps: Part<Input> = {
  make(random) {
    const lines = [...texts.get(random.of(files))!];
    for (let left = 1 + random.below(4); left > 0; left--) {
      if (lines.length) random.of(mutations)(lines, random);
    }
    return { target: random.of(targets), dropInvalid: random.below(3) === 0, lines };
  },
  async check({ lines, ...rest }) {
    return await throughFilter(lines, rest) ?? await throughRestore(bytesOf(lines), rest.target, false);
  },
  *smaller({ lines, ...rest }) {
    for (let part = Math.ceil(lines.length / 2); part >= 1; part = part === 1 ? 0 : Math.ceil(part / 2)) {
      for (let at = 0; at < lines.length; at += part) {
        yield { ...rest, lines: [...lines.slice(0, at), ...lines.slice(at + part)] };
      }
    }
  },
  show: ({ lines, ...rest }) =>
    `${JSON.stringify(rest)}\n${lines.map((line) => JSON.stringify(line)).join("\n")}`,
};

async function throughFilter(lines: readonly string[], { target, dropInvalid }: Omit<Input, "lines">) {
  const convert = async () => {
    const dump = await readDump(ReadableStream.from([bytesOf(lines)]), "stdin", { unmarked: true });
    const filtered = await filterDump(dump, {
      ...{ ...defaults, target, cluster: "fuzzed", selection: select(), dropInvalid, details: true },
      loadHash: () => Promise.resolve(() => "$2b$12$hashed"),
    }, new AbortController().signal);
    return [...entriesOf(filtered)].map(({ key, value }) => `${key}: ${value}\n`).join("");
  };
  try {
    const text = await convert();
    if (text !== await convert()) return "the same dump was converted in two ways";
    return await throughRestore(new TextEncoder().encode(mark(text)), target, text !== "");
  } catch (error) {
    return wrong("filter", error);
  }
}

/** @param must whether the target has to take it: what the filter passes on is readable and complete enough */
async function throughRestore(
  bytes: Uint8Array,
  version: Version,
  must: boolean,
): Promise<string | undefined> {
  const target = await startStandIn({ version, cluster: "fuzzed" });
  try {
    const dump = await readDump(ReadableStream.from([bytes]), "stdin", { unmarked: !must });
    await restore(dump, settings(target, { force: true }));
  } catch (error) {
    const told = wrong("restore", error);
    if (told) return told;
    if (must && (error as Failure).exitCode === 3) {
      return `what the filter passed on reads back otherwise: ${error}`;
    }
    if (must && /cannot (be )?read/.test((error as Failure).message)) {
      return `the filter passed on what ${version} cannot read: ${error}`;
    }
  } finally {
    await target.close();
  }
}

/** What is wrong with an error: that it is none for an operator, or that it shows a password's hash. */
function wrong(step: string, error: unknown): string | undefined {
  if (!(error instanceof Failure)) return `${step}: ${(error as Error).stack ?? error}`;
  if (/\$2[aby]\$\d\d\$[./\w]{20}/.test(`${error.message} ${error.hint}`)) {
    return `${step} shows a hash: ${error.message}`;
  }
}
