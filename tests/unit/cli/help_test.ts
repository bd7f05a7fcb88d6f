import { type Command, version } from "../../../lib/cli/command.ts";
import { help } from "../../../lib/cli/help.ts";
import { assertEquals } from "../../helpers/deps.ts";
import { runScript } from "../../helpers/run.ts";

const command: Command = {
  name: "x",
  summary: "does it",
  usage: ["[FLAGS]"],
  flags: [
    { name: "jobs", short: "j", value: "N", help: "how many" },
    { name: "from", value: "URL", group: "Clusters", many: true, help: "where the rows are" },
    { name: "a-flag-with-a-long-name", value: "VALUE", group: "Clusters", help: "what it means" },
  ],
  examples: ["# look", "x -j 4"],
};

Deno.test("help() lists flags under their groups, those of all scripts last", () => {
  assertEquals(help(command).split("\n").slice(0, 19), [
    "x: does it",
    "",
    "Usage: x [FLAGS]",
    "",
    "Flags:",
    "  -j, --jobs N              how many",
    "",
    "Clusters:",
    "      --from URL            where the rows are (may be repeated)",
    "      --a-flag-with-a-long-name VALUE",
    "                            what it means",
    "",
    "General:",
    "  -q, --quiet               say nothing but errors",
    "      --debug               print stack traces with errors",
    "  -h, --help                print this",
    "      --version             print the version",
    "",
    "Examples:",
  ]);
});

Deno.test("no line of any script's help is over 100 columns, and --version is that of deno.json", async () => {
  for (const { name } of Deno.readDirSync(new URL("../../../scripts/", import.meta.url))) {
    const script = name.replace(/\.ts$/, "");
    const { stdout, code } = await runScript(script, ["--help"]);
    assertEquals(code, 0);
    assertEquals(stdout.split("\n").filter((line) => line.length > 100), [], script);
    assertEquals((await runScript(script, ["--version"])).stdout, `${script} ${version}\n`);
  }
});
