/** Filters a dump: each entry takes one way through the rules. */
import { loadBcrypt } from "../cli/deps.ts";
import { Failure } from "../cli/errors.ts";
import { harmless } from "../cli/presentable.ts";
import { displayName } from "../cnosdb/names.ts";
import { InvalidValue } from "../dump/json.ts";
import { isCutByRestore, type Key, kinds, namesOf, readKey } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import type { Context } from "../versions/step.ts";
import { type Convert, convert, keyOf, type Outcome, readItem, remember, valueOf } from "./convert.ts";
import { Notes } from "./notes.ts";
import { type Drop, type FilterOptions, type Rules, rulesFor, type Survey } from "./rules.ts";
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
  const filter = new EntryFilter(options, facts, hash, notes);
  const outcomes: Outcome[] = [];
  let [previous, ascending] = ["", true];
  for (const entry of dump.entries) {
    if (outcomes.length % 10_000 === 9_999) {
      // Lets signals arrive.
      await new Promise((resolve) => setTimeout(resolve));
      signal.throwIfAborted();
    }
    const outcome = filter.outcomeOf(entry);
    outcomes.push(outcome);
    if (outcome.action === "dropped") continue;
    const key = keyOf(entry, outcome);
    ascending &&= key > previous;
    previous = key;
  }
  // CnosDB dumps keys in ascending order: then none is there twice.
  if (!ascending) refuseTwice(entriesOf({ dump, outcomes }));
  const applied = new Set(options.own.length ? new Set(outcomes).values().flatMap(({ rules }) => rules) : []);
  for (const { name, pattern } of options.own) {
    if (!applied.has(name)) notes.add("rules", () => `${name}: ${pattern} matched nothing`);
  }
  return { dump, facts, outcomes, notes: notes.lines() };
}

/** Decides what becomes of each entry. */
class EntryFilter {
  readonly #rules: Rules;
  /** the drops that may apply to an entry, by its kind */
  readonly #dropsOf: Map<Key["kind"], Drop[]>;
  readonly #convertOnce: Convert;
  readonly #dropped = new Map<string, Outcome>();

  constructor(
    readonly options: FilterOptions,
    facts: Survey,
    hash: Context["hash"],
    readonly notes: Notes,
  ) {
    const rules = rulesFor(options, facts);
    const given = { options, facts, rules, hash };
    this.#rules = rules;
    this.#dropsOf = new Map(kinds.map((of) => [of, rules.drops.filter(({ kind = of }) => kind === of)]));
    this.#convertOnce = remember((item, patches) => convert(item, patches, given));
  }

  /** @throws {Failure} if the entry cannot be converted */
  outcomeOf(entry: Entry): Outcome {
    // They go by the key alone, so they also drop what cannot be read.
    const ownDrop = this.#rules.ownDrops.find((rule) => rule.applies(entry));
    if (ownDrop) return this.#drop(readKey(entry.key)?.kind ?? "unknown", ownDrop.name);
    try {
      return this.#filter(entry);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      const where = `line ${entry.line}: ${harmless(entry.key)}`;
      if (!this.options.dropInvalid) {
        throw new Failure(
          `${where}: ${error.message}`,
          "nothing may be lost in silence, so this stops here; drop the entry by --rules, or all such entries by --drop-invalid.",
        );
      }
      this.notes.add("invalid", () => `${where}: dropped as invalid: ${error.message}`);
      return this.#drop("unknown", "--drop-invalid");
    }
  }

  /** @throws {InvalidValue} if the entry cannot be converted */
  #filter(entry: Entry): Outcome {
    const item = readItem(entry);
    const { key } = item;
    const drop = this.#dropsOf.get(key.kind)!.find((rule) => rule.applies(entry, key));
    if (drop?.name === "slashed-names") {
      const name = `${key.kind} ${displayName(...namesOf(key))}`;
      const note = () => `${name} is left out: no version of CnosDB lists or opens it`;
      this.notes.add("names with a slash", note);
    }
    if (drop) return this.#drop(key.kind, drop.name);
    const outcome = this.#convertOnce(item, this.#rules.patches.filter((patch) => patch.applies(entry)));
    if (isCutByRestore(entry.key)) {
      throw new InvalidValue(
        'a name with ": " or a line break in it cannot be restored, as CnosDB cuts the line there; leave it out by --exclude or --rules',
      );
    }
    this.notes.take(item, outcome);
    return outcome;
  }

  #drop(kind: Outcome["kind"], rule: string): Outcome {
    const outcome: () => Outcome = () => ({ kind, action: "dropped", rules: [rule], changes: [] });
    return this.#dropped.getOrInsertComputed(`${kind} ${rule}`, outcome);
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
