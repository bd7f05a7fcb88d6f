#!/usr/bin/env -S deno run --allow-read --allow-env=LC_ALL,LC_MESSAGES,LANG --no-prompt
/**
 * Makes one page, to read and to sign, of what the other scripts printed.
 *
 *     report.ts filter.jsonl copied.jsonl compared.jsonl > page.html
 *
 * Exit codes: 0 done, 1 a file cannot be read or is not one of ours, 2 usage, 130 interrupted.
 */
import { type Args, type Command, version } from "../lib/cli/command.ts";
import { main } from "../lib/cli/main.ts";
import { readText, writeStdout } from "../lib/cli/files.ts";
import { page } from "../lib/report/page.ts";
import { ReportReader } from "../lib/report/read.ts";

export const command: Command = {
  name: "report",
  reads: false,
  summary: "make one page, to read and to sign, of what the other scripts printed",
  usage: ["FILE... > page.html"],
  positional: { name: "FILE", least: 1 },
  flags: "--operator NAME  who answers for the migration; shown on the page",
  notes: [
    "FILE is what filter_meta --report, copy_tables or compare_tables printed. Give the files in the order in " +
    "which they were made: a table's later result replaces an earlier one. The page loads nothing from anywhere.",
  ],
  examples: [
    "# what was carried over, copied and compared",
    'report.ts --operator "Li Lei" filter.jsonl copied.jsonl compared.jsonl > page.html',
  ],
};

async function run(args: Args): Promise<number> {
  const reader = new ReportReader();
  for (const path of args.positional) await reader.add(path, await readText(path));
  const html = await page(reader.report(), {
    tool: `report.ts ${version}`,
    at: new Date().toISOString(),
    operator: args.value("operator"),
  });
  await writeStdout(new TextEncoder().encode(html));
  return 0;
}

if (import.meta.main) await main(command, run);
