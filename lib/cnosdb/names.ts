/** Names of CnosDB's objects. */
import { harmless } from "../cli/presentable.ts";

/** A table's whole name. */
export interface TableName {
  readonly tenant: string;
  readonly database: string;
  readonly table: string;
}

/** A database as a key of a Map; no name has a NUL. */
export const databaseKey = ({ tenant, database }: Pick<TableName, "tenant" | "database">) =>
  `${tenant}\0${database}`;

/** A table as a key of a Map. */
export const tableKey = ({ tenant, database, table }: TableName) => `${tenant}\0${database}\0${table}`;

/** Names joined by dots, for messages. Those not only of letters, digits, `_` and `-` are quoted, as in SQL. */
export function displayName(...names: string[]): string {
  return names.map((name) =>
    /^[\p{L}\p{N}_-]+$/u.test(name) ? name : `"${harmless(name.replaceAll('"', '""'))}"`
  ).join(".");
}

/** A table's whole name, for messages. */
export function displayTable({ tenant, database, table }: TableName): string {
  return displayName(tenant, database, table);
}
