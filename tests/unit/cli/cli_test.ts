import { type Command, help, parse, version } from "../../../lib/cli/cli.ts";
import { UsageError } from "../../../lib/cli/errors.ts";
import { parseEndpoint } from "../../../lib/cnosdb/http.ts";
import { shorten } from "../../../lib/cnosdb/sql.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../helpers/deps.ts";
import { runScript } from "../../helpers/run.ts";

const command: Command = {
  name: "x",
  summary: "does it",
  usage: ["[FLAGS]"],
  flags: [
    { name: "jobs", short: "j", value: "N", help: "how many" },
    { name: "table", value: "T", many: true, help: "which" },
    { name: "all", help: "all" },
  ],
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

Deno.test("what cannot be meant is refused", () => {
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

Deno.test("--help lists every flag, and no line of any script's help is over 100 columns", async () => {
  assertStringIncludes(help(command), "-j, --jobs N");
  for (const script of ["dump_meta", "filter_meta", "restore_meta", "copy_tables", "compare_tables"]) {
    const { stdout, code } = await runScript(script, ["--help"]);
    assertEquals(code, 0);
    assertEquals(stdout.split("\n").filter((line) => line.length > 100), [], script);
    assertEquals((await runScript(script, ["--version"])).stdout, `${script} ${version}\n`);
  }
});

Deno.test("an address is taken with and without its scheme, and shown without credentials", () => {
  assertEquals(parseEndpoint("old:8999", 8902), { url: "http://old:8999" });
  assertEquals(parseEndpoint("https://root:p%40ss@[::1]:8902/", 8902), {
    url: "https://[::1]:8902",
    user: "root",
    password: "p@ss",
  });
  for (
    const text of ["", "http://", "ftp://x", "a b", "http://u:secret@ x", "u:my secret@x", "u:a@b secret@x"]
  ) {
    const error = assertThrows(() => parseEndpoint(text, 8902), UsageError);
    assert(!error.message.includes("secret"), error.message);
  }
});

Deno.test("a host alone means the port that CnosDB has there, a URL what it says", () => {
  assertEquals(parseEndpoint("old", 8901), { url: "http://old:8901" });
  assertEquals(parseEndpoint("old:80", 8901), { url: "http://old" });
  assertEquals(parseEndpoint("root:x@[::1]", 8902), {
    url: "http://[::1]:8902",
    user: "root",
    password: "x",
  });
  assertEquals(parseEndpoint("https://old/meta", 8901), { url: "https://old/meta" });
});

Deno.test("a statement in a message shows neither keys nor passwords", () => {
  const sql = shorten(
    "COPY INTO 's3://b/d' FROM \"d\".\"t\" CONNECTION = (access_key_id = 'K', secret_key = 'a)b''c') FILE_FORMAT = (TYPE = 'PARQUET')",
  );
  assertEquals(
    sql,
    "COPY INTO 's3://b/d' FROM \"d\".\"t\" CONNECTION = (…) FILE_FORMAT = (TYPE = 'PARQUET')",
  );
  assertEquals(shorten("ALTER USER u SET PASSWORD = 'x''y'"), "ALTER USER u SET PASSWORD = '…'");
});

Deno.test("a reader that goes away ends a script quietly", async () => {
  const script = new URL("../../../scripts/filter_meta.ts", import.meta.url).pathname;
  const dump = new URL("../../../fixtures/dumps/2.3.5.4-cluster.dump", import.meta.url).pathname;
  const { stdout, stderr, code } = await new Deno.Command("bash", {
    args: [
      "-o",
      "pipefail",
      "-c",
      `"${Deno.execPath()}" run -A --quiet ${script} --target 2.4.2 --diff -q < ${dump} | head -n 1`,
    ],
  }).output();
  assertEquals(
    [new TextDecoder().decode(stdout).split("\n").length, new TextDecoder().decode(stderr), code],
    [2, "", 0],
  );
});
