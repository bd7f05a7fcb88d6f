/** Which tenants, databases and tables are carried over: `--tenant`, `--database`, `--table`, `--exclude`. */
import { UsageError } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { glob, splitName } from "./glob.ts";
import type { Key } from "../dump/key.ts";

/** The names that a key stands under: tenant, database, table. Empty for what belongs to no tenant. */
export function namesUnder(key: Key): string[] {
  if (!("tenant" in key)) return [];
  if (key.kind === "table") return [key.tenant, key.database, key.table];
  return "database" in key ? [key.tenant, key.database] : [key.tenant];
}

/** A flag that drops what it names, or what no selecting flag names. */
interface SelectionFlag {
  /** for reports */
  text: string;
  drops(names: string[]): boolean;
}

class Pattern {
  matched = false;
  readonly #parts: ((name: string) => boolean)[];

  /** @param count how many names it must have; undefined: one to three @throws {UsageError} */
  constructor(readonly flag: string, readonly name: string, count?: number) {
    let names: string[];
    try {
      names = splitName(name);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UsageError(`${flag} ${JSON.stringify(name)}: ${error.message}`);
    }
    if (count === undefined ? names.length > 3 : names.length !== count) {
      const forms = ["TENANT", "TENANT.DATABASE", "TENANT.DATABASE.TABLE"];
      throw new UsageError(
        `${flag} ${JSON.stringify(name)}: expected ${count ? forms[count - 1] : forms.join(" or ")}`,
      );
    }
    this.#parts = names.map((part) => glob(part));
  }

  get length(): number {
    return this.#parts.length;
  }

  /** Whether the first of `names` are the pattern's. */
  begins(names: string[]): boolean {
    return this.length <= names.length && this.#parts.every((part, i) => part(names[i] ?? ""));
  }
}

/**
 * Selecting includes parents, so all keys are shown to `survey` before a flag is asked; excluding excludes everything inside. What
 * belongs to no tenant is always kept.
 */
export class Selection {
  /** the flags as rules, each for itself; empty if nothing was selected or excluded */
  readonly flags: readonly SelectionFlag[];
  readonly #selected: Pattern[];
  readonly #excluded: Pattern[];
  readonly #parents = new Set<string>();

  /** @throws {UsageError} for a pattern with too few or too many names */
  constructor(tenants: string[], databases: string[], tables: string[], excluded: string[]) {
    this.#selected = [
      ...tenants.map((name) => new Pattern("--tenant", name, 1)),
      ...databases.map((name) => new Pattern("--database", name, 2)),
      ...tables.map((name) => new Pattern("--table", name, 3)),
    ];
    this.#excluded = excluded.map((name) => new Pattern("--exclude", name));
    const selects = (names: string[]) =>
      this.#selected.some((pattern) => pattern.begins(names)) || this.#parents.has(names.join("\0"));
    this.flags = [
      ...this.#excluded.map((pattern) => ({
        text: `${pattern.flag} ${pattern.name}`,
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

  /** Notes which parents an entry would bring along. @param names as of `namesUnder` */
  survey(names: string[]): void {
    for (const pattern of this.#selected) {
      if (!pattern.begins(names)) continue;
      pattern.matched = true;
      for (let n = 1; n < pattern.length; n++) this.#parents.add(names.slice(0, n).join("\0"));
    }
    for (const pattern of this.#excluded) if (pattern.begins(names)) pattern.matched = true;
  }

  /** Flags that matched nothing: a misspelt name would otherwise carry over too little in silence. */
  unmatched(): string[] {
    return [...this.#selected, ...this.#excluded].filter(({ matched }) => !matched)
      .map(({ flag, name }) => `${flag} ${name}`);
  }
}

/** Which tables the flags of a command line select, which `filter_meta` and `copy_tables` share. */
export interface TableSelection {
  wants(name: TableName): boolean;
  /** Flags that matched none of the tables asked about. */
  unmatched(): string[];
}

export function tableSelection(args: { values(name: string): string[] }): TableSelection {
  const values = (flag: string) => args.values(flag);
  const selection = new Selection(values("tenant"), values("database"), values("table"), values("exclude"));
  return {
    wants: ({ tenant, database, table }) => {
      selection.survey([tenant, database, table]);
      return !selection.drops([tenant, database, table]);
    },
    unmatched: () => selection.unmatched(),
  };
}
