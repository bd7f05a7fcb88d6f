/** What the tests of restore_meta share: dumps with an end mark, and runs in this process that wait for nothing. */
import { createHash } from "node:crypto";
import { type Block, formatEndMark } from "../../../lib/dump/dump.ts";
import { restore, type RestoreOptions } from "../../../lib/restore/restore.ts";
import type { RecordedRequest, StandIn } from "../../standin/standin.ts";

const root = new URL("../../../", import.meta.url);
export const versions = ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const;

/** A conversion that a real server of that version took, with an end mark. */
export async function accepted(version: string, change = (text: string) => text): Promise<string> {
  return mark(change(await Deno.readTextFile(new URL(`fixtures/accepted/${version}.dump`, root))));
}

/** A dump with its end mark. */
export function mark(lines: string): string {
  return lines +
    formatEndMark(lines.split("\n").length - 1, createHash("sha256").update(lines).digest("hex"));
}

interface Ran {
  blocks: Block[] | undefined;
  said: string;
}

/** Restores in this process, without waiting for anything. */
export async function run(
  target: StandIn,
  dump: string,
  options: Partial<RestoreOptions> = {},
): Promise<Ran> {
  const said: string[] = [];
  const blocks = await restore(
    bytesOf(dump),
    settings(target, { say: (line) => said.push(line), ...options }),
  );
  return { blocks, said: said.join("\n") };
}

export function settings(target: StandIn, options: Partial<RestoreOptions> = {}): RestoreOptions {
  return {
    ...{ urls: [target.metaUrl], jobs: 4, batchBytes: 4096, timeoutMs: 5_000, pauseMs: 1 },
    ...{ signal: new AbortController().signal, say: () => {} },
    ...options,
  };
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield new TextEncoder().encode(text);
}

/** The arguments that run a script with what its shebang allows, and nothing more. */
export async function shebang(script: string): Promise<string[]> {
  const path = new URL(`scripts/${script}.ts`, root).pathname;
  const [, permissions = ""] = /^#!.* deno run (.*)\n/.exec(await Deno.readTextFile(path)) ?? [];
  return ["run", "--quiet", "--no-prompt", ...permissions.split(" "), path];
}

/** Whether each entry of a dump is in the store, as parsed values. */
export function holds(target: StandIn, dump: string): boolean {
  return dump.split("\n").filter((line) => line.startsWith("/")).every((line) => {
    const colon = line.indexOf(": ");
    const value = target.store.get(line.slice(0, colon));
    return value !== undefined &&
      JSON.stringify(JSON.parse(value)) === JSON.stringify(JSON.parse(line.slice(colon + 2)));
  });
}

export const posts = (target: StandIn): RecordedRequest[] =>
  target.requests.filter(({ path }) => path === "/restore");
