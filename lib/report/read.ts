/** Reads what filter_meta --report, copy_tables and compare_tables printed into what a page of a migration says. */
import { Failure } from "../cli/errors.ts";
import { displayName } from "../cnosdb/names.ts";
import { candidates } from "../dump/key.ts";

/** A file that was read. */
export interface ReadFile {
  name: string;
  sha256: string;
  /** which script printed it */
  script: string;
}

/** What a script said of its run, first (`run`) and last (`end`); a run without an end was cut off. */
export interface Run {
  script: string;
  version?: string;
  from?: { url: string; version?: string; cluster?: string };
  to?: { url: string; version?: string; cluster?: string };
  source?: string;
  target?: string;
  verify?: string;
  since?: string;
  until?: string;
  started?: string;
  host?: string;
  ended?: string;
  exit?: number;
}

/** Rows of a table or of a window, and their first and last time. */
export interface Rows {
  rows: number;
  first?: string;
  last?: string;
}

/** A table's last result, as copy_tables and compare_tables print it. */
export interface Table {
  tenant: string;
  database: string;
  table: string;
  status: string;
  source?: Rows;
  target?: Rows;
  verify?: string;
  copied?: { rows: number; bytes?: number };
  started?: string;
  seconds?: number;
  windows?: { from?: string; to?: string; source?: Rows; target?: Rows; columns?: string[] }[];
  error?: string;
  hint?: string;
  /** the result of an earlier run, which this run believed */
  earlier?: boolean;
}

/** All that a page says. `entries` counts by kind and action; `dropped` lists keys by rule. */
export interface Report {
  files: ReadFile[];
  runs: Run[];
  tables: (Table & { name: string })[];
  entries: { [kind: string]: { kept: number; converted: number; dropped: number } };
  dropped: { rule: string; keys: string[] }[];
  databases: { name: string; ttl?: string }[];
}

interface EntryLine {
  line: number;
  key: string;
  new_key?: string;
  kind: string;
  action: "kept" | "converted" | "dropped";
  rules: string[];
  ttl?: string;
}

/** Gathers files in the order in which they were written: a later result of a table replaces an earlier one. */
export class ReportReader {
  readonly #files: ReadFile[] = [];
  readonly #runs: Run[] = [];
  readonly #tables = new Map<string, Table>();
  readonly #entries: Report["entries"] = {};
  readonly #dropped = new Map<string, string[]>();
  readonly #databases = new Map<string, string | undefined>();

  /**
   * Adds a file.
   * @param text JSON lines
   * @throws {Failure} for a line that none of the scripts prints
   */
  async add(name: string, text: string): Promise<void> {
    let run: Run | undefined;
    let script = "";
    for (const [index, line] of text.split("\n").entries()) {
      if (line.trim() === "") continue;
      const where = `${name}: line ${index + 1}`;
      const read = parseLine(line, where);
      if (isObject(read.run)) {
        run = read.run as unknown as Run;
        script = run.script;
        this.#runs.push(run);
      } else if (isObject(read.end)) Object.assign(run ?? {}, read.end);
      else if (
        ["key", "kind", "action"].every((field) => typeof read[field] === "string") &&
        Array.isArray(read.rules)
      ) {
        script ||= "filter_meta";
        this.#addEntry(read as unknown as EntryLine);
      } else if (
        ["tenant", "database", "table", "status"].every((field) => typeof read[field] === "string")
      ) {
        script ||= "copy_tables";
        this.#addTable(read as unknown as Table);
      } else throw new Failure(`${where}: not a line of a report or of a result`, expectedFiles);
    }
    if (script === "") throw new Failure(`${name}: empty`, expectedFiles);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    this.#files.push({ name, sha256: digest.toHex(), script });
  }

  /** A result that a run only repeats must not hide a stronger one that was read already. */
  #addTable(table: Table): void {
    const id = JSON.stringify([table.tenant, table.database, table.table]);
    const known = this.#tables.get(id);
    if (!table.earlier || !known || known.status === "missing") this.#tables.set(id, table);
  }

  /** What was read, with a result `missing` for a carried table that no copy or comparison mentions. */
  report(): Report {
    const tables = [...this.#tables.values()].map((table) => ({
      ...table,
      name: displayName(table.tenant, table.database, table.table),
    })).sort((a, b) => a.name < b.name ? -1 : 1);
    return {
      files: this.#files,
      runs: this.#runs,
      tables,
      entries: this.#entries,
      dropped: [...this.#dropped].map(([rule, keys]) => ({ rule, keys })),
      databases: [...this.#databases].map(([name, ttl]) => ({ name, ...(ttl === undefined ? {} : { ttl }) })),
    };
  }

  #addEntry({ key, new_key, kind, action, rules, ttl }: EntryLine): void {
    (this.#entries[kind] ??= { kept: 0, converted: 0, dropped: 0 })[action]++;
    if (action === "dropped") {
      const rule = rules.join(", ");
      const keys = this.#dropped.get(rule) ?? [];
      this.#dropped.set(rule, keys);
      keys.push(key);
      return;
    }
    const [read] = candidates(new_key ?? key);
    if (read?.kind === "database") this.#databases.set(displayName(read.tenant, read.database), ttl);
    if (read?.kind !== "table") return;
    const { tenant, database, table } = read;
    const id = JSON.stringify([tenant, database, table]);
    if (!this.#tables.has(id)) this.#tables.set(id, { tenant, database, table, status: "missing" });
  }
}

const expectedFiles =
  "give what filter_meta --report, copy_tables and compare_tables printed, in the order in which they ran.";

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseLine(line: string, where: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (isObject(value)) return value;
  } catch { /* said below */ }
  throw new Failure(`${where}: not a JSON object: was the file cut or changed?`, expectedFiles);
}
