/** Filters a dump: each entry takes one way through the rules. */
import { loadBcrypt } from "../cli/deps.ts";
import { Failure } from "../cli/errors.ts";
import { harmless } from "../cli/presentable.ts";
import { displayName } from "../cnosdb/names.ts";
import { InvalidValue } from "../dump/json.ts";
import { isCutByRestore, kinds, namesOf, readKey } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import type { Context } from "../versions/step.ts";
import { convert, keyOf, type Outcome, readItem, remember, valueOf } from "./convert.ts";
import { Notes } from "./notes.ts";
import { type FilterOptions, type OwnRule, rulesFor, type Survey } from "./rules.ts";
import { survey } from "./survey.ts";

/** A dump that was filtered. */
export interface Filtered {
  dump: Dump;
  facts: Survey;
  /** what became of each entry, in their order */
  outcomes: readonly Outcome[];
  /** what the operator should know */
  notes: string[];
}

/** The entries that come out. */
export function* entriesOf({ dump, outcomes }: Pick<Filtered, "dump" | "outcomes">): Generator<Entry> {
  for (const [i, entry] of dump.entries.entries()) {
    const outcome = outcomes[i]!;
    if (outcome.action === "dropped") continue;
    yield { key: keyOf(entry, outcome), value: valueOf(entry, outcome), line: entry.line };
  }
}

/**
 * Loads bcrypt (cost 12), with which 2.4 wants the passwords hashed that 2.3.0 to 2.3.3 hold as plain text. The
 * salt is the user's 128-bit id: random, unique, and the same in every run.
 */
export async function loadHash(): Promise<Context["hash"]> {
  const bcrypt = await loadBcrypt();
  return (password, userId) => {
    const id = Uint8Array.fromHex(BigInt(userId).toString(16).padStart(32, "0"));
    return bcrypt.hashSync(password, `$2b$12$${bcrypt.encodeBase64([...id], 16)}`);
  };
}

/** @throws {Failure} if an entry or the dump's version cannot be converted, two keys are the same, or a flag matched nothing */
export async function filterDump(dump: Dump, options: FilterOptions, signal: AbortSignal): Promise<Filtered> {
  const facts = survey(dump, options);
  const hash = facts.plainPasswords ? await options.loadHash() : () => {
    throw new Error("a password has to be hashed that the survey did not find");
  };
  const notes = new Notes(facts.users);
  const outcomeOf = wayThrough(options, facts, hash, notes);
  const outcomes: Outcome[] = [];
  let [previous, rises] = ["", true];
  for (const entry of dump.entries) {
    if (outcomes.length % 10_000 === 9_999) {
      // Lets signals arrive.
      await new Promise((resolve) => setTimeout(resolve));
      signal.throwIfAborted();
    }
    let outcome: Outcome;
    try {
      outcome = outcomeOf(entry);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      const where = `line ${entry.line}: ${harmless(entry.key)}`;
      if (!options.dropInvalid) {
        throw new Failure(
          `${where}: ${error.message}`,
          "nothing may be lost in silence, so this stops here; drop the entry by --rules, or all such entries by --drop-invalid.",
        );
      }
      notes.add("invalid", () => `${where}: dropped as invalid: ${error.message}`);
      outcome = { kind: "unknown", action: "dropped", rules: ["--drop-invalid"], changes: [] };
    }
    outcomes.push(outcome);
    if (outcome.action === "dropped") continue;
    const key = keyOf(entry, outcome);
    rises &&= key > previous;
    previous = key;
  }
  // CnosDB dumps keys in ascending order: then none is there twice.
  if (!rises) refuseTwice(entriesOf({ dump, outcomes }));
  if (options.own.length || options.dropInvalid) noteOrphans(dump, outcomes, options.own, notes);
  const applied = new Set(options.own.length ? new Set(outcomes).values().flatMap(({ rules }) => rules) : []);
  for (const { name, pattern } of options.own) {
    if (!applied.has(name)) notes.add("rules", () => `${name}: ${pattern} matched nothing`);
  }
  return { dump, facts, outcomes, notes: notes.lines() };
}

