/** What a filter did: in sum and as notes for the operator, and entry by entry. */
import { version } from "../cli/command.ts";
import { displayName } from "../cnosdb/names.ts";
import { type Key, kinds } from "../dump/key.ts";
import type { Change } from "../dump/compare.ts";
import type { Dump } from "../dump/text.ts";
import { describeRange } from "../versions/versions.ts";
import type { Remark } from "./convert.ts";
import type { Facts } from "./facts.ts";
import type { Outcome } from "./outcome.ts";
import type { Rule } from "./rule.ts";

const notesOfASort = 20;

const remarks: Record<Remark, { sort: string; text: (user: string) => string }> = {
  "no password": {
    sort: "users without a password",
    text: (user) => `user ${user} has no password: 2.4 lets it in only where authentication is off`,
  },
  "password kept": {
    sort: "users who had to change their password",
    text: (user) =>
      `user ${user} had to change its password, which nothing before 2.4.1 asked for: it keeps it, and must_change_password is false`,
  },
};

/** What the operator should know; of one sort the first few are kept, the others counted. */
export class Notes {
  /** plain-text passwords that were hashed */
  hashed = 0;
  readonly #known = new Map<string, { first: string[]; more: number }>();

  add(sort: string, text: string | (() => string)): void {
    const known = this.#known.get(sort) ?? { first: [], more: 0 };
    if (known.first.length < notesOfASort) known.first.push(typeof text === "string" ? text : text());
    else known.more++;
    this.#known.set(sort, known);
  }

  user(key: Key, found: readonly Remark[]): void {
    if (key.kind !== "user") return;
    for (const remark of found) {
      this.add(remarks[remark].sort, () => remarks[remark].text(displayName(key.user)));
    }
  }

  /** Notes the operator's rules that matched nothing. */
  rules(rules: readonly Rule[]): void {
    for (const { name, own } of rules) {
      if (own?.matches === 0) this.add("rules", `${name}: ${own.pattern} matched nothing`);
    }
  }

  lines(written: number): string[] {
    return [
      ...[...this.#known].flatMap(([sort, { first, more }]) => [
        ...first.map((text) => `note: ${text}`),
        ...(more ? [`note: … and ${more} more: ${sort}`] : []),
      ]),
      ...(this.hashed
        ? [`note: ${this.hashed} plain-text passwords hashed (bcrypt, cost 12): they log in as before`]
        : []),
      ...(written ? [] : ["note: not one entry comes out"]),
    ];
  }
}

/** The sums of outcomes. */
export class Sums {
  readonly #counts = { kept: new Map<string, number>(), converted: new Map(), dropped: new Map() };
  readonly #dropped = new Map<string, number>();
  readonly entries = { kept: 0, converted: 0, dropped: 0 };

  add({ action, kind, rules: [rule = ""] }: Outcome): void {
    this.entries[action]++;
    const counts = this.#counts[action];
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    if (action === "dropped") this.#dropped.set(rule, (this.#dropped.get(rule) ?? 0) + 1);
  }

  /** @param target the version that was asked for, as the operator named it */
  lines(dump: Dump, { source }: Pick<Facts, "source">, target: string): string[] {
    const origin = dump.framed ? "framed" : dump.marked ? "with end mark" : "without end mark";
    const count = dump.entries.length;
    const entries = `${count} ${count === 1 ? "entry" : "entries"}`;
    const lines = [`${dump.name}: ${entries} of ${describeRange(source)} (${origin}), for ${target}`];
    for (const action of ["converted", "kept", "dropped"] as const) {
      const parts = [...kinds, "unknown" as const].flatMap((kind) => {
        const n = this.#counts[action].get(kind);
        return n ? [`${n} ${kindName(kind, n)}`] : [];
      });
      if (parts.length) lines.push(`  ${action.padEnd(9)} ${parts.join(", ")}`);
    }
    return [...lines, ...[...this.#dropped].map(([rule, n]) => `  dropped by ${rule}: ${n}`)];
  }
}

/** What entries of a kind are called. */
function kindName(kind: Outcome["kind"], n: number): string {
  if (kind === "internal") return n === 1 ? "internal entry" : "internal entries";
  const name = kind === "unknown" ? "other" : kind;
  return n === 1 ? name : `${name}s`;
}

/** The first line of `--report`, JSON. @param target as the operator named it */
export function runLine({ source }: Pick<Facts, "source">, target: string): string {
  const run = { script: "filter_meta", version, source: describeRange(source), target, started: now() };
  return JSON.stringify({ run });
}

/** The last line of `--report`, JSON. */
export function endLine({ entries }: Sums): string {
  return JSON.stringify({ end: { ...entries, exit: 0, ended: now() } });
}

const now = () => new Date().toISOString();

/** What the lines of entries that were converted alike end with, by their changes. */
const endings = new WeakMap<readonly Change[], string>();

/** One entry's line in `--report`, JSON. */
export function reportLine({ line, key, kind, action, rules, newKey, changes, ttl }: Outcome): string {
  let ending = newKey === undefined ? endings.get(changes) : undefined;
  if (ending === undefined) {
    const list = changes.map(({ path, before, after }) => ({ path, old: before, new: after }));
    ending = JSON.stringify({ kind, action, rules, ttl, changes: list }).slice(1);
    if (newKey === undefined) endings.set(changes, ending);
  }
  const renamed = newKey === undefined ? "" : `"new_key":${JSON.stringify(newKey)},`;
  return `{"line":${line},"key":${JSON.stringify(key)},${renamed}${ending}`;
}

/** A changed entry for `--diff`, readable; red and green if `colour`. */
export function diffText({ key, action, rules, newKey, changes }: Outcome, colour: boolean): string {
  const paint = (code: number, text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  if (action === "dropped") return paint(31, `- ${key}  (${rules.join(", ")})`);
  const rows = changes.flatMap(({ path, before, after }) => [
    ...(before === undefined ? [] : [paint(31, `    - ${path}: ${before}`)]),
    ...(after === undefined ? [] : [paint(32, `    + ${path}: ${after}`)]),
  ]);
  return [`  ${newKey ?? key}  (${rules.join(", ")})`, ...rows].join("\n");
}
