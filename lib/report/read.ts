/** Reads what filter_meta --report, copy_tables and compare_tables printed into what a page shows. */
import { Failure } from "../cli/errors.ts";
import { displayName, displayTable, tableKey, type TableName } from "../cnosdb/names.ts";
import { readKey } from "../dump/key.ts";

/** Further fields, which the page shows (docs/en/reference.md lists them). */
interface Line {
  [field: string]: unknown;
}

/** What a script reported of its run, in its first line and its last; without `ended` it was cut off. */
interface Run extends Line {
  ended?: string;
  exit?: number;
}

/** The result of a table, as copy_tables and compare_tables print it. */
interface Table extends TableName, Line {
  status: string;
  /** repeated from an earlier run, which began the table at `started` */
  earlier?: boolean;
  started?: string;
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

/** Everything that a page shows. */
export interface Report {
  files: { name: string; sha256: string }[];
  runs: Run[];
  tables: (Table & { name: string; databaseName: string })[];
  /** how many entries, by kind and action */
  entries: { [kind: string]: Record<EntryLine["action"], number> };
  /** how many entries a rule dropped, and the keys of the first */
  dropped: { rule: string; entries: number; keys: string[] }[];
  databases: { name: string; ttl?: string | undefined }[];
}

const mostDroppedKeys = 200;

/** Gathers files in the order in which they were written: a table's later result replaces an earlier one. */
export class ReportReader {
  readonly #report = { files: [], runs: [], entries: {} } as Pick<Report, "files" | "runs" | "entries">;
  readonly #tables = new Map<string, Table>();
  readonly #dropped = new Map<string, Report["dropped"][number]>();
  readonly #databases = new Map<string, Report["databases"][number]>();

  /**
   * Adds a file.
   * @param text JSON lines
   * @throws {Failure} for a line that none of the scripts prints
   */
  async add(name: string, text: string): Promise<void> {
    if (text.trim() === "") throw new Failure(`${name}: empty`, expectedFiles);
    let run: Run | undefined;
    for (const [index, line] of text.split("\n").entries()) {
      if (line.trim() === "") continue;
      const where = `${name}: line ${index + 1}`;
      const read = parseLine(line, where);
      const hasTexts = (...fields: string[]) => fields.every((field) => typeof read[field] === "string");
      if (isObject(read.run)) {
        run = read.run as Run;
        this.#report.runs.push(run);
      } else if (isObject(read.end)) {
        Object.assign(run ?? {}, read.end);
      } else if (hasTexts("key", "kind", "action") && Array.isArray(read.rules)) {
        this.#addEntry(read as unknown as EntryLine);
      } else if (hasTexts("tenant", "database", "table", "status")) {
        this.#addTable(read as unknown as Table);
      } else {
        throw new Failure(`${where}: not a line of a report or of a result`, expectedFiles);
      }
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    this.#report.files.push({ name, sha256: digest.toHex() });
  }

  /** A repeated result does not replace one that was found after it. */
  #addTable(table: Table): void {
    const known = this.#tables.get(tableKey(table));
    const isOutdated = table.earlier && known && known.status !== "missing" &&
      !(table.started && known.started && table.started > known.started);
    if (!isOutdated) this.#tables.set(tableKey(table), table);
  }

  #addEntry({ key, new_key, kind, action, rules, ttl }: EntryLine): void {
    (this.#report.entries[kind] ??= { kept: 0, converted: 0, dropped: 0 })[action]++;
    if (action === "dropped") {
      const rule = rules.join(", ");
      const dropped = this.#dropped.getOrInsertComputed(rule, () => ({ rule, entries: 0, keys: [] }));
      if (dropped.entries++ < mostDroppedKeys) dropped.keys.push(key);
      return;
    }
    const object = readKey(new_key ?? key);
    if (object?.kind === "database") {
      const name = displayName(object.tenant, object.database);
      this.#databases.set(name, { name, ttl });
    } else if (object?.kind === "table") {
      const { tenant, database, table } = object;
      this.#tables.getOrInsert(tableKey(object), { tenant, database, table, status: "missing" });
    }
  }

  /** What was read, with a result `missing` for a carried table that no copy or comparison mentions. */
  report(): Report {
    const tables = this.#tables.values().map((table) => ({
      ...table,
      name: displayTable(table),
      databaseName: displayName(table.tenant, table.database),
    }));
    return {
      ...this.#report,
      tables: [...tables].sort((a, b) => a.name < b.name ? -1 : 1),
      dropped: [...this.#dropped.values()],
      databases: [...this.#databases.values()],
    };
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
  } catch { /* reported below */ }
  throw new Failure(`${where}: not a JSON object: was the file cut or changed?`, expectedFiles);
}
