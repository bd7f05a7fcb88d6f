/** Dumps through the filter, for tests that look at what comes out. */
import { readDump, writeDump } from "../../../lib/dump/text.ts";
import { entriesOf, filterDump } from "../../../lib/filter/filter.ts";
import type { Outcome } from "../../../lib/filter/outcome.ts";
import { Notes, Sums } from "../../../lib/filter/report.ts";
import type { FilterOptions } from "../../../lib/filter/rule.ts";
import { Selection } from "../../../lib/filter/selection.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import type { Format } from "../../../lib/versions/versions.ts";

/** What a filter makes; `error` where it refuses. */
export interface Filtered {
  /** the dump, whole; empty where it refuses */
  out: string;
  /** what it says on stderr */
  notes: string[];
  error?: string;
}

/** A dump through the filter, in this process. @param outcomes gets what became of each entry */
export async function filter(
  dump: string | Uint8Array,
  options: Partial<FilterOptions> & { target: Format },
  outcomes?: Outcome[],
): Promise<Filtered> {
  const bytes = typeof dump === "string" ? new TextEncoder().encode(dump) : dump;
  const given: FilterOptions = {
    selection: new Selection([], [], [], []),
    own: [],
    root: "auto",
    keepSystem: false,
    pruneUsers: false,
    dropInvalid: false,
    details: outcomes !== undefined,
    loadHash: () => Promise.resolve((password, id) => `$2b$12$${id}.${password.length}`),
    ...options,
  };
  const [notes, sums] = [new Notes(), new Sums()];
  const chunks = async function* () {
    yield await Promise.resolve(bytes);
  };
  let out = "";
  try {
    const read = await readDump(chunks(), "dump", { unmarked: true });
    const filtered = await filterDump(read, given, notes);
    for (const outcome of filtered.outcomes) {
      sums.add(outcome);
      outcomes?.push(outcome);
    }
    await writeDump(
      entriesOf(filtered.kept),
      (piece) => Promise.resolve(void (out += new TextDecoder().decode(piece))),
    );
    const lines = [
      ...sums.lines(read, filtered.facts, given.target),
      ...notes.lines(filtered.kept.length),
    ];
    return { out, notes: lines };
  } catch (error) {
    // An error of ours is no refusal.
    if (!(error instanceof Failure)) throw error;
    return { out, notes: [], error: error.message };
  }
}
