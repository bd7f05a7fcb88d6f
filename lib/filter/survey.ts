/** The first reading of a dump: that it is whole, which version it is of, and what else has to be known beforehand. */
import { Buffer } from "node:buffer";
import { type Choice, path } from "./choice.ts";
import { copyOf, DumpReader, entriesOf, toText } from "../dump/dump.ts";
import { Failure } from "../cli/errors.ts";
import { FastLines } from "./filter_fast.ts";
import type { Source } from "../cli/io.ts";
import { readObject } from "../dump/json.ts";
import { candidates, type Key } from "../dump/key.ts";
import {
  compareVersions,
  type Format,
  formatOf,
  formats,
  formatsOf,
  identify,
} from "../versions/versions.ts";
import { bcryptHash, canLogIn } from "../versions/v2_4_0.ts";

/** What a dump is. */
export interface Survey {
  entries: number;
  framed: boolean;
  marked: boolean;
  /** what the conversion starts from: a release or a form */
  source: string;
  /** the line whose shape says so, for messages */
  sourceLine: number;
  root?: { id: string; hasPassword: boolean };
  /** whether passwords have to be hashed */
  plainPasswords: boolean;
  /** the users that are members of a tenant that is kept; only where it was asked for */
  memberIds?: Set<string>;
}

const evidenceEntries = 200;

/**
 * Reads a dump to its end.
 * @param choice is shown all keys, where anything is chosen
 * @param given the version that the operator says it is of
 * @throws {Failure} where it is not whole, or of a version that cannot be converted for `target`
 */
export async function surveyDump(
  input: Source,
  target: Format,
  given: string | undefined,
  choice: Choice,
  membersToo: boolean,
): Promise<Survey> {
  const unmarked = !Buffer.from(await input.tail()).toString("latin1").includes("# end ");
  // Only users have what is looked for, and most blocks of a large dump have no users.
  let users = false;
  const reader = new DumpReader(input.name, { unmarked }, (text, at) => {
    users ||= text[text.indexOf("/", at + 1) + 1] === "u";
  });
  const evidence = new Evidence(input.name);
  /** the ids of a tenant's members */
  const members = new Map<string, string[]>();
  const heads = new FastLines();
  let root: Survey["root"];
  let plainPasswords = false;
  for await (const block of reader.blocks(input.open())) {
    if (users || !block.raw) {
      users = false;
      plainPasswords ||= hasPlainPassword(block.bytes);
      root = findRoot(block.bytes) ?? root;
    }
    const everything = choice.active || membersToo;
    if (!everything && evidence.entries >= evidenceEntries) continue;
    for (const { key, value, line, at } of entriesOf(block)) {
      if (evidence.entries < evidenceEntries) evidence.take(toText(key), toText(value), line);
      else if (!everything) break;
      if (!everything) continue;
      const object = heads.match(block.bytes, at, at + key.length)
        ? { kind: heads.kind, names: heads.path(block.bytes, at + key.length) }
        : objectOf(toText(key));
      if (!object) continue;
      choice.survey(object.names);
      const [tenant] = object.names;
      if (!membersToo || object.kind !== "member" || tenant === undefined) continue;
      const ids = members.get(tenant) ?? [];
      ids.push(copyOf(key.slice(key.lastIndexOf("/") + 1)));
      members.set(tenant, ids);
    }
  }
  const kept = [...members].filter(([tenant]) => choice.dropper([tenant]) === undefined);
  return {
    entries: reader.entries,
    framed: reader.framed,
    marked: reader.marked,
    ...evidence.source(target, given),
    ...(root ? { root } : {}),
    plainPasswords,
    ...(membersToo ? { memberIds: new Set(kept.flatMap(([, ids]) => ids)) } : {}),
  };
}

/** What a key names where it is looked at for its names alone: the reading without slashes in them. */
function objectOf(key: string): { kind: Key["kind"]; names: string[] } | undefined {
  const [read] = candidates(key);
  return read && { kind: read.kind, names: path(read) };
}

