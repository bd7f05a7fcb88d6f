import { assertEquals, assertMatch } from "../../helpers/deps.ts";

const root = new URL("../../../", import.meta.url).pathname;
const script = (name: string) => `"${Deno.execPath()}" run -A --quiet ${root}scripts/${name}.ts`;
const filter = `${script("filter_meta")} --target 2.4.2`;
const dump = `${root}fixtures/dumps/2.3.5.4-cluster.dump --unmarked`;

async function bash(line: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-o", "pipefail", "-c", line],
    env: { LC_ALL: "C", NO_COLOR: "1" },
  }).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

Deno.test("if the reader of stdout ends, that is a failure, reported in one line", async () => {
  const { stderr, code } = await bash(`${filter} -q ${dump} | (exec <&-; sleep 1)`);
  assertEquals(code, 1);
  assertMatch(stderr, /^filter_meta: error: stdout was closed before all was written\n.*\n$/);
});

Deno.test("a full disk is a failure", async () => {
  const { stderr, code } = await bash(`${filter} -q ${dump} > /dev/full`);
  assertEquals(code, 1);
  assertMatch(stderr, /error: stdout: .*No space left/);
});

for (const signal of ["TERM", "INT"]) {
  Deno.test(`the first SIG${signal} ends a script that waits for its input, with 130`, async () => {
    const { stderr, code } = await bash(
      // a script that runs in the background ignores SIGINT but for job control (-m)
      `set -m; mkfifo $$.pipe; ${filter} < $$.pipe & exec 9> $$.pipe; rm $$.pipe; sleep 1; kill -${signal} %1; wait %1`
        .replaceAll(
          "$$",
          `/tmp/main_test_${Deno.pid}_${signal}`,
        ),
    );
    assertEquals([code, stderr.replace(/^.*\[1\].*$/gm, "").trim()], [
      130,
      "filter_meta: error: interrupted",
    ]);
  });
}
