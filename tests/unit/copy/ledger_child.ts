/**
 * A process that works on a ledger, to be killed. `deno run -A tests/ledger_child.ts WHERE N` does the first N of `story`
 * and kills itself; without N it copies table after table, printing the name of each as it is verified.
 */
import { type Ledger, type LedgerTable, openLedger, type RunIdentity } from "../../../lib/copy/ledger.ts";

export const run: RunIdentity = {
  from: "http://old:8902",
  to: "http://new:8902",
  stage: "served",
  options: { split: "1d" },
};

export const ttl = { tenant: "cnosdb", database: "public", former: "30d" };

/** A table from its claim to its end, with all that is written on the way. */
export const story: ((ledger: Ledger, table: LedgerTable) => Promise<unknown>)[] = [
  (ledger, { id }) => ledger.cut(id, [{ to: "2024-01-01" }, { from: "2024-01-01" }]),
  (ledger, { id }) => ledger.update(id, { step: "exporting", source: { rows: 7, min: "1", max: "9" } }),
  (ledger, { id }) => ledger.updatePiece(id, 0, { step: "exporting", directory: "run/a" }),
  (ledger, { id }) => ledger.updatePiece(id, 0, { step: "exported", rowsExported: 3 }),
  (ledger, { id }) => ledger.updatePiece(id, 1, { step: "exporting", directory: "run/b" }),
  (ledger, { id }) => ledger.updatePiece(id, 1, { step: "exported", rowsExported: 4 }),
  (ledger, { id }) => ledger.update(id, { step: "exported", rowsExported: 7 }),
  (ledger, { id }) => ledger.update(id, { step: "importing", error: "422 create expired bucket" }),
  (ledger) => ledger.raiseTtl(ttl),
  (ledger, { id }) => ledger.updatePiece(id, 0, { step: "importing" }),
  (ledger, { id }) => ledger.updatePiece(id, 0, { step: "imported", rowsImported: 3 }),
  (ledger, { id }) => ledger.updatePiece(id, 1, { step: "imported", rowsImported: 4 }),
  (ledger, { id }) => ledger.update(id, { step: "imported", rowsImported: 7 }),
  (ledger, { id }) => ledger.update(id, { step: "verified", target: { rows: 7 }, seconds: 1.5 }),
  (ledger) => ledger.ttlReset(ttl, () => Promise.resolve()),
];

export async function tell(ledger: Ledger, steps: number): Promise<void> {
  const table = await ledger.claim();
  for (const part of story.slice(0, steps)) await part(ledger, table!);
}

if (import.meta.main) {
  const [where, steps] = Deno.args;
  const ledger = await openLedger(where, run);
  if (steps !== undefined) {
    await tell(ledger, Number(steps));
    Deno.kill(Deno.pid, "SIGKILL");
  }
  for (let table = await ledger.claim(); table; table = await ledger.claim()) {
    await ledger.cut(table.id, [{}]);
    for (const step of ["exporting", "exported", "importing", "imported", "verified"] as const) {
      if (step !== "verified") await ledger.updatePiece(table.id, 0, { step });
      await ledger.update(table.id, { step });
    }
    console.log(table.table);
  }
  await ledger.close();
}
