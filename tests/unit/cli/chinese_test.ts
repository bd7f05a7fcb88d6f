import chinese from "../../../lib/cli/chinese.json" with { type: "json" };
import { type Command, flagsOf, help, sharedFlags } from "../../../lib/cli/command.ts";
import { translator } from "../../../lib/cli/language.ts";
import { assert, assertEquals } from "../../helpers/deps.ts";

const root = new URL("../../../", import.meta.url);
const translate = translator(chinese);
const scripts = ["dump_meta", "filter_meta", "restore_meta", "copy_tables", "compare_tables", "report"];

/** What a script's help is made of. */
async function textsOf(script: string): Promise<string[]> {
  const { command } = await import(new URL(`scripts/${script}.ts`, root).href) as { command: Command };
  return [
    command.summary,
    ...command.notes ?? [],
    ...command.examples.filter((line) => line.startsWith("# ")).map((line) => line.slice(2)),
    ...flagsOf(command.flags + sharedFlags).flatMap(({ group, help }) => [group, help]),
  ];
}

/** The arguments of a call, as they stand in the source. @param at behind its opening parenthesis */
function argumentsOf(source: string, at: number): string[] {
  const found = [""];
  const open: string[] = [];
  for (; at < source.length; at++) {
    const [c, inside] = [source[at]!, open.at(-1)];
    if (inside === '"' || inside === "`") {
      if (c === "\\") found.push(found.pop()! + source[at++]!);
      else if (c === inside) open.pop();
      else if (inside === "`" && source.startsWith("${", at)) {
        open.push("}");
        found.push(found.pop()! + source[at++]!); // the brace is of the template, not one more to be closed
      }
    } else if (c === '"' || c === "`") open.push(c);
    else if (open.length === 0 && c === ")") break;
    else if (open.length === 0 && c === ",") {
      found.push("");
      continue;
    } else if (c === "(" || c === "[" || c === "{") open.push({ "(": ")", "[": "]", "{": "}" }[c]);
    else if (c === inside) open.pop();
    found.push(found.pop()! + source[at]!);
  }
  return found.map((argument) => argument.trim());
}

/** The texts that an argument may be, `{}` for what is put into them. */
function literalsOf(argument: string): string[] {
  const literal = /"((?:[^"\\]|\\.)*)"|`((?:[^`\\$]|\\.|\$\{(?:[^{}`]|`[^`]*`)*\})*)`/g;
  const texts = [...argument.matchAll(literal)].map(([, plain, template]) =>
    (plain ?? template!.replaceAll(/\$\{(?:[^{}`]|`[^`]*`)*\}/g, "{}")).replaceAll(/\\(["`\\])/g, "$1")
  );
  const isChoice = argument.replaceAll(literal, "").includes("?");
  return isChoice || texts.length === 0 ? texts : [texts.join("")];
}

function* sources(directory: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(directory, root))) {
    if (isDirectory) yield* sources(`${directory}${name}/`);
    else if (name.endsWith(".ts")) yield Deno.readTextFileSync(new URL(directory + name, root));
  }
}

/** The hints of all errors in scripts/ and lib/. */
function hints(): string[] {
  const calls =
    /new (?:Failure|UsageError|Refused|ClusterTrouble|NoAnswer|Difference|Transient)\(|\bproblems\.add\(|\b(?:this|reader)\.refuse\(|Hint =|(?:expectedAddress|expectedFiles|again) =/g;
  return [...sources("lib/"), ...sources("scripts/")].flatMap((source) =>
    [...source.matchAll(calls)].flatMap((call) => {
      const at = call.index + call[0].length;
      if (call[0].endsWith("=")) return literalsOf(source.slice(at, source.indexOf(";\n", at)));
      return literalsOf(argumentsOf(source, at)[1] ?? "");
    })
  ).filter((text) => /[a-z]{3,} [a-z]/.test(text));
}

Deno.test("the whole help of each script has a Chinese translation", async () => {
  for (const script of scripts) {
    for (const text of await textsOf(script)) {
      assert(/\p{Script=Han}/u.test(translate(text)), `${script}: ${JSON.stringify(text)}`);
    }
  }
});

Deno.test("the hint of each error has a Chinese translation", () => {
  assert(hints().length > 60, `${hints().length}`);
  const missing = hints().filter((text) =>
    !(text in chinese) && !/\p{Script=Han}/u.test(translate(text.replaceAll("{}", "x")))
  );
  assertEquals([...new Set(missing)], []);
});

Deno.test("the catalogue has only texts that scripts use", async () => {
  const said = (await Promise.all(scripts.map(textsOf))).flat();
  const text = [...sources("lib/"), ...sources("scripts/")].join("\n").replaceAll(/["`] \+\s*["`]/g, "");
  const shared = help({ name: "", summary: "", usage: [""], flags: "", examples: [] });
  const stale = Object.keys(chinese).filter((english) =>
    !said.includes(english) && !said.some((one) =>
      translate(one) === chinese[english as keyof typeof chinese]
    ) &&
    !english.replaceAll('"', '\\"').split("{}").every((part) => text.includes(part)) &&
    !english.split("{}").every((part) => text.includes(part) || shared.includes(part))
  );
  assertEquals(stale.filter((english) => !english.includes("{}")), []);
});
