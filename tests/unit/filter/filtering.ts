/** Dumps through the filter, for tests that look at what comes out. */
import type { Outcome } from "../../../lib/filter/account.ts";
import { Choice } from "../../../lib/filter/choice.ts";
import { DumpWriter } from "../../../lib/dump/dump.ts";
import { Filter, type FilterOptions } from "../../../lib/filter/filter.ts";
import { bytesSource } from "../../../lib/cli/io.ts";
import type { Format } from "../../../lib/versions/versions.ts";

/** What a filter gives; `error` where it refuses. */
export interface Filtered {
  out: string;
  /** what it says on stderr */
  notes: string[];
  error?: string;
}

/** A dump through the filter, in this process. @param outcomes gets what is told of each entry */
export async function filter(
  dump: string | Uint8Array,
  options: Partial<FilterOptions> & { target: Format },
  outcomes?: Outcome[],
): Promise<Filtered> {
  const bytes = typeof dump === "string" ? new TextEncoder().encode(dump) : dump;
  const pieces: string[] = [];
  const decoder = new TextDecoder();
  const output = new DumpWriter((piece) => {
    pieces.push(decoder.decode(piece, { stream: true }));
    return Promise.resolve();
  });
  const given: FilterOptions = {
    choice: new Choice([], [], [], []),
    rules: [],
    memcachePartitions: 2,
    root: "auto",
    keepSystem: false,
    pruneUsers: false,
    dropInvalid: false,
    loadHash: () => Promise.resolve((password, id) => `$2b$12$${id}.${password.length}`),
    ...options,
  };
  const run = new Filter(given);
  const tell = outcomes && ((outcome: Outcome) => Promise.resolve(void outcomes.push(outcome)));
  try {
    const survey = await run.run(bytesSource("dump", [bytes]), output, tell);
    return { out: pieces.join(""), notes: run.account.lines(survey, "dump", given.target) };
  } catch (error) {
    return { out: pieces.join(""), notes: [], error: (error as Error).message };
  }
}
