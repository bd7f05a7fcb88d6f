/** Reports what a filter did: as a summary, and entry by entry. */
import { version } from "../cli/command.ts";
import { harmless } from "../cli/presentable.ts";
import { counted } from "../cli/text.ts";
import { kinds } from "../dump/key.ts";
import { describeRange } from "../versions/versions.ts";
import { keyOf, type Outcome } from "./convert.ts";
import type { Filtered } from "./filter.ts";

/** How many entries share each outcome. */
function countOutcomes({ outcomes }: Filtered): Map<Outcome, number> {
  const counts = new Map<Outcome, number>();
  for (const outcome of outcomes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return counts;
}

/** How many entries have an outcome that `matches` accepts. */
function sum(counts: Map<Outcome, number>, matches: (outcome: Outcome) => boolean): number {
  return counts.entries().reduce((n, [outcome, count]) => matches(outcome) ? n + count : n, 0);
}

/** The lines that tell an operator what a filter did. @param target what to call the target's version */
export function summary(filtered: Filtered, target: string): string[] {
  const { dump, facts, notes } = filtered;
  const counts = countOutcomes(filtered);
  const origin = dump.framed ? "framed" : dump.marked ? "with end mark" : "without end mark";
  const entries = counted(dump.entries.length, "entry", "entries");
  const lines = [`${dump.name}: ${entries} of ${describeRange(facts.source)} (${origin}), for ${target}`];
  for (const action of ["converted", "kept", "dropped"] as const) {
    const parts = [...kinds, "unknown" as const].flatMap((kind) => {
      const n = sum(counts, (outcome) => outcome.action === action && outcome.kind === kind);
      return n ? [countedKind(n, kind)] : [];
    });
    if (parts.length) lines.push(`  ${action.padEnd(9)} ${parts.join(", ")}`);
  }
  const dropped = counts.keys().filter(({ action }) => action === "dropped").flatMap(({ rules }) => rules);
  for (const rule of new Set(dropped)) {
    const n = sum(counts, ({ action, rules }) => action === "dropped" && rules[0] === rule);
    lines.push(`  dropped by ${rule}: ${n}`);
  }
  const hashed = sum(counts, (outcome) => outcome.hashed === true);
  return [
    ...lines,
    ...notes.map((note) => `note: ${note}`),
    ...(hashed
      ? [`note: ${counted(hashed, "plain-text password")} hashed (bcrypt, cost 12): they log in as before`]
      : []),
    ...(counts.keys().every(({ action }) => action === "dropped") ? ["note: not one entry comes out"] : []),
  ];
}

function countedKind(n: number, kind: Outcome["kind"]): string {
  return kind === "internal"
    ? counted(n, "internal entry", "internal entries")
    : counted(n, kind === "unknown" ? "other" : kind);
}

/**
 * The lines of `--report`, JSON.
 * @param target what to call the target's version
 * @param started when the run began
 */
export function* reportLines(filtered: Filtered, target: string, started: Date): Generator<string> {
  const { dump, facts, outcomes } = filtered;
  const source = describeRange(facts.source);
  yield JSON.stringify({ run: { script: "filter_meta", version, source, target, started } });
  /** the end of a line, by outcome */
  const endings = new Map<Outcome, string>();
  for (const [i, outcome] of outcomes.entries()) {
    const entry = dump.entries[i]!;
    let ending = endings.get(outcome);
    if (ending === undefined) {
      const { kind, action, rules, ttl } = outcome;
      const changes = outcome.changes.map(({ path, before, after }) => ({ path, old: before, new: after }));
      ending = JSON.stringify({ kind, action, rules, ttl, changes }).slice(1);
      endings.set(outcome, ending);
    }
    const renamed = outcome.cluster === undefined
      ? ""
      : `"new_key":${JSON.stringify(keyOf(entry, outcome))},`;
    yield `{"line":${entry.line},"key":${JSON.stringify(entry.key)},${renamed}${ending}`;
  }
  const counts = countOutcomes(filtered);
  const of = (action: Outcome["action"]) => sum(counts, (outcome) => outcome.action === action);
  const sums = { kept: of("kept"), converted: of("converted"), dropped: of("dropped") };
  yield JSON.stringify({ end: { ...sums, exit: 0, ended: new Date() } });
}

/** The lines of `--diff`: the changed entries, red and green if `colour`. */
export function* diffLines({ dump, outcomes }: Filtered, colour: boolean): Generator<string> {
  const paint = (code: number, text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  for (const [i, outcome] of outcomes.entries()) {
    const { action, rules, changes } = outcome;
    const names = harmless(`${keyOf(dump.entries[i]!, outcome)}  (${rules.join(", ")})`);
    if (action === "dropped") yield paint(31, `- ${names}`);
    if (action !== "converted") continue;
    yield `  ${names}`;
    for (const { path, before, after } of changes) {
      if (before !== undefined) yield paint(31, harmless(`    - ${path}: ${before}`));
      if (after !== undefined) yield paint(32, harmless(`    + ${path}: ${after}`));
    }
  }
}
