/** A ledger in PostgreSQL: for workers on several machines. Its clock measures their leases. */
import { setTimeout as pause } from "node:timers/promises";
import { loadPostgres } from "../cli/deps.ts";

type Client = ReturnType<Awaited<ReturnType<typeof loadPostgres>>["default"]>;

/** Error codes of what passes: lost connections, restarts, statements in each other's way (42: CREATE …). */
const passes = /^(CONNECT|E(CONN|PIPE|TIMEDOUT|(HOST|NET)UNREACH|AI_AGAIN)|08|57P0|533|40|23505|42(710|P07))/;

/** Connects; PGHOST, PGUSER, PGPASSWORD and so on stand in for what the URL leaves out. See `sqliteStore`. */
export async function postgresStore(url: string, readOnly: boolean) {
  const { default: postgres } = await loadPostgres();
  const options = { max: 1, connect_timeout: 10, fetch_types: false, onnotice: () => {} };
  const connection = { application_name: "copy_tables", default_transaction_read_only: readOnly };
  let client: Client | undefined;
  const connect = (): Client => {
    const made: Client = postgres(url, { ...options, connection, onclose: () => drop(made) });
    return client = made;
  };
  // A client is dropped with its connection: postgres 3.4.9 sometimes never answers after it reconnected.
  const drop = (lost: Client) => {
    if (client === lost) client = undefined;
    lost.end({ timeout: 0 }).catch(() => {});
  };
  // without retries, so that a wrong host or password is reported at once
  await connect()`SELECT 1`;
  return {
    tables: `SELECT relname AS name FROM pg_class
      WHERE relkind = 'r' AND relname LIKE 'cnosdb_migrate_%' AND pg_table_is_visible(oid)`,
    now: "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)",
    // as text, since the client would encode a JSON parameter as JSON once more
    items: "json_array_elements(CAST(CAST($1 AS TEXT) AS JSON)) AS _(value)",
    share: undefined,
    run: async (text: string, values: (string | number)[] = []): Promise<Record<string, unknown>[]> => {
      for (const giveUpMs = performance.now() + 60_000;; await pause(250)) {
        const used = client ?? connect();
        try {
          return [...await used.unsafe(text, values, { prepare: true })];
        } catch (error) {
          const code = error instanceof Error && "code" in error ? String(error.code) : "";
          if (!passes.test(code) || performance.now() > giveUpMs) throw error;
          drop(used);
        }
      }
    },
    close: async () => await client?.end({ timeout: 10 }),
  };
}
