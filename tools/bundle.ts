/**
 * Writes dist/: a self-contained JavaScript file for each script, for machines without network; with `--compile` binaries of them; and
 * SHA256SUMS, for `sha256sum -c`.
 *
 *     deno task bundle
 *     deno task compile [flags of deno compile, such as --target x86_64-apple-darwin]]
 *
 * `deno bundle` and what follows it take esbuild from npm. `deno compile` takes the runtime that it puts into a binary from Deno's own site, or
 * from the file that DENORT_BIN names.
 */
import { basename } from "node:path";
import config from "../deno.json" with { type: "json" };

export const scripts = [
  "dump_meta",
  "filter_meta",
  "restore_meta",
  "copy_tables",
  "compare_tables",
  "report",
] as const;

/** What a terminal takes of a line that is pasted (4096 on Linux), and what is bearable to paste. */
export const mostLineBytes = 4_000;
export const mostFileBytes = 300_000;

/** Licences of packages that come without a file of it. Any other package must bring one. */
const licences: Record<string, string> = {
  "deno-std": "MIT License, as above.\nCopyright 2018-2026 the Deno authors.\n" +
    "Its YAML parser: copyright 2011-2015 by Vitaly Puzrin, MIT License.",
  "postgres": "Unlicense: in the public domain.",
};

const root = new URL("../", import.meta.url);

/** What an operator has to know of a build that failed: no stack. */
class BuildError extends Error {}

/** Builds all bundles. @returns the files written */
export async function bundleAll(directory: string): Promise<string[]> {
  await Deno.mkdir(directory, { recursive: true });
  const files: string[] = [];
  for (const script of scripts) {
    const bundled = await deno(["bundle", "--quiet", "--platform", "deno", `scripts/${script}.ts`]);
    const [shebang = ""] = bundled.split("\n");
    const head =
      `// ${script} of cnosdb-migrate ${config.version}, made of scripts/${script}.ts and what it imports. ` +
      "Licences are at the end.";
    const text = [shebang, head, await squeeze(bundled), "/*", await notices(bundled), "*/", ""].join("\n");
    check(script, text);
    const file = `${directory}/${script}.js`;
    await Deno.writeTextFile(file, text);
    await Deno.chmod(file, 0o755);
    files.push(file);
  }
  await writeSums(directory, files);
  return files;
}

/** Writes SHA256SUMS, as `sha256sum` prints it. */
async function writeSums(directory: string, files: readonly string[]): Promise<void> {
  const lines = await Promise.all(files.map(async (file) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(file)));
    return `${digest.toHex()}  ${basename(file)}\n`;
  }));
  await Deno.writeTextFile(`${directory}/SHA256SUMS`, lines.join(""));
}

/** Makes a bundle fit to be pasted: ASCII, short lines, no indentation, no tabs, which ask a terminal for completions. */
export async function squeeze(bundled: string): Promise<string> {
  const code = bundled.replace(/^#!.*/, "")
    // what is raw cannot be escaped
    .replace(
      /\bString\.raw`((?:[^`\\$]|\\[^]|\$(?!\{))*)`/g,
      (_, raw) => `\`${raw.replace(/[\\`]|\$(?=\{)/g, "\\$&")}\``,
    );
  // of the version that deno bundle has
  const flags = [
    "--minify-whitespace",
    "--line-limit=200",
    "--charset=ascii",
    "--target=esnext",
    "--legal-comments=none",
  ];
  const squeezed = await deno(
    // its version and sum are in deno.lock; it starts a program of its own
    [
      "run",
      "--allow-read",
      "--allow-env",
      "--allow-run",
      "--no-prompt",
      "--quiet",
      "npm:esbuild@0.25.5",
      ...flags,
    ],
    code,
  );
  return squeezed.trim().replaceAll("\t", "\\t");
}

