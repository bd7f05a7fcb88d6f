import { type Command, flagsOf, help, parse, version } from "../../../lib/cli/command.ts";
import { UsageError } from "../../../lib/cli/errors.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/deps.ts";
import { runScript } from "../../helpers/run.ts";

const command: Command = {
  name: "x",
  summary: "does it",
  usage: ["[FLAGS] [FILE...]"],
  positional: { name: "FILE", most: 2 },
  flags: `
    -j, --jobs N  how many
    --table T...  which
    --all         all
  `,
  examples: [],
};

Deno.test("flags are parsed in all their spellings", () => {
  const args = parse(command, ["-j", "4", "--table=a=b", "--table", "c", "--all", "rest", "-"]);
  assertEquals([args.integer("jobs"), args.values("table"), args.on("all"), args.positional], [
    4,
    ["a=b", "c"],
    true,
    ["rest", "-"],
  ]);
  assertEquals(parse(command, ["--", "--all"]).positional, ["--all"]);
});

Deno.test("flags that make no sense are refused", () => {
  for (
    const [argv, includes] of [
      [["--job", "4"], "unknown flag --job"],
      [["-x"], "unknown flag -x"],
      [["--jobs"], "needs a value"],
      [["--jobs", "--all"], "needs a value"],
      [["--jobs=4", "-j", "5"], "given twice"],
      [["--all=yes"], "takes no value"],
    ] as const
  ) assertThrows(() => parse(command, argv), UsageError, includes, argv.join(" "));
  assertThrows(() => parse(command, ["-j", "1.5"]).integer("jobs"), UsageError, "whole number");
});

Deno.test("flags are written as the help shows them", () => {
  const flags = flagsOf(`
    --all             all of it
    Numbers:
      -j, --jobs N    how many
      --one-of T.D...
                      which: of all,
                      one
  `);
  assertEquals(
    flags.map(({ name, short, value, many, group, help }) => [name, short, value, many, group, help]),
    [
      ["all", undefined, undefined, false, "Flags", "all of it"],
      ["jobs", "j", "N", false, "Numbers", "how many"],
      ["one-of", undefined, "T.D", true, "Numbers", "which: of all, one"],
    ],
  );
});

Deno.test("a size is read with its unit, decimal or binary", () => {
  const bytes = (text: string) => parse({ ...command, flags: "--a B" }, ["--a", text]).bytes("a");
  assertEquals(["1000", "2GiB", "500MB", "1k", "3 TiB"].map(bytes), [1000, 2 ** 31, 5e8, 1000, 3 * 2 ** 40]);
  assertThrows(() => bytes("2 gallons"), UsageError, "expected a size");
});

Deno.test("too few and too many arguments are refused, but not with --help", () => {
  const one = { ...command, positional: { name: "META_URL", least: 1, most: 1 } };
  assertThrows(() => parse(one, []), UsageError, "META_URL is missing");
  assertThrows(() => parse(one, ["a", "b"]), UsageError, 'unexpected argument "b"');
  const { positional: _, ...none } = command;
  assertThrows(() => parse(none, ["a"]), UsageError, 'unexpected argument "a"');
  assertEquals(parse(one, ["--help"]).on("help"), true);
});

Deno.test("an argument that may hold a password is not shown", () => {
  const { positional: _, ...none } = command;
  for (
    const argv of [
      ["http://root:secret@old:8902"],
      ["root:secret@old"],
      ["postgres:u:secret@h"],
      ["user:secret"],
      ["--jobs", "root:secret@old"],
      ["-psecret"],
      ["--form=http://root:secret@old"],
    ]
  ) {
    const error = assertThrows(() => parse(none, argv).integer("jobs"), UsageError);
    assert(!/secret/.test(`${error.message} ${error.hint}`), `${argv}: ${error.message}`);
  }
});

const documented: Command = {
  name: "x",
  summary: "does it",
  usage: ["[FLAGS]"],
  flags: `
    -j, --jobs N    how many
    Clusters:
      --from URL...    where the rows are
      --a-flag-with-a-long-name VALUE
                       what it means
  `,
  examples: ["# look", "x -j 4"],
};

Deno.test("help() lists flags under their groups, those of all scripts last", () => {
  assertEquals(help(documented).split("\n").slice(0, 19), [
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
