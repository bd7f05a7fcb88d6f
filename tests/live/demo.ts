/**
 * The whole migration, embedded: an old cluster that holds a real dump and rows for its tables, and a new one, both stand-ins
 * for CnosDB in this process; between them the four scripts in a shell pipe. It runs twice, as the second time nothing may be left to do,
 * and then follows a writer that goes on.
 *
 *     deno task demo [--target VERSION]
 */
import { displayName } from "../../lib/cnosdb/names.ts";
import { targetFormat } from "../../lib/versions/versions.ts";
import { startWriter } from "../standin/writer.ts";
import { Clusters, origins } from "./pipe.ts";

const at = Deno.args.findIndex((arg) => /^--target(=|$)/.test(arg));
const target = at < 0 ? "2.4.2" : Deno.args[at]!.split("=")[1] ?? Deno.args[at + 1] ?? "";
const origin = origins["a 2.3.5.4 with a meta service of its own"]!;
const started = performance.now();

const format = (() => {
  try {
    return targetFormat(target) as "2.4.2";
  } catch (error) {
    console.error(`demo: ${(error as Error).message}`);
    Deno.exit(2);
  }
})();
await using clusters = await Clusters.start(origin, format);
console.log(`old cluster: CnosDB 2.3.5 (stand-in)  meta ${clusters.old.metaUrl}  sql ${clusters.old.sqlUrl}`);
console.log(
  `new cluster: CnosDB ${target} (stand-in)  meta ${clusters.young.metaUrl}  sql ${clusters.young.sqlUrl}\n`,
);
console.log(
  `dump_meta.ts OLD | filter_meta.ts --target ${target} | restore_meta.ts NEW | copy_tables.ts --from OLD --to NEW\n`,
);
const { code, tables } = await clusters.migrate(target, { stderr: "inherit" });
console.log("\nthe same once more: nothing is left to do");
const second = await clusters.migrate(target, { stderr: "inherit" });
const again = second.tables.filter(({ earlier, status }) => !earlier && status !== "definition");
let failed = code !== 0 || second.code !== 0 || again.length > 0;

console.log(
  "\ncopy_tables.ts --from OLD --to NEW --all --follow --quiet-for 2s, while 200 rows a second are written",
);
const writer = startWriter(clusters.old, {
  tables: [["cnosdb", "public", "air"]],
  ...{ rowsPerSecond: 200, start: BigInt(Date.now()) * 1_000_000n, step: 5_000_000n },
  row: (time, i) => ({ time, station: "XiaoMaiDao", visibility: i, temperature: 20, pressure: 70 }),
});
setTimeout(() => writer.stop(), 3000);
failed = (await clusters.follow()).code !== 0 || failed;
console.log(`${writer.written} rows were written meanwhile`);

console.log("\nrestarting the new cluster …");
try {
  await clusters.young.restart();
  console.log("it reads everything that it stores");
} catch (error) {
  failed = true;
  console.log(`it does not start: ${(error as Error).message}`);
}
const differing = new Set(clusters.differingRows());
failed ||= differing.size > 0;

const rows = tables.sort((a, b) => name(a) < name(b) ? -1 : 1).map((table) => [
  name(table),
  String(table.copied?.rows ?? ""),
  table.status,
  differing.has(`${table.tenant}/${table.database}/${table.table}`) ? "DIFFERENT" : "equal",
]);
console.log(`\n${textTable([["table", "rows", "status", "after restart"], ...rows])}`);
const held = (pattern: RegExp) => [...clusters.young.store.keys()].filter((key) => pattern.test(key)).length;
console.log(
  `\ncarried over: ${held(/\/users\/(?!root$)/)} users, ${held(/\/tenants\/[^/]+$/)} tenants, ` +
    `${held(/\/dbs\/(?!usage_schema|cluster_schema)[^/]+$/)} databases, ${
      held(/\/roles\//)
    } role, ${tables.length} tables, ` +
    `${tables.reduce((sum, table) => sum + (table.copied?.rows ?? 0), 0)} rows`,
);
console.log(`${failed ? "FAILED" : "all equal"}, ${((performance.now() - started) / 1000).toFixed(1)} s`);
Deno.exitCode = failed ? 1 : 0;

function name({ tenant, database, table }: { tenant: string; database: string; table: string }): string {
  return displayName(tenant, database, table);
}

/** Rows of text in columns. */
function textTable(rows: string[][]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()).join("\n");
}
