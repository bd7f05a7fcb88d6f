/** Two clusters, and a directory, in which the commands of the documentation run. */
import { permissions } from "../live/pipe.ts";
import { hashPassword } from "../standin/engine.ts";
import { seedRows } from "../standin/rows.ts";
import { type StandIn, type StandInOptions, startStandIn } from "../standin/standin.ts";
import { TestPostgres } from "../unit/copy/postgres.ts";

const root = new URL("../../", import.meta.url);
const rootPath = root.pathname.replace(/\/$/, "");

/** What the commands of a section need beside the usual. */
export interface Scene {
  /** of the old cluster; a separate 2.3.5.4 unless told */
  old?: Partial<StandInOptions> & { file?: string };
  /** of the new cluster; 2.4.2 unless told */
  young?: Partial<StandInOptions>;
  /** roots' passwords where they are checked */
  passwords?: { old: string; young: string };
  /** blocks of the section and those under it run one after another between the same clusters */
  whole?: true;
}

/** Two clusters, a directory and the addresses that stand for the README's. */
export class Stage implements AsyncDisposable {
  #closers: (() => Promise<unknown>)[] = [];

  private constructor(readonly old: StandIn, readonly young: StandIn, readonly directory: string) {}

  static async start({ old = {}, young = {}, passwords }: Scene, scripts: string[]): Promise<Stage> {
    const { file = "2.3.5.4-cluster.dump", ...options } = old;
    const dump = await Deno.readTextFile(new URL(`fixtures/dumps/${file}`, root));
    const auth = passwords !== undefined;
    const oldCluster = await startStandIn({ version: "2.3.5", dump, rows: seedRows(dump), auth, ...options });
    const newCluster = await startStandIn({ version: "2.4.2", auth, ...young });
    if (passwords) {
      await setRootPassword(oldCluster, "password", passwords.old);
      await setRootPassword(newCluster, "hash_password", passwords.young);
    }
    const stage = new Stage(
      oldCluster,
      newCluster,
      await Deno.makeTempDir({ prefix: "cnosdb-migrate-readme-" }),
    );
    await stage.#furnish(scripts);
    return stage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.old.close(), this.young.close(), ...this.#closers.map((close) => close())]);
    await Deno.remove(this.directory, { recursive: true });
  }

