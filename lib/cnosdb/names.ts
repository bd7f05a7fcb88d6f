/** Names of CnosDB's objects, as messages show them. */
import { harmless } from "../cli/presentable.ts";

/** A table's whole name. */
export interface TableName {
  readonly tenant: string;
  readonly database: string;
  readonly table: string;
}

/** What databases are told apart by in a Map; no name has a NUL. */
export const databaseKey = ({ tenant, database }: Pick<TableName, "tenant" | "database">) =>
  `${tenant}\0${database}`;

/** What tables are told apart by in a Map. */
export const tableKey = ({ tenant, database, table }: TableName) => `${tenant}\0${database}\0${table}`;

/** A name as an operator writes it: what is not only letters, digits, `_` and `-` is quoted, as in SQL. */
export function displayName(...names: string[]): string {
  return names.map((name) =>
    /^[\p{L}\p{N}_-]+$/u.test(name) ? name : `"${harmless(name.replaceAll('"', '""'))}"`
  ).join(".");
}

/** The same of a table. */
export function displayTable({ tenant, database, table }: TableName): string {
  return displayName(tenant, database, table);
}
