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
import { isObject, type Json, type JsonObject } from "../dump/json.ts";
import type { OwnRule } from "./rules.ts";
import { glob } from "./selection.ts";

/**
 * @param text YAML: a list of `drop: PATTERN`, `patch: PATTERN` with `merge:` or `rename:`
 * @param file its name, for messages and reports
 * @throws {UsageError} naming the line of an unknown word, a pattern that is none, or a patch that is none
 */
export async function parseRules(text: string, file: string): Promise<OwnRule[]> {
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
  return entries.map((entry, i) => {
    const name = `${file.replace(/^.*\//, "")} line ${lines[i]}`;
    try {
      return parseRule(jsonOf(entry), name);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UsageError(
        `${file}: line ${lines[i]}: ${error.message}`,
        "a rule is drop: PATTERN, or patch: PATTERN with merge: or rename:",
      );
    }
  });
}

/** What YAML read, as a JSON value. @throws {RangeError} for what JSON does not have, such as a date or an alias of itself */
function jsonOf(value: unknown, above: readonly unknown[] = []): Json {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) {
    if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
    throw new RangeError("merge: a number beyond 2^53 cannot be given here, as YAML rounds it");
  }
  const prototype = typeof value === "object" ? Object.getPrototypeOf(value) : undefined;
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) {
    throw new RangeError(`${String(value)} is nothing that JSON has: write it in quotes if it is a text`);
  }
  if (above.includes(value)) throw new RangeError("an alias that contains itself");
  const inner = [...above, value];
  if (Array.isArray(value)) return value.map((element) => jsonOf(element, inner));
  const members = Object.entries(value as object).map(([name, member]) => [name, jsonOf(member, inner)]);
  return Object.fromEntries(members);
}

/** @throws {RangeError} saying what is wrong with it */
function parseRule(rule: Json, name: string): OwnRule {
  if (!isObject(rule)) throw new RangeError("expected words with a colon");
  const unknown = Object.keys(rule).find((word) => !["drop", "patch", "merge", "rename"].includes(word));
  if (unknown !== undefined) throw new RangeError(`unknown word ${JSON.stringify(unknown)}`);
  const { drop, patch, merge, rename } = rule;
  if ((drop === undefined) === (patch === undefined)) throw new RangeError("expected either drop: or patch:");
  const pattern = drop ?? patch;
  if (typeof pattern !== "string" || !pattern.startsWith("/")) {
    throw new RangeError("a pattern is a key: it starts with /, such as /*/tenants/test_*/**");
  }
  const matches = glob(pattern, "/");
  const common = { name, pattern, applies: ({ key }) => matches(key) } satisfies Partial<OwnRule>;
  if (drop !== undefined) {
    if (merge !== undefined || rename !== undefined) throw new RangeError("drop: takes nothing else");
    return { ...common, text: `- drop: ${pattern}` };
  }
  const text = `- ${JSON.stringify(rule)}`;
  if ((merge === undefined) === (rename === undefined)) {
    throw new RangeError("patch: needs either merge: or rename:");
  }
  if (merge !== undefined) {
    if (!isObject(merge)) throw new RangeError("merge: expected fields");
    return { ...common, text, change: (value) => mergePatch(value, merge) };
  }
  const renames = parseRenames(rename);
  return {
    ...common,
    text,
    change: (value) => renames.reduce((v, path) => renameField(v, ...path), value),
  };
}

function parseRenames(rename: Json | undefined): [path: string[], to: string][] {
  if (!isObject(rename)) throw new RangeError("rename: expected former: new");
  return Object.entries(rename).map(([from, to]) => {
    const [path, target] = [from.split("."), String(to).split(".")];
    if (path.slice(0, -1).join(".") !== target.slice(0, -1).join(".")) {
      throw new RangeError(`rename: ${from} to ${to}: both must be at the same place`);
    }
    return [path, target.at(-1) ?? ""];
  });
}

/** A JSON merge patch (RFC 7396): null removes a member. */
function mergePatch(value: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const merged: Record<string, Json> = isObject(value) ? { ...value } : {};
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) delete merged[name];
    else merged[name] = mergePatch(merged[name] ?? {}, change);
  }
  return merged;
}

/** Renames a field at its place. @param path its names from the outermost object on; @param to its new name */
function renameField(value: Json, [name = "", ...deeper]: string[], to: string): Json {
  if (!isObject(value) || !Object.hasOwn(value, name)) return value;
  const members = Object.entries(value).map(([member, inner]): [string, Json] => {
    if (member !== name) return [member, inner];
    return deeper.length ? [member, renameField(inner, deeper, to)] : [to, inner];
  });
  return Object.fromEntries(members) as JsonObject;
}