/** The licences of this project and of the packages in a bundle, which names each module by the path it was read from. */
async function notices(bundled: string): Promise<string> {
  const list = [`cnosdb-migrate ${config.version}\n${await Deno.readTextFile(new URL("LICENSE", root))}`];
  const packages = new Map(
    [...bundled.matchAll(/^\/\/ (.*\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\/([^/]+))\//gm)]
      .map(([, directory = "", name = "", version]) => [name, { directory, version }]),
  );
  for (const [name, { directory, version }] of packages) {
    list.push(`${name} ${version}\n${await licence(name, new URL(`${directory}/`, root))}`);
  }
  return list.map((notice) => notice.trim()).join("\n\n---\n\n");
}

async function licence(name: string, directory: URL): Promise<string> {
  for await (const entry of Deno.readDir(directory)) {
    if (/^(un)?licen[cs]e/i.test(entry.name)) return await Deno.readTextFile(new URL(entry.name, directory));
  }
  const text = licences[name];
  if (text === undefined) throw new BuildError(`npm:${name} brings no licence: add it to tools/bundle.ts`);
  return text;
}

/** @throws {Error} for what would not run on a machine without network, or could not be pasted */
function check(script: string, text: string): void {
  const refuse = (why: string) => {
    throw new BuildError(`dist/${script}.js ${why}`);
  };
  if (!/^#!\/usr\/bin\/env -S deno run /.test(text)) refuse("does not begin with its shebang");
  // a line may begin within a text that goes on from the one before
  const outside = /(?:(?<!\\\n)^|[;}])import(?:[\w$*{}, ]*from)?"(?!node:).*|\bimport\("(?!node:).*/m.exec(
    text,
  );
  if (outside) refuse(`imports what is not in it: ${outside[0]}`);
  const odd = /[^\x20-\x7e\n]/.exec(text);
  if (odd) refuse(`holds ${JSON.stringify(odd[0])}, which is not printable ASCII`);
  const line = text.split("\n").findIndex((line) => line.length > mostLineBytes);
  if (line >= 0) refuse(`has more than ${mostLineBytes} bytes in line ${line + 1}`);
  if (text.length > mostFileBytes) refuse(`has ${text.length} bytes, more than ${mostFileBytes}`);
}

/** Makes binaries of the bundles, with the flags of their shebangs. @param flags of `deno compile` */
async function compileAll(directory: string, flags: string[]): Promise<string[]> {
  const files: string[] = [];
  for (const bundle of await bundleAll(directory)) {
    const [shebang = ""] = (await Deno.readTextFile(bundle)).split("\n");
    const allowed = shebang.match(/--(?:v8-flags|allow-|no-prompt)\S*/g) ?? [];
    const file = bundle.replace(/\.js$/, "");
    await deno(["compile", "--quiet", ...allowed, ...flags, "--output", file, bundle]).catch((error) => {
      throw new BuildError(
        `${error.message}\nIf Deno's runtime (denort) could not be fetched: DENORT_BIN=FILE names one that is here already; the bundles in ` +
          "dist/ are whole and need no binary.",
      );
    });
    const written = await Deno.stat(file).then(() => file, () => `${file}.exe`);
    files.push(written);
  }
  await writeSums(directory, files);
  return files;
}

/** Runs deno. @returns what it prints @throws {BuildError} with what it said */
async function deno(args: string[], input = ""): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [{ success, stdout, stderr }] = await Promise.all([
    child.output(),
    // one that does not read its input says so itself
    ReadableStream.from([input]).pipeThrough(new TextEncoderStream()).pipeTo(child.stdin).catch(() => {}),
  ]);
  if (!success) {
    const [said = ""] = new TextDecoder().decode(stderr).split(/\n\nStack backtrace:/);
    throw new BuildError(`deno ${args[0]} failed: ${said.trim()}`);
  }
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const [compile, ...flags] = Deno.args;
  const directory = new URL("dist", root).pathname;
  try {
    const files = compile === "--compile" ? await compileAll(directory, flags) : await bundleAll(directory);
    for (const file of files) {
      console.log(`${file.slice(root.pathname.length)}  ${(await Deno.stat(file)).size} bytes`);
    }
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}
