/** Which tenants, databases and tables are carried over: `--tenant`, `--database`, `--table`, `--exclude`. */
import { UsageError } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import type { Key } from "../dump/key.ts";

/**
 * Returns a test for texts that match a shell pattern as a whole. To be fast with any pattern, it never
 * backtracks: a piece between two stars is matched where it fits first, in an atomic group, which JavaScript
 * has only as a lookahead with a backreference.
 * @param pattern `*` stands for any run of characters, `?` for one; with `separator` neither matches that, and
 * `**` does
 */
export function glob(pattern: string, separator = ""): (text: string) => boolean {
  const one = separator ? `[^${separator}]` : "[^]";
  let groups = 0;
  const atomic = (source: string) => `(?=(?<g${++groups}>${source}))\\k<g${groups}>`;
  /** Pieces with stars between them. Only the last one may be moved, as it must fit at the end of the text. */
  const joined = (pieces: string[], star: string, toEnd: boolean): string =>
    pieces.reduce((before, piece, i) =>
      before + (toEnd && i === pieces.length - 1 ? `${star}*?${piece}` : atomic(`${star}*?${piece}`))
    );
  const parts = pattern.split("**").map((part, i, { length }) => {
    const pieces = part.split("*").map((piece) => piece.split("?").map(RegExp.escape).join(one));
    return joined(pieces, one, i === length - 1);
  });
  const expression = new RegExp(`^${joined(parts, "[^]", true)}$`, "u");
  // Rules out most texts faster than the expression does.
  const [literal = ""] = pattern.split(/[*?]+/).sort((a, b) => b.length - a.length);
  return (text) => text.includes(literal) && expression.test(text);
}

/**
 * Splits `tenant.database.table` at its dots. A name with dots is written in double quotes, as in SQL.
 * @returns undefined if a name is empty or a quote does not end
 */
export function splitName(text: string): string[] | undefined {
  const parts = [...text.matchAll(/"((?:[^"]|"")*)"(?=\.|$)|([^".][^.]*)(?=\.|$)/gsu)];
  const names = parts.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "");
  const length = parts.reduce((sum, part) => sum + part[0].length, parts.length - 1);
  return length === text.length && !names.includes("") ? names : undefined;
}

/** The tenant, database and table that an object belongs to, or is. Empty for what belongs to no tenant. */
export function namesUnder(key: Key): string[] {
  if (!("tenant" in key)) return [];
  if (key.kind === "table") return [key.tenant, key.database, key.table];
  return "database" in key ? [key.tenant, key.database] : [key.tenant];
}

/** A flag's pattern: of a tenant, a database or a table. */
interface Pattern {
  /** the flag as the operator wrote it */
  readonly text: string;
  /** how many names it has */
  readonly length: number;
  /** Whether it matches the object of these names, or one that this is in. */
  contains(names: string[]): boolean;
  /** whether it matched anything so far */
  matched: boolean;
}

const forms = ["TENANT", "TENANT.DATABASE", "TENANT.DATABASE.TABLE"];

/** @param count how many names the pattern must have; undefined: one to three @throws {UsageError} */
function readPattern(flag: string, name: string, count?: number): Pattern {
  const allowed = count ? forms.slice(count - 1, count) : forms;
  const parts = splitName(name);
  if (!parts || !allowed.includes(forms[parts.length - 1]!)) {
    const expected = parts
      ? allowed.join(" or ")
      : "names with dots between them; a name with a dot in it goes in double quotes";
    throw new UsageError(`--${flag} ${JSON.stringify(name)}: expected ${expected}`);
  }
  const tests = parts.map((part) => glob(part));
  return {
    text: `--${flag} ${name}`,
    length: parts.length,
    contains: (names) => tests.length <= names.length && tests.every((test, i) => test(names[i]!)),
    matched: false,
  };
}

/**
 * What the flags of a command line select. Selecting an object includes its tenant and database, so `survey`
 * has to see all names before `drops` is asked. Excluding an object excludes all in it. What belongs to no
 * tenant is always kept.
 */
export class Selection {
  /** the flags as rules; empty if nothing was selected or excluded */
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
    const isSelected = (names: string[]) =>
      names.length === 0 || this.#selected.some((pattern) => pattern.contains(names)) ||
      this.#parents.has(names.join("\0"));
    const excluding = this.#excluded.map(({ text, contains }) => ({ text, drops: contains }));
    const selecting = { text: "not selected", drops: (names: string[]) => !isSelected(names) };
    this.flags = this.#selected.length ? [...excluding, selecting] : excluding;
  }

  /** Whether the object of these names is left out. */
  drops(names: string[]): boolean {
    return this.flags.some((flag) => flag.drops(names));
  }

  /** Whether `survey` has to see more names: all if any flag selects, else until each flag has matched. */
  get needsMore(): boolean {
    return this.#selected.length > 0 || this.#excluded.some(({ matched }) => !matched);
  }

  /** Remembers which flags match an object, and what it is in. @param names from `namesUnder` */
  survey(names: string[]): void {
    for (const pattern of this.#selected) {
      if (!pattern.contains(names)) continue;
      pattern.matched = true;
      for (let n = 1; n < pattern.length; n++) this.#parents.add(names.slice(0, n).join("\0"));
    }
    for (const pattern of this.#excluded) if (pattern.contains(names)) pattern.matched = true;
  }

  /** Whether a table of a list is selected. */
  readonly wants = ({ tenant, database, table }: TableName): boolean => {
    this.survey([tenant, database, table]);
    return !this.drops([tenant, database, table]);
  };

  /** Flags that matched nothing: without an error, a misspelt name would carry over too little in silence. */
  unmatched(): string[] {
    return [...this.#selected, ...this.#excluded].filter(({ matched }) => !matched).map(({ text }) => text);
  }
}
