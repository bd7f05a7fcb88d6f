/** Which tenants, databases and tables are carried over: `--tenant`, `--database`, `--table`, `--exclude`. */
import { UsageError } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import type { Key } from "../dump/key.ts";

/**
 * A test of whole texts by a pattern of a shell. What stands between two stars is looked for once, at the
 * first place that it fits, so that no pattern takes long: in an atomic group, which JavaScript only has as a
 * lookahead and what that found.
 * @param pattern `*` stands for any run of characters, `?` for one; with `separator` neither crosses it, and
 * `**` does
 */
export function glob(pattern: string, separator = ""): (text: string) => boolean {
  const one = separator ? `[^${separator}]` : "[^]";
  let groups = 0;
  const atomic = (source: string) => `(?=(?<g${++groups}>${source}))\\k<g${groups}>`;
  /** What stands between stars. Only the last piece may be looked for again, as the text ends behind it. */
  const joined = (pieces: string[], star: string, toEnd: boolean): string =>
    pieces.reduce((before, piece, i) =>
      before + (toEnd && i === pieces.length - 1 ? `${star}*?${piece}` : atomic(`${star}*?${piece}`))
    );
  const parts = pattern.split("**").map((part, i, { length }) => {
    const pieces = part.split("*").map((piece) => piece.split("?").map(RegExp.escape).join(one));
    return joined(pieces, one, i === length - 1);
  });
  const expression = new RegExp(`^${joined(parts, "[^]", true)}$`, "u");
  // Most texts lack what most patterns have between their stars, which is found out faster.
  const [literal = ""] = pattern.split(/[*?]+/).sort((a, b) => b.length - a.length);
  return (text) => text.includes(literal) && expression.test(text);
}

/**
 * Cuts `tenant.database.table` at its dots; a part that holds dots is written in double quotes, as in SQL.
 * @returns undefined if a part is empty or a quote does not end
 */
export function splitName(text: string): string[] | undefined {
  const parts = [...text.matchAll(/"((?:[^"]|"")*)"(?=\.|$)|([^".][^.]*)(?=\.|$)/gsu)];
  const names = parts.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "");
  const length = parts.reduce((sum, part) => sum + part[0].length, parts.length - 1);
  return length === text.length && !names.includes("") ? names : undefined;
}

/** The names that a key stands under: tenant, database, table. Empty for what belongs to no tenant. */
export function namesUnder(key: Key): string[] {
  if (!("tenant" in key)) return [];
  if (key.kind === "table") return [key.tenant, key.database, key.table];
  return "database" in key ? [key.tenant, key.database] : [key.tenant];
}

/** A flag's pattern for one to three names. */
interface Pattern {
  /** as an operator wrote it */
  readonly text: string;
  /** of how many names it is */
  readonly length: number;
  /** Whether the first of `names` are the pattern's. */
  begins(names: string[]): boolean;
  /** whether something began so */
  matched: boolean;
}

const forms = ["TENANT", "TENANT.DATABASE", "TENANT.DATABASE.TABLE"];

/** @param count how many names it must have; undefined: one to three @throws {UsageError} */
function readPattern(flag: string, name: string, count?: number): Pattern {
  const parts = splitName(name);
  if (!parts || (count ? parts.length !== count : parts.length > 3)) {
    const expected = !parts
      ? "names with dots between them; a name with a dot in it goes in double quotes"
      : count
      ? forms[count - 1]
      : forms.join(" or ");
    throw new UsageError(`--${flag} ${JSON.stringify(name)}: expected ${expected}`);
  }
  const tests = parts.map((part) => glob(part));
  return {
    ...{ text: `--${flag} ${name}`, length: parts.length, matched: false },
    begins: (names) => tests.length <= names.length && tests.every((test, i) => test(names[i]!)),
  };
}

/**
 * What the flags of a command line select. Selecting includes parents, so all names are shown to `survey`
 * before a flag is asked; excluding excludes everything inside. What belongs to no tenant is always kept.
 */
export class Selection {
  /** the flags as rules, each for itself; empty if nothing was selected or excluded */
  readonly flags: readonly { readonly text: string; drops(names: string[]): boolean }[];
  readonly #selected: Pattern[];
  readonly #excluded: Pattern[];
  readonly #parents = new Set<string>();

  /** @throws {UsageError} for a pattern with too few or too many names */
  constructor(args: { values(flag: string): string[] }) {
    const patterns = (flag: string, count?: number) =>
      args.values(flag).map((name) => readPattern(flag, name, count));
    this.#selected = [...patterns("tenant", 1), ...patterns("database", 2), ...patterns("table", 3)];
    this.#excluded = patterns("exclude");
    const selects = (names: string[]) =>
      this.#selected.some((pattern) => pattern.begins(names)) || this.#parents.has(names.join("\0"));
    this.flags = [
      ...this.#excluded.map((pattern) => ({
        text: pattern.text,
        drops: (names: string[]) => names.length > 0 && pattern.begins(names),
      })),
      ...(this.#selected.length
        ? [{ text: "not selected", drops: (names: string[]) => names.length > 0 && !selects(names) }]
        : []),
    ];
  }

  /** Whether something under these names is dropped. */
  drops(names: string[]): boolean {
    return this.flags.some((flag) => flag.drops(names));
  }

  /** Whether `survey` has to see more: all names if any flag selects, else until each flag matched. */
  get waits(): boolean {
    return this.#selected.length > 0 || this.#excluded.some(({ matched }) => !matched);
  }

  /** Notes which parents an entry would bring along. @param names as of `namesUnder` */
  survey(names: string[]): void {
    for (const pattern of this.#selected) {
      if (!pattern.begins(names)) continue;
      pattern.matched = true;
      for (let n = 1; n < pattern.length; n++) this.#parents.add(names.slice(0, n).join("\0"));
    }
    for (const pattern of this.#excluded) if (pattern.begins(names)) pattern.matched = true;
  }

  /** Whether a table of a list is selected. */
  readonly wants = ({ tenant, database, table }: TableName): boolean => {
    this.survey([tenant, database, table]);
    return !this.drops([tenant, database, table]);
  };

  /** Flags that matched nothing: a misspelt name would otherwise carry over too little in silence. */
  unmatched(): string[] {
    return [...this.#selected, ...this.#excluded].filter(({ matched }) => !matched).map(({ text }) => text);
  }
}
