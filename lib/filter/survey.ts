/** Looks through a whole dump before its first entry is filtered. */
import { Failure } from "../cli/errors.ts";
import { digitsOf, InvalidValue, isObject, objectIn, parseJson } from "../dump/json.ts";
import { userNames } from "../dump/compare.ts";
import { readKey } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import { identify } from "../versions/entry.ts";
import { canLogIn } from "../versions/v2_4_0.ts";
import {
  anyFormat,
  describeRange,
  formatsOf,
  overlap,
  positionOf,
  rangeOfSource,
} from "../versions/versions.ts";
import type { FilterOptions, Survey } from "./rules.ts";
import { namesUnder, type Selection } from "./selection.ts";

/** How many values that show their form are read to find the dump's; a later one that does not fit is refused. */
const evidenceEntries = 200;

/** A password that may have to be hashed: it is no whole hash, or it is escaped, so that only parsing can tell. */
const plainPassword = /"password"\s*:\s*"(?!\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")|\\/;

/**
 * Reads the first values, and the keys and users as far as they matter. What the operator's own rules drop shows
 * nothing: it may be of another version or of another cluster.
 * @throws {Failure} if the dump's version cannot be converted for the target, or a flag matched nothing
 */
export function survey(dump: Dump, options: FilterOptions): Survey {
  const { selection, pruneUsers, own } = options;
  const ownDrops = own.filter(({ change }) => !change);
  const isDropped: IsDropped = (entry) => ownDrops.some((rule) => rule.applies(entry));
  const source = sourceOf(dump, options, isDropped);
  let root: Survey["root"];
  let plainPasswords = false;
  const users: Entry[] = [];
  const tenants = new Set<string>();
  for (const entry of dump.entries) {
    // Looked at by hand, as reading all keys takes longer: what follows the cluster's name.
    const at = entry.key.indexOf("/", 1) + 1;
    if (entry.key.startsWith("tenants/", at) && !entry.key.includes("/", at + 8)) tenants.add(entry.key);
    if (!selection.needsMore && !entry.key.startsWith("users/", at)) continue;
    const key = readKey(entry.key);
    if (!key) continue;
    selection.survey(namesUnder(key));
    if (key.kind !== "user") continue;
    users.push(entry);
    if (isDropped(entry)) continue;
    plainPasswords ||= plainPassword.test(entry.value);
    if (key.user === "root") root = readUser(entry.value);
  }
  const unmatched = selection.unmatched();
  if (unmatched.length) {
    throw new Failure(
      `${unmatched.join(", ")}: matched nothing in the dump`,
      "is the name spelt as in the dump? It is case sensitive, and only * and ? stand for anything else.",
    );
  }
  const pruned = pruneUsers ? findUnneeded(users, dump, selection, isDropped) : new Set<string>();
  return { ...source, root, pruned, plainPasswords, users: userNames(users), tenants };
}

/** Whether the operator's own rules drop an entry. */
type IsDropped = (entry: Entry) => boolean;

/** The keys of users who are no administrators and members of no tenant that is carried over. */
function findUnneeded(
  users: readonly Entry[],
  dump: Dump,
  selection: Selection,
  isDropped: IsDropped,
): Set<string> {
  const members = new Set<string>();
  for (const entry of dump.entries) {
    const key = entry.key.includes("/members/") ? readKey(entry.key) : undefined;
    if (key?.kind !== "member" || selection.drops([key.tenant]) || isDropped(entry)) continue;
    members.add(key.userId);
  }
  const unneeded = users.filter((entry) => {
    const [[id = "", name] = []] = userNames([entry]);
    return !members.has(id) && name !== "root" && readUser(entry.value)?.isAdmin === false;
  });
  return new Set(unneeded.map(({ key }) => key));
}

function readUser(value: string): { id: string; hasPassword: boolean; isAdmin: boolean } | undefined {
  const user = attempt(() => parseJson(value));
  if (!isObject(user)) return undefined;
  const options = objectIn(user, "options");
  return {
    id: digitsOf(user.id) ?? "",
    hasPassword: canLogIn(options),
    isAdmin: [user.is_admin, user.is_root_admin, options.granted_admin].includes(true),
  };
}

/** Passes over what cannot be read: it is refused when it is converted. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
  }
}

/** The forms that a dump may have, by `--source` and its first values, and the line that shows it. */
function sourceOf({ name, entries }: Dump, { source: given, target }: FilterOptions, isDropped: IsDropped) {
  let [source, sourceLine, read] = [anyFormat, 0, 0];
  for (const entry of entries) {
    if (isDropped(entry)) continue;
    const range = attempt(() => {
      const json = parseJson(entry.value);
      return formatsOf(identify(entry.key, json), json);
    }) ?? anyFormat;
    // A dump of two versions is refused when the entry is converted: there both lines are known.
    const both = overlap(source, range) ?? source;
    if (both.first !== source.first || both.last !== source.last) [source, sourceLine] = [both, entry.line];
    if (range.first === anyFormat.first && range.last === anyFormat.last) continue;
    if (++read === evidenceEntries) break;
  }
  const form = `line ${sourceLine} has the form of ${describeRange(source)}`;
  const stated = given === undefined ? source : rangeOfSource(given);
  if (!overlap(stated, source)) {
    throw new Failure(
      `${name}: --source ${given}, but ${form}`,
      "leave --source away: but for 2.3.0 and 2.3.1 the version is found by itself.",
    );
  }
  if (source.first > positionOf(target)) {
    throw new Failure(
      `${name}: ${form}, which is later than the target ${target}`,
      "a dump can only be converted for a later version.",
    );
  }
  return { source: stated, sourceLine };
}
