/** The tables to copy: from a dump, from JSON lines (our own output too), or asked of the source. */
import { Buffer, isUtf8 } from "node:buffer";
import { Failure, messageOf } from "../cli/errors.ts";
import { preview } from "../cli/text.ts";
import { databaseKey, tableKey, type TableName } from "../cnosdb/names.ts";
import { readDump } from "../dump/text.ts";
import type { Cluster } from "./cluster.ts";
import type { TableResult } from "./result.ts";

/** What is to be done, table by table, each once. */
export interface TableList {
  /** tables with rows of their own */
  readonly names: TableName[];
  /** stream and external tables: their definitions are all that there is to carry over */
  readonly definitions: TableName[];
  /** by `tableKey`, what the lines say beside the names: the windows that an export half wrote */
  readonly told: Map<string, TableResult>;
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
    tenant === "cnosdb" && /^(usage|cluster)_schema$/.test(database);
}

/** The tables of an input, each once, but for those that are not wanted. */
async function gather(tables: AsyncIterable<Named> | Iterable<Named>, wanted: Wanted): Promise<TableList> {
  const list: TableList = { names: [], definitions: [], told: new Map() };
  const seen = new Set<string>();
  for await (const { name, isDefinition, line } of tables) {
    const key = tableKey(name);
    if (isSystem(name) || !wanted(name)) continue;
    if (line?.windows) list.told.set(key, line);
    if (!seen.has(key)) (isDefinition ? list.definitions : list.names).push(name);
    seen.add(key);
  }
  return list;
}

/**
 * The tables of a dump, or of JSON lines `{"tenant":…,"database":…,"table":…}`.
 * @throws {Failure} at the line where the input is not what it should be, or not whole
 */
export async function readTables(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  wanted: Wanted,
): Promise<TableList> {
  // A chunk is only good until the next.
  const bytes = Buffer.concat(await Array.fromAsync(chunks, (chunk) => chunk.slice()));
  if (!isUtf8(bytes)) throw new Failure(`${name}: not all of it is UTF-8`);
  const isDump = /^\s*[^\s{]/.test(bytes.toString("latin1", 0, 4096));
  return await gather(isDump ? tablesOfDump(bytes, name) : tablesOfLines(bytes, name), wanted);
}

async function* tablesOfDump(bytes: Buffer, name: string): AsyncGenerator<Named> {
  for (const { key, value, line } of (await readDump(ReadableStream.from([bytes]), name)).entries) {
    // A key alone cannot tell: a tenant may be called so that its key looks like a table's.
    const [, kind] = /^\{"(TsKv|External|Stream)TableSchema"/.exec(value) ?? [];
    if (!kind || !key.includes("/schemas/")) continue;
    try {
      const { tenant, db, name: table } = JSON.parse(value)[`${kind}TableSchema`];
      yield { name: checkName({ tenant, database: db, table }), isDefinition: kind !== "TsKv" };
    } catch (error) {
      throw new Failure(`${name}: line ${line}: ${key} is no table: ${messageOf(error)}`);
    }
  }
}

/** Lines; those that a run of ours printed stand between its `run` and its `end`, or it, or its reader, died. */
function* tablesOfLines(bytes: Buffer, name: string): Generator<Named> {
  const lines = bytes.toString().split("\n");
  const rest = lines.pop();
  if (rest?.trim()) {
    throw new Failure(`${name}: line ${lines.length + 1} is cut: no newline after ${preview(rest)}`);
  }
  let run: { line: number; tables: number } | undefined;
  for (const [i, line] of lines.entries()) {
    if (!line.trim()) continue;
    try {
      const json = JSON.parse(line) as Partial<TableResult> & { run?: unknown; end?: { tables: number } };
      if (json.run && run) {
        throw new TypeError(`another run begins, and the one of line ${run.line} has no end`);
      }
      if (json.end && json.end.tables !== run?.tables) {
        throw new TypeError(`the run printed ${json.end.tables} tables, and here are ${run?.tables ?? 0}`);
      }
      if (json.run || json.end) {
        run = json.run ? { line: i + 1, tables: 0 } : undefined;
        continue;
      }
      if (run) run.tables++;
      yield {
        name: checkName(json),
        isDefinition: json.status === "definition",
        line: json as TableResult,
      };
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
 * All tables of the source.
 * @throws {Failure} where our user may not see the tenants
 */
export function listTables(source: Cluster, wanted: Wanted, signal: AbortSignal): Promise<TableList> {
  return gather(tablesOfCluster(source, signal), wanted);
}

async function* tablesOfCluster(source: Cluster, signal: AbortSignal): AsyncGenerator<Named> {
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
    const sql = "SELECT table_database, table_name, table_engine FROM information_schema.tables";
    for (const row of await source.run(sql, { tenant }, { signal })) {
      const name = { tenant, database: String(row.table_database), table: String(row.table_name) };
      yield { name, isDefinition: row.table_engine !== "TSKV" };
    }
  }
}

/** Takes tables of one database from what is to be done, at most so many; none where nothing is free now. */
export type Claim = (most: number) => Promise<TableName[]>;

/** Hands out a list that nobody shares: from another database each time, as they do not wait for each other. */
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
