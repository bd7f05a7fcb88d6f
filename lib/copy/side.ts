/** One of the two clusters of a copy: how statements are sent to its data node, and what its refusals mean. */
import { Failure, messageOf } from "../cli/errors.ts";
import { type Endpoint, NoAnswer } from "../cnosdb/http.ts";
import { type QueryOptions, type Row, SqlClient, SqlError } from "../cnosdb/sql.ts";

/** So many pings in a row may fail before a data node is taken for dead: one that imports may be slow to answer. */
const deadPings = 10;

/** The old or the new cluster. */
export class Side {
  /** three parts, known after `check` */
  version = "";
  /** how often its node is pinged while a statement runs there */
  pingEveryMs = 30_000;

  constructor(readonly role: "old" | "new", readonly endpoint: Endpoint, readonly ca?: string) {}

  get url(): string {
    return this.endpoint.url;
  }

  /**
   * Runs one statement, once and for as long as it takes. A node that answers no ping any more while it should be at
   * work is given up.
   * @param signal stops waiting for it; the statement's outcome is unknown then
   * @throws {SqlError} refused @throws {NoAnswer}
   */
  async run(sql: string, options: QueryOptions, signal?: AbortSignal): Promise<Row[]> {
    const controller = new AbortController();
    const stop = () => controller.abort(signal?.reason);
    signal?.addEventListener("abort", stop);
    let failed = 0;
    const timer = setInterval(() => {
      this.#client(controller.signal).version(10_000).then(() => failed = 0, (error) => {
        if (++failed < deadPings) return;
        const reason = `${this.url} answered none of ${failed} pings while a statement ran: ${
          messageOf(error)
        }`;
        controller.abort(new NoAnswer(reason, true));
      });
    }, this.pingEveryMs);
    try {
      if (signal?.aborted) stop();
      return await this.#client(controller.signal).query(sql, options);
    } finally {
      clearInterval(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** The rows of a query as they come. */
  rows(sql: string, options: QueryOptions, signal: AbortSignal): AsyncGenerator<Row> {
    return this.#client(signal).rows(sql, options);
  }

  /** Asks the version and remembers it. @throws {Failure} naming the side where it is none that can be copied from or to */
  async checkVersion(signal: AbortSignal): Promise<void> {
    this.version = await this.#client(signal).version();
    const fits = this.role === "old" ? /^2\.[34]\./ : /^2\.4\./;
    if (!fits.test(this.version)) {
      const expected = this.role === "old" ? "2.3 or 2.4" : "2.4";
      throw new Failure(
        `the ${this.role} cluster, ${this.url}, is CnosDB ${this.version}; expected ${expected}`,
        "are --from and --to the right way round?",
      );
    }
  }

  /** Checks that our user may work in a tenant. @throws {Failure} saying what to do */
  async checkTenant(tenant: string, signal: AbortSignal): Promise<void> {
    try {
      await this.run("SELECT 1", { tenant, timeoutMs: 30_000 }, signal);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      const user = this.endpoint.user ?? "root";
      const told = error.serverMessage || `status ${error.status}`;
      const where =
        `the ${this.role} cluster, ${this.url}, does not let ${user} work in tenant ${tenant}: ${told}`;
      const flag = this.role === "old" ? "--from" : "--to";
      throw new Failure(
        where,
        /change password/.test(told)
          ? `this user has to change its password first: ALTER USER "${user}" SET PASSWORD = '…', as itself.`
          : /denied|password|user .* not found/i.test(told)
          ? `give user and password in ${flag} http://USER:PASSWORD@…, or in CNOSDB_USER and CNOSDB_PASSWORD.`
          : `make it a member of that tenant, take another user in ${flag}, or leave the tenant's tables out.`,
      );
    }
  }

  #client(signal: AbortSignal): SqlClient {
    return new SqlClient(this.endpoint, signal, this.ca);
  }
}

/**
 * What a statement's failure asks for: `wait` and send it again, as nothing happened and the server has too much to do or is
 * away; `unknown`: it may have run, so it is done again from a clean start; `expired`: rows are older than the TTL allows;
 * `refused`: a repeat would be refused again.
 */
export type Trouble = "wait" | "unknown" | "expired" | "refused";

/** `max is` comes with limits on how many things there may be, which do not refill. */
const overload =
  /reached limit(?!, max is)|request limit exceeded|memory exhausted|resources exhausted|failed to allocate|no space left|507|insufficient.?storage/i;
const passing =
  /Generic (S3|GCS|MicrosoftAzure) error|only exec in leader|request timeout|transport error|tcp connect/i;

/** What a failure asks for, by what real servers say (recorded answers, and CnosDB's source where none is recorded). */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof NoAnswer) return error.sent ? "unknown" : "wait";
  if (!(error instanceof SqlError)) return "refused";
  if (/expired (bucket|time)/i.test(error.serverMessage)) return "expired";
  if (overload.test(error.serverMessage) || error.status === 429 || error.status === 503) return "wait";
  return error.status >= 500 || passing.test(error.serverMessage) ? "unknown" : "refused";
}
