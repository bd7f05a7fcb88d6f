/** What filter_meta tells of each entry. */
import { assert, assertEquals } from "../../helpers/deps.ts";
import { runScript } from "../../helpers/run.ts";

const dump = await Deno.readTextFile(
  new URL("../../../fixtures/dumps/2.3.5.4-cluster.dump", import.meta.url),
);

Deno.test("--report has a line for each entry, with its changes and without a hash", async () => {
  const file = await Deno.makeTempFile();
  const { code, stderr } = await runScript("filter_meta", [
    "--target",
    "2.4.2",
    "--unmarked",
    "--report",
    file,
  ], dump);
  assertEquals(code, 0, stderr);
  const text = await Deno.readTextFile(file);
  assert(!text.includes("$2b$"), "a hash is in the report");
  const [{ run }, ...lines] = text.trim().split("\n").map((line) => JSON.parse(line));
  const { end } = lines.pop();
  assertEquals([run.script, run.source, run.target], ["filter_meta", "2.3.x", "2.4.2"]);
  assertEquals([end.kept, end.converted, end.dropped, end.exit], [7, 33, 15, 0]);
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
    ["--target", "2.4.2", "--unmarked", "--report", `${dir}/report`],
    dump + "/x: 1\n",
  );
  assertEquals([code, [...Deno.readDirSync(dir)]], [1, []]);
  await Deno.remove(dir);
});

Deno.test("no name in --diff acts on a terminal", async () => {
  const name = "\u001b[31m\u202ex";
  const value = JSON.stringify({ id: 1, name, options: { comment: null, limiter_config: null } });
  const { stdout } = await runScript(
    "filter_meta",
    ["--target", "2.4.2", "--unmarked", "--diff"],
    `/c/tenants/${name}: ${value}\n`,
  );
  assertEquals(stdout.split("\n")[0], "  /c/tenants/\\u001b[31m\\u202ex  (2.4.0, 2.4.1)");
});

Deno.test("no end mark goes out where the report cannot be written, as on a full disk", async () => {
  const dir = await Deno.makeTempDir();
  const script = new URL("../../../scripts/filter_meta.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    cwd: dir,
    // No file may grow beyond 4 kB; the signal that says so is ignored, so that the write fails.
    args: [
      "-c",
      `trap '' XFSZ; ulimit -f 4; "${Deno.execPath()}" run -A --quiet ${script} --target 2.4.2 --unmarked --report report "$0"`,
      new URL("../../../fixtures/dumps/2.3.5.4-cluster.dump", import.meta.url).pathname,
    ],
  }).output();
  assertEquals([code, new TextDecoder().decode(stdout)], [1, ""]);
  assert(new TextDecoder().decode(stderr).includes("report: cannot be written"));
  assertEquals([...Deno.readDirSync(dir)], []);
  await Deno.remove(dir);
});
