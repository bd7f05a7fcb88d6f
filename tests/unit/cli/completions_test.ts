import type { Command } from "../../../lib/cli/cli.ts";
import { completions, shells } from "../../../lib/cli/completions.ts";
import { assert, assertEquals, assertStringIncludes } from "../../helpers/deps.ts";
import { runScript } from "../../helpers/run.ts";

const command: Pick<Command, "name" | "flags"> = {
  name: "thing",
  flags: [
    { name: "output", short: "o", value: "FILE", help: "write [it] to\nFILE, not the operator's terminal" },
    { name: "root", value: "auto|keep|drop", help: "what to do" },
    { name: "at", value: "HOST:PORT", help: "where" },
    { name: "exclude", value: "NAME", many: true, help: "leave out" },
    { name: "all", help: "all" },
  ],
};

/** Runs a shell's text. @returns the lines that it prints */
function lines(shell: string, ...args: string[]): string[] {
  const { success, stdout, stderr } = new Deno.Command(shell, { args, cwd: "/" }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
}

/** Without a shell what is made for it is not tried. */
function without(shell: string): boolean {
  try {
    return !new Deno.Command(shell, { args: ["-c", ":"] }).outputSync().success;
  } catch {
    return true;
  }
}

function bash(...words: string[]): string[] {
  const text = `${completions("bash", command)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _thing; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return lines("bash", "--norc", "-c", text, "bash", ...words);
}

Deno.test({ name: "bash completes flags, and the words that a flag takes", ignore: without("bash") }, () => {
  assertEquals(bash("thing", "--"), ["--output", "--root", "--at", "--exclude", "--all"]);
  assertEquals(bash("thing", "--all", "--o"), ["--output"]);
  assertEquals(bash("thing", "--root", ""), ["auto", "keep", "drop"]);
  assertEquals(bash("thing", "--root", "=", "k"), ["keep"]);
  assertEquals(bash("thing", "--root", "="), ["auto", "keep", "drop"]);
});

Deno.test({ name: "bash leaves files to its own completion", ignore: without("bash") }, () => {
  assertEquals(bash("thing", "-o", "--"), []);
  assertEquals(bash("thing", "/et"), []);
  const registered = `${completions("bash", command)}\ncomplete -p thing thing.ts thing.js`;
  assertEquals(
    lines("bash", "--norc", "-c", registered),
    ["thing", "thing.ts", "thing.js"].map((name) => `complete -o bashdefault -o default -F _thing ${name}`),
  );
});

Deno.test({ name: "fish completes flags, words and files", ignore: without("fish") }, () => {
  const fish = (line: string) =>
    lines("fish", "--no-config", "-c", `${completions("fish", command)}\ncomplete -C '${line}'`);
  assertEquals(fish("thing.ts --o"), ["--output\twrite [it] to FILE, not the operator's terminal"]);
  assertEquals(fish("thing --root ").map((line) => line.split("\t")[0]), ["auto", "drop", "keep"]);
  assertEquals(fish("thing.js -o /etc/passw").includes("/etc/passwd"), true);
  assertEquals(fish("thing --at /etc/passw"), []);
});

Deno.test({ name: "zsh is given a specification of each flag", ignore: without("zsh") }, () => {
  const text = `_arguments() { print -rl -- "$@" }; compdef() { print -- compdef "$@" }
${completions("zsh", command)}
_thing`;
  assertEquals(lines("zsh", "-f", "-c", text), [
    "compdef _thing thing.ts thing.js thing",
    "(-o --output)-o[write \\[it\\] to FILE, not the operator's terminal]:FILE:_files",
    "(-o --output)--output=[write \\[it\\] to FILE, not the operator's terminal]:FILE:_files",
    "--root=[what to do]:auto|keep|drop:(auto keep drop)",
    "--at=[where]:HOST\\:PORT: ",
    "*--exclude=[leave out]:NAME: ",
    "--all[all]",
  ]);
});

Deno.test("every script prints completions of all its flags for each shell, and refuses another", async () => {
  for (const script of ["dump_meta", "filter_meta", "restore_meta", "copy_tables", "compare_tables"]) {
    const help = await runScript(script, ["--help"]);
    const flags = [...help.stdout.matchAll(/^ {2}(?:-\w,| {3}) --([\w-]+)/gm)].map(([, name]) => name ?? "");
    assert(flags.length > 8, help.stdout);
    for (const shell of shells) {
      const { stdout, stderr, code } = await runScript(script, ["--completions", shell]);
      assertEquals([code, stderr], [0, ""]);
      for (const flag of flags) assertStringIncludes(stdout, shell === "fish" ? `-l ${flag} ` : `--${flag}`);
    }
  }
  const { stderr, code } = await runScript("dump_meta", ["--completions", "tcsh"]);
  assertEquals(code, 2);
  assertStringIncludes(stderr, '--completions "tcsh": expected one of bash, zsh, fish');
});
