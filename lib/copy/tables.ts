/** The tables to copy: from a dump, from JSON lines (such as our own output), or asked of the source. */
import { Buffer, isUtf8 } from "node:buffer";
import { Failure } from "../cli/errors.ts";
import { preview } from "../cli/text.ts";
import { databaseKey, displayTable, tableKey, type TableName } from "../cnosdb/names.ts";
import { systemDatabases } from "../dump/compare.ts";
import { readDump } from "../dump/text.ts";
import type { Cluster } from "./cluster.ts";
import type { TableResult } from "./result.ts";

/** The tables of a run, each once. */
export interface TableList {
  /** TSKV tables, which have rows of their own */
  readonly names: TableName[];
  /** stream and external tables: their definitions are all that there is to carry over */
  readonly definitions: TableName[];
  /** result lines of an export half, by `tableKey` */
  readonly exported: Map<string, TableResult>;
}

/** Which tables are taken. */
type Wanted = (name: TableName) => boolean;

/** A table as an input names it. */
interface Named {
  readonly name: TableName;
  readonly isDefinition: boolean;
  readonly line?: TableResult;
}

/** The server's own metrics and views, which every cluster has. */
function isSystem({ tenant, database }: TableName): boolean {
  return database === "information_schema" ||
    tenant === "cnosdb" && systemDatabases.includes(database);
}

async function listOf(tables: AsyncIterable<Named> | Iterable<Named>, wanted: Wanted): Promise<TableList> {
  const list: TableList = { names: [], definitions: [], exported: new Map() };
  const seen = new Set<string>();
  for await (const { name, isDefinition, line } of tables) {
    if (isSystem(name) || !wanted(name)) continue;
    const key = tableKey(name);
    if (line?.windows) {
      const before = list.exported.get(key) ?? line;
      if (JSON.stringify(before.windows) !== JSON.stringify(line.windows)) {
        // One of them would stand for both, and rows that only the other exported would be lost.
        throw new Failure(
          `${displayTable(name)} was exported twice`,
          "import one run's lines after the other's.",
        );
      }
      list.exported.set(key, line);
    }
    if (!seen.has(key)) (isDefinition ? list.definitions : list.names).push(name);
    seen.add(key);
  }
  return list;
}

/**
 * The tables of a dump, or of JSON lines `{"tenant":…,"database":…,"table":…}`.
 * @param input what it is called in messages
 * @throws {Failure} if it is neither, or not whole; it names the line
 */
export async function readTables(
  chunks: AsyncIterable<Uint8Array>,
  input: string,
  wanted: Wanted,
): Promise<TableList> {
  // copied: the reader of stdin uses one buffer for all chunks
  const bytes = Buffer.concat(await Array.fromAsync(chunks, (chunk) => chunk.slice()));
  if (!isUtf8(bytes)) throw new Failure(`${input}: not all of it is UTF-8`);
  const isDump = /^\s*[^\s{]/.test(bytes.toString("latin1", 0, 4096));
  return await listOf(isDump ? tablesOfDump(bytes, input) : tablesOfLines(bytes.toString(), input), wanted);
}

async function* tablesOfDump(bytes: Buffer, input: string): AsyncGenerator<Named> {
  for (const { key, value, line } of (await readDump(ReadableStream.from([bytes]), input)).entries) {
    // not by the key alone: a tenant's name may make its key look like a table's
    const [, kind] = /^\{"(TsKv|External|Stream)TableSchema"/.exec(value) ?? [];
    if (!kind || !key.includes("/schemas/")) continue;
    try {
      const schema = JSON.parse(value)[`${kind}TableSchema`];
      const name = readName({ tenant: schema?.tenant, database: schema?.db, table: schema?.name });
      yield { name, isDefinition: kind !== "TsKv" };
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new Failure(`${input}: line ${line}: ${key} is no table: ${error.message}`);
    }
  }
}

/** A line of the input: a table, or the first or last line of a run of ours. */
type Line = Partial<TableResult> & { run?: unknown; end?: { tables: number } };

/** A run's lines must stand between its `run` and its `end`, or it was cut short. */
function* tablesOfLines(text: string, input: string): Generator<Named> {
  const lines = text.split("\n");
  const rest = lines.pop();
  if (rest?.trim()) {
    throw new Failure(`${input}: line ${lines.length + 1} is cut: no newline after ${preview(rest)}`);
  }
  let run: { line: number; tables: number } | undefined;
  for (const [i, line] of lines.entries()) {
    if (!line.trim()) continue;
    try {
      const json: Line = JSON.parse(line) ?? {};
      if (json.run && run) {
        throw new SyntaxError(`another run begins, and the one of line ${run.line} has no end`);
      }
      if (json.end && json.end.tables !== run?.tables) {
        throw new SyntaxError(`the run printed ${json.end.tables} tables, and here are ${run?.tables ?? 0}`);
      }
      if (json.run || json.end) {
        run = json.run ? { line: i + 1, tables: 0 } : undefined;
        continue;
      }
      if (run) run.tables++;
      yield { name: readName(json), isDefinition: json.status === "definition", line: json as TableResult };
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new Failure(
        `${input}: line ${i + 1}: ${JSON.stringify(preview(line))}: ${error.message}`,
        'expected {"tenant":"cnosdb","database":"public","table":"air"} on each line, or all that a run printed.',
      );
    }
  }
  if (!run) return;
  throw new Failure(
    `${input}: the run that begins at line ${run.line} has no end: it died, or what read it did`,
    "run it again, into a new file; it goes on where it stopped and prints every table.",
  );
}

function readName({ tenant, database, table }: Partial<TableName>): TableName {
  if ([tenant, database, table].every((part) => typeof part === "string" && part !== "")) {
    return { tenant, database, table } as TableName;
  }
  throw new SyntaxError("tenant, database or table is missing");
}

/**
 * All tables of the source.
 * @throws {Failure} if our user may not see the tenants
 */
export function listTables(source: Cluster, wanted: Wanted, signal: AbortSignal): Promise<TableList> {
  return listOf(tablesOfCluster(source, signal), wanted);
}

async function* tablesOfCluster(source: Cluster, signal: AbortSignal): AsyncGenerator<Named> {
  const tenantsSql = "SELECT tenant_name FROM cluster_schema.tenants";
  const tenants = await source.run(tenantsSql, { tenant: "cnosdb" }, { signal });
  if (tenants.length === 0) {
    throw new Failure(
      `${source.url} shows no tenants to ${source.user}`,
      "--all needs an admin of the source; or give the tables on stdin.",
    );
  }
  const tablesSql = "SELECT table_database, table_name, table_engine FROM information_schema.tables";
  for (const { tenant_name } of tenants) {
    const tenant = String(tenant_name);
    for (const row of await source.run(tablesSql, { tenant }, { signal })) {
      const name = { tenant, database: String(row.table_database), table: String(row.table_name) };
      yield { name, isDefinition: row.table_engine !== "TSKV" };
    }
  }
}

/** Takes at most so many tables of one database from what is left to do; none if none is free now. */
export type Claim = (most: number) => Promise<TableName[]>;

/** Hands out a list that no other worker shares, by databases in turn: these do not wait for each other. */
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
