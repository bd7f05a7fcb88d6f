/**
 * Tries odd inputs until time is up: `deno task fuzz --seconds 60 [--seed N] [--part dumps|lines|names|requests]`. A find prints its seed and
 * the smallest input that still shows it; the same seed finds it again.
 */
import { parseArgs } from "node:util";
import { randomOf } from "../helpers/random.ts";
import { dumps } from "./dumps.ts";
import { lines } from "./lines.ts";
import { names } from "./names.ts";
import { requests } from "./requests.ts";

/** What is tried. */
export interface Part<Input> {
  /** An input that the random numbers decide alone. */
  make(random: Random): Input;
  /** What is wrong with what came of it; undefined where nothing is. */
  check(input: Input): Promise<string | undefined>;
  /** Inputs that are a little smaller. */
  smaller(input: Input): Iterable<Input>;
  show(input: Input): string;
}

/** Random choices of one seed. */
export class Random {
  readonly number: () => number;
  constructor(readonly seed: number) {
    this.number = randomOf(seed);
  }
  /** A whole number from 0 up to, not including, `end`. */
  below(end: number): number {
    return Math.floor(this.number() * end);
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Tries one seed. @returns what is wrong, with the smallest input that shows it; undefined where nothing is */
export async function trySeed<Input>(part: Part<Input>, seed: number): Promise<string | undefined> {
  let input = part.make(new Random(seed));
  let wrong = await part.check(input);
  if (wrong === undefined) return undefined;
  for (let tries = 0, smaller = true; smaller && tries < 300;) {
    smaller = false;
    for (const candidate of part.smaller(input)) {
      if (tries++ > 300) break;
      const still = await part.check(candidate);
      if (still === undefined) continue;
      [input, wrong, smaller] = [candidate, still, true];
      break;
    }
  }
  return `seed ${seed}: ${wrong}\n${part.show(input)}`;
}

/** What is tried, by name, and how much of it for one of `names`, which starts five processes. */
// deno-lint-ignore no-explicit-any
export const parts: Readonly<Record<string, { part: Part<any>; weight: number }>> = {
  dumps: { part: dumps, weight: 40 },
  lines: { part: lines, weight: 200 },
  requests: { part: requests, weight: 100 },
  names: { part: names, weight: 1 },
};

if (import.meta.main) {
  const text = { type: "string" } as const;
  const { values: args } = parseArgs({ options: { seconds: text, seed: text, part: text } });
  const untilMs = Date.now() + Number(args.seconds ?? 60) * 1000;
  const first = args.seed === undefined ? Date.now() % 1_000_000_000 : Number(args.seed);
  const chosen = Object.entries(parts).filter(([name]) => args.part === undefined || args.part === name);
  const tries: Record<string, number> = {};
  const finds: string[] = [];
  for (let seed = first; Date.now() < untilMs && finds.length < 20; seed++) {
    for (const [name, { part, weight }] of chosen) {
      const most = chosen.length > 1 ? weight : 1;
      for (let i = 0; i < most && Date.now() < untilMs; i++) {
        const found = await trySeed(part, seed * 1000 + i);
        tries[name] = (tries[name] ?? 0) + 1;
        if (found === undefined) continue;
        finds.push(found);
        console.log(`--part ${name}: ${found}\n`);
      }
    }
  }
  console.log(`tries ${JSON.stringify(tries)}, finds ${finds.length}, first seed ${first}`);
  Deno.exit(finds.length ? 1 : 0);
}
