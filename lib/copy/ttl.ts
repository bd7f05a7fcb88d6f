/** TTLs of databases: read as every version prints them, raised while expired rows are imported, set back and read back. */
import { Failure, messageOf } from "../cli/errors.ts";
import { retry } from "../cnosdb/http.ts";
import { displayName } from "../dump/key.ts";
import type { Ledger, RaisedTtl } from "./ledger.ts";
import { type Side, troubleOf } from "./side.ts";
import { quoteName, quoteText } from "../cnosdb/sql.ts";
import { parseDuration } from "../cnosdb/time.ts";

/** Taken by every version; 2.3 to 2.4.1 know no INF there. */
const raised = "100000d";

/** A TTL in seconds from `information_schema.databases`, Infinity for INF. @throws {Failure} where it is none */
export function parseTtl(text: string): number {
  const seconds = text.trim().toUpperCase() === "INF" ? Infinity : parseDuration(text);
  if (seconds === undefined) throw new Failure(`the TTL ${JSON.stringify(text)} cannot be read`);
  return seconds;
}

/**
 * A TTL as `ALTER DATABASE … SET TTL` takes it: one number of d, h or m up to 2.4.1, seconds or INF from 2.4.2.
 * @param version three parts
 * @throws {Failure} where that version cannot be told it
 */
export function formatTtl(seconds: number, version: string): string {
  if (/^2\.(4\.([2-9]|\d\d)|[5-9])/.test(version)) return seconds === Infinity ? "INF" : `${seconds}s`;
  for (const [unit, size] of [["d", 86_400], ["h", 3600], ["m", 60]] as const) {
    if (seconds % size === 0) return `${seconds / size}${unit}`;
  }
  throw new Failure(`CnosDB ${version} takes no TTL of ${seconds === Infinity ? "INF" : `${seconds} s`}`);
}

/** The TTL of a database, in seconds. */
export async function readTtl(side: Side, tenant: string, database: string): Promise<number> {
  const sql = `SELECT ttl FROM information_schema.databases WHERE database_name = ${quoteText(database)}`;
  const ttl = (await side.run(sql, { tenant }))[0]?.ttl;
  if (typeof ttl !== "string") {
    throw new Failure(`${side.url} knows no database ${displayName(tenant, database)}`);
  }
  return parseTtl(ttl);
}

/** The statement that sets a TTL, to be run in its tenant. */
export function setTtlSql({ database, former }: Pick<RaisedTtl, "database" | "former">): string {
  return `ALTER DATABASE ${quoteName(database)} SET TTL ${quoteText(former)}`;
}

/** Raises TTLs on the new cluster and sets them back, each in the ledger first. */
export class Ttls {
  /** what is being done to a database's TTL, one thing after another */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor(private readonly side: Side, private readonly ledger: Ledger) {}

  /**
   * Raises the TTL of a database, so that its expired rows can be imported. For a worker that holds a table of it.
   * @throws {Failure} where it may not be, for a tenant's limiter or for want of a privilege
   */
  raise(tenant: string, database: string): Promise<void> {
    return this.#inTurn(tenant, database, async () => {
      const seconds = await readTtl(this.side, tenant, database);
      if (seconds >= parseTtl(raised)) return;
      await this.ledger.raiseTtl({ tenant, database, former: formatTtl(seconds, this.side.version) });
      await this.side.run(setTtlSql({ database, former: raised }), { tenant });
    });
  }

  /**
   * Sets back the TTLs that are in the ledger and whose databases nobody works on, this run or another worker.
   * @param free whether nothing is left to be imported there
   * @returns what could not be set back: an error for the operator each, with the statement to run
   */
  async settle(free: (ttl: RaisedTtl) => boolean): Promise<Failure[]> {
    const failures: Failure[] = [];
    for (const ttl of (await this.ledger.ttlsRaised()).filter(free)) {
      await this.#inTurn(ttl.tenant, ttl.database, () => this.ledger.ttlReset(ttl, () => this.#setBack(ttl)))
        .catch((error) => {
          failures.push(
            new Failure(
              `the TTL of ${displayName(ttl.tenant, ttl.database)} is still raised: ${messageOf(error)}`,
              `it is in the ledger, so run this again; or by hand, in tenant ${ttl.tenant}: ${
                setTtlSql(ttl)
              }`,
            ),
          );
        });
    }
    return failures;
  }

  async #setBack({ tenant, database, former }: RaisedTtl): Promise<void> {
    const again = (error: unknown) => /^(wait|unknown)$/.test(troubleOf(error));
    const seconds = await retry(
      async () => {
        await this.side.run(setTtlSql({ database, former }), { tenant });
        return await readTtl(this.side, tenant, database);
      },
      again,
      new AbortController().signal,
    );
    if (seconds !== parseTtl(former)) {
      throw new Failure(`it was set to ${former} but reads back as ${seconds} s`);
    }
  }

  #inTurn<T>(tenant: string, database: string, action: () => Promise<T>): Promise<T> {
    const key = `${tenant}/${database}`;
    const turn = (this.#busy.get(key) ?? Promise.resolve()).then(action);
    this.#busy.set(key, turn.catch(() => {}));
    return turn;
  }
}
