// Drops and patches of the operator's own (`--rules FILE.yaml`), so that a surprise in one cluster needs no new release:
//
//     - drop: /*/tenants/test_*/**
//     - patch: /*/tenants/acme/dbs/iot
//       merge: { options: { replica: 1 } }
//     - patch: /*/users/*
//       rename: { options.note: options.comment }
//
// A pattern is a key, in which `*` stands for anything but a slash and `**` for anything.
import { loadYaml } from "../cli/deps.ts";
import { messageOf, UsageError } from "../cli/errors.ts";
import { glob } from "./glob.ts";
import { type RawObject, readObject, renamed, withChanged, withMember, writeObject } from "../dump/json.ts";

export interface Rule {
  /** for reports: `rules:LINE` */
  readonly name: string;
  readonly line: number;
  readonly text: string;
  matches: number;
  test(key: string): boolean;
  /** the patched value, JSON text; undefined where the entry is dropped */
  apply?: (value: string) => string;
}

/** A JSON merge patch (RFC 7396) on text: what the patch does not name stays byte for byte. */
export function mergePatch(value: string, patch: unknown): string {
  if (!isRecord(patch)) return JSON.stringify(patch);
  let object: RawObject = value.trimStart()[0] === "{" ? readObject(value) : new Map();
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) {
      object = new Map(object);
      object.delete(name);
    } else object = withMember(object, name, mergePatch(object.get(name) ?? "{}", change));
  }
  return writeObject(object);
}

/** Renames a field, both names with dots between the levels, within one level. */
function renameField(value: string, from: string[], to: string[]): string {
  const inner = (object: RawObject, depth: number): RawObject => {
    const name = from[depth] ?? "";
    if (!object.has(name)) return object;
    if (depth === from.length - 1) return renamed(object, name, to[depth] ?? "");
    return withChanged(object, name, (next) => inner(next, depth + 1));
  };
  const before = readObject(value);
  const after = inner(before, 0);
  return after === before ? value : writeObject(after);
}

/** Whether a number in a value has lost digits, as those of 128-bit ids do. */
function hasRounded(value: unknown): boolean {
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value);
  return typeof value === "object" && value !== null && Object.values(value).some(hasRounded);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param text YAML: a list of `drop: PATTERN`, `patch: PATTERN` with `merge:` or `rename:`
 * @param file its name, for messages
 * @throws {UsageError} naming the line of an unknown word, a pattern that is none, or a patch that is none
 */
export async function parseRules(text: string, file: string): Promise<Rule[]> {
  const { parse } = await loadYaml();
  let entries: unknown;
  try {
    entries = parse(text) ?? [];
  } catch (error) {
    throw new UsageError(`${file}: no YAML: ${messageOf(error)}`);
  }
  if (!Array.isArray(entries)) {
    throw new UsageError(`${file}: expected a list of rules, each starting with "- "`);
  }
  // Rules are the items of the outermost list, so each begins at a dash that is not indented.
  const lines = text.split("\n").flatMap((line, i) => /^- ?/.test(line) ? [i + 1] : []);
  if (lines.length !== entries.length) {
    throw new UsageError(`${file}: expected each rule to start with "- " at the beginning of a line`);
  }
  return entries.map((entry, i) => parseRule(entry, lines[i] ?? 0, file));
}

function parseRule(entry: unknown, line: number, file: string): Rule {
  const refuse = (problem: string): never => {
    throw new UsageError(
      `${file}: line ${line}: ${problem}`,
      "a rule is drop: PATTERN, or patch: PATTERN with merge: or rename:",
    );
  };
  if (!isRecord(entry)) return refuse("expected words with a colon");
  const unknown = Object.keys(entry).find((word) => !["drop", "patch", "merge", "rename"].includes(word));
  if (unknown !== undefined) refuse(`unknown word ${JSON.stringify(unknown)}`);
  const { drop, patch, merge, rename } = entry;
  const pattern = drop ?? patch;
  if ((drop === undefined) === (patch === undefined)) refuse("expected either drop: or patch:");
  if (typeof pattern !== "string" || !pattern.startsWith("/")) {
    return refuse("a pattern is a key: it starts with /, such as /*/tenants/test_*/**");
  }
  const test = glob(pattern, "/");
  const rule = {
    name: `rules:${line}`,
    line,
    text: pattern,
    matches: 0,
    test: (key: string) => test.test(key),
  };
  if (drop !== undefined) {
    return merge === undefined && rename === undefined ? rule : refuse("drop: takes nothing else");
  }
  if ((merge === undefined) === (rename === undefined)) refuse("patch: needs either merge: or rename:");
  if (merge !== undefined) {
    if (!isRecord(merge)) refuse("merge: expected fields");
    if (hasRounded(merge)) refuse("merge: a number beyond 2^53 cannot be given here, as YAML rounds it");
    return { ...rule, apply: (value) => mergePatch(value, merge) };
  }
  if (!isRecord(rename)) return refuse("rename: expected former: new");
  const renames = Object.entries(rename).map(([from, to]) => {
    const paths = [from.split("."), String(to).split(".")] as const;
    if (paths[0].slice(0, -1).join(".") !== paths[1].slice(0, -1).join(".")) {
      refuse(`rename: ${from} to ${to}: both must be at the same place`);
    }
    return paths;
  });
  return {
    ...rule,
    apply: (value) => renames.reduce((text, [from, to]) => renameField(text, from, to), value),
  };
}
