import config from "../../deno.json" with { type: "json" };
import { assertEquals, assertStringIncludes } from "../helpers/deps.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string) => Deno.readTextFileSync(new URL(path, root));

Deno.test("CONTRIBUTING.md has a line for each folder of lib and each task, and for no other", () => {
  const named = [...read("CONTRIBUTING.md").matchAll(/^\| `lib\/(\w+)\/`/gm)].map(([, folder]) => folder);
  const folders = [...Deno.readDirSync(new URL("lib/", root))].map(({ name }) => name);
  assertEquals(named.toSorted(), folders.toSorted());
  const tasks = [...read("CONTRIBUTING.md").matchAll(/`deno task ([\w:]+)/g)].map(([, task]) => task ?? "");
  const inner = ["check"]; // a part of `ok`
  assertEquals([...new Set(tasks), ...inner].toSorted(), Object.keys(config.tasks).toSorted());
});

Deno.test("CONTRIBUTING.md names no file that is not there", () => {
  for (
    const [, path = ""] of read("CONTRIBUTING.md").matchAll(/`((?:tests|fixtures|lib)\/[a-z0-9_./-]+\.\w+)`/g)
  ) {
    if (!path.includes("v2_x_y")) Deno.statSync(new URL(path, root));
  }
});

Deno.test("CHANGELOG.md begins with the version in deno.json", () => {
  assertStringIncludes(read("CHANGELOG.md"), `# Changelog\n\n## ${config.version}\n`);
});