/** Whether a form lies in a range of forms. */
export function includesFormat([first, last]: readonly [Format, Format], format: Format): boolean {
  const at = formats.indexOf(format);
  return formats.indexOf(first) <= at && at <= formats.indexOf(last);
}

/** A range of forms, for messages. */
export function describeFormats([first, last]: readonly [Format, Format]): string {
  const text = (format: Format) => format === "2.3" ? "2.3.x" : format;
  return first === last ? text(first) : `${text(first)} to ${text(last)}`;
}

/** Which version a dump is of, from the shapes of its first entries. */
class Evidence {
  entries = 0;
  #first = 0;
  #last = formats.length - 1;
  #line = 0;

  constructor(readonly name: string) {}

  take(key: string, value: string, line: number): void {
    let range: readonly [Format, Format] | undefined;
    try {
      range = formatsOf(identify(key, value), value);
    } catch {
      return; // the second reading says what is wrong with it
    }
    if (!range) return;
    this.entries++;
    const first = Math.max(this.#first, formats.indexOf(range[0]));
    const last = Math.min(this.#last, formats.indexOf(range[1]));
    if (first > last) return; // a mixed dump: refused in the second reading, which knows both lines
    if (first !== this.#first || last !== this.#last || this.#line === 0) this.#line = line;
    this.#first = first;
    this.#last = last;
  }

  source(target: Format, given?: string): { source: string; sourceLine: number } {
    const range = [formats[this.#first] ?? "2.3", formats[this.#last] ?? "2.3"] as const;
    if (given !== undefined) {
      if (!includesFormat(range, formatOf(given))) {
        throw new Failure(
          `${this.name}: --source ${given}, but line ${this.#line} has the form of ${describeFormats(range)}`,
          "leave --source away: but for 2.3.0 and 2.3.1 the version is found by itself.",
        );
      }
      return { source: given, sourceLine: this.#line };
    }
    // Where nothing says it, the earliest form: its conversions leave alone what is later already.
    const most = this.entries ? Math.min(this.#last, Math.max(this.#first, formats.indexOf(target))) : 0;
    const source = formats[most] ?? "2.3";
    if (compareVersions(source, target) > 0) {
      throw new Failure(
        `${this.name}: line ${this.#line} has the form of ${
          describeFormats(range)
        }, which is later than the target ${target}`,
        "a dump can only be converted for a later version.",
      );
    }
    return { source, sourceLine: this.#line };
  }
}

/** Whether a value of `"password"` is there that is neither null nor a bcrypt hash. Only users of 2.3 have that member. */
function hasPlainPassword(bytes: string): boolean {
  for (let at = bytes.indexOf('"password":"'); at >= 0; at = bytes.indexOf('"password":"', at + 1)) {
    if (!bcryptHash.test(bytes.slice(at + 12, at + 72)) || bytes[at + 72] !== '"') return true;
  }
  // Not as CnosDB writes it, so an editor did: then bcrypt is loaded to be sure.
  return bytes.includes('"password" ') || bytes.includes('"password": ');
}

/** The user root, where a block has it. */
function findRoot(bytes: string): Survey["root"] {
  const mark = "/users/root: ";
  const at = bytes.indexOf(mark);
  const lineAt = bytes.lastIndexOf("\n", at) + 1;
  // The second slash of its line: a tenant may have a database of that name.
  if (at < 0 || bytes.indexOf("/", lineAt + 1) !== at) return undefined;
  try {
    const user = readObject(bytes.slice(at + mark.length, bytes.indexOf("\n", at)));
    const options = readObject(user.get("options") ?? "{}");
    // 2.3 calls it `password`.
    const hasPassword = canLogIn(options) || (options.get("password") ?? "null") !== "null";
    return { id: user.get("id") ?? "", hasPassword };
  } catch {
    return undefined; // the second reading says what is wrong with it
  }
}
