/** Completions for the usual shells, made from the table of flags that `--help` is made from. */
import type { Command, Flag } from "./cli.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = typeof shells[number];

/** @returns what the shell evaluates, such as by `source <(dump_meta.ts --completions bash)` */
export function completions(shell: Shell, { name, flags }: Pick<Command, "name" | "flags">): string {
  // as run from a clone, from a bundle, as a binary
  const names = [`${name}.ts`, `${name}.js`, name];
  return { bash, zsh, fish }[shell](name, names, flags);
}

/** The words that a flag takes, where its value is written as in `auto|keep|drop`. */
const wordsOf = ({ value = "" }: Flag) => value.includes("|") ? value.split("|") : [];
const takesFile = ({ value = "" }: Flag) => /^(FILE|BACKUP|LEDGER)$/.test(value);
const spellings = ({ name, short }: Flag) => [...(short ? [`-${short}`] : []), `--${name}`];
/** Its help in one line, which the shells cut to their width. */
const summary = ({ help }: Flag) => help.replaceAll("\n", " ");
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Without an answer of its own bash completes files: so for all values that are no words. */
function bash(name: string, names: string[], flags: Flag[]): string {
  const words = flags.filter((flag) => wordsOf(flag).length);
  const others = flags.filter((flag) => flag.value && !wordsOf(flag).length);
  const reply = (list: string[]) => `COMPREPLY=($(compgen -W ${quoted(list.join(" "))} -- "$current"))`;
  return `_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]}
  if [[ $current == = ]]; then current=
  elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  COMPREPLY=()
  case $previous in
${words.map((flag) => `    ${spellings(flag).join(" | ")}) ${reply(wordsOf(flag))} ;;\n`).join("")}${
    others.length ? `    ${others.flatMap(spellings).join(" | ")}) ;;\n` : ""
  }    *) [[ $current != -* ]] || ${reply(flags.flatMap(spellings))} ;;
  esac
}
complete -o bashdefault -o default -F _${name} ${names.join(" ")}`;
}

function zsh(name: string, names: string[], flags: Flag[]): string {
  const spec = (flag: Flag) => {
    const { short, value, many } = flag;
    const all = spellings(flag);
    const before = many ? "'*'" : short ? quoted(`(${all.join(" ")})`) : "";
    const long = `--${flag.name}${value ? "=" : ""}`;
    const spelled = short ? `{-${short},${long}}` : long;
    const message = summary(flag).replace(/[[\]\\]/g, "\\$&");
    const action = wordsOf(flag).length ? `(${wordsOf(flag).join(" ")})` : takesFile(flag) ? "_files" : " ";
    const argument = value ? `:${value.replaceAll(":", "\\:")}:${action}` : "";
    return `    ${before}${spelled}${quoted(`[${message}]${argument}`)}`;
  };
  return `#compdef ${names.join(" ")}
_${name}() {
  _arguments \\
${flags.map(spec).join(" \\\n")}
}
if [[ $funcstack[1] == _${name} ]]; then _${name} "$@"
else compdef _${name} ${names.join(" ")}
fi`;
}

function fish(_name: string, names: string[], flags: Flag[]): string {
  const line = (flag: Flag) => {
    const words = wordsOf(flag);
    const argument = words.length
      ? ` -x -a ${quoted(words.join(" "))}`
      : takesFile(flag)
      ? " -r -F"
      : flag.value
      ? " -x"
      : "";
    const short = flag.short ? ` -s ${flag.short}` : "";
    return `    complete -c $name -l ${flag.name}${short}${argument} -d ${quoted(summary(flag))}`;
  };
  return `for name in ${names.join(" ")}
    complete -c $name -f
${flags.map(line).join("\n")}
end`;
}
