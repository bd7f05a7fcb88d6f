/** From the dump of one version to the entries of another: each takes one way through the rules. */
import { Failure } from "../cli/errors.ts";
import { InvalidValue } from "../dump/json.ts";
import { kinds, readKey } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import { type Conversion, convert, type Converted } from "./convert.ts";
import { type Facts, readFacts } from "./facts.ts";
import { Item } from "./item.ts";
import { remember } from "./memo.ts";
import { References } from "./references.ts";
import type { Notes } from "./report.ts";
import type { Outcome } from "./outcome.ts";
import type { FilterOptions, Rule } from "./rule.ts";
import { rulesFor, slashNote } from "./rules.ts";

/** A dump that is being filtered. */
export interface Filtered {
  facts: Facts;
  /**
   * What becomes of each entry, in their order; reading them does the work.
   * @throws {Failure} at an entry that cannot be converted; at their end if a key would come out twice or a flag matched nothing
   */
  outcomes: Iterable<Outcome>;
  /** what comes out, whole once the outcomes are read */
  kept: Kept[];
}

/** An entry that comes out: its text is only made when it is written, as a large dump has a million of them. */
export interface Kept {
  entry: Entry;
  newKey: string | undefined;
  converted: Converted;
}

/** The entries that come out, as they are written. */
export function* entriesOf(kept: Iterable<Kept>): Generator<Entry> {
  for (const { entry: { key, value, line }, newKey, converted } of kept) {
    yield { key: newKey ?? key, value: converted.textFor(value), line };
  }
}

/**
 * @param notes gets what the operator should know
 * @throws {Failure} if the dump is of a version that cannot be converted for the target
 */
export async function filterDump(dump: Dump, options: FilterOptions, notes: Notes): Promise<Filtered> {
  const facts = readFacts(dump, options);
  const bcrypt = facts.plainPasswords ? await options.loadHash() : undefined;
  const rules = rulesFor(options, facts, (password, id) => {
    if (!bcrypt) throw new Error("a password is to be hashed that the facts do not know of");
    notes.hashed++;
    return bcrypt(password, id);
  });
  const kept: Kept[] = [];
  return { facts, outcomes: filter(dump, options, facts, rules, notes, kept), kept };
}

function* filter(
  dump: Dump,
  options: FilterOptions,
  facts: Facts,
  rules: readonly Rule[],
  notes: Notes,
  kept: Kept[],
): Generator<Outcome> {
  const drops = rules.filter(({ change }) => !change);
  const ownDrops = drops.filter(({ own }) => own);
  const dropsOf = new Map(kinds.map((of) => [of, drops.filter(({ own, kind = of }) => !own && kind === of)]));
  const patches = rules.filter(({ own, change }) => own && change);
  const conversion: Conversion = { ...facts, target: options.target, rules, details: options.details };
  const convertOnce = remember((item) => convert(item, conversion));
  const references = new References();
  for (const entry of dump.entries) {
    const item = new Item(entry);
    let converted: Converted;
    try {
      // The operator's own say what to drop by its key, whatever it may be.
      const dropping = firstOf(ownDrops, item) ?? firstOf(dropsOf.get(item.key.kind)!, item);
      if (dropping) {
        if (dropping.name === "slashed-names") notes.add("names with a slash", () => slashNote(item));
        yield drop(entry, readKey(entry.key)?.kind ?? "unknown", dropping);
        continue;
      }
      const patched = patches.filter((patch) => patch.applies(item));
      for (const { own } of patched) if (own) own.matches++;
      converted = patched.length ? convert(item, conversion) : convertOnce(item);
      if (entry.key.includes(": ")) throw new InvalidValue(colonInName);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      if (!options.dropInvalid) {
        throw new Failure(
          `line ${entry.line}: ${entry.key}: ${error.message}`,
          "nothing may be lost in silence, so this stops here; drop the entry by --rules, or all such entries by --drop-invalid.",
        );
      }
      notes.add("invalid", `line ${entry.line}: ${entry.key}: dropped as invalid: ${error.message}`);
      yield drop(entry, "unknown", { name: "--drop-invalid" });
      continue;
    }
    const { about } = converted;
    references.take(item, about);
    notes.user(item.key, about.remarks);
    const newKey = newKeyOf(item, options.cluster);
    kept.push({ entry, newKey, converted });
    const applied = newKey === undefined ? about.rules : [...about.rules, "--cluster"];
    yield {
      line: entry.line,
      key: entry.key,
      newKey,
      kind: item.key.kind,
      action: applied.length ? "converted" : "kept",
      rules: applied,
      changes: about.changes,
      ttl: about.ttl,
    };
  }
  refuseTwice(kept);
  references.check(facts.users, notes);
  notes.rules(rules);
  const unmatched = options.selection.unmatched();
  if (unmatched.length) {
    throw new Failure(
      `${unmatched.join(", ")}: matched nothing in the dump`,
      "is the name spelt as in the dump? It is case sensitive, and only * and ? stand for anything else.",
    );
  }
}

function firstOf(drops: readonly Rule[], item: Item): Rule | undefined {
  const rule = drops.find((rule) => rule.applies(item));
  if (rule?.own) rule.own.matches++;
  return rule;
}

function drop({ line, key }: Entry, kind: Outcome["kind"], { name }: Pick<Rule, "name">): Outcome {
  return { line, key, kind, action: "dropped", rules: [name], changes: [] };
}

const colonInName =
  'a name with ": " in it cannot be restored, as CnosDB cuts the line there; leave it out by --exclude or --rules';

/** The key that an entry gets, if it is another. */
function newKeyOf({ entry, key }: Item, cluster: string | undefined): string | undefined {
  if (cluster === undefined || cluster === key.cluster) return undefined;
  return `/${cluster}${entry.key.slice(entry.key.indexOf("/", 1))}`;
}

/** @throws {Failure} if two entries come out with one key */
function refuseTwice(kept: readonly Kept[]): void {
  let previous = "";
  // Keys that rise, as CnosDB dumps them, are never there twice.
  const rise = kept.every(({ entry, newKey }) => {
    const key = newKey ?? entry.key;
    const rises = key > previous;
    previous = key;
    return rises;
  });
  if (rise) return;
  const lines = new Map<string, number>();
  for (const { key, line } of entriesOf(kept)) {
    const before = lines.get(key);
    if (before !== undefined) {
      throw new Failure(
        `line ${line}: ${key}: is there twice, first in line ${before}`,
        "keep one of the two lines.",
      );
    }
    lines.set(key, line);
  }
}
