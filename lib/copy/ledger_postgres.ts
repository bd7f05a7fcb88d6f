/** The ledger of several workers: a PostgreSQL that all of them reach, whose clock their leases are measured by. */
import { loadPostgres } from "../cli/deps.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import type { LedgerOptions } from "./ledger.ts";
import { type Query, type Row, Store, type Value } from "./ledger_store.ts";

type Sql = ReturnType<Awaited<ReturnType<typeof loadPostgres>>["default"]>;

const connectSeconds = 10;

/** The codes of errors after which the connection is gone. */
const lost = /^(CONNECT|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|08|57P0|53300)/;
/** The codes of errors that pass: a lost connection, and two transactions that were in each other's way. */
const passing = new RegExp(`${lost.source}|^(40P01|40001)`);

const hints: [RegExp, string][] = [
  [/^28/, "user and password come from the URL, or PGUSER and PGPASSWORD."],
  [/^3D/, "make the database first: createdb NAME."],
  [/^(42501|3F)/, "its user must be allowed to make tables: GRANT CREATE ON SCHEMA …"],
  [/^(53100|58)/, "make room on its server and start again: it goes on where it stopped."],
  [passing, "is it running, and reachable from here? Start again: it goes on where it stopped."],
];

/**
 * @param url what it leaves out is taken from PGHOST, PGUSER, PGPASSWORD and so on
 * @throws {UsageError} where it is none
 */
export async function postgresStore(url: string, options: Required<LedgerOptions>): Promise<Store> {
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
      connection: { application_name: "copy_tables", default_transaction_read_only: options.readOnly },
    });
    return Object.assign(client, { sql });
  };
  try {
    return new PostgresStore(name, connect, options.leaseMs);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const hint = "in its password % @ : / ? # are written %25 %40 %3A %2F %3F %23.";
    throw new UsageError(`--ledger ${name}: is no URL`, hint);
  }
}

/** A connection. Once it is lost it is not used again: postgres 3.4.9 sometimes never answers after it connected again. */
interface Client {
  sql: Sql;
  isLost: boolean;
}

class PostgresStore extends Store {
  #client: Client;

  constructor(name: string, private readonly connect: () => Client, leaseMs: number) {
    super(name, false, {
      serial: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
      exists: "SELECT 1 AS there WHERE to_regclass('cnosdb_migrate_run') IS NOT NULL",
      lock: "SELECT pg_advisory_xact_lock(hashtext('cnosdb_migrate'))",
      expires: `clock_timestamp() + interval '${leaseMs} milliseconds'`,
      expired: "expires < clock_timestamp()",
      forUpdate: "FOR UPDATE",
      skipLocked: "FOR UPDATE SKIP LOCKED",
      hasWritingSubqueries: true,
      lockForClaim: "FOR UPDATE OF d SKIP LOCKED FOR KEY SHARE OF w",
    });
    this.#client = connect();
  }

  protected async run(text: string, values: readonly Value[]): Promise<Row[]> {
    if (this.#client.isLost) {
      await this.end();
      this.#client = this.connect();
    }
    return await this.#send(this.#client, text, values);
  }

  async #send(client: Client, text: string, values: readonly Value[]): Promise<Row[]> {
    try {
      return [...await client.sql.unsafe(text, [...values], { prepare: true })];
    } catch (error) {
      client.isLost ||= lost.test(codeOf(error));
      throw error;
    }
  }

  protected async begin(): Promise<Query> {
    await this.run("BEGIN", []);
    const client = this.#client;
    return async (text, values = []) => {
      if (!client.isLost) return await this.#send(client, text, values);
      throw Object.assign(new Error("the connection was lost"), { code: "CONNECTION_CLOSED" });
    };
  }

  protected isPassing(error: unknown): boolean {
    return passing.test(codeOf(error));
  }

  protected explain(error: unknown): unknown {
    const code = codeOf(error);
    if (!code) return error;
    const hint = hints.find(([pattern]) => pattern.test(code))?.[1];
    return new Failure(`ledger ${this.name}: ${messageOf(error)} (${code})`, hint, { cause: error });
  }

  protected end(): Promise<void> {
    return this.#client.sql.end({ timeout: this.#client.isLost ? 0 : connectSeconds });
  }
}

const codeOf = (error: unknown) => error instanceof Error && "code" in error ? String(error.code) : "";
