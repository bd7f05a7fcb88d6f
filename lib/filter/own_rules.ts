// The operator's own drops and patches (`--rules FILE.yaml`), so that a surprise in one cluster needs no new
// release:
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
import { InvalidValue, isObject, type Json, type JsonObject } from "../dump/json.ts";
import { changed, renamed } from "../versions/step.ts";
import type { OwnRule } from "./rules.ts";
import { glob } from "./selection.ts";

/**
 * @param text YAML: a list of `drop: PATTERN`, and `patch: PATTERN` with `merge:` or `rename:`
 * @param file its name, for messages and reports
 * @throws {UsageError} with the line of a rule that is wrong
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
  const lines = text.split("\n").flatMap((line, i) => /^-(\s|$)/.test(line) ? [i + 1] : []);
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

/**
 * A value from YAML, as JSON.
 * @param outer the values that it is inside of
 * @throws {RangeError} for what JSON does not have: a date, an alias of itself
 */
function jsonOf(value: unknown, outer: readonly unknown[] = []): Json {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) {
    if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
    throw new RangeError("merge: a number beyond 2^53 cannot be given here, as YAML rounds it");
  }
  if (outer.includes(value)) throw new RangeError("an alias that contains itself");
  const around = [...outer, value];
  if (Array.isArray(value)) return value.map((element) => jsonOf(element, around));
  if (Object.prototype.toString.call(value) !== "[object Object]") {
    throw new RangeError(`${String(value)} is nothing that JSON has: write it in quotes if it is a text`);
  }
  const members = Object.entries(value as object);
  return Object.fromEntries(members.map(([name, member]) => [name, jsonOf(member, around)]));
}

/** @throws {RangeError} saying what is wrong with the rule */
function parseRule(rule: Json, name: string): OwnRule {
  if (!isObject(rule)) throw new RangeError("expected words with a colon");
  const { drop, patch, merge, rename, ...others } = rule;
  for (const word in others) throw new RangeError(`unknown word ${JSON.stringify(word)}`);
  if ((drop === undefined) === (patch === undefined)) throw new RangeError("expected either drop: or patch:");
  const pattern = drop ?? patch;
  if (typeof pattern !== "string" || !pattern.startsWith("/")) {
    throw new RangeError("a pattern is a key: it starts with /, such as /*/tenants/test_*/**");
  }
  const matches = glob(pattern, "/");
  const text = `- ${JSON.stringify(rule)}`;
  const common: OwnRule = { name, text, pattern, applies: ({ key }) => matches(key) };
  if (drop !== undefined) {
    if (merge !== undefined || rename !== undefined) throw new RangeError("drop: takes nothing else");
    return common;
  }
  if ((merge === undefined) === (rename === undefined)) {
    throw new RangeError("patch: needs either merge: or rename:");
  }
  if (merge !== undefined && !isObject(merge)) throw new RangeError("merge: expected fields");
  return { ...common, change: merge ? (value) => mergePatch(value, merge) : renaming(rename) };
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

/** Returns what renames fields. @param names from former to new ones, such as `options.note: options.comment` */
function renaming(names: Json | undefined): (value: Json) => Json {
  if (!isObject(names)) throw new RangeError("rename: expected former: new");
  const changes = Object.entries(names).map(([from, to]) => {
    const path = from.split(".");
    const newPath = String(to).split(".");
    const former = path.pop()!;
    const name = newPath.pop()!;
    if (path.join(".") !== newPath.join(".")) {
      throw new RangeError(`rename: ${from} to ${to}: both must be at the same place`);
    }
    const rename = (object: JsonObject) => {
      if (Object.hasOwn(object, former) && Object.hasOwn(object, name)) {
        throw new InvalidValue(`rename: ${to} is there already`);
      }
      return renamed(object, (member) => member === former ? name : member);
    };
    return (value: Json) => isObject(value) ? changed(value, path, rename) : value;
  });
  return (value) => changes.reduce((changed, change) => change(changed), value);
}
