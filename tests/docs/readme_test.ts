/**
 * Holds both READMEs to the code and to each other. Every command in them is run, between stand-ins whose addresses take the
 * place of the host names, with the permissions that the scripts ask for. `deno task test:update` writes the flags, the
 * exit codes and the permissions anew; the Chinese texts of new flags are then to be written by hand.
 */
import { command as copyTables } from "../../scripts/copy_tables.ts";
import { command as dumpMeta } from "../../scripts/dump_meta.ts";
import { command as filterMeta } from "../../scripts/filter_meta.ts";
import { command as restoreMeta } from "../../scripts/restore_meta.ts";
import { type Command, parse } from "../../lib/cli/command.ts";
import { help } from "../../lib/cli/help.ts";
import { assert, assertEquals, assertStringIncludes } from "../helpers/deps.ts";
import { permissions } from "../live/pipe.ts";
import { TestPostgres } from "../unit/copy/postgres.ts";
import { type StandIn, type StandInOptions, startStandIn } from "../standin/standin.ts";
import { hashPassword } from "../standin/engine.ts";
import { seedRows } from "../standin/rows.ts";

const root = new URL("../../", import.meta.url);
const rootPath = root.pathname.replace(/\/$/, "");
const commands: Record<string, Command> = Object.fromEntries(
  [dumpMeta, filterMeta, restoreMeta, copyTables].map((command) => [command.name, command]),
);

// ---- What a README holds ----

interface Block {
  lang: string;
  text: string;
}

interface Section {
  level: number;
  title: string;
  /** its text up to the next heading, fenced blocks left out */
  prose: string;
  blocks: Block[];
}

