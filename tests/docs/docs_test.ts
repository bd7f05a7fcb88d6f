/**
 * Holds the documentation to the code, and each language to the other. Every command is run, between stand-ins whose addresses
 * take the place of the host names, with the permissions that the scripts ask for. `deno task test:update` writes flags, exit
 * codes and permissions anew; the Chinese texts of new flags come from the catalogue that --help uses.
 */
import { command as compareTables } from "../../scripts/compare_tables.ts";
import { command as copyTables } from "../../scripts/copy_tables.ts";
import { command as dumpMeta } from "../../scripts/dump_meta.ts";
import { command as filterMeta } from "../../scripts/filter_meta.ts";
import { command as report } from "../../scripts/report.ts";
import { command as restoreMeta } from "../../scripts/restore_meta.ts";
import chinese from "../../lib/cli/chinese.json" with { type: "json" };
import { type Command, flagsOf, help, parse } from "../../lib/cli/command.ts";
import { translator } from "../../lib/cli/language.ts";
import { assert, assertEquals, assertStringIncludes } from "../helpers/deps.ts";
import { permissions } from "../live/pipe.ts";
import { anchorOf, codeSpans, linesOf, rowsOf, type Section, sectionsOf, wordsOf } from "./markdown.ts";
import { type Scene, Stage } from "./scene.ts";

const root = new URL("../../", import.meta.url);
const commands: Record<string, Command> = Object.fromEntries(
  [dumpMeta, filterMeta, restoreMeta, copyTables, compareTables, report].map((
    command,
  ) => [command.name, command]),
);

/** The pages, each with its Chinese one. */
const pages = [
  { en: "README.md", zh: "README.zh-CN.md" },
  ...["guide", "recipes", "reference", "troubleshooting", "compared"].map((name) => ({
    en: `docs/en/${name}.md`,
    zh: `docs/zh/${name}.md`,
  })),
];

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
      flagsOf(flags).map((flag) => ({
        head: headOf(flag.short, flag.name, flag.value),
        text: flag.help.replaceAll("\n", " "),
        many: flag.many,
      })),
    ] as const
  );
  const none = help({ name: "", summary: "", usage: [], flags: "", examples: [] });
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

const exitCodes = [...help(dumpMeta).matchAll(/^ {2}(\d+) {2,}(.*)$/gm)].map(([, code, text]) => [
  code!,
  text!,
]);

