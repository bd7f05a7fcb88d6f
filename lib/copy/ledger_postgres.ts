/** A ledger in PostgreSQL: for workers on several machines, whose leases are measured by its clock. */
import { setTimeout as pause } from "node:timers/promises";
import { loadPostgres } from "../cli/deps.ts";

type Client = ReturnType<Awaited<ReturnType<typeof loadPostgres>>["default"]>;

const connectSeconds = 10;
/** How long what passes by itself is tried again: a server that is restarted. */
const patienceMs = 60_000;
/** The codes of what passes: a lost connection, and two statements that were in each other's way. */
const passing = /^(CONNECT|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|08|57P0|53300|40|23505)/;

/** Connects; what the URL leaves out is taken from PGHOST, PGUSER, PGPASSWORD and so on. Throws what the server and the network say. */
export async function postgresStore(url: string, readOnly: boolean) {
  const { default: postgres } = await loadPostgres();
  let client: Client | undefined;
  // A connection that is lost is not used again: postgres 3.4.9 sometimes never answers after it connected again.
  const drop = (lost: Client) => {
    if (client === lost) client = undefined;
    lost.end({ timeout: 0 }).catch(() => {});
  };
  const connect = () => {
    const made: Client = postgres(url, {
      max: 1,
      connect_timeout: connectSeconds,
      fetch_types: false,
      onnotice: () => {},
      onclose: () => drop(made),
      types: { bigint: { to: 20, from: [20], serialize: String, parse: Number } },
      connection: { application_name: "copy_tables", default_transaction_read_only: readOnly },
    });
    return client = made;
  };
  // before anything is tried again: a wrong host or password is told at once
  await connect()`SELECT 1`;
  return {
    tables: `SELECT relname AS name FROM pg_class
      WHERE relkind = 'r' AND relname LIKE 'cnosdb_migrate_%' AND pg_table_is_visible(oid)`,
    now: "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)",
    // as text, since the client would make JSON of a parameter that is JSON
    items: "json_array_elements(CAST(CAST(? AS TEXT) AS JSON)) AS _(value)",
    share: undefined,
    run: async (text: string, values: (string | number)[] = []) => {
      let n = 0;
      const numbered = text.replaceAll("?", () => `$${++n}`);
      const giveUpMs = performance.now() + patienceMs;
      for (let pauseMs = 100;; pauseMs = Math.min(2 * pauseMs, 5000)) {
        const used = client ?? connect();
        try {
          return [...await used.unsafe(numbered, values, { prepare: true })];
        } catch (error) {
          const code = error instanceof Error && "code" in error ? String(error.code) : "";
          if (!passing.test(code) || performance.now() + pauseMs > giveUpMs) throw error;
          drop(used);
        }
        await pause(pauseMs);
      }
    },
    close: async () => await client?.end({ timeout: connectSeconds }),
  };
}
