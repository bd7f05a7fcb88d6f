/**
 * What the ledger alone costs a copy: 100 000 empty tables, each from its claim to `verified`, without a server. The
 * PostgreSQL does not sync its commits: that is a matter of its disk.
 */
import { type Ledger, openLedger, type TableName } from "../../lib/copy/ledger.ts";
import { run } from "../unit/copy/ledger_child.ts";
import { TestPostgres } from "../unit/copy/postgres.ts";

const tables = 100_000;
const databases = 100;
/** What `deno bench` runs beside what it is told to. */
const warmups = 100;

function* names(): Generator<TableName> {
  for (let i = 0; i < tables + warmups; i++) {
    // databases of unequal size, as real ones are
    const database = Math.floor(databases * (i / tables) ** 2);
    yield { tenant: "cnosdb", database: `d${database}`, table: `t${i}` };
  }
}

async function copyTable(ledger: Ledger): Promise<void> {
  const { id } = (await ledger.claim())!;
  for (const step of ["exporting", "exported", "importing", "imported"] as const) {
    await ledger.update(id, { step, rowsExported: 0 });
  }
  await ledger.update(id, { step: "verified", rowsImported: 0, source: { rows: 0 }, target: { rows: 0 } });
}

/** @param place makes a place for the ledger, and gives what removes it */
function bench(name: string, place: () => Promise<{ where: string; remove?: () => void }>): void {
  let ready: Promise<Ledger> | undefined;
  let copied = 0;
  const prepare = async () => {
    const { where, remove } = await place();
    const ledger = await openLedger(where, run);
    globalThis.addEventListener("unload", () => remove?.());
    await timed(`${name}: plan`, () => ledger.plan(names()));
    return ledger;
  };
  Deno.bench({
    name: `${name}, a table of ${tables}`,
    n: tables,
    fn: async (context) => {
      const ledger = await (ready ??= prepare());
      context.start();
      await copyTable(ledger);
      context.end();
      if (++copied !== tables) return;
      console.log(`${name}: ${(Deno.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB after ${tables} tables`);
      await timed(`${name}: counts`, () => ledger.counts());
      await timed(`${name}: list`, () => Array.fromAsync(ledger.tables(["verified"]), () => 1));
    },
  });
}

async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  const begun = performance.now();
  await work();
  console.log(`${what} ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

bench("SQLite ledger", async () => {
  const directory = await Deno.makeTempDir();
  return {
    where: `${directory}/ledger.sqlite`,
    remove: () => Deno.removeSync(directory, { recursive: true }),
  };
});

bench("PostgreSQL ledger", async () => {
  const server = await TestPostgres.start();
  return { where: server.url() };
});