  /** Commands that stand for what is installed: the scripts with their permissions, npx and rsync. */
  async #furnish(scripts: string[]): Promise<void> {
    await Deno.mkdir(`${this.directory}/scripts`);
    for (const directory of ["stage", "in"]) await Deno.mkdir(`${this.directory}/${directory}`);
    const put = async (name: string, script: string) => {
      await Deno.writeTextFile(`${this.directory}/scripts/${name}`, script, { mode: 0o755 });
    };
    for (const name of scripts) {
      const flags = `${permissions(name)} --quiet`;
      await put(`${name}.ts`, `#!/bin/sh\nexec deno run ${flags} '${rootPath}/scripts/${name}.ts' "$@"\n`);
    }
    const bundle =
      `import { bundleAll } from "${root}tools/bundle.ts"; await bundleAll("${this.directory}/dist")`;
    await put(
      "npx",
      `#!/bin/sh
[ "$1 $2" = "-y deno@2.9.6" ] || exit 99
shift 2
cd '${rootPath}'
[ "$*" = "task bundle" ] && exec deno eval '${bundle}'
exec deno "$@"
`,
    );
    // The other host has this machine's directories.
    await put(
      "rsync",
      `#!/bin/bash
while [[ $1 == -* ]]; do shift; done
to=\${!#}; to=\${to#*:}; mkdir -p "$to"
for from in "\${@:1:$#-1}"; do [[ $from -ef $to ]] || cp -R "$from$([[ $from == */ ]] && echo .)" "$to"; done
`,
    );
  }

  /** A line with addresses and directories that are there. */
  async real(line: string): Promise<string> {
    const hosts: [RegExp, () => string | Promise<string>][] = [
      [/\bold1?:8901/g, () => host(this.old.metaUrl)],
      [/\bold([23]):8901/g, () => host(this.old.followerUrls[0] ?? "")],
      [/\b(?:old|buffer):8902/g, () => host(this.old.sqlUrl)],
      [/\bnew1:8901/g, () => host(this.young.followerUrls[0] ?? "")],
      [/\bnew2:8901/g, () => host(this.young.followerUrls[1] ?? "")],
      [/\bnew3?:8901/g, () => host(this.young.metaUrl)],
      [/\bnew[12]?:8902/g, () => host(this.young.sqlUrl)],
      [/\bmigrate:9000/g, () => `127.0.0.1:${freePort()}`],
      [/\bfiles:8000/g, () => this.#serveFiles()],
      [/\bpostgres:\/\/migrate@db\/migrate/g, () => this.#postgres()],
      [/\/data\//g, () => `${this.directory}/`],
      [/(?<=--quiet-for )60s/g, () => "2s"],
    ];
    for (const [name, address] of hosts) {
      if (name.test(line)) line = line.replaceAll(name, await address());
    }
    return line;
  }

  #files: string | undefined;
  /** Serves the checkout as raw text, as code hosts do. */
  #serveFiles(): string {
    if (this.#files) return this.#files;
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
      const file = await Deno.readFile(new URL(`.${new URL(request.url).pathname}`, root)).catch(() => {});
      return new Response(file ?? "", {
        status: file ? 200 : 404,
        headers: { "content-type": "text/plain" },
      });
    });
    this.#closers.push(() => server.shutdown());
    return this.#files = `127.0.0.1:${server.addr.port}`;
  }

  #ledger: string | undefined;
  async #postgres(): Promise<string> {
    if (this.#ledger) return this.#ledger;
    const server = await TestPostgres.start();
    this.#closers.push(() => server.stop());
    return this.#ledger = await server.newDatabase();
  }

  /** Runs lines in one shell, and gives the exit code and what was said of each. */
  async run(lines: string[]): Promise<{ line: string; code: number; said: string }[]> {
    const results: { line: string; code: number; said: string }[] = [];
    const script = ["set -o pipefail"];
    for (const [i, line] of lines.entries()) {
      script.push(`{ ${await this.real(line)}\n} > stdout.${i} 2> stderr.${i}`, `echo $? > code.${i}`);
    }
    await new Deno.Command("bash", {
      args: ["-c", script.join("\n")],
      cwd: this.directory,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      clearEnv: true,
      env: {
        // All that this machine needs, such as its certificates, but nothing that the scripts read.
        ...Object.fromEntries(
          Object.entries(Deno.env.toObject()).filter(([name]) => !/^(CNOSDB_|PG|LC_|LANG)/.test(name)),
        ),
        PATH: `${this.directory}/scripts:${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH")}`,
        NO_COLOR: "1",
      },
    }).output();
    for (const [i, line] of lines.entries()) {
      const read = (name: string) => Deno.readTextFile(`${this.directory}/${name}.${i}`).catch(() => "");
      const code = (await read("code")).trim();
      results.push({
        line,
        code: code === "" ? NaN : Number(code),
        said: await read("stdout") + await read("stderr"),
      });
    }
    return results;
  }
}

async function setRootPassword(cluster: StandIn, field: string, password: string): Promise<void> {
  const [key, value] = [...cluster.store].find(([key]) => key.endsWith("/users/root"))!;
  const hash = await hashPassword(password);
  // Not through JSON.parse, which would ruin the id.
  const changed = value.replace(new RegExp(`"${field}":(null|"[^"]*")`), () => `"${field}":"${hash}"`);
  // ALTER USER does so on 2.4.1 and later; 2.3 leaves it as it is.
  const released = changed.replace('"must_change_password":true', '"must_change_password":false');
  cluster.store.set(key, field === "hash_password" ? released : changed);
}

const host = (url: string) => new URL(url).host;

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}