function sectionsOf(markdown: string): Section[] {
  const sections: Section[] = [];
  let block: Block | undefined;
  for (const line of markdown.split("\n")) {
    const section = sections.at(-1);
    const heading = block ? null : /^(#+) (.*)$/.exec(line);
    if (heading) {
      sections.push({ level: heading[1]!.length, title: heading[2]!, prose: "", blocks: [] });
    } else if (line.startsWith("```")) {
      if (!block) section!.blocks.push(block = { lang: line.slice(3), text: "" });
      else block = undefined;
    } else if (block) block.text += `${line}\n`;
    else if (section) section.prose += `${line}\n`;
  }
  return sections;
}

const codeSpans = (prose: string) => [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);

/** A block's commands: comments left out, lines that go on joined. */
function linesOf({ text }: Block): string[] {
  return text.replaceAll(/\\\n\s*/g, "").split("\n").map((line) => line.replace(/(^|\s)#\s.*$/, "").trim())
    .filter((line) => line !== "");
}

/** The cells of a table's rows, its head left out. */
function rowsOf(prose: string): string[][] {
  return prose.split("\n").filter((line) => line.startsWith("|")).slice(2)
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
}

// ---- What is generated ----

interface FlagLine {
  /** as code, such as `-t`, `--target VERSION` */
  head: string;
  text: string;
  many: boolean;
}

const headOf = (short: string | undefined, name: string, value: string | undefined) =>
  `${short ? `\`-${short}\`, ` : ""}\`--${name}${value ? ` ${value}` : ""}\``;

/** The flags of each script, and those that all have, which only the help tells. */
function flagTables(): Record<string, FlagLine[]> {
  const tables = Object.values(commands).map(({ name, flags }) =>
    [
      name,
      flags.map((flag) => ({
        head: headOf(flag.short, flag.name, flag.value),
        text: flag.help.replaceAll("\n", " "),
        many: flag.many ?? false,
      })),
    ] as const
  );
  const none = help({ name: "", summary: "", usage: [], flags: [], examples: [] });
  const shared = [
    ...none.matchAll(/^ {2}(?: {4}|-(\w), )--(\S+)(?: (\S+))?(?: {2,}|\n {20,})(\S.*)$/gm),
  ].map(([, short, name = "", value, text = ""]) => ({
    head: headOf(short, name, value),
    text,
    many: false,
  }));
  return { ...Object.fromEntries(tables), all: shared };
}

const regions = /(<!-- flags (\w+) -->\n)([^]*?)(<!-- end -->)/g;

/** The flags in a README, by table. */
function flagsIn(markdown: string): Record<string, { head: string; text: string }[]> {
  return Object.fromEntries(
    [...markdown.matchAll(regions)].map((match) => [
      match[2]!,
      match[3]!.split("\n").flatMap((line) => {
        const [, head, text] = /^- ((?:`-\w`, )?`--[^`]+`) — (.*)$/.exec(line) ?? [];
        return head === undefined ? [] : [{ head, text: text ?? "" }];
      }),
    ]),
  );
}

const exitCodes = [...help(dumpMeta).matchAll(/^ {2}(\d+) {2,}(.*)$/gm)].map(([, code, text]) => [
  code!,
  text!,
]);

/** A README with what can be generated as the code has it; Chinese texts stay. */
function regenerated(markdown: string, chinese: boolean): string {
  const before = flagsIn(markdown);
  const dash = " — ";
  let text = markdown.replaceAll(regions, (_, start: string, name: string, _old, end: string) => {
    const lines = (flagTables()[name] ?? []).map(({ head, text, many }) => {
      const known = before[name]?.find((flag) => flag.head === head)?.text;
      return `- ${head}${dash}${
        chinese && known !== undefined ? known : text + (many ? " (may be repeated)" : "")
      }`;
    });
    return `${start}${lines.map((line) => `${line}\n`).join("")}${end}`;
  });
  for (const name of Object.keys(commands)) {
    text = text.replace(
      new RegExp(`^(\\| \`${name}\\.ts\` *\\| )\`[^\`]*\``, "m"),
      (_, head: string) => `${head}\`${permissions(name)}\``,
    );
  }
  return text.replaceAll(
    byUrl,
    (_, start: string, _old, end: string, name: string) => `${start}${permissions(name)}${end}`,
  );
}

/** A script that is run by URL, where its first line says nothing to Deno. */
const byUrl = /(deno run --allow-import=\S+ )(.*?)( http:\S+\/(\w+)\.ts)/g;

const files = { en: "README.md", zh: "README.zh-CN.md" };
if (Deno.args.includes("--update")) {
  for (const [language, file] of Object.entries(files)) {
    const url = new URL(file, root);
    await Deno.writeTextFile(url, regenerated(await Deno.readTextFile(url), language === "zh"));
  }
}
const english = await Deno.readTextFile(new URL(files.en, root));
const chinese = await Deno.readTextFile(new URL(files.zh, root));
const sections = sectionsOf(english);

const hasHan = (text: string) => /\p{Script=Han}/u.test(text);

// ---- Both against the code ----

Deno.test("both READMEs have exactly the flags of the scripts", () => {
  const tables = flagTables();
  assertEquals(
    flagsIn(english),
    Object.fromEntries(
      Object.entries(tables).map(([name, flags]) => [
        name,
        flags.map(({ head, text, many }) => ({ head, text: text + (many ? " (may be repeated)" : "") })),
      ]),
    ),
    "README.md: deno task test:update writes them",
  );
  const told = flagsIn(chinese);
  const heads = (flags: { head: string }[]) => flags.map(({ head }) => head);
  for (const [name, flags] of Object.entries(tables)) {
    assertEquals(heads(told[name] ?? []), heads(flags), `README.zh-CN.md: flags of ${name}`);
    for (const [i, { head, text }] of told[name]!.entries()) {
      assert(hasHan(text), `README.zh-CN.md: ${name} ${head} has no Chinese text`);
      assertEquals(text.includes("可重复"), flags[i]!.many, `README.zh-CN.md: ${name} ${head}: 可重复`);
    }
  }
});

Deno.test("both READMEs have the exit codes of the scripts", () => {
  for (const markdown of [english, chinese]) {
    const rows = sectionsOf(markdown)[titleIndex("Exit codes")]!;
    assertEquals(rowsOf(rows.prose).map(([code]) => code), exitCodes.map(([code]) => code));
  }
  assertEquals(rowsOf(sections[titleIndex("Exit codes")]!.prose), exitCodes);
});

Deno.test("both READMEs have the permissions of the shebangs", () => {
  const expected = Object.keys(commands).map((name) => [`\`${name}.ts\``, `\`${permissions(name)}\``]);
  for (const markdown of [english, chinese]) {
    const rows = rowsOf(sectionsOf(markdown)[titleIndex("Permissions")]!.prose);
    assertEquals(rows.map((cells) => cells.slice(0, 2)), expected);
    for (const [, , given, , name = ""] of markdown.matchAll(byUrl)) assertEquals(given, permissions(name));
  }
});

Deno.test("the scripts can be executed, as the README runs them", () => {
  for (const { name } of Deno.readDirSync(new URL("scripts/", root))) {
    const { mode } = Deno.statSync(new URL(`scripts/${name}`, root));
    assertEquals(mode! & 0o111, 0o111, `chmod +x scripts/${name}`);
  }
});

Deno.test("each flag and each variable in the text is one that a script takes", () => {
  const known = new Set(
    Object.values(flagTables()).flat().flatMap(({ head }) => head.match(/--?[a-z][\w-]*/g) ?? []),
  );
  // of deno, npm, curl and rsync
  for (const other of ["--allow-import", "-A", "--global"]) known.add(other);
  const shebangs = Object.keys(commands).flatMap((name) => permissions(name).match(/--[\w-]+/g) ?? []);
  const source = sources();
  for (const section of sections) {
    for (const span of codeSpans(section.prose)) {
      for (const flag of span.match(/(?<=^|\s)--[a-z][\w-]*/g) ?? []) {
        assert(known.has(flag) || shebangs.includes(flag), `${section.title}: \`${span}\`: ${flag}`);
      }
    }
    for (const name of section.prose.match(/\bCNOSDB_\w+/g) ?? []) assert(source.includes(name), name);
  }
});

Deno.test("each text under Troubleshooting is one that the scripts say", () => {
  const source = sources();
  const { prose } = sections[titleIndex("Troubleshooting")]!;
  const items = prose.split(/^- /m).slice(1);
  assert(items.length > 20);
  for (const item of items) {
    const spans = codeSpans(item.split(" — ")[0]!);
    assert(spans.length > 0, item);
    for (const span of spans) {
      for (const part of span.split("…")) assert(source.includes(part), `${span}: no script says ${part}`);
    }
  }
});

Deno.test("links lead somewhere", async () => {
  for (const markdown of [english, chinese]) {
    const anchors = new Set(sectionsOf(markdown).map(({ title }) => anchorOf(title)));
    for (const [, target = ""] of markdown.matchAll(/\]\(([^)]*)\)/g)) {
      if (target.startsWith("#")) assert(anchors.has(target.slice(1)), target);
      else await Deno.stat(new URL(target, root));
    }
  }
});

/** As GitHub makes it. */
function anchorOf(title: string): string {
  return title.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-");
}

function titleIndex(title: string): number {
  const at = sections.findIndex((section) => section.title === title);
  assert(at >= 0, `README.md has no section ${title}`);
  return at;
}

/** The text of scripts/ and lib/, escapes and breaks between its literals taken away. */
function sources(): string {
  return ["scripts/", "lib/"].flatMap((directory) =>
    [...Deno.readDirSync(new URL(directory, root))].filter(({ name }) => name.endsWith(".ts"))
      .map(({ name }) => Deno.readTextFileSync(new URL(directory + name, root)))
  ).join("\n").replaceAll(/["`] \+\s*["`]/g, "");
}

// ---- Both against each other ----

Deno.test("both READMEs have the same headings, commands and code, section by section", () => {
  const other = sectionsOf(chinese);
  assertEquals(other.map(({ level }) => level), sections.map(({ level }) => level));
  for (const [i, section] of sections.entries()) {
    const twin = other[i]!;
    const where = `${section.title} / ${twin.title}`;
    const blocks = (of: Section) => of.blocks.map((block) => ({ lang: block.lang, lines: linesOf(block) }));
    assertEquals(blocks(twin), blocks(section), where);
    const spans = (of: Section) => [...new Set(codeSpans(of.prose))].sort();
    assertEquals(spans(twin), spans(section), where);
    const names = (of: Section) => [...new Set(of.prose.match(/\b[A-Z]+_[A-Z_]+\b/g))].sort();
    assertEquals(names(twin), names(section), where);
    const items = (of: Section) => of.prose.match(/^- /gm)?.length ?? 0;
    assertEquals(items(twin), items(section), where);
    assertEquals(rowsOf(twin.prose).length, rowsOf(section.prose).length, where);
    assert(section.prose.trim().length < 40 || hasHan(twin.prose), `${where}: not translated`);
  }
});

// ---- The commands ----

/** Lines that are not run here, and why; their flags are parsed all the same. */
const notRun: [line: RegExp, reason: string][] = [
  [/^npx -y deno@2\.9\.6 task test$/, "it is what runs this; that there is such a task is checked"],
  [/--stage s3:\/\/bucket/, "there is no S3 here that takes any directory"],
  [
    /^npx -y deno@2\.9\.6 task compile$/,
    "it fetches the runtime from another host; that there is such a task is checked",
  ],
  [/^dist\/dump_meta old/, "it is what the line before would have made"],
];

/** What a line must say on stdout or stderr. */
const says: [line: RegExp, text: string][] = [
  [/^npx .* task demo$/, "all equal"],
  [/^OLD_META=.* task live$/, "ok: 10 checks passed, 0 failed"],
  [/^dump_meta\.ts --version$/, "dump_meta "],
  [/--only verify --verify full < restored\.dump/, "18 tables equal, 0 different"],
  [/--backup before\.dump/, "verified: 40 values and 15 lists of /read, and SQL, are as they should be"],
  [/--print-rules$/, "- drop: /data_version"],
  [/--rules rules\.yaml/, "dropped by rules:2"],
  [/--root drop/, "restored into cluster"],
  [/--replica 1/, "restored into cluster"],
];

interface Scene {
  /** of the old cluster; a separate 2.3.5.4 unless told */
  old?: Partial<StandInOptions> & { file?: string };
  /** of the new cluster; 2.4.2 unless told */
  young?: Partial<StandInOptions>;
  /** roots' passwords where they are checked */
  passwords?: { old: string; young: string };
  /** blocks of the section and those under it run one after another between the same clusters */
  whole?: true;
}

/** By section, what its commands need beside the usual. */
const scenes: Record<string, Scene> = {
  "A migration, from preparation to sign-off": { whole: true },
  "A single instance": { old: { mode: "single", file: "2.3.5.4-single.debug" } },
  "Three meta nodes": { old: { metaNodes: 3 }, young: { metaNodes: 3 } },
  "A cluster of another name": { young: { cluster: "cluster_new" } },
  "From 2.3.0 or 2.3.1": { old: { version: "2.3.3", file: "2.3.3-cluster.dump" } },
  "Root, with and without a password": { passwords: { old: "OLD", young: "NEW" } },
};

/** Two clusters, a directory and the addresses that stand for the README's. */
class Stage implements AsyncDisposable {
  #closers: (() => Promise<unknown>)[] = [];

  private constructor(readonly old: StandIn, readonly young: StandIn, readonly directory: string) {}

  static async start({ old = {}, young = {}, passwords }: Scene): Promise<Stage> {
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
    await stage.#furnish();
    return stage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.old.close(), this.young.close(), ...this.#closers.map((close) => close())]);
    await Deno.remove(this.directory, { recursive: true });
  }

  /** Commands that stand for what is installed: the scripts with their permissions, npx and rsync. */
  async #furnish(): Promise<void> {
    await Deno.mkdir(`${this.directory}/scripts`);
    for (const directory of ["stage", "in"]) await Deno.mkdir(`${this.directory}/${directory}`);
    const put = async (name: string, script: string) => {
      await Deno.writeTextFile(`${this.directory}/scripts/${name}`, script, { mode: 0o755 });
    };
    for (const name of Object.keys(commands)) {
      const flags = `${permissions(name)} --no-prompt --quiet`;
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
      [/\bold:8902/g, () => host(this.old.sqlUrl)],
      [/\bnew1:8901/g, () => host(this.young.followerUrls[0] ?? "")],
      [/\bnew2:8901/g, () => host(this.young.followerUrls[1] ?? "")],
      [/\bnew3?:8901/g, () => host(this.young.metaUrl)],
      [/\bnew1?:8902/g, () => host(this.young.sqlUrl)],
      [/\bmigrate:9000/g, () => `127.0.0.1:${freePort()}`],
      [/\bfiles:8000/g, () => this.#serveFiles()],
      [/\bpostgres:\/\/migrate@db\/migrate/g, () => this.#postgres()],
      [/\/data\//g, () => `${this.directory}/`],
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
        PATH: `${this.directory}/scripts:${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH")}`,
        HOME: Deno.env.get("HOME") ?? this.directory,
        NO_COLOR: "1",
        ...Deno.env.has("DENO_DIR") ? { DENO_DIR: Deno.env.get("DENO_DIR")! } : {},
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

/** What has to be there already for a block: the dumps that its lines read and do not make. */
function preparation(lines: string[]): string[] {
  const text = lines.join("\n");
  const reads = (file: string) => {
    const at = text.indexOf(`< ${file}`);
    const made = text.search(new RegExp(`(>|-o) ${RegExp.escape(file)}`));
    return at >= 0 && (made < 0 || made > at);
  };
  if (reads("restored.dump")) {
    return [
      "dump_meta.ts old:8901 | filter_meta.ts --target 2.4.2 | restore_meta.ts new:8901 > restored.dump",
    ];
  }
  return reads("old.dump") ? ["dump_meta.ts old:8901 -o old.dump"] : [];
}

async function check(stage: Stage, lines: string[], rules: string | undefined): Promise<void> {
  if (rules) await Deno.writeTextFile(`${stage.directory}/rules.yaml`, rules);
  const todo = lines.filter((line) => !notRun.some(([pattern]) => pattern.test(line)));
  const before = preparation(todo);
  const results = await stage.run([...before, ...todo]);
  for (const { line, code, said } of results) {
    assertEquals(code, 0, `${line}\n${said}`);
    for (const [pattern, text] of says) if (pattern.test(line)) assertStringIncludes(said, text, line);
    for (const [, file = ""] of line.matchAll(/(?:>>?|-o|--html|--report|--backup) (\S+)/g)) {
      const text = await Deno.readTextFile(`${stage.directory}/${file}`);
      assert(text !== "", `${line}: ${file} is empty`);
      if (!/(results|first|second|verified)\.jsonl/.test(file)) continue;
      for (const result of text.trim().split("\n")) {
        assert(/"status":"(verified|imported|equal)"/.test(result), `${line}\n${result}`);
      }
    }
  }
}

/** The scene of a section: its own, or that of the section that it is in. */
function sceneOf(at: number): { name: string; scene: Scene } {
  const own = sections[at]!;
  const parent = sections.slice(0, at).findLast(({ level }) => level < own.level);
  if (parent && scenes[parent.title]?.whole) return { name: parent.title, scene: scenes[parent.title]! };
  return { name: own.title, scene: scenes[own.title] ?? {} };
}

{
  const groups = new Map<string, { scene: Scene; lines: string[]; rules: string | undefined }>();
  for (const [at, { blocks }] of sections.entries()) {
    const { name, scene } = sceneOf(at);
    const rules = blocks.find(({ lang }) => lang === "yaml")?.text;
    for (const [i, block] of blocks.filter(({ lang }) => lang === "sh").entries()) {
      const key = scene.whole ? name : i ? `${name}, ${i + 1}` : name;
      const group = groups.get(key) ?? { scene, lines: [], rules };
      group.lines.push(...linesOf(block));
      groups.set(key, group);
    }
  }
  for (const [name, { scene, lines, rules }] of groups) {
    Deno.test(`the commands under "${name}" do what the README says`, async () => {
      await using stage = await Stage.start(scene);
      await check(stage, lines, rules);
    });
  }
}

Deno.test("each script in a command takes the flags that it is given there, run here or not", () => {
  const lines = sections.flatMap(({ blocks }) => blocks.filter(({ lang }) => lang === "sh").flatMap(linesOf));
  let scripts = 0;
  for (const line of lines) {
    for (const part of line.split(" | ")) {
      const words = wordsOf(part);
      const at = words.findIndex((word) => /(^|\/)\w+_\w+(\.ts|\.js)?$/.test(word));
      const command = commands[words[at]?.replace(/^.*\/|\.\w+$/g, "") ?? ""];
      if (!command) continue;
      scripts++;
      parse(command, words.slice(at + 1));
    }
  }
  assert(scripts > 30, `${scripts}`);
  for (const [pattern, reason] of notRun) {
    assert(lines.some((line) => pattern.test(line)), `${pattern}: not in the README any more (${reason})`);
  }
});

/** The words of a command as the shell makes them, redirections left out. */
function wordsOf(line: string): string[] {
  return [...line.replaceAll(/>>? ?\S+|< ?\S+/g, "").matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)]
    .map(([word]) => word.replaceAll(/'([^']*)'|"([^"]*)"/g, "$1$2"));
}

Deno.test("the tasks that the README names are in deno.json", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  for (const [, task = ""] of english.matchAll(/(?<=deno(?:@2\.9\.6)? )task ([\w:]+)/g)) {
    assert(task in tasks, `task ${task}`);
  }
});
