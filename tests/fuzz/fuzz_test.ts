import { parts, trySeed } from "./fuzz.ts";

/** Some seconds of `deno task fuzz`, with seeds that do not change. */
const tries: Readonly<Record<keyof typeof parts, number>> = {
  dumps: 40,
  lines: 500,
  requests: 120,
  names: 1,
};

for (const [name, { part }] of Object.entries(parts)) {
  Deno.test(`fuzz: ${name} that a fixed seed makes do no harm`, async () => {
    for (let seed = 1; seed <= tries[name]!; seed++) {
      const found = await trySeed(part, seed);
      if (found !== undefined) throw new Error(found);
    }
  });
}
