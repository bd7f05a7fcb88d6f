/** Rows on their way through the stage: exported from the source, imported into the target. */
import { Failure, messageOf } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { SqlError } from "../cnosdb/sql.ts";
import { freshDirectory, type Stage } from "../stage/stage.ts";
import type { Cluster } from "./cluster.ts";
import type { Comparison } from "./compare.ts";
import type { Hold } from "./schedule.ts";
import { exportSql, importSql, probeSql, readCopied } from "./statements.ts";
import { GivenUp } from "./trouble.ts";
import type { Window } from "./windows.ts";

/** What rows move between. */
export interface Route extends Pick<Comparison, "source" | "target"> {
  readonly stage?: Stage | undefined;
  /** raises the TTL of a table's database; undefined if rows older than the TTL are left out */
  readonly raiseTtl?: ((name: TableName) => Promise<void>) | undefined;
}

/**
 * Exports a window of a table into a directory of its own.
 * @param hold is given the size of what was written
 */
export async function exportWindow(
  { source, stage }: Route,
  name: TableName,
  window: Window,
  hold: Hold,
): Promise<{ directory: string; rows: number }> {
  return await source!.inTurn(name, "export", async (query) => {
    const directory = freshDirectory(name);
    try {
      const sql = exportSql(name, window, stage!.source.url(directory), stage!.source.connection);
      const rows = readCopied(await query(sql));
      hold.bytes = rows ? await stage!.bytes(directory) ?? hold.bytes : 0;
      return { directory, rows };
    } catch (error) {
      // The statement may still be running: the stage refuses what it writes from now on.
      await stage!.remove(directory);
      throw error;
    }
  }, hold);
}

/**
 * Imports what was exported, after raising the TTL if the rows are older.
 * @returns how many rows the target says it took
 */
export async function importDirectory(
  { target, stage, raiseTtl }: Route,
  name: TableName,
  directory: string,
): Promise<number> {
  const sql = importSql(name, stage!.target.url(directory), stage!.target.connection);
  const importOnce = () =>
    target!.inTurn(name, "import", async (query) => {
      const startMs = performance.now();
      // only a served stage sees when it was read last
      const lastReadMs = () => Math.max(startMs, stage!.lastReadMs?.(directory) ?? Infinity);
      return readCopied(await query(sql, () => performance.now() - lastReadMs()));
    });
  try {
    return await importOnce();
  } catch (error) {
    if (meaningOf(error) !== "expired" || !raiseTtl) throw error;
  }
  await raiseTtl(name);
  return await importOnce();
}

/**
 * Has a cluster write one row to the stage, into a directory that is never imported.
 * @param tenant one in which our user may work
 * @throws {Failure} if it cannot, saying what to do
 */
export async function probeStage(
  stage: Stage,
  cluster: Cluster,
  tenant: string,
  signal: AbortSignal,
): Promise<void> {
  const directory = freshDirectory({ tenant: "probe", database: "of", table: "stage" });
  const { address, connection, url } = stage[cluster.role];
  const where = url(directory);
  try {
    const answer = await cluster.run(probeSql(where, connection), { tenant }, { signal, patienceMs: 30_000 });
    const rows = readCopied(answer);
    if (rows !== 1) throw new Failure(`a probe of 1 row wrote ${rows} to ${where}`);
  } catch (error) {
    const refusal = error instanceof GivenUp ? error.cause : error;
    if (!(refusal instanceof SqlError)) throw error;
    const what = address === undefined ? where : `that this script serves at http://${address}`;
    throw new Failure(
      `the ${cluster.role}, ${cluster.url}, cannot write to the stage ${what}: ` +
        (refusal.serverMessage || messageOf(refusal)),
      address === undefined
        ? "its directory must be there and writable for the user that the database runs as; for a storage see --connection."
        : "give an address of this machine that the cluster's nodes reach by --serve-address HOST:PORT, and open that port in the firewall.",
    );
  } finally {
    await stage.remove(directory);
  }
}