/** A page with what can be generated as the code has it. */
function regenerated(markdown: string, isChinese: boolean): string {
  const shown = ({ text, many }: FlagLine) =>
    isChinese
      ? translator(chinese)(text) + (many ? "（可重复）" : "")
      : text + (many ? " (may be repeated)" : "");
  let text = markdown.replaceAll(regions, (_, start: string, name: string, _old, end: string) => {
    const lines = (flagTables()[name] ?? []).map((flag) => `- ${flag.head} — ${shown(flag)}\n`);
    return `${start}${lines.join("")}${end}`;
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

if (Deno.args.includes("--update")) {
  for (const { en, zh } of pages) {
    for (const file of [en, zh]) {
      const url = new URL(file, root);
      await Deno.writeTextFile(url, regenerated(await Deno.readTextFile(url), file === zh));
    }
  }
}

/** The pages as they are. */
const read = await Promise.all(pages.map(async ({ en, zh }) => ({
  ...{ en, zh },
  english: await Deno.readTextFile(new URL(en, root)),
  chinese: await Deno.readTextFile(new URL(zh, root)),
})));
const all = read.flatMap((page) => sectionsOf(page.english).map((section) => ({ page: page.en, section })));
const reference = read.find(({ en }) => en.endsWith("reference.md"))!;
const troubleshooting = read.find(({ en }) => en.endsWith("troubleshooting.md"))!;

const hasHan = (text: string) => /\p{Script=Han}/u.test(text);

/** A section of a page, in both languages. */
function section(page: typeof reference, title: string): Section[] {
  const at = sectionsOf(page.english).findIndex((section) => section.title === title);
  assert(at >= 0, `${page.en} has no section ${title}`);
  return [page.english, page.chinese].map((markdown) => sectionsOf(markdown)[at]!);
}

// ---- The pages against the code ----

Deno.test("the READMEs have at most 150 lines", () => {
  for (const { en, english, zh, chinese } of read) {
    if (!en.startsWith("README")) continue;
    for (const [name, text] of [[en, english], [zh, chinese]] as const) {
      assert(text.split("\n").length <= 151, `${name}: ${text.split("\n").length}`);
    }
  }
});

Deno.test("the pages have the flags and the permissions of the scripts, in both languages", () => {
  for (const { en, english, chinese } of read) {
    assertEquals(english, regenerated(english, false), `${en}: deno task test:update writes it`);
    assertEquals(chinese, regenerated(chinese, true), `${en} in Chinese: deno task test:update writes it`);
  }
  for (const name of Object.keys(commands)) {
    assert(reference.english.includes(`<!-- flags ${name} -->`), name);
  }
});

Deno.test("the reference has the exit codes and the permissions of the scripts", () => {
  for (const { prose } of section(reference, "Exit codes")) {
    assertEquals(rowsOf(prose).map(([code]) => code), exitCodes.map(([code]) => code));
  }
  assertEquals(rowsOf(section(reference, "Exit codes")[0]!.prose), exitCodes);
  const expected = Object.keys(commands).map((name) => [`\`${name}.ts\``, `\`${permissions(name)}\``]);
  for (const { prose } of section(reference, "Permissions")) {
    assertEquals(rowsOf(prose).map((cells) => cells.slice(0, 2)), expected);
  }
  for (const { english, chinese } of read) {
    for (const [, , given, , name = ""] of (english + chinese).matchAll(byUrl)) {
      assertEquals(given, permissions(name));
    }
  }
});

Deno.test("the scripts can be executed, as the pages run them", () => {
  for (const name of Object.keys(commands)) {
    const { mode } = Deno.statSync(new URL(`scripts/${name}.ts`, root));
    assertEquals(mode! & 0o111, 0o111, `chmod +x scripts/${name}.ts`);
  }
});

Deno.test("each flag and each variable in the text is one that a script takes", () => {
  const known = new Set(
    Object.values(flagTables()).flat().flatMap(({ head }) => head.match(/--?[a-z][\w-]*/g) ?? []),
  );
  for (const other of ["--allow-import", "-A", "--global"]) known.add(other);
  const shebangs = Object.keys(commands).flatMap((name) => permissions(name).match(/--[\w-]+/g) ?? []);
  const source = sources();
  for (const { page, section } of all) {
    for (const span of codeSpans(section.prose)) {
      for (const flag of span.match(/(?<=^|\s)--[a-z][\w-]*/g) ?? []) {
        assert(known.has(flag) || shebangs.includes(flag), `${page}: ${section.title}: \`${span}\`: ${flag}`);
      }
    }
    for (const name of section.prose.match(/\bCNOSDB_\w+/g) ?? []) assert(source.includes(name), name);
  }
});

Deno.test("each text under Troubleshooting is one that the scripts say", () => {
  const source = sources();
  const items = troubleshooting.english.split(/^- /m).filter((item) => item.includes("` — "));
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
  for (const { en, zh, english, chinese } of read) {
    for (const [file, markdown] of [[en, english], [zh, chinese]] as const) {
      for (const [, target = ""] of markdown.matchAll(/\]\(([^)]*)\)/g)) {
        const [path = "", anchor] = target.split("#");
        const url = new URL(path || file.replace(/^.*\//, ""), new URL(file, root));
        const text = await Deno.readTextFile(url);
        const anchors = sectionsOf(text).map(({ title }) => anchorOf(title));
        if (anchor !== undefined) assert(anchors.includes(anchor), `${file}: ${target}`);
      }
    }
  }
});

/** The text of scripts/ and lib/, escapes and breaks between its literals taken away. */
function sources(directories = ["scripts/", "lib/"]): string {
  return directories.flatMap((directory) =>
    [...Deno.readDirSync(new URL(directory, root))].map(({ name, isDirectory }) =>
      isDirectory
        ? sources([`${directory}${name}/`])
        : Deno.readTextFileSync(new URL(directory + name, root)).replaceAll(/["`] \+\s*["`]/g, "")
    )
  ).join("\n");
}

// ---- The languages against each other ----

Deno.test("both languages have the same headings, commands and code, section by section", () => {
  for (const { en, english, chinese } of read) {
    const [sections, other] = [sectionsOf(english), sectionsOf(chinese)];
    assertEquals(other.map(({ level }) => level), sections.map(({ level }) => level), en);
    for (const [i, section] of sections.entries()) {
      const twin = other[i]!;
      const where = `${en}: ${section.title} / ${twin.title}`;
      const blocks = (of: Section) => of.blocks.map((block) => ({ lang: block.lang, lines: linesOf(block) }));
      assertEquals(blocks(twin), blocks(section), where);
      const spans = (of: Section) => [...new Set(codeSpans(of.prose))].sort();
      assertEquals(spans(twin), spans(section), where);
      const names = (of: Section) => [...new Set(of.prose.match(/\b[A-Z]+_[A-Z_]+\b/g))].sort();
      assertEquals(names(twin), names(section), where);
      const items = (of: Section) => of.prose.match(/^- /gm)?.length ?? 0;
      assertEquals(items(twin), items(section), where);
      assertEquals(rowsOf(twin.prose).length, rowsOf(section.prose).length, where);
      assert(
        section.level === 1 || section.prose.trim().length < 40 || hasHan(twin.prose),
        `${where}: not translated`,
      );
    }
  }
});

// ---- The commands ----

/** Lines that are not run here, and why; their flags are parsed all the same. */
const notRun: [line: RegExp, reason: string][] = [
  [/--stage s3:\/\/bucket/, "there is no S3 here that takes any directory"],
  [/^npx -y deno@2\.9\.6 task compile$/, "it fetches the runtime from another host"],
  [/^python3 -c "import http\.server/, "it serves until it is stopped"],
  [/^dist\/dump_meta old/, "it is what the line before would have made"],
];

/** What a line must say on stdout or stderr. */
const says: [line: RegExp, text: string][] = [
  [/^npx .* task demo$/, "all equal"],
  [/^OLD_META=.* task live$/, "0 failed"],
  [/^dump_meta\.ts --version$/, "dump_meta "],
  [/--dry-run new\.dump$/, "nothing was written"],
  [/--print-rules$/, "- drop: /data_version"],
  [/--rules rules\.yaml/, "dropped by rules.yaml line 2"],
];

/** By page and section, what its commands need beside the usual; a whole page runs in one scene. */
const scenes: Record<string, Scene> = {
  "docs/en/guide.md": { whole: true },
  "A single instance": { old: { mode: "single", file: "2.3.5.4-single.debug" } },
  "Three meta nodes": { old: { metaNodes: 3 }, young: { metaNodes: 3 } },
  "A cluster of another name": { young: { cluster: "cluster_new" } },
  "From 2.3.0 or 2.3.1": { old: { version: "2.3.3", file: "2.3.3-cluster.dump" } },
  "Root, with and without a password": { passwords: { old: "OLD", young: "NEW" } },
};

/** What has to be there already for a block: the dumps that its lines read and do not make. */
function preparation(lines: string[]): string[] {
  const text = lines.join("\n");
  const reads = (file: string) => {
    const at = text.search(new RegExp(` ${RegExp.escape(file)}`));
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
  const results = await stage.run([...preparation(todo), ...todo]);
  for (const { line, code, said } of results) {
    assertEquals(code, 0, `${line}\n${said}`);
    for (const [pattern, text] of says) if (pattern.test(line)) assertStringIncludes(said, text, line);
    for (const [, file = ""] of line.replace(/^set .*/, "").matchAll(/(?:>>?|-o|--report|--backup) (\S+)/g)) {
      const text = await Deno.readTextFile(`${stage.directory}/${file}`);
      assert(text !== "", `${line}: ${file} is empty`);
      for (const [, status] of file.endsWith(".jsonl") ? text.matchAll(/"status":"([^"]*)"/g) : []) {
        assert(["equal", "exported", "definition"].includes(status ?? ""), `${line}\n${text}`);
      }
    }
  }
}

{
  const groups = new Map<string, { scene: Scene; lines: string[]; rules: string | undefined }>();
  for (const { page, section: { title, blocks } } of all) {
    const whole = scenes[page];
    const rules = blocks.find(({ lang }) => lang === "yaml")?.text;
    for (const [i, block] of blocks.filter(({ lang }) => lang === "sh").entries()) {
      const key = whole ? page : `${page}: ${title}${i ? `, ${i + 1}` : ""}`;
      const group = groups.get(key) ?? { scene: whole ?? scenes[title] ?? {}, lines: [], rules };
      group.lines.push(...linesOf(block));
      groups.set(key, group);
    }
  }
  for (const [name, { scene, lines, rules }] of groups) {
    Deno.test(`the commands in ${name} do what it says`, async () => {
      await using stage = await Stage.start(scene, Object.keys(commands));
      await check(stage, lines, rules);
    });
  }
}

Deno.test("each script in a command takes the flags that it is given there, run here or not", () => {
  const lines = all.flatMap(({ section }) =>
    section.blocks.filter(({ lang }) => lang === "sh").flatMap(linesOf)
  );
  let scripts = 0;
  for (const line of lines) {
    for (const part of line.split(" | ")) {
      const words = wordsOf(part);
      const at = words.findIndex((word) => /(^|\/)(\w+_\w+|report)(\.ts|\.js)?$/.test(word));
      const command = commands[words[at]?.replace(/^.*\/|\.\w+$/g, "") ?? ""];
      if (!command) continue;
      scripts++;
      parse(command, words.slice(at + 1));
    }
  }
  assert(scripts > 30, `${scripts}`);
  for (const [pattern, reason] of notRun) {
    assert(lines.some((line) => pattern.test(line)), `${pattern}: not in the pages any more (${reason})`);
  }
});

Deno.test("the tasks that the pages name are in deno.json", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  for (const { english } of read) {
    for (const [, task = ""] of english.matchAll(/(?<=deno(?:@2\.9\.6)? )task ([\w:]+)/g)) {
      assert(task in tasks, `task ${task}`);
    }
  }
});
