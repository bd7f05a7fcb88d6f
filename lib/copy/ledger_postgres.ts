/** A ledger in PostgreSQL: for workers on several machines, whose leases are measured by its clock. */
import { loadPostgres } from "../cli/deps.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { Sql, sql, type Store } from "./ledger_store.ts";

type PostgresSql = ReturnType<Awaited<ReturnType<typeof loadPostgres>>["default"]>;

const connectSeconds = 10;
/** How long what passes by itself is tried again: a server that is restarted. */
const patienceMs = 60_000;

/** The codes of errors after which the connection is gone. */
const lost = /^(CONNECT|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|08|57P0|53300)/;
/** The codes of errors that pass: a lost connection, and two statements that were in each other's way. */
const passing = new RegExp(`${lost.source}|^(40P01|40001)`);

const hints: [RegExp, string][] = [
  [/^28/, "user and password come from the URL, or PGUSER and PGPASSWORD."],
  [/^3D/, "make the database first: createdb NAME."],
  [/^(42501|3F)/, "its user must be allowed to make tables: GRANT CREATE ON SCHEMA …"],
  [/^(53100|58)/, "make room on its server and start again: it goes on where it stopped."],
  [passing, "is it running, and reachable from here? Start again: it goes on where it stopped."],
];

/** @param url what it leaves out is taken from PGHOST, PGUSER, PGPASSWORD and so on @throws {UsageError} where it is none */
export async function postgresStore(url: string, readOnly: boolean): Promise<Store> {
  // up to the last @, as a password may hold one; so may the parameters
  const name = url.replace(/\/\/.*@/s, "//").replace(/\?.*/s, "");
  const { default: postgres } = await loadPostgres();
  const connect = (): Client => {
    const client = { isLost: false };
    const sql = postgres(url, {
      max: 1,
      connect_timeout: connectSeconds,
      fetch_types: false,
      onnotice: () => {},
      onclose: () => client.isLost = true,
      types: { bigint: { to: 20, from: [20], serialize: String, parse: Number } },
      connection: { application_name: "copy_tables", default_transaction_read_only: readOnly },
    });
    return Object.assign(client, { sql });
  };
  try {
    return new PostgresStore(name, connect);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const hint = "in its password % @ : / ? # are written %25 %40 %3A %2F %3F %23.";
    throw new UsageError(`--ledger ${name}: is no URL`, hint);
  }
}

/** A connection. Once it is lost it is not used again: postgres 3.4.9 sometimes never answers after it connected again. */
interface Client {
  sql: PostgresSql;
  isLost: boolean;
}

class PostgresStore implements Store {
  readonly isAlone = false;
  readonly now = new Sql("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)");
  readonly tables = new Sql(`SELECT relname AS name FROM pg_class
    WHERE relkind = 'r' AND relname LIKE 'cnosdb_migrate_%' AND pg_table_is_visible(oid)`);
  readonly skipLocked = new Sql("FOR UPDATE SKIP LOCKED");
  #client: Client;
  /** nothing is tried again before a first answer: a wrong host or password is told at once */
  #hasAnswered = false;

  constructor(readonly name: string, private readonly connect: () => Client) {
    this.#client = connect();
  }

  async opened(): Promise<void> {}

  items(json: string): Sql {
    // as text, since the client would make JSON of a parameter that is JSON
    return sql`json_array_elements(CAST(CAST(${json} AS TEXT) AS JSON)) AS _(value)`;
  }

  async run<T>({ text, values }: Sql): Promise<T[]> {
    let n = 0;
    const numbered = text.replaceAll("?", () => `$${++n}`);
    return [...await this.#send((client) => client.unsafe(numbered, [...values], { prepare: true }))] as T[];
  }

  /** A server syncs as it is set up to. */
  sync(): void {}

  async script(text: string): Promise<void> {
    // without parameters it is one message and one transaction
    await this.#send((client) =>
      client.unsafe(`SELECT pg_advisory_xact_lock(hashtext('cnosdb_migrate'));${text}`)
    );
  }

  async #send<T>(work: (sql: PostgresSql) => PromiseLike<T>): Promise<T> {
    const giveUpMs = performance.now() + (this.#hasAnswered ? patienceMs : 0);
    for (let pauseMs = 100;; pauseMs = Math.min(2 * pauseMs, 5000)) {
      if (this.#client.isLost) {
        this.#client.sql.end({ timeout: 0 }).catch(() => {});
        this.#client = this.connect();
      }
      const client = this.#client;
      try {
        const answer = await work(client.sql);
        this.#hasAnswered = true;
        return answer;
      } catch (error) {
        const code = error instanceof Error && "code" in error ? String(error.code) : "";
        client.isLost ||= lost.test(code);
        if (!passing.test(code) || performance.now() + pauseMs > giveUpMs) throw this.#explain(error, code);
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  #explain(error: unknown, code: string): unknown {
    if (!code) return error;
    const hint = hints.find(([pattern]) => pattern.test(code))?.[1];
    return new Failure(`ledger ${this.name}: ${messageOf(error)} (${code})`, hint, { cause: error });
  }

  async close(): Promise<void> {
    await this.#client.sql.end({ timeout: this.#client.isLost ? 0 : connectSeconds });
  }
}
