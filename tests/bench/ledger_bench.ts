/**
 * What the ledger alone costs a copy: 100 000 tables in 100 databases added, claimed sixteen at a time, finished and listed, without a
 * server. The PostgreSQL does not sync its commits: that is a matter of its disk.
 */
import { openLedger } from "../../lib/copy/ledger.ts";
import { TestPostgres } from "../unit/copy/postgres.ts";

const tables = 100_000;
const databases = 100;
const names = Array.from({ length: tables }, (_, i) => ({
  // databases of unequal size, as real ones are
  ...{ tenant: "cnosdb", database: `d${Math.floor(databases * (i / tables) ** 2)}`, table: `t${i}` },
}));

async function bench(kind: string, where: string): Promise<void> {
  const ledger = await openLedger(where);
  await timed(`${kind}: add`, () => ledger.start("bench".repeat(50), names));
  await timed(`${kind}: claim and finish`, async () => {
    for (let batch = await ledger.claim(16); batch.length; batch = await ledger.claim(16)) {
      await ledger.finish(
        batch.map((name) => ({ ...name, status: "equal" as const })),
      );
    }
  });
  await timed(`${kind}: list`, () => Array.fromAsync(ledger.rows(), () => 1));
  await ledger.close();
  console.log(`${kind}: ${(Deno.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB after ${tables} tables`);
}

async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  const begun = performance.now();
  await work();
  console.log(`${what} ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

Deno.bench("SQLite ledger", { n: 1, warmup: 0 }, async () => {
  const directory = await Deno.makeTempDir();
  await bench("SQLite", `${directory}/ledger.sqlite`);
  await Deno.remove(directory, { recursive: true });
});

Deno.bench("PostgreSQL ledger", { n: 1, warmup: 0 }, async () => {
  const server = await TestPostgres.start();
  await bench("PostgreSQL", await server.newDatabase());
  await server.stop();
});
