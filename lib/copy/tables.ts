/** The tables that are to be copied: from a dump, from JSON lines (our own output too), or asked of the source. */
import { Failure, messageOf } from "../cli/errors.ts";
import { databaseKey, tableKey, type TableName } from "../cnosdb/names.ts";
import type { Row } from "../cnosdb/sql.ts";
import { preview } from "../cli/text.ts";
import { readDump } from "../dump/text.ts";
import type { Cluster } from "./cluster.ts";
import type { EndLine, RunLine, TableResult } from "./result.ts";

/** What is to be done, table by table, each once. */
export interface TableList {
  /** tables with rows of their own */
  readonly names: TableName[];
  /** stream and external tables: their definitions are all that there is to carry over */
  readonly definitions: TableName[];
  /** by `tableKey`, what the lines say beside the names: the windows that an export half wrote */
  readonly told: Map<string, TableResult>;
}

/** The server's own metrics and views, which every cluster has. */
function isSystem({ tenant, database }: TableName): boolean {
  return database === "information_schema" ||
    tenant === "cnosdb" && /^(usage|cluster)_schema$/.test(database);
}

/** Gathers tables: each once, those alone that are wanted. */
class Gathering {
  readonly names: TableName[] = [];
  readonly definitions: TableName[] = [];
  readonly told = new Map<string, TableResult>();
  readonly #seen = new Set<string>();
  /** names that many tables have, so that each is in memory once */
  readonly #shared = new Map<string, string>();

  constructor(private readonly wanted: (name: TableName) => boolean) {}

  /** What was gathered, without what it took. */
  get list(): TableList {
    const { names, definitions, told } = this;
    return { names, definitions, told };
  }

  #share(name: string): string {
    if (!this.#shared.has(name)) this.#shared.set(name, name);
    return this.#shared.get(name)!;
  }

  add(name: TableName, kind: "table" | "definition", line?: TableResult): void {
    const key = tableKey(name);
    if (isSystem(name) || !this.wanted(name)) return;
    if (line?.windows) this.told.set(key, line);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    const [tenant, database] = [this.#share(name.tenant), this.#share(name.database)];
    (kind === "table" ? this.names : this.definitions).push({ tenant, database, table: name.table });
  }
}

/**
 * The tables of a dump, or of JSON lines `{"tenant":…,"database":…,"table":…}`.
 * @param wanted which of them are taken
 * @throws {Failure} at the line where the input is not what it should be, or not whole
 */
export async function readTables(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  wanted: (name: TableName) => boolean,
): Promise<TableList> {
  const list = new Gathering(wanted);
  // A chunk is only good until the next (readInput), and a stream reads ahead.
  const copies: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of chunks) copies.push(chunk.slice());
  const bytes = await new Blob(copies).bytes();
  const first = new TextDecoder().decode(bytes.subarray(0, 4096)).trimStart()[0];
  if (first === "{") readLines(new TextDecoder("utf-8", { fatal: true }).decode(bytes), name, list);
  else if (first !== undefined) {
    for (const { key, value, line } of (await readDump(ReadableStream.from([bytes]), name)).entries) {
      // A key alone cannot tell: a tenant may be called so that its key looks like a table's.
      const [, kind] = /^\{"(TsKv|External|Stream)TableSchema"/.exec(value) ?? [];
      if (!kind || !key.includes("/schemas/")) continue;
      try {
        const { tenant, db, name: table } = JSON.parse(value)[`${kind}TableSchema`];
        list.add(checkName({ tenant, database: db, table }), kind === "TsKv" ? "table" : "definition");
      } catch (error) {
        throw new Failure(`${name}: line ${line}: ${key} is no table: ${messageOf(error)}`);
      }
    }
  }
  return list.list;
}

/** Lines, of which those of a run of ours stand between its `run` and its `end`: that one died, or its reader did, where there is none. */
function readLines(text: string, name: string, list: Gathering): void {
  let run: { line: number; tables: number } | undefined;
  const lines = text.split("\n");
  const rest = lines.pop();
  if (rest?.trim()) {
    throw new Failure(`${name}: line ${lines.length + 1} is cut: no newline after ${preview(rest)}`);
  }
  for (const [i, line] of lines.entries()) {
    if (!line.trim()) continue;
    try {
      const json = JSON.parse(line) as Partial<TableResult & RunLine & EndLine>;
      if (json.run || json.end) {
        if (json.run && run) {
          throw new TypeError(`another run begins, and the one of line ${run.line} has no end`);
        }
        if (json.end && json.end.tables !== run?.tables) {
          throw new TypeError(`the run printed ${json.end.tables} tables, and here are ${run?.tables ?? 0}`);
        }
        run = json.run && { line: i + 1, tables: 0 };
        continue;
      }
      if (run) run.tables++;
      list.add(checkName(json), json.status === "definition" ? "definition" : "table", json as TableResult);
    } catch (error) {
      throw new Failure(
        `${name}: line ${i + 1}: ${JSON.stringify(preview(line))}: ${messageOf(error)}`,
        'expected {"tenant":"cnosdb","database":"public","table":"air"} on each line, or all that a run printed.',
      );
    }
  }
  if (!run) return;
  throw new Failure(
    `${name}: the run that begins at line ${run.line} has no end: it died, or what read it did`,
    "run it again, into a new file; it goes on where it stopped and prints every table.",
  );
}

function checkName({ tenant, database, table }: Partial<TableName>): TableName {
  if ([tenant, database, table].every((part) => typeof part === "string" && part !== "")) {
    return { tenant, database, table } as TableName;
  }
  throw new TypeError("tenant, database or table is missing");
}

/**
 * All tables of the source, tenant by tenant.
 * @throws {Failure} where our user may not see the tenants
 */
export async function listTables(
  source: Cluster,
  wanted: (name: TableName) => boolean,
  signal: AbortSignal,
): Promise<TableList> {
  const list = new Gathering(wanted);
  const sql = "SELECT tenant_name FROM cluster_schema.tenants";
  const tenants = await source.run(sql, { tenant: "cnosdb" }, { signal });
  if (tenants.length === 0) {
    throw new Failure(
      `${source.url} shows no tenants to ${source.user}`,
      "--all needs an admin of the source; or give the tables on stdin.",
    );
  }
  for (const { tenant_name } of tenants) {
    const tenant = String(tenant_name);
    const tables = "SELECT table_database, table_name, table_engine FROM information_schema.tables";
    // Listed whole before any is taken, as a list that broke off would leave tables out.
    const rows: Row[] = await source.run(tables, { tenant }, { signal });
    for (const row of rows) {
      const name = { tenant, database: String(row.table_database), table: String(row.table_name) };
      list.add(name, row.table_engine === "TSKV" ? "table" : "definition");
    }
  }
  return list.list;
}

/** Takes tables of one database from what is to be done, at most so many; none where nothing is free now. */
export type Claim = (most: number) => Promise<TableName[]>;

/** Hands out a list that this run alone works on: from another database each time, as their statements do not wait for each other. */
export function handOut(names: readonly TableName[]): Claim {
  const databases = Map.groupBy(names, databaseKey);
  return (most) => {
    const [first] = databases;
    if (!first) return Promise.resolve([]);
    const [key, left] = first;
    databases.delete(key);
    if (left.length > most) databases.set(key, left.slice(most));
    return Promise.resolve(left.slice(0, most));
  };
}