/** Returns what decides what becomes of an entry; it throws an `InvalidValue` if that cannot be converted. */
function wayThrough(
  options: FilterOptions,
  facts: Survey,
  hash: Context["hash"],
  notes: Notes,
): (entry: Entry) => Outcome {
  const rules = rulesFor(options, facts);
  const dropsOf = new Map(kinds.map((of) => [of, rules.drops.filter(({ kind = of }) => kind === of)]));
  const given = { ...options, ...facts, rules, hash };
  const convertOnce = remember((item, patches) => convert(item, patches, given));
  const shared = new Map<string, Outcome>();
  const dropped = (kind: Outcome["kind"], rule: string): Outcome =>
    shared.getOrInsertComputed(
      `${kind} ${rule}`,
      () => ({ kind, action: "dropped", rules: [rule], changes: [] }),
    );
  return (entry) => {
    // They go by the key alone, so they also drop what cannot be read.
    const ownDrop = rules.ownDrops.find((rule) => rule.applies(entry));
    if (ownDrop) return dropped(readKey(entry.key)?.kind ?? "unknown", ownDrop.name);
    const item = readItem(entry);
    const { key } = item;
    const drop = dropsOf.get(key.kind)!.find((rule) => rule.applies(entry, key));
    if (drop?.name === "slashed-names") {
      const name = `${key.kind} ${displayName(...namesOf(key))}`;
      notes.add("names with a slash", () => `${name} is left out: no version of CnosDB lists or opens it`);
    }
    if (drop) return dropped(key.kind, drop.name);
    const outcome = convertOnce(item, rules.patches.filter((patch) => patch.applies(entry)));
    if (isCutByRestore(entry.key)) {
      throw new InvalidValue(
        'a name with ": " or a line break in it cannot be restored, as CnosDB cuts the line there; leave it out by --exclude or --rules',
      );
    }
    notes.take(item, outcome);
    return outcome;
  };
}

/** Notes what comes out although `own` rules or --drop-invalid dropped the tenant or the database that it is in. */
function noteOrphans({ entries }: Dump, outcomes: readonly Outcome[], own: readonly OwnRule[], notes: Notes) {
  const drops = own.filter(({ change }) => !change);
  const dropped = new Set<string>();
  for (const [i, entry] of entries.entries()) {
    const { action, kind, rules: [rule] } = outcomes[i]!;
    if (action !== "dropped" || (kind !== "tenant" && kind !== "database" && kind !== "unknown")) continue;
    // Mostly the rules drop all that is in it, too: `/c/tenants/a/**`.
    const inside = { ...entry, key: `${entry.key}/x` };
    const isOwn = rule === "--drop-invalid" || drops.some(({ name }) => name === rule);
    if (isOwn && !drops.some((drop) => drop.applies(inside))) dropped.add(entry.key);
  }
  if (!dropped.size) return;
  for (const [i, { key, line }] of entries.entries()) {
    // A key is that of its parent, a word and a name.
    const parent = key.slice(0, key.lastIndexOf("/", key.lastIndexOf("/") - 1));
    if (outcomes[i]!.action === "dropped" || !dropped.has(parent)) continue;
    const note = () => `line ${line}: ${key} comes out without ${parent}: no cluster would show it`;
    notes.add("entries without what they are in", note);
  }
}

/** @throws {Failure} if two entries have one key */
function refuseTwice(entries: Iterable<Entry>): void {
  const lines = new Map<string, number>();
  for (const { key, line } of entries) {
    const first = lines.get(key);
    if (first !== undefined) {
      throw new Failure(
        `line ${line}: ${key}: is there twice, first in line ${first}`,
        "keep one of the two lines.",
      );
    }
    lines.set(key, line);
  }
}
