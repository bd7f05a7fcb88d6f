/** What filter_meta tells of each entry. */
import { assert, assertEquals } from "../../helpers/deps.ts";
import { runScript } from "../../helpers/run.ts";

const dump = await Deno.readTextFile(
  new URL("../../../fixtures/dumps/2.3.5.4-cluster.dump", import.meta.url),
);

Deno.test("--report has a line for each entry, with its changes and without a hash", async () => {
  const file = await Deno.makeTempFile();
  const { code, stderr } = await runScript("filter_meta", ["--target", "2.4.2", "--report", file], dump);
  assertEquals(code, 0, stderr);
  const text = await Deno.readTextFile(file);
  assert(!text.includes("$2b$"), "a hash is in the report");
  const lines = text.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map((line) => line.line), Array.from({ length: 55 }, (_, i) => i + 1));
  const of = (key: string) => lines.find((line) => line.key === key);
  assertEquals(of("/cluster_xxx/users/alice"), {
    line: 51,
    key: "/cluster_xxx/users/alice",
    kind: "user",
    action: "converted",
    rules: ["2.4.0", "2.4.1"],
    changes: [
      { path: "options.password", old: '"***"' },
      { path: "options.hash_password", new: '"***"' },
      { path: "is_admin", old: "false" },
      { path: "is_root_admin", new: "false" },
    ],
  });
  assertEquals(of("/data_version"), {
    line: 55,
    key: "/data_version",
    kind: "internal",
    action: "dropped",
    rules: ["internal"],
    changes: [],
  });
  assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
  await Deno.remove(file);
});

Deno.test("a report of a dump that cannot be converted is not left behind", async () => {
  const dir = await Deno.makeTempDir();
  const { code } = await runScript(
    "filter_meta",
    ["--target", "2.4.2", "--report", `${dir}/report`],
    dump + "/x: 1\n",
  );
  assertEquals([code, [...Deno.readDirSync(dir)]], [1, []]);
  await Deno.remove(dir);
});

Deno.test("a file is read in place, a pipe is kept, and both give the same", async () => {
  const run = async (line: string) => {
    const script = new URL("../../../scripts/filter_meta.ts", import.meta.url).pathname;
    const filter = `"${Deno.execPath()}" run -A --quiet ${script} --target 2.4.3 -q`;
    const { stdout } = await new Deno.Command("bash", { args: ["-c", line.replace("FILTER", filter)] })
      .output();
    return new TextDecoder().decode(stdout);
  };
  const path = new URL("../../../fixtures/dumps/2.3.5.4-single.debug", import.meta.url).pathname;
  const fromFile = await run(`FILTER < ${path}`);
  assert(fromFile.includes("# end entries=40"), fromFile.slice(-200));
  assertEquals(await run(`cat ${path} | FILTER`), fromFile);
});

Deno.test("a dump that does not fit in memory is kept in a file that is removed", async () => {
  const dir = await Deno.makeTempDir();
  // 40 MB, over what is kept in memory.
  const table = dump.split("\n").find((line) => line.includes("schemas/air:"))!;
  const many =
    Array.from({ length: 100_000 }, (_, i) => table.replaceAll('air"', `a${i}"`).replace("air:", `a${i}:`))
      .join("\n") + "\n";
  const { code, stderr, stdout } = await runScript("filter_meta", ["--target", "2.4.0"], many, {
    TMPDIR: dir,
  });
  assertEquals(code, 0, stderr);
  assert(stdout.endsWith("\n") && stdout.includes("# end entries=100000"));
  assertEquals([...Deno.readDirSync(dir)], []);
  await Deno.remove(dir);
});
