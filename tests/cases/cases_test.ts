/**
 * Runs the cases under tests/cases: what a script is given, and all that must come back. `deno task test:update` rewrites
 * those that fail; read the difference before it is committed.
 *
 * A file holds a list of cases: `name`, `args`, `stdin` (text, or `{ file }` below fixtures/), `stdout` (the same), `stderr`, `code`,
 * and where servers are needed `standin` (options of startStandIn; `{meta}`, `{sql}` stand for its URLs) and `target`, a second one
 * (`{to}`). With `seeded: true` the tables of its dump have rows. `[WILD]` matches anything in a line, `[WILDLINE]` any number of lines.
 */
import { assertEquals, fail, parseYaml, stringifyYaml } from "../helpers/deps.ts";
import { runScript } from "../helpers/run.ts";

type Text = string | { file: string };

interface Case {
  name: string;
  args: string[];
  stdin?: Text;
  stdout?: Text;
  stderr?: string;
  code?: number;
  env?: Record<string, string>;
  standin?: Record<string, unknown>;
  target?: Record<string, unknown>;
}

const root = new URL("../../", import.meta.url);
const update = Deno.args.includes("--update");

async function textOf(text: Text | undefined): Promise<string> {
  if (text === undefined || typeof text === "string") return text ?? "";
  return await Deno.readTextFile(new URL(`fixtures/${text.file}`, root));
}

/** Whether a text is what a pattern with `[WILD]` and `[WILDLINE]` says. */
export function matches(actual: string, pattern: string): boolean {
  if (!pattern.includes("[WILD")) return actual === pattern;
  const source = pattern.split(/(\[WILDLINE\]\n?|\[WILD\])/).map((part) =>
    part.startsWith("[WILDLINE]") ? "(?:[^\\n]*\\n)*?" : part === "[WILD]" ? "[^\\n]*" : RegExp.escape(part)
  );
  return new RegExp(`^${source.join("")}$`).test(actual);
}

function compare(what: string, actual: string, expected: string): void {
  if (matches(actual, expected)) return;
  if (!expected.includes("[WILD")) assertEquals(actual, expected, what);
  fail(`${what} does not match.\n--- got\n${actual}\n--- expected\n${expected}`);
}

/** Starts a stand-in with what a case says of it. */
async function start(options: Record<string, unknown> | undefined) {
  if (!options) return undefined;
  const { seedRows, startStandIn } = await import("../standin/standin.ts");
  const { dump: file, seeded, ...more } = options;
  const dump = file === undefined ? {} : { dump: await textOf({ file: String(file) }) };
  const rows = dump.dump !== undefined && seeded ? { rows: seedRows(dump.dump) } : {};
  return await startStandIn({ ...more, ...dump, ...rows } as Parameters<typeof startStandIn>[0]);
}

/** Runs a case; under `--update` gives it as it should be. */
async function check(script: string, given: Case): Promise<Case> {
  const [standIn, target] = [await start(given.standin), await start(given.target)];
  const urls = [
    ...(standIn ? [["{meta}", standIn.metaUrl], ["{sql}", standIn.sqlUrl]] as const : []),
    ...(target ? [["{to}", target.sqlUrl]] as const : []),
  ];
  const fill = (text: string) => urls.reduce((filled, [mark, url]) => filled.replaceAll(mark, url), text);
  const unfill = (text: string) => urls.reduce((emptied, [mark, url]) => emptied.replaceAll(url, mark), text);
  try {
    const result = await runScript(script, given.args.map(fill), fill(await textOf(given.stdin)), given.env);
    const [stdout, stderr] = [unfill(result.stdout), unfill(result.stderr)];
    if (!update) {
      compare("stderr", stderr, given.stderr ?? "");
      compare("stdout", stdout, await textOf(given.stdout));
      assertEquals(result.code, given.code ?? 0, "exit code");
      return given;
    }
    const next: Case = { ...given };
    if (!matches(stdout, await textOf(given.stdout))) {
      if (typeof given.stdout === "object") {
        await Deno.writeTextFile(new URL(`fixtures/${given.stdout.file}`, root), stdout);
      } else next.stdout = stdout;
    }
    if (!matches(stderr, given.stderr ?? "")) next.stderr = stderr;
    next.code = result.code;
    return next;
  } finally {
    await standIn?.close();
    await target?.close();
  }
}

const directory = new URL("tests/cases/", root);
for (const { name: script, isDirectory } of Deno.readDirSync(directory)) {
  if (!isDirectory) continue;
  for (const { name: file } of Deno.readDirSync(new URL(`${script}/`, directory))) {
    if (!file.endsWith(".yaml")) continue;
    const url = new URL(`${script}/${file}`, directory);
    Deno.test(`cases: ${script}/${file}`, async (t) => {
      const cases = parseYaml(Deno.readTextFileSync(url)) as Case[];
      const checked: Case[] = [];
      for (const given of cases) {
        await t.step(given.name, async () => {
          checked.push(await check(script, given));
        });
      }
      if (update && checked.length === cases.length && JSON.stringify(checked) !== JSON.stringify(cases)) {
        await Deno.writeTextFile(url, stringifyYaml(checked, { lineWidth: -1, quoteStyle: '"' }));
      }
    });
  }
}
