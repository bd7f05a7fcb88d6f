/**
 * A worker in a process of its own, to be killed: `deno run -A tests/copy_child.ts CONFIG`, CONFIG being JSON. Prints a
 * line for each table that ended, and at the end `{"totals":…,"ms":…}`.
 */
import { copyTables, type Place, type RunOptions, type Settings } from "../unit/copy/copying.ts";

/** What a worker is told. */
export interface ChildConfig {
  place: Place;
  settings: Omit<Settings, "from" | "to" | "list" | "stage" | "ledger">;
  options: Pick<RunOptions, "tables" | "ledger" | "files" | "leaseMs" | "patienceMs">;
}

/** Starts a worker. */
export function startChild(
  config: ChildConfig,
): { child: Deno.ChildProcess; done: Promise<{ killed: boolean; output: string }> } {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", import.meta.url, JSON.stringify(config)],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const done = child.output().then(({ signal, stdout, stderr }) => ({
    killed: signal !== null,
    output: text(stdout) + text(stderr),
  }));
  return { child, done };
}

if (import.meta.main) {
  const { place, settings, options } = JSON.parse(Deno.args[0] ?? "") as ChildConfig;
  const { totals, results, ms } = await copyTables(place, settings, options);
  for (const result of results) console.log(JSON.stringify(result));
  console.log(JSON.stringify({ totals: { ...totals, statuses: Object.fromEntries(totals.statuses) }, ms }));
}
