/** The shape of the project: which folder may import which, and how large anything may be. */
import { assertEquals } from "../helpers/deps.ts";

const root = new URL("../../", import.meta.url);

/** What a folder may import beside itself: only what stands further down. */
const below: Record<string, readonly string[]> = {
  cli: [],
  cnosdb: ["cli", "dump"],
  dump: ["cli"],
  versions: ["cli", "cnosdb", "dump"],
  stage: ["cli", "cnosdb", "dump"],
  filter: ["cli", "cnosdb", "dump", "versions"],
  restore: ["cli", "cnosdb", "dump", "versions"],
  copy: ["cli", "cnosdb", "dump", "versions", "stage", "filter"],
  report: ["cli", "cnosdb", "dump"],
  scripts: ["cli", "cnosdb", "dump", "versions", "stage", "filter", "restore", "copy", "report"],
};

const meta = ["cli", "cnosdb", "dump", "versions", "filter", "restore"];
const metaScripts = ["dump_meta", "filter_meta", "restore_meta"];
const copyScripts = ["copy_tables", "compare_tables"];

/**
 * What does not keep to a limit yet, with the number of lines that it must not exceed meanwhile. One that is no longer needed fails the
 * test, so that this list only shrinks.
 */
const exceptions: Record<string, number> = {
  "all": 10_450,
  "the meta half": 5_545,
  "the copying half": 4_415,
};

interface Module {
  /** below the root */
  path: string;
  /** of lib/, or "scripts" */
  folder: string;
  lines: number;
  imports: string[];
}

function* filesOf(directory: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(directory, root))) {
    if (isDirectory) yield* filesOf(`${directory}${name}/`);
    else if (name.endsWith(".ts")) yield directory + name;
  }
}

/** Every relative import, of types and dynamic ones too. */
function readModule(path: string): Module {
  const url = new URL(path, root);
  const text = Deno.readTextFileSync(url);
  const imports = [...text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)]
    .map(([, specifier = ""]) => new URL(specifier, url).href.slice(root.href.length))
    .filter((imported) => imported.endsWith(".ts"));
  const [first = "", second = ""] = path.split("/");
  return { path, folder: first === "lib" ? second : first, lines: text.split("\n").length - 1, imports };
}

const modules = [...filesOf("lib/"), ...filesOf("scripts/")].map(readModule);
const byPath = new Map(modules.map((module) => [module.path, module]));
const linesOf = (chosen: readonly Module[]) => chosen.reduce((sum, { lines }) => sum + lines, 0);
const inFolders = (folders: readonly string[]) => modules.filter(({ folder }) => folders.includes(folder));
const named = (scripts: readonly string[]) =>
  modules.filter(({ path }) => scripts.some((script) => path === `scripts/${script}.ts`));

Deno.test("imports go down only", () => {
  const wrong = modules.flatMap(({ path, folder, imports }) =>
    imports.filter((imported) => {
      const other = byPath.get(imported)?.folder;
      return other !== undefined && other !== folder && !below[folder]?.includes(other);
    }).map((imported) => `${path} imports ${imported}`)
  );
  assertEquals(wrong, []);
});

Deno.test("no modules import each other in a circle, not for types either", () => {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) found.push([...way.slice(way.indexOf(path)), path].join(" → "));
    if (done.has(path) || way.includes(path)) return;
    for (const imported of byPath.get(path)?.imports ?? []) visit(imported, [...way, path]);
    done.add(path);
  };
  for (const { path } of modules) visit(path, []);
  assertEquals(found, []);
});

Deno.test("no script imports a script", () => {
  assertEquals(modules.filter(({ imports }) => imports.some((path) => path.startsWith("scripts/"))), []);
});

Deno.test("nothing is larger than it may be", () => {
  const parts: [name: string, lines: number, most: number][] = [
    ...modules.map(({ path, folder, lines }): [string, number, number] => [
      path,
      lines,
      folder === "scripts" ? 200 : 350,
    ]),
    ["all", linesOf(modules), 7_500],
    ["the meta half", linesOf([...inFolders(meta), ...named(metaScripts)]), 4_300],
    ["the copying half", linesOf([...inFolders(["copy", "stage"]), ...named(copyScripts)]), 2_800],
  ];
  const over = parts.filter(([name, lines, most]) => lines > Math.max(most, exceptions[name] ?? 0));
  assertEquals(over.map(([name, lines, most]) => `${name}: ${lines} of ${most}`), []);
  const needed = parts.filter(([, lines, most]) => lines > most).map(([name]) => name);
  assertEquals(
    Object.keys(exceptions).filter((name) => !needed.includes(name)),
    [],
    "exceptions no longer needed",
  );
});

Deno.test("third-party code comes through lib/cli/deps.ts alone, with its version", () => {
  for (const { path } of modules) {
    const specifiers = Deno.readTextFileSync(new URL(path, root)).matchAll(/"((?:npm|jsr|https?):[^"\s]*)"/g);
    for (const [, specifier = ""] of specifiers) {
      if (!/^(npm|jsr):/.test(specifier)) continue;
      assertEquals([path, /@\d+\.\d+\.\d+(\/|$)/.test(specifier)], ["lib/cli/deps.ts", true], specifier);
    }
  }
});
