/** Both kinds of ledger for tests. A PostgreSQL takes seconds to start: it is there where CNOSDB_TEST_ALL is set. */
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { loadPostgres } from "../../../lib/cli/deps.ts";
import type { TableName } from "../../../lib/cnosdb/names.ts";
import { TestPostgres } from "./postgres.ts";

type Row = Record<string, unknown>;

export interface Kind {
  name: string;
  /** where a ledger can be made that is not there yet */
  fresh(): Promise<string>;
  /** runs SQL behind the ledger's back */
  sql(where: string, text: string): Promise<Row[]>;
}

let server: TestPostgres | undefined;

export const sqlite = {
  name: "SQLite",
  directory: "",
  fresh: () => Promise.resolve(join(sqlite.directory, `${crypto.randomUUID()}.sqlite`)),
  sql: (where: string, text: string) => {
    const database = new DatabaseSync(where);
    try {
      return Promise.resolve(database.prepare(text).all() as Row[]);
    } catch (error) {
      return Promise.reject(error);
    } finally {
      database.close();
    }
  },
};

export const postgres: Kind = {
  name: "PostgreSQL",
  fresh: async () => await (server ??= await TestPostgres.start()).newDatabase(),
  sql: async (where, text) => {
    const { default: connect } = await loadPostgres();
    const client = connect(where, { max: 1, fetch_types: false, onnotice: () => {} });
    try {
      return [...await client.unsafe(text)];
    } finally {
      await client.end();
    }
  },
};

export const kinds: Kind[] = Deno.env.get("CNOSDB_TEST_ALL") ? [sqlite, postgres] : [sqlite];

Deno.test.beforeAll(async () => {
  sqlite.directory = await Deno.makeTempDir({ prefix: "cnosdb-migrate-ledger-" });
  if (kinds.includes(postgres)) server = await TestPostgres.start();
});
Deno.test.afterAll(async () => {
  await server?.stop();
  await Deno.remove(sqlite.directory, { recursive: true });
});

/** Tables t00000, t00001 … of a database. */
export const named = (database: string, count: number): TableName[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{ tenant: "cnosdb", database },
    table: `t${String(i).padStart(5, "0")}`,
  }));
