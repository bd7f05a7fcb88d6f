/** The help of a script, made from its table of flags. */
import { type Command, type Flag, sharedFlags } from "./command.ts";
import { translate } from "./language.ts";
import { widthOf, wrap } from "./text.ts";

const leftColumns = 24;
const rightColumns = 70;

const exitCodes = [
  ["0", "done"],
  ["1", "failed, or a part of it failed"],
  ["2", "the command line cannot be carried out"],
  ["3", "done, but reading back found a difference"],
  ["130", "interrupted"],
] as const;

/** The help text, in the operator's language; flags stand under the heading of their group. */
export function help(command: Command): string {
  const groups = Map.groupBy(command.flags, ({ group = "Flags" }) => group);
  const last = groups.size > 1 || !groups.has("Flags") ? "General" : "Flags";
  groups.set(last, [...groups.get(last) ?? [], ...sharedFlags]);
  const notes = (command.notes ?? []).flatMap((note) => translate(note).split("\n\n"));
  return [
    `${command.name}: ${translate(command.summary)}`,
    "",
    ...command.usage.map((line, i) =>
      `${i === 0 ? `${translate("Usage")}: ` : "       "}${command.name} ${line}`
    ),
    "",
    ...[...groups].flatMap(([group, flags]) => [`${translate(group)}:`, ...flags.flatMap(rowsOf), ""]),
    ...notes.flatMap((text) => [...wrap(text, leftColumns + rightColumns + 2), ""]),
    `${translate("Examples")}:`,
    ...command.examples.map((line) => `  ${line.startsWith("# ") ? `# ${translate(line.slice(2))}` : line}`),
    "",
    `${translate("Exit codes")}:`,
    ...exitCodes.filter(([code]) => code !== "3" || command.reads !== false)
      .map(([code, meaning]) => `  ${code.padEnd(3)}  ${translate(meaning)}`),
  ].join("\n");
}

function rowsOf({ name, short, value, many, help }: Flag): string[] {
  const left = `  ${short ? `-${short}, ` : "    "}--${name}${value ? ` ${value}` : ""}`;
  const lines = wrap(translate(help) + (many ? translate(" (may be repeated)") : ""), rightColumns)
    .map((line) => `${" ".repeat(leftColumns + 4)}${line}`);
  const [first = ""] = lines;
  if (widthOf(left) > leftColumns + 2) return [left, ...lines];
  return [left.padEnd(leftColumns + 4) + first.trimStart(), ...lines.slice(1)];
}
