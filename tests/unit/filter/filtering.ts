/** Dumps through the filter, for tests that look at what comes out. */
import { readDump, writeDump } from "../../../lib/dump/text.ts";
import { keyOf } from "../../../lib/filter/convert.ts";
import { entriesOf, filterDump } from "../../../lib/filter/filter.ts";
import { summary } from "../../../lib/filter/report.ts";
import type { FilterOptions } from "../../../lib/filter/rules.ts";
import { Selection } from "../../../lib/filter/selection.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import type { Format } from "../../../lib/versions/versions.ts";

/** What a filter returns; `error` if it refuses. */
export interface Filtered {
  /** the whole dump; empty if it refuses */
  out: string;
  /** what it reports on stderr */
  notes: string[];
  error?: string;
}

/** A selection by flags, such as `{ tenant: ["acme"] }`. */
export function select(flags: Record<string, string[]> = {}): Selection {
  return new Selection({ values: (flag) => flags[flag] ?? [] });
}

/** What an operator asks for who gives no flag. */
export const defaults = {
  own: [],
  root: "auto",
  keepSystem: false,
  pruneUsers: false,
  dropInvalid: false,
  details: false,
  loadHash: () => Promise.resolve((password, id) => `$2b$12$${id}.${password.length}`),
} satisfies Partial<FilterOptions>;

/** A dump through the filter, in this process. @param outcomes gets what became of each entry */
export async function filter(
  dump: string | Uint8Array,
  options: Partial<FilterOptions> & { target: Format },
  outcomes?: unknown[],
): Promise<Filtered> {
  const bytes = typeof dump === "string" ? new TextEncoder().encode(dump) : dump;
  const given: FilterOptions = {
    ...{ ...defaults, selection: select(), details: outcomes !== undefined },
    ...options,
  };
  let out = "";
  try {
    const read = await readDump(ReadableStream.from([bytes]), "dump", { unmarked: true });
    const filtered = await filterDump(read, given, new AbortController().signal);
    for (const [i, { end: _, ...outcome }] of filtered.outcomes.entries()) {
      outcomes?.push({ ...outcome, key: keyOf(read.entries[i]!, outcome) });
    }
    await writeDump(
      entriesOf(filtered),
      (piece) => Promise.resolve(void (out += new TextDecoder().decode(piece))),
    );
    return { out, notes: summary(filtered, given.target) };
  } catch (error) {
    // An error of ours is no refusal.
    if (!(error instanceof Failure)) throw error;
    return { out, notes: [], error: error.message };
  }
}
