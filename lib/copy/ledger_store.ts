/** A database that holds a ledger: what the SQL in ledger.ts needs of SQLite and of PostgreSQL, and its tables. */
import { Failure } from "../cli/errors.ts";

export type Value = string | number | null;

/** SQL with a `?` for each of its values. */
export class Sql {
  constructor(readonly text: string, readonly values: readonly Value[] = []) {}
}

/** SQL of a template, in which other SQL and values may stand. */
export function sql(parts: TemplateStringsArray, ...given: (Sql | Value)[]): Sql {
  const inner = given.map((one) => one instanceof Sql ? one : new Sql("?", [one]));
  const text = parts.map((part, i) => part + (inner[i]?.text ?? "")).join("");
  return new Sql(text, inner.flatMap(({ values }) => values));
}

export interface Store {
  /** the path, or the URL without credentials and parameters */
  readonly name: string;
  /** no other process works on it, so whoever holds tables in it is gone (SQLite alone can tell) */
  readonly isAlone: boolean;
  /** its own clock in milliseconds since 1970 */
  readonly now: Sql;
  /** what keeps a claim from waiting for another one */
  readonly skipLocked: Sql;
  /** the tables that are there, as `name` */
  readonly tables: Sql;
  /** the items of a JSON array, as `value` */
  items(json: string): Sql;
  /** Runs one statement, perhaps twice: what passes by itself is tried again. @throws {Failure} */
  run<T>(statement: Sql): Promise<T[]>;
  /** Runs several statements as one, while no other process does. */
  script(text: string): Promise<void>;
  /** Whether what is run from now on outlasts a power loss. */
  sync(always: boolean): void;
  /** Lets other processes in: the ledger is whole. */
  opened(): Promise<void>;
  close(): Promise<void>;
}

const version = 2;
const schema = `
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_ledger (version INTEGER NOT NULL PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_list (id TEXT NOT NULL PRIMARY KEY, proof TEXT NOT NULL,
    whole INTEGER NOT NULL DEFAULT 0, used BIGINT NOT NULL);
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_table (list TEXT NOT NULL, tenant TEXT NOT NULL, database TEXT NOT NULL,
    "table" TEXT NOT NULL, status TEXT NOT NULL DEFAULT '', result TEXT, rows BIGINT NOT NULL DEFAULT 0,
    holder TEXT, claim BIGINT, until BIGINT, PRIMARY KEY (list, tenant, database, "table"));
  CREATE INDEX IF NOT EXISTS cnosdb_migrate_open ON cnosdb_migrate_table (list, tenant, database, "table")
    WHERE status = '';
  CREATE INDEX IF NOT EXISTS cnosdb_migrate_held ON cnosdb_migrate_table (holder, claim) WHERE holder IS NOT NULL;
  CREATE TABLE IF NOT EXISTS cnosdb_migrate_ttl (cluster TEXT NOT NULL, tenant TEXT NOT NULL, database TEXT NOT NULL,
    holder TEXT NOT NULL, former BIGINT, confirmed INTEGER NOT NULL, written BIGINT NOT NULL,
    PRIMARY KEY (cluster, tenant, database, holder));
  INSERT INTO cnosdb_migrate_ledger VALUES (${version}) ON CONFLICT DO NOTHING;`;

/** What gives a table back. */
export const free = new Sql("holder = NULL, claim = NULL, until = NULL");

/** Makes a ledger's tables where there are none. @throws {Failure} where what is there is something else; nothing was written then */
export async function prepare(store: Store, readOnly: boolean): Promise<void> {
  const refuse = (why: string) => {
    const hint = "--ledger names another one; where none is, a new one is made.";
    throw new Failure(`ledger ${store.name} ${why}`, hint);
  };
  const tables = (await store.run<{ name: string }>(store.tables)).map(({ name }) => name);
  if (tables.includes("cnosdb_migrate_run")) refuse("was made by an older version of these scripts");
  if (tables.includes("cnosdb_migrate_ledger")) {
    const [row] = await store.run<{ v: number }>(sql`SELECT max(version) AS v FROM cnosdb_migrate_ledger`);
    if (row?.v !== version) refuse(`is of version ${row?.v}, these scripts know version ${version}`);
  } else {
    if (tables.length) refuse("is a database of something else");
    if (readOnly) refuse("is empty: it is filled when tables are copied");
    await store.script(schema);
  }
  if (readOnly || !store.isAlone) return;
  // what dead processes held is free, and no ALTER of theirs will follow
  await store.run(sql`UPDATE cnosdb_migrate_table SET ${free} WHERE holder IS NOT NULL`);
  await store.run(sql`UPDATE cnosdb_migrate_ttl SET confirmed = 1 WHERE confirmed = 0`);
}
