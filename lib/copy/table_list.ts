/** The tables that are to be copied: from a dump, from JSON lines, or asked of the old cluster. */
import type { ExportedPiece } from "./copy_table.ts";
import { DumpReader, toText } from "../dump/dump.ts";
import { Failure, messageOf } from "../cli/errors.ts";
import type { Source } from "../cli/io.ts";
import { preview } from "../dump/json.ts";
import type { Summary, TableName } from "./ledger.ts";
import type { Side } from "./side.ts";

/** A table of a list; what `--only export` printed tells where it lies, too. */
export interface ListedTable extends TableName {
  status?: string;
  pieces?: ExportedPiece[];
  source?: Summary;
}

/** The server's own metrics and views, which every cluster has. */
function isSystem({ tenant, database }: TableName): boolean {
  return database === "information_schema" ||
    tenant === "cnosdb" && /^(usage|cluster)_schema$/.test(database);
}

/**
 * The TSKV tables of a dump, or of JSON lines `{"tenant":…,"database":…,"table":…}`; system tables are left out.
 * @throws {Failure} at the line where the input is not what it should be, or not whole
 */
export async function* readList(source: Source): AsyncGenerator<ListedTable> {
  const first = await firstByte(source);
  if (first === undefined) return;
  for await (const table of first === "{" ? fromLines(source) : fromDump(source)) {
    if (!isSystem(table)) yield table;
  }
}

async function firstByte(source: Source): Promise<string | undefined> {
  for await (const chunk of source.open()) {
    const text = new TextDecoder().decode(chunk.subarray(0, 4096)).trimStart();
    if (text) return text[0];
  }
  return undefined;
}

async function* fromDump(source: Source): AsyncGenerator<ListedTable> {
  const reader = new DumpReader(source.name);
  for await (const { bytes, line } of reader.blocks(source.open())) {
    // A key alone cannot tell: a tenant may be called so that its key looks like a table's.
    for (const [i, entry] of bytes.split("\n").entries()) {
      const at = entry.indexOf(": ");
      if (!entry.startsWith('{"TsKvTableSchema"', at + 2) || !entry.slice(0, at).includes("/schemas/")) {
        continue;
      }
      try {
        const { tenant, db, name } = JSON.parse(toText(entry.slice(at + 2))).TsKvTableSchema;
        yield named({ tenant, database: db, table: name });
      } catch (error) {
        throw new Failure(
          `${source.name}: line ${line + i}: ${toText(entry.slice(0, at))} is no table: ${messageOf(error)}`,
        );
      }
    }
  }
  if (reader.marked) return;
  throw new Failure(
    `${source.name}: the dump has no end mark, so it may be cut, or the restore before it may have failed`,
    "give what restore_meta or dump_meta printed; or leave stdin alone and say --all.",
  );
}

async function* fromLines(source: Source): AsyncGenerator<ListedTable> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  let number = 0;
  for await (const chunk of source.open()) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      number++;
      if (!line.trim()) continue;
      try {
        yield named(JSON.parse(line));
      } catch (error) {
        throw new Failure(
          `${source.name}: line ${number}: ${JSON.stringify(preview(line))}: ${messageOf(error)}`,
          'expected {"tenant":"cnosdb","database":"public","table":"air"} on each line.',
        );
      }
    }
  }
  if (rest.trim()) {
    throw new Failure(
      `${source.name}: cut in the middle of line ${number + 1}: no newline after ${
        JSON.stringify(preview(rest))
      }`,
    );
  }
}

function named(table: Partial<ListedTable>): ListedTable {
  const { tenant, database, table: name } = table;
  if (![tenant, database, name].every((part) => typeof part === "string" && part !== "")) {
    throw new TypeError("tenant, database or table is missing");
  }
  return table as ListedTable;
}

/** All TSKV tables of the old cluster, tenant by tenant. @throws {Failure} where our user may not see the tenants */
export async function* listAll(side: Side, signal: AbortSignal): AsyncGenerator<ListedTable> {
  const tenants = await side.run(
    "SELECT tenant_name FROM cluster_schema.tenants",
    { tenant: "cnosdb" },
    signal,
  );
  if (tenants.length === 0) {
    throw new Failure(
      `${side.url} shows no tenants to ${side.endpoint.user ?? "root"}`,
      "--all needs an admin of the old cluster; or give the tables on stdin.",
    );
  }
  for (const { tenant_name } of tenants) {
    const tenant = String(tenant_name);
    const sql = "SELECT table_database, table_name, table_engine FROM information_schema.tables";
    for await (const row of side.rows(sql, { tenant }, signal)) {
      const table = { tenant, database: String(row.table_database), table: String(row.table_name) };
      if (row.table_engine === "TSKV" && !isSystem(table)) yield table;
    }
  }
}
