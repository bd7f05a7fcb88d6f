/**
 * TTLs of databases: raised while expired rows are imported, restored when their tables are done. A raised TTL
 * shows what it was before: it is longer by a time that nobody would choose. So any later run can restore it,
 * even if the process that raised it and its ledger are gone, and a TTL that the operator sets meanwhile is
 * recognized, and kept. The ledger notes where to look during a run, and for `--status`.
 */
import { Failure, messageOf } from "../cli/errors.ts";
import { displayName } from "../cnosdb/names.ts";
import { quoteName, quoteText } from "../cnosdb/sql.ts";
import { parseDuration } from "../cnosdb/time.ts";
import type { Cluster, Trying } from "./cluster.ts";
import type { Ledger, RaisedTtl } from "./ledger.ts";

/**
 * By how much a TTL is raised: enough for any row, and to what no operator would choose, as it is no whole
 * number of hours. 2.4.0, 2.4.2 and 2.4.3 take and show it unchanged (100000 days, too); 2.4.0 takes no INF.
 */
const addedSeconds = 60_000 * 86_400 + 17 * 60;
const longestSeconds = 40_000 * 86_400 - 17 * 60;

/** Retries for a minute, also when the run itself has to stop: what was raised is to be set back. */
const trying: Trying = { signal: new AbortController().signal, patienceMs: 60_000 };

/** Tests stand in for a cluster. */
export type TtlTarget = Pick<Cluster, "url" | "run">;

/** The seconds of a TTL in `information_schema.databases`, Infinity for INF. @throws {Failure} */
export function parseTtl(text: string): number {
  const seconds = text.trim().toUpperCase() === "INF" ? Infinity : parseDuration(text);
  if (seconds === undefined) throw new Failure(`the TTL ${JSON.stringify(text)} cannot be read`);
  return seconds;
}

/** A TTL as `ALTER DATABASE … SET TTL` takes it: one number of d, h, m or s; s only from 2.4.2 on. */
export function formatTtl(seconds: number): string {
  const units = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]] as const;
  const [unit, size] = units.find(([, size]) => seconds % size === 0)!;
  return `${seconds / size}${unit}`;
}

/** What a raised TTL was before, in seconds; undefined if it is not raised. */
function formerOf(seconds: number): number | undefined {
  const former = seconds - addedSeconds;
  return former >= 0 && former <= longestSeconds && seconds % 3600 !== 0 ? former : undefined;
}

/** The TTLs of a tenant's databases, in seconds. */
async function readTtls(target: TtlTarget, tenant: string): Promise<Map<string, number>> {
  const sql = "SELECT database_name, ttl FROM information_schema.databases";
  const rows = await target.run(sql, { tenant }, trying);
  return new Map(rows.map(({ database_name, ttl }) => [String(database_name), parseTtl(String(ttl))]));
}

/** The TTL of a database, in seconds. @throws {Failure} if the cluster has no such database */
export async function readTtl(target: TtlTarget, tenant: string, database: string): Promise<number> {
  const seconds = (await readTtls(target, tenant)).get(database);
  if (seconds !== undefined) return seconds;
  throw new Failure(`${target.url} knows no database ${displayName(tenant, database)}`);
}

const alterSql = (database: string, seconds: number) =>
  `ALTER DATABASE ${quoteName(database)} SET TTL ${quoteText(formatTtl(seconds))}`;

/** A raised TTL, for the operator. */
export function describeTtl({ tenant, database, formerSeconds }: RaisedTtl): string {
  const name = displayName(tenant, database);
  return `the TTL of ${name} is raised from ${formatTtl(formerSeconds)}, until its tables are done`;
}

/** The TTLs of the new cluster. */
export class Ttls {
  constructor(private readonly target: TtlTarget, private readonly ledger: Ledger) {}

  /** Raises the TTL of a database, so that its expired rows can be imported. @throws {Failure} */
  async raise(tenant: string, database: string): Promise<void> {
    const formerSeconds = await readTtl(this.target, tenant, database);
    // raised already, or one that would not look raised then
    if (formerOf(formerSeconds + addedSeconds) === undefined) return;
    const ttl = { cluster: this.target.url, tenant, database, formerSeconds };
    await this.ledger.writeTtl(ttl);
    await this.target.run(alterSql(database, formerSeconds + addedSeconds), { tenant }, trying);
    // another worker may have removed the note before there was anything to set back
    await this.ledger.writeTtl(ttl);
  }

  /**
   * Restores the TTLs of databases without a table left to do or at work, whichever worker raised them. One
   * that does not look raised was set by somebody else meanwhile, and is kept.
   * @returns what could not be restored, each with the statement to run
   */
  async restore(): Promise<Failure[]> {
    const failures: Failure[] = [];
    for (const ttl of await this.noted()) {
      const { tenant, database } = ttl;
      if (await this.ledger.isBusy(tenant, database)) continue;
      try {
        const former = formerOf(await readTtl(this.target, tenant, database));
        if (former !== undefined) await this.target.run(alterSql(database, former), { tenant }, trying);
        await this.ledger.removeTtl(ttl);
        if (former === undefined) continue;
        // checked last, as a worker may have raised it just now, and its note is removed
        const now = await readTtl(this.target, tenant, database);
        if (now !== former) throw new Failure(`it was set to ${former} s but reads as ${now} s`);
      } catch (error) {
        await this.ledger.writeTtl(ttl);
        const what = `the TTL of ${displayName(tenant, database)} is still raised: ${messageOf(error)}`;
        const hint = `run this again, or in tenant ${tenant}: ${alterSql(database, ttl.formerSeconds)}`;
        failures.push(new Failure(what, hint, { cause: error }));
      }
    }
    return failures;
  }

  /** The TTLs of this cluster that may be raised. */
  async noted(): Promise<RaisedTtl[]> {
    return (await this.ledger.ttls()).filter(({ cluster }) => cluster === this.target.url);
  }

  /** Finds the TTLs that are raised, also those that no ledger knows of, and notes them to be restored. */
  async find(tenants: readonly string[]): Promise<RaisedTtl[]> {
    const found: RaisedTtl[] = [];
    for (const tenant of tenants) {
      for (const [database, seconds] of await readTtls(this.target, tenant)) {
        const formerSeconds = formerOf(seconds);
        if (formerSeconds === undefined) continue;
        const ttl = { cluster: this.target.url, tenant, database, formerSeconds };
        await this.ledger.writeTtl(ttl);
        found.push(ttl);
      }
    }
    return found;
  }
}
