/**
 * A process that works on a ledger, to be killed or suspended: `deno run -A ledger_child.ts WHERE [FINISH]` claims, and prints what it
 * has claimed and finished; it stops for good, holding a claim, once it has finished that many tables.
 */
import { openLedger } from "../../../lib/copy/ledger.ts";

/** What the child and its test prove. */
export const proof = "test";

if (import.meta.main) {
  const [where, most] = Deno.args;
  const ledger = await openLedger(where);
  await ledger.start(proof);
  let done = 0;
  for (let names = await ledger.claim(3); names.length; names = await ledger.claim(3)) {
    if (most !== undefined && done >= Number(most)) {
      console.log("stopped");
      await new Promise((resolve) => setTimeout(resolve, 1e9));
    }
    await ledger.finish(names.map((name) => ({ ...name, status: "equal" as const })));
    for (const { database, table } of names) console.log(`${database}.${table}`);
    done += names.length;
  }
  await ledger.close();
}
