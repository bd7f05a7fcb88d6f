/** What has to be known of a whole dump before its first entry is filtered. */
import { Failure } from "../cli/errors.ts";
import { digitsOf, InvalidValue, isObject, type Json, objectIn, parseJson } from "../dump/json.ts";
import { type Key, readKey } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import {
  anyFormat,
  describeRange,
  overlap,
  positionOf,
  type Range,
  rangeOfSource,
} from "../versions/versions.ts";
import { formatsOf, identify } from "../versions/entry.ts";
import { bcryptHash, canLogIn } from "../versions/v2_4_0.ts";
import type { FilterOptions } from "./rule.ts";
import { namesUnder } from "./selection.ts";

export interface Facts {
  /** the forms that the dump may be of */
  source: Range;
  /** the line that shows it */
  sourceLine: number;
  /** the entries of users */
  users: Entry[];
  root?: { id: string; hasPassword: boolean };
  /** whether passwords have to be hashed */
  plainPasswords: boolean;
  /** the names of users that `--prune-users` drops */
  pruned: Set<string>;
}

/** Values of so many entries are read to see the dump's form; a later one that does not fit is an error when it is converted. */
const evidenceEntries = 200;

/** What a password looks like that has to be hashed: no whole hash, or escaped, so that only parsing tells. */
const plainPassword = /"password"\s*:\s*"(?!\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")|\\/;

/**
 * Reads a dump's keys, and the values of its users as far as they matter.
 * @throws {Failure} if the dump is of a version that cannot be converted for the target
 */
export function readFacts(dump: Dump, options: FilterOptions): Facts {
  const { selection, pruneUsers } = options;
  const everyKey = pruneUsers || selection.flags.length > 0;
  const evidence = new Evidence();
  const facts: Omit<Facts, "source" | "sourceLine"> = { users: [], plainPasswords: false, pruned: new Set() };
  /** the members of each tenant, by user id */
  const members = new Map<string, string[]>();
  /** users that may be pruned: name by id */
  const prunable = new Map<string, string>();
  for (const entry of dump.entries) {
    if (evidence.entries < evidenceEntries) evidence.take(entry);
    if (!everyKey && !entry.key.includes("/users/")) continue;
    const key = readKey(entry.key);
    if (!key) continue;
    selection.survey(namesUnder(key));
    if (key.kind === "member" && pruneUsers) {
      const ids = members.get(key.tenant);
      if (ids) ids.push(key.userId);
      else members.set(key.tenant, [key.userId]);
    } else if (key.kind === "user") {
      facts.users.push(entry);
      const matters = pruneUsers || key.user === "root" || plainPassword.test(entry.value);
      if (matters) readUser(key, entry.value, facts, prunable);
    }
  }
  if (pruneUsers) {
    const kept = [...members].filter(([tenant]) => !selection.drops([tenant]));
    for (const id of kept.flatMap(([, ids]) => ids)) prunable.delete(id);
    facts.pruned = new Set(prunable.values());
  }
  return { ...facts, ...evidence.source(dump.name, options) };
}

/** Whatever is wrong with the value is said when it is converted. */
function readUser(
  key: Key & { kind: "user" },
  text: string,
  facts: Pick<Facts, "root" | "plainPasswords">,
  prunable: Map<string, string>,
): void {
  const user = tryParse(text);
  if (!isObject(user)) return;
  const options = objectIn(user, "options");
  const { password } = options;
  facts.plainPasswords ||= typeof password === "string" && !bcryptHash.test(password);
  const id = digitsOf(user.id) ?? "";
  if (key.user === "root") facts.root = { id, hasPassword: canLogIn(options) };
  else if (![user.is_admin, user.is_root_admin, options.granted_admin].includes(true)) {
    prunable.set(id, key.user);
  }
}

function tryParse(text: string): Json | undefined {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof InvalidValue) return undefined;
    throw error;
  }
}

/** Which version a dump is of, by the form of its first entries. */
class Evidence {
  entries = 0;
  #range = anyFormat;
  #line = 0;

  take({ key, value, line }: Entry): void {
    const parsed = tryParse(value);
    if (parsed === undefined) return;
    let range: Range;
    try {
      range = formatsOf(identify(key, parsed), parsed);
    } catch (error) {
      if (error instanceof InvalidValue) return;
      throw error;
    }
    this.entries++;
    const both = overlap(this.#range, range);
    // A dump of two versions is refused when the entry is converted: there both lines are known.
    if (!both) return;
    if (both.first !== this.#range.first || both.last !== this.#range.last) this.#line = line;
    this.#range = both;
  }

  source(
    name: string,
    { source: given, target }: FilterOptions,
  ): { source: Range; sourceLine: number } {
    const [range, line] = [this.#range, this.#line];
    if (given !== undefined) {
      const said = rangeOfSource(given);
      if (!overlap(said, range)) {
        throw new Failure(
          `${name}: --source ${given}, but line ${line} has the form of ${describeRange(range)}`,
          "leave --source away: but for 2.3.0 and 2.3.1 the version is found by itself.",
        );
      }
      return { source: said, sourceLine: line };
    }
    if (range.first > positionOf(target)) {
      throw new Failure(
        `${name}: line ${line} has the form of ${
          describeRange(range)
        }, which is later than the target ${target}`,
        "a dump can only be converted for a later version.",
      );
    }
    return { source: range, sourceLine: line };
  }
}
