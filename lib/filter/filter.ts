/** From the dump of one version to the entries of another: each takes one way through the rules. */
import { Failure } from "../cli/errors.ts";
import type { Change } from "../dump/changes.ts";
import { InvalidValue } from "../dump/json.ts";
import { candidates, displayName, formatKey, type Key } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import { type Conversion, convert, type Converted } from "./convert.ts";
import { type Facts, readFacts } from "./facts.ts";
import { Item, userIdOf } from "./item.ts";
import { remember } from "./memo.ts";
import type { Notes } from "./report.ts";
import { type FilterOptions, type Rule, rulesFor, slashNote } from "./rules.ts";

/** What became of one entry. */
export interface Outcome {
  line: number;
  /** as in the dump */
  key: string;
  kind: Key["kind"] | "unknown";
  action: "kept" | "converted" | "dropped";
  /** the rules that were applied, in their order */
  rules: string[];
  /** the entry that comes out; undefined where it was dropped */
  out?: { key: string; value: string };
  /** what differs in its value, where details are asked for */
  changes: Change[];
  /** a database's, such as `30d` or `INF` */
  ttl?: string;
}

/**
 * @param notes gets what the operator should know
 * @returns the dump's facts, and what becomes of its entries, in their order
 * @throws {Failure} where the dump cannot be converted for the target; at an entry that cannot, while the outcomes are read; and at
 * their end, where a flag matched nothing
 */
export async function filterDump(
  dump: Dump,
  options: FilterOptions,
  notes: Notes,
): Promise<{ facts: Facts; outcomes: Iterable<Outcome> }> {
  const facts = readFacts(dump, options);
  const bcrypt = facts.plainPasswords ? await options.loadHash() : undefined;
  const rules = rulesFor(options, facts, (password, id) => {
    if (!bcrypt) throw new Error("a password is to be hashed that the facts do not know of");
    notes.hashed++;
    return bcrypt(password, id);
  });
  return { facts, outcomes: filter(dump, options, facts, rules, notes) };
}

function* filter(
  dump: Dump,
  options: FilterOptions,
  facts: Facts,
  rules: readonly Rule[],
  notes: Notes,
): Generator<Outcome> {
  const drops = rules.filter(({ change }) => !change);
  const patches = rules.filter(({ own, change }) => own && change);
  const conversion: Conversion = { ...facts, target: options.target, rules, details: options.details };
  const convertOnce = remember(
    (item) => convert(item, conversion),
    (item) => patches.map((patch) => patch.applies(item) ? "x" : "-").join(""),
  );
  const references = new References();
  for (const entry of dump.entries) {
    const item = new Item(entry);
    let converted: Converted;
    let key: string;
    try {
      const dropping = firstOf(drops, item);
      if (dropping) {
        if (dropping.name === "slashed-names") notes.add("names with a slash", () => slashNote(item));
        yield drop(entry, dropping);
        continue;
      }
      converted = convertOnce(item);
      key = keyOf(item.key, options.cluster);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      if (!options.dropInvalid) {
        throw new Failure(
          `line ${entry.line}: ${entry.key}: ${error.message}`,
          "nothing may be lost in silence, so this stops here; drop the entry by --rules, or all such entries by --drop-invalid.",
        );
      }
      notes.add("invalid", `line ${entry.line}: ${entry.key}: dropped as invalid: ${error.message}`);
      yield { ...drop(entry, { name: "--drop-invalid" }), kind: "unknown" };
      continue;
    }
    for (const patch of patches) if (patch.own && patch.applies(item)) patch.own.matches++;
    references.take(item, converted);
    notes.user(item.key, converted.remarks);
    const applied = key === entry.key ? converted.rules : [...converted.rules, "--cluster"];
    yield {
      ...{ line: entry.line, key: entry.key, kind: item.key.kind },
      action: applied.length ? "converted" : "kept",
      rules: applied,
      out: { key, value: converted.value },
      changes: converted.changes,
      ...(converted.ttl === undefined ? {} : { ttl: converted.ttl }),
    };
  }
  references.check(dump, notes);
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

function drop({ line, key }: Entry, { name }: Pick<Rule, "name">): Outcome {
  const [read] = candidates(key);
  return { line, key, kind: read?.kind ?? "unknown", action: "dropped", rules: [name], changes: [] };
}

/** The key that an entry gets. @throws {InvalidValue} where it cannot be restored */
function keyOf(key: Key, cluster: string | undefined): string {
  if (key.kind === "internal") throw new Error("an internal entry that no rule dropped");
  const text = formatKey(cluster === undefined ? key : { ...key, cluster });
  if (!text.includes(": ")) return text;
  throw new InvalidValue(
    'a name with ": " in it cannot be restored, as CnosDB cuts the line there; leave it out by --exclude or --rules',
  );
}

/** What refers to what among the entries that come out: members to users, roles to databases. */
class References {
  readonly #users = new Set<string>();
  readonly #databases = new Set<string>();
  readonly #members: { userId: string; tenant: string; line: number }[] = [];
  readonly #rights = new Map<string, { name: string; line: number }>();

  take({ key, entry }: Item, { rights }: Converted): void {
    if (key.kind === "user") this.#users.add(userIdOf(entry.value));
    else if (key.kind === "database") this.#databases.add(displayName(key.tenant, key.database));
    else if (key.kind === "member") {
      this.#members.push({ userId: key.userId, tenant: key.tenant, line: entry.line });
    } else if (key.kind === "role") {
      for (const database of rights) {
        const name = displayName(key.tenant, database);
        if (!this.#rights.has(name)) this.#rights.set(name, { name, line: entry.line });
      }
    }
  }

  /** Notes each reference to what does not come out. */
  check(dump: Dump, notes: Notes): void {
    for (const { name, line } of this.#rights.values()) {
      if (this.#databases.has(name)) continue;
      notes.add("roles", `line ${line}: a role has rights on database ${name}, which does not come out`);
    }
    const missing = this.#members.filter(({ userId }) => !this.#users.has(userId));
    if (!missing.length) return;
    const names = new Map<string, string>();
    for (const { key, value } of dump.entries) {
      const [read] = key.includes("/users/") ? candidates(key) : [];
      if (read?.kind === "user") names.set(userIdOf(value), displayName(read.user));
    }
    for (const { userId, tenant, line } of missing) {
      const user = names.get(userId);
      notes.add(
        "members",
        `line ${line}: ${
          user === undefined ? "a user who is not in the dump" : `user ${user}`
        } is a member of tenant ${displayName(tenant)}, but does not come out`,
      );
    }
  }
}
