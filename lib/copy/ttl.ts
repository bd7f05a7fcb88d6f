/**
 * TTLs of databases: read as every version prints them, raised while expired rows are imported, set back when their tables are done.
 *
 * Whoever raises one writes it down, unconfirmed; sends ALTER; and writes it down again, confirmed. A worker may be suspended between
 * any two of these while others set back what it raised. So nobody removes an unconfirmed row of another: its ALTER may still
 * come. Whoever wakes writes its row again after the ALTER, and that row is found by whoever is done last, or by the next run.
 */
import { Failure, messageOf } from "../cli/errors.ts";
import { displayName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { quoteName, quoteText, type Row } from "../cnosdb/sql.ts";
import { parseDuration } from "../cnosdb/time.ts";
import type { Ledger, RaisedTtl, TtlRow } from "./ledger.ts";

/** What a TTL is raised to: every version takes it; 2.3 to 2.4.1 know no INF there. */
const raised = "100000d";
const raisedSeconds = 100_000 * 86_400;
/** After so long no suspended worker is waited for that wrote a row and has raised nothing. */
const graceMs = 86_400_000;

/** How long to try, also when the run itself has to stop: what was raised is to be set back. */
const patienceMs = 60_000;

/** The cluster where they are, which a `Cluster` is. `run` tries again what passes by itself. */
export interface TtlTarget {
  readonly url: string;
  /** three parts */
  readonly version: string;
  run(sql: string, options: { tenant: string }, trying: { signal: AbortSignal }): Promise<Row[]>;
}

const patience = () => ({ signal: AbortSignal.timeout(patienceMs) });

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
export async function readTtl(target: TtlTarget, tenant: string, database: string): Promise<number> {
  const sql = `SELECT ttl FROM information_schema.databases WHERE database_name = ${quoteText(database)}`;
  const ttl = (await target.run(sql, { tenant }, patience()))[0]?.ttl;
  if (typeof ttl !== "string") {
    throw new Failure(`${target.url} knows no database ${displayName(tenant, database)}`);
  }
  return parseTtl(ttl);
}

/** A TTL of the ledger, for the operator. */
export function describeTtl({ tenant, database, formerSeconds, isConfirmed }: TtlRow): string {
  const former = formerSeconds % 86_400 ? `${formerSeconds} s` : `${formerSeconds / 86_400}d`;
  const how = isConfirmed ? "raised" : "raised, or about to be,";
  return `the TTL of ${
    displayName(tenant, database)
  } is ${how} from ${former} to ${raised}, until its tables are done`;
}

/** The TTLs of the new cluster. */
export class Ttls {
  /** @param cluster the id of the cluster, by which the ledger knows it */
  constructor(
    private readonly target: TtlTarget,
    private readonly ledger: Ledger,
    private readonly cluster: string,
  ) {}

  /** Raises the TTL of a database, so that its expired rows can be imported. @throws {Failure} where it may not be */
  async raise(tenant: string, database: string): Promise<void> {
    const formerSeconds = await readTtl(this.target, tenant, database);
    if (formerSeconds >= raisedSeconds) return;
    const ttl = { cluster: this.cluster, tenant, database, formerSeconds };
    await this.ledger.writeTtl(ttl, false);
    try {
      await this.#set(ttl, raised);
    } catch (error) {
      // nothing was raised, and nothing will be
      if (/refused|cluster/.test(meaningOf(error))) await this.ledger.writeTtl(ttl, true);
      throw error;
    }
    await this.ledger.writeTtl(ttl, true);
  }

  /**
   * Sets back the TTLs whose databases have no table left to do or at work, by whomever they were raised. One that does not read as we
   * raised it was set by somebody else meanwhile, and stays.
   * @returns what could not be set back, each with the statement to run
   */
  async restore(): Promise<Failure[]> {
    const failures: Failure[] = [];
    const rows = await this.ledger.ttls(this.cluster);
    for (
      const [newest, ...others] of Map.groupBy(rows, (row) => JSON.stringify([row.tenant, row.database]))
        .values()
    ) {
      const { tenant, database, formerSeconds } = newest!;
      if (await this.ledger.isBusy(tenant, database)) continue;
      const former = formatTtl(formerSeconds, this.target.version);
      try {
        const was = await readTtl(this.target, tenant, database);
        if (was === raisedSeconds) {
          await this.#set(newest!, former);
          const seconds = await readTtl(this.target, tenant, database);
          if (seconds !== formerSeconds) {
            throw new Failure(`it was set to ${former} but reads as ${seconds} s`);
          }
        }
        // of one row alone it is known that its ALTER has come
        const isSpent = was === raisedSeconds && others.length === 0;
        for (const row of [newest!, ...others]) {
          if (row.isConfirmed || isSpent || row.ageMs > graceMs) await this.ledger.removeTtl(row);
        }
      } catch (error) {
        failures.push(
          new Failure(
            `the TTL of ${displayName(tenant, database)} is still raised: ${messageOf(error)}`,
            `run this again, or in tenant ${tenant}: ${setTtlSql(database, former)}`,
            { cause: error },
          ),
        );
      }
    }
    return failures;
  }

  /** Names the TTLs that wait for tables that are still to be done. */
  async waiting(): Promise<string[]> {
    return (await this.ledger.ttls(this.cluster)).map(describeTtl);
  }

  /** Names the TTLs that read as we raise them, whether this ledger knows of them or none does. */
  async raised(tenants: readonly string[]): Promise<string[]> {
    const rows = await this.ledger.ttls(this.cluster);
    const said: string[] = [];
    for (const tenant of tenants) {
      const sql = "SELECT database_name, ttl FROM information_schema.databases";
      for (const { database_name: database, ttl } of await this.target.run(sql, { tenant }, patience())) {
        if (parseTtl(String(ttl)) !== raisedSeconds) continue;
        const row = rows.find((row) => row.tenant === tenant && row.database === database);
        const unknown =
          `the TTL of ${displayName(tenant, String(database))} is ${raised}, as a copy raises it, ` +
          "and this ledger does not know of it: if a run with another ledger was killed, set it back";
        said.push(row ? describeTtl(row) : unknown);
      }
    }
    return said;
  }

  async #set({ tenant, database }: RaisedTtl, ttl: string): Promise<void> {
    await this.target.run(setTtlSql(database, ttl), { tenant }, patience());
  }
}

const setTtlSql = (database: string, ttl: string) =>
  `ALTER DATABASE ${quoteName(database)} SET TTL ${quoteText(ttl)}`;
