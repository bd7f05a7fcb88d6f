/** Which tenants, databases and tables are carried over: `--tenant`, `--database`, `--table`, `--exclude`. */
import { UsageError } from "../cli/errors.ts";
import { glob, splitName } from "./glob.ts";
import type { Key } from "../dump/key.ts";

interface Pattern {
  text: string;
  parts: RegExp[];
  matched: boolean;
}

/** @param parts how many names the pattern must have; undefined: one to three */
function parsePattern(flag: string, text: string, parts?: number): Pattern {
  let names: string[];
  try {
    names = splitName(text);
  } catch (error) {
    throw new UsageError(`${flag} ${JSON.stringify(text)}: ${(error as Error).message}`);
  }
  if (parts === undefined ? names.length > 3 : names.length !== parts) {
    const forms = ["TENANT", "TENANT.DATABASE", "TENANT.DATABASE.TABLE"];
    throw new UsageError(
      `${flag} ${JSON.stringify(text)}: expected ${parts ? forms[parts - 1] : forms.join(" or ")}`,
    );
  }
  return { text: `${flag} ${text}`, parts: names.map((name) => glob(name)), matched: false };
}

/** The names that a key stands under: tenant, database, table. Empty for what belongs to no tenant. */
export function path(key: Key): string[] {
  if (!("tenant" in key)) return [];
  if (key.kind === "table") return [key.tenant, key.database, key.table];
  return "database" in key ? [key.tenant, key.database] : [key.tenant];
}

/**
 * What is chosen. Something chosen brings its parents along, so all keys are shown to `survey` before `keeps` is asked;
 * something excluded takes along what is under it.
 */
export class Choice {
  readonly #chosen: Pattern[];
  readonly #excluded: Pattern[];
  readonly #parents = new Set<string>();

  /** @throws {UsageError} for a pattern with too few or too many names */
  constructor(tenants: string[], databases: string[], tables: string[], excluded: string[]) {
    this.#chosen = [
      ...tenants.map((text) => parsePattern("--tenant", text, 1)),
      ...databases.map((text) => parsePattern("--database", text, 2)),
      ...tables.map((text) => parsePattern("--table", text, 3)),
    ];
    this.#excluded = excluded.map((text) => parsePattern("--exclude", text));
  }

  /** Whether anything was chosen or excluded at all. */
  get active(): boolean {
    return this.#chosen.length + this.#excluded.length > 0;
  }

  /** Notes which parents an entry would bring along. @param names its `path` */
  survey(names: string[]): void {
    for (const pattern of this.#chosen) {
      if (pattern.parts.length > names.length || !begins(names, pattern)) continue;
      pattern.matched = true;
      for (let n = 1; n < pattern.parts.length; n++) this.#parents.add(names.slice(0, n).join("\0"));
    }
    for (const pattern of this.#excluded) if (begins(names, pattern)) pattern.matched = true;
  }

  /**
   * The flag that drops an entry, or undefined where it is kept. What belongs to no tenant is always kept.
   * @param names its `path`
   */
  dropper(names: string[]): string | undefined {
    if (names.length === 0) return undefined;
    const excluded = this.#excluded.find((pattern) => begins(names, pattern));
    if (excluded) return excluded.text;
    if (this.#chosen.length === 0 || this.#chosen.some((pattern) => begins(names, pattern))) return undefined;
    return this.#parents.has(names.join("\0")) ? undefined : "not chosen";
  }

  /** Flags that matched nothing: a misspelt name would otherwise carry over too little in silence. */
  unmatched(): string[] {
    return [...this.#chosen, ...this.#excluded].filter((pattern) => !pattern.matched).map((pattern) =>
      pattern.text
    );
  }
}

/** Whether the first names are the pattern's. */
function begins(names: string[], pattern: Pattern): boolean {
  return pattern.parts.length <= names.length && pattern.parts.every((part, i) => part.test(names[i] ?? ""));
}
