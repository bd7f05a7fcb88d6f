/** The scripts as single files, on a machine that has nothing but them and deno: no network, an empty cache. */
import { bundleAll, mostFileBytes, mostLineBytes, scripts, squeeze } from "../../tools/bundle.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../helpers/deps.ts";
import { Clusters, origins, permissions } from "../live/pipe.ts";

const root = new URL("../../", import.meta.url);
const fixture = (path: string) => new URL(`fixtures/${path}`, root).pathname;

/** Packages whose licences must be in a bundle. */
const contained: Record<typeof scripts[number], string[]> = {
  dump_meta: ["deno-std"],
  filter_meta: ["bcryptjs", "deno-std"],
  restore_meta: ["bcryptjs", "deno-std"],
  copy_tables: ["aws4fetch", "deno-std", "postgres"],
  compare_tables: ["deno-std"],
  report: ["deno-std"],
};

/** The bundles, and an empty cache, in a directory that is gone at the end. */
class Bundles implements AsyncDisposable {
  private constructor(readonly directory: string, readonly files: string[]) {}

  static async build(): Promise<Bundles> {
    const directory = await Deno.makeTempDir({ prefix: "cnosdb-migrate-dist-" });
    return new Bundles(directory, await bundleAll(directory));
  }

  /** How a bundle is run: its own permissions, but no host other than this one. */
  command(name: string): string {
    const allowed = permissions(name).replace("--allow-net", "--allow-net=127.0.0.1");
    return `DENO_DIR=${this.directory}/cache deno run ${allowed} ` +
      `--no-config --no-remote --no-npm --cached-only --quiet ${this.directory}/${name}.js`;
  }

  /** Runs a command line in bash. */
  async run(line: string): Promise<{ code: number; stdout: string; stderr: string }> {
    const output = await new Deno.Command("bash", {
      args: ["-o", "pipefail", "-c", line],
      cwd: this.directory,
      env: { PATH: `${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
    }).output();
    const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { code: output.code, stdout: stdout ?? "", stderr: stderr ?? "" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}

Deno.test("the scripts as single files", async (t) => {
  await using bundles = await Bundles.build();

  await t.step("can be pasted through a terminal, and name what is in them", async () => {
    for (const [i, script] of scripts.entries()) {
      const bytes = await Deno.readFile(bundles.files[i] ?? "");
      assert(bytes.length < mostFileBytes, `${script}: ${bytes.length} bytes`);
      const odd = bytes.find((byte) => byte !== 0x0a && (byte < 0x20 || byte > 0x7e));
      assertEquals(odd, undefined, script);
      const text = new TextDecoder().decode(bytes);
      const longest = Math.max(...text.split("\n").map((line) => line.length));
      assert(longest <= mostLineBytes, `${script}: a line of ${longest} bytes`);
      const source = await Deno.readTextFile(new URL(`../../scripts/${script}.ts`, import.meta.url));
      assertEquals(text.split("\n", 1), source.split("\n", 1));
      assertStringIncludes(text, "MIT License\n\nCopyright (c) 2026 the cnosdb-migrate authors");
      const packages = [...text.matchAll(/^---\n\n([\w-]+) \d+\.\d+\.\d+\n/gm)].map(([, name]) => name);
      assertEquals(packages.sort(), contained[script], script);
    }
  });

  await t.step("have their sums beside them", async () => {
    const { code, stdout } = await bundles.run("sha256sum -c SHA256SUMS");
    assertEquals([code, stdout.split("\n").length - 1], [0, scripts.length]);
  });

  await t.step("carry a cluster over, with an empty cache and no host but this one", async () => {
    await using clusters = await Clusters.start(
      origins["a 2.3.5.4 with a meta service of its own"]!,
      "2.4.3",
    );
    const result = await clusters.migrate("2.4.3.4", { script: (name) => bundles.command(name) });
    assertEquals(result.code, 0, result.stderr);
    const statuses = result.tables.map(({ status }) => status).filter((status) => status !== "definition");
    assertEquals(statuses, Array(18).fill("equal"), result.stderr);
    await clusters.young.restart();
    assertEquals(clusters.differingRows(), []);
  });

  await t.step("hold what is loaded only when it is needed", async () => {
    await Deno.writeTextFile(`${bundles.directory}/rules.yaml`, "- drop: /*/users/*\n");
    const filter = `${bundles.command("filter_meta")} --target 2.4.2 --unmarked`;
    const hashed = await bundles.run(`${filter} < ${fixture("dumps/2.3.3-cluster.dump")}`);
    assertEquals(hashed.code, 0, hashed.stderr);
    assertMatch(hashed.stdout, /"hash_password":"\$2b\$12\$/);
    const ruled = await bundles.run(
      `${filter} --rules rules.yaml < ${fixture("dumps/2.3.5.4-cluster.dump")}`,
    );
    assertEquals(ruled.code, 0, ruled.stderr);
    assert(!ruled.stdout.includes("/users/"), ruled.stdout);
    // Where nothing listens it is the client that says so.
    const ledger = await bundles.run(
      `${bundles.command("copy_tables")} --status --ledger postgres://root@127.0.0.1:1/x`,
    );
    assertEquals(ledger.code, 1);
    assertStringIncludes(ledger.stderr, "ledger postgres://127.0.0.1:1/x: connect ECONNREFUSED");
  });

  await t.step("reach no other host", async () => {
    const { code, stderr } = await bundles.run(`${bundles.command("dump_meta")} 192.0.2.1:8901`);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "192.0.2.1");
    assertStringIncludes(stderr, "--allow-net");
  });
});

Deno.test("a bundle's code means what it meant, raw strings and all", async () => {
  const code = "export default [String.raw`\\n \\` \\\\ $1 \\${x} 迁\t`, '✓', `a\t迁`]";
  const load = async (text: string) =>
    (await import(`data:text/javascript,${encodeURIComponent(text)}`)).default;
  const squeezed = await squeeze(code);
  assertMatch(squeezed, /^[\x20-\x7e\n]+$/);
  assertEquals(await load(squeezed), await load(code));
  assertEquals((await load(code))[0], "\\n \\` \\\\ $1 \\${x} 迁\t");
});
