/** What the tests of restore_meta share: dumps with an end mark, and runs in this process that wait for nothing. */
import { createHash } from "node:crypto";
import { Failure } from "../../../lib/cli/errors.ts";
import { type Dump, type Entry, readDump } from "../../../lib/dump/text.ts";
import { restore } from "../../../lib/restore/restore.ts";
import type { RestoreOptions } from "../../../lib/restore/target.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../helpers/deps.ts";
import { type Fault, type RecordedRequest, type StandIn, startStandIn } from "../../standin/standin.ts";

const root = new URL("../../../", import.meta.url);
export const versions = ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const;

/** A conversion that a real server of that version took, with an end mark. */
export async function accepted(version: string, change = (text: string) => text): Promise<string> {
  return mark(change(await Deno.readTextFile(new URL(`fixtures/accepted/${version}.dump`, root))));
}

/** A dump with its end mark. */
export function mark(lines: string): string {
  const sha256 = createHash("sha256").update(lines).digest("hex");
  return `${lines}# end entries=${lines.match(/^\//gm)?.length ?? 0} sha256=${sha256}\n`;
}

/** A text as a dump. */
export function dumpOf(text: string, unmarked = false): Promise<Dump> {
  return readDump(ReadableStream.from([new TextEncoder().encode(text)]), "stdin", { unmarked });
}

/** Restores in this process, without waiting for anything. */
export async function run(
  target: StandIn,
  dump: string,
  options: Partial<RestoreOptions> = {},
): Promise<{ restored: Entry[] | undefined; said: string }> {
  const said: string[] = [];
  const restored = await restore(
    await dumpOf(dump),
    settings(target, { say: (line) => said.push(line), ...options }),
  );
  return { restored, said: said.join("\n") };
}

/** Options for all meta nodes of a stand-in, in a hurry. */
export function settings(target: StandIn, options: Partial<RestoreOptions> = {}): RestoreOptions {
  return {
    ...{ urls: [target.metaUrl, ...target.followerUrls], jobs: 4, timeoutMs: 5_000, pauseMs: 1 },
    ...{ signal: new AbortController().signal, say: () => {} },
    ...options,
  };
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

/** A test that may start stand-ins, which are closed at its end. */
export function test(name: string, body: (t: { start: typeof startStandIn }) => Promise<void>): void {
  Deno.test(name, async () => {
    const started: StandIn[] = [];
    try {
      await body({
        start: async (options) => {
          const standin = await startStandIn(options);
          started.push(standin);
          return standin;
        },
      });
    } finally {
      for (const standin of started) await standin.close();
    }
  });
}

/** A fault for the first `times` posts. */
export function onPost(
  times: number,
  fault: Fault | ((request: RecordedRequest) => Fault | undefined),
): StandIn["fault"] {
  return (request) => {
    if (request.path !== "/restore" || times-- <= 0) return undefined;
    return typeof fault === "function" ? fault(request) : fault;
  };
}

/** A line of a user that 2.4.1 and later read. */
export const user = (name: string) =>
  `/cluster_xxx/users/${name}: {"id":5,"name":"${name}","options":{"hash_password":null},"is_root_admin":false}\n`;

/** A directory that is removed at the end. */
export async function withDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Runs a script as a process, with what its shebang allows. */
export async function script(
  name: string,
  args: string[],
  stdin = "",
  act?: (child: Deno.ChildProcess) => Promise<void>,
) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...await shebang(name), ...args],
    ...{ stdin: "piped", stdout: "piped", stderr: "piped", env: { NO_COLOR: "1" } },
  }).spawn();
  const writer = child.stdin.getWriter();
  const fed = writer.write(new TextEncoder().encode(stdin)).then(() => writer.close()).catch(() => {});
  const output = child.output();
  await act?.(child);
  const { stdout, stderr, code } = await output;
  await fed;
  return { stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr), code };
}

/** Something that a restore refuses, and what it says of it. */
export interface Refusal {
  name: string;
  dump?: (text: string) => string;
  target?: Partial<Parameters<typeof startStandIn>[0]>;
  before?: (target: StandIn) => void;
  options?: (target: StandIn) => Partial<RestoreOptions>;
  message: string[];
  raw?: true;
}

/** Tests that each is refused, at once and before anything is written. */
export function refuses(refusals: readonly Refusal[]): void {
  for (
    const { name, dump = (text: string) => text, target: options, before, options: overrides, message, raw }
      of refusals
  ) {
    test(`restore() refuses ${name}, and writes nothing`, async ({ start }) => {
      const target = await start({ version: "2.4.2", ...options });
      before?.(target);
      const text = dump(await Deno.readTextFile(new URL("fixtures/accepted/2.4.2.dump", root)));
      const error = await assertRejects(
        () => run(target, raw ? text : mark(text), overrides?.(target)),
        Failure,
      );
      for (const part of message) assertStringIncludes(`${error.message}\n${error.hint}`, part);
      assertEquals(error.exitCode, 1);
      assertEquals(posts(target).length, 0);
    });
  }
}
