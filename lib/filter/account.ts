/** What a filter did, entry by entry and in sum. */
import type { Change } from "../dump/changes.ts";
import type { Key } from "../dump/key.ts";
import { kinds } from "../dump/key.ts";
import type { Survey } from "./survey.ts";

export type Action = "kept" | "converted" | "dropped";

/** What became of one entry. */
export interface Outcome {
  line: number;
  key: string;
  kind: Key["kind"] | "unknown";
  action: Action;
  /** the rules that were applied, in their order */
  rules: string[];
  /** the key that came out, where it is another */
  newKey?: string;
  /** what differs in the value that came out; empty where it was dropped */
  changes: Change[];
}

/** A number that is counted up from several places. */
export interface Counter {
  n: number;
}

const notesOfASort = 20;

/** The sums, and what an operator should know. */
export class Account {
  readonly #counts = new Map<string, Counter>();
  readonly #dropped = new Map<string, Counter>();
  readonly #notes = new Map<string, { first: string[]; more: number }>();

  /** @param rule what dropped it */
  counter(action: Action, kind: Outcome["kind"]): Counter {
    return counterOf(this.#counts, `${action} ${kind}`);
  }

  droppedBy(rule: string): Counter {
    return counterOf(this.#dropped, rule);
  }

  /** Adds a note; of one sort the first few are kept, the others counted. @param text the note, or what makes it where it is kept */
  note(sort: string, text: string | (() => string)): void {
    const known = this.#notes.get(sort) ?? { first: [], more: 0 };
    if (known.first.length < notesOfASort) known.first.push(typeof text === "string" ? text : text());
    else known.more++;
    this.#notes.set(sort, known);
  }

  /** How many entries come out. */
  get written(): number {
    return [...this.#counts].reduce((sum, [name, { n }]) => name.startsWith("dropped") ? sum : sum + n, 0);
  }

  /** The account as lines for stderr. @param name what was read; @param target what for */
  lines(survey: Survey, name: string, target: string): string[] {
    const origin = survey.framed ? "framed" : survey.marked ? "with end mark" : "without end mark";
    const version = survey.source === "2.3" ? "2.3.x" : survey.source;
    const lines = [
      `${name}: ${survey.entries} ${
        survey.entries === 1 ? "entry" : "entries"
      } of ${version} (${origin}), for ${target}`,
    ];
    if (!survey.marked && !survey.framed) {
      lines.push("the dump has no end mark, so nothing proves that it is whole (dump_meta.ts writes one)");
    }
    for (const action of ["converted", "kept", "dropped"] as const) {
      const parts = [...kinds, "unknown" as const].flatMap((kind) => {
        const n = this.#counts.get(`${action} ${kind}`)?.n;
        return n ? [`${n} ${kindName(kind, n)}`] : [];
      });
      if (parts.length) lines.push(`  ${action.padEnd(9)} ${parts.join(", ")}`);
    }
    for (const [rule, { n }] of this.#dropped) lines.push(`  dropped by ${rule}: ${n}`);
    for (const [sort, { first, more }] of this.#notes) {
      lines.push(
        ...first.map((text) => `note: ${text}`),
        ...(more ? [`note: … and ${more} more: ${sort}`] : []),
      );
    }
    return lines;
  }
}

function counterOf(counters: Map<string, Counter>, name: string): Counter {
  const known = counters.get(name);
  if (known) return known;
  const counter = { n: 0 };
  counters.set(name, counter);
  return counter;
}

/** What entries of a kind are called. */
function kindName(kind: Outcome["kind"], n: number): string {
  if (kind === "internal") return n === 1 ? "internal entry" : "internal entries";
  const name = kind === "unknown" ? "other" : kind;
  return n === 1 ? name : `${name}s`;
}
