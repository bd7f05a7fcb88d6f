/** Reads what filter_meta --report, copy_tables and compare_tables printed into what a page says. */
import { Failure } from "../cli/errors.ts";
import { displayName, displayTable, tableKey, type TableName } from "../cnosdb/names.ts";
import { readKey } from "../dump/key.ts";

/** Fields that are not read here, but that the page shows (docs/en/reference.md lists them). */
interface Line {
  [field: string]: unknown;
}

/** What a script said of its run, first (`run`) and last (`end`); a run without an end was cut off. */
export interface Run extends Line {
  script: string;
  ended?: string;
  exit?: number;
}

/** A table's last result, as copy_tables and compare_tables print it. */
export interface Table extends TableName, Line {
  status: string;
  /** the result of an earlier run, which this run believed */
  earlier?: boolean;
}

/** What became of an entry of a dump, as filter_meta --report writes it. */
interface EntryLine {
  key: string;
  new_key?: string;
  kind: string;
  action: "kept" | "converted" | "dropped";
  rules: string[];
  ttl?: string;
}

/** All that a page says. `entries` counts by kind and action, `dropped` lists keys by rule. */
export interface Report {
  files: { name: string; sha256: string; script: string }[];
  runs: Run[];
  tables: (Table & { name: string })[];
  entries: { [kind: string]: { kept: number; converted: number; dropped: number } };
  dropped: { rule: string; keys: string[] }[];
  databases: { name: string; ttl?: string }[];
}

/** Gathers files in the order in which they were written: a table's later result replaces an earlier one. */
export class ReportReader {
  readonly #report: Report = { files: [], runs: [], tables: [], entries: {}, dropped: [], databases: [] };
  readonly #tables = new Map<string, Table>();
  readonly #databases = new Map<string, Report["databases"][number]>();

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
      const hasTexts = (...fields: string[]) => fields.every((field) => typeof read[field] === "string");
      if (isObject(read.run)) {
        run = read.run as Run;
        script = run.script;
        this.#report.runs.push(run);
      } else if (isObject(read.end)) Object.assign(run ?? {}, read.end);
      else if (hasTexts("key", "kind", "action") && Array.isArray(read.rules)) {
        script ||= "filter_meta";
        this.#addEntry(read as unknown as EntryLine);
      } else if (hasTexts("tenant", "database", "table", "status")) {
        script ||= "copy_tables";
        this.#addTable(read as unknown as Table);
      } else throw new Failure(`${where}: not a line of a report or of a result`, expectedFiles);
    }
    if (script === "") throw new Failure(`${name}: empty`, expectedFiles);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    this.#report.files.push({ name, sha256: digest.toHex(), script });
  }

  /** A result that a run only repeats must not hide a stronger one that was read already. */
  #addTable(table: Table): void {
    const known = this.#tables.get(tableKey(table));
    if (!table.earlier || !known || known.status === "missing") this.#tables.set(tableKey(table), table);
  }

  #addEntry({ key, new_key, kind, action, rules, ttl }: EntryLine): void {
    const { entries, dropped } = this.#report;
    (entries[kind] ??= { kept: 0, converted: 0, dropped: 0 })[action]++;
    if (action === "dropped") {
      const rule = rules.join(", ");
      const known = dropped.find((one) => one.rule === rule);
      if (known) known.keys.push(key);
      else dropped.push({ rule, keys: [key] });
      return;
    }
    const object = readKey(new_key ?? key);
    if (object?.kind === "database") {
      const name = displayName(object.tenant, object.database);
      this.#databases.set(name, { name, ...(ttl === undefined ? {} : { ttl }) });
    } else if (object?.kind === "table" && !this.#tables.has(tableKey(object))) {
      const { tenant, database, table } = object;
      this.#tables.set(tableKey(object), { tenant, database, table, status: "missing" });
    }
  }

  /** What was read, with a result `missing` for a carried table that no copy or comparison mentions. */
  report(): Report {
    const tables = [...this.#tables.values()].map((table) => ({ ...table, name: displayTable(table) }));
    tables.sort((a, b) => a.name < b.name ? -1 : 1);
    return { ...this.#report, tables, databases: [...this.#databases.values()] };
  }
}

const expectedFiles =
  "give what filter_meta --report, copy_tables and compare_tables printed, in the order in which they ran.";

function isObject(value: unknown): value is Line {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseLine(line: string, where: string): Line {
  try {
    const value: unknown = JSON.parse(line);
    if (isObject(value)) return value;
  } catch { /* said below */ }
  throw new Failure(`${where}: not a JSON object: was the file cut or changed?`, expectedFiles);
}
