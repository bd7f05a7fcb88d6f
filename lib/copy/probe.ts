/** What is asked before the first table moves: can both sides reach the stage? */
import { Failure, messageOf } from "../cli/errors.ts";
import { SqlError } from "../cnosdb/sql.ts";
import { freshDirectory, type Stage } from "../stage/stage.ts";
import type { Cluster } from "./cluster.ts";
import { ClusterTrouble } from "./trouble.ts";
import { probeSql, readCopied } from "./statements.ts";

/**
 * Has a side write one row to the stage, into a directory that is never imported.
 * @param tenant one in which our user may work
 * @throws {Failure} saying what to do where it cannot
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
    const rows = readCopied(
      await cluster.run(probeSql(where, connection), { tenant }, { signal, patienceMs: 30_000 }),
    );
    if (rows !== 1) throw new Failure(`a probe of 1 row wrote ${rows} to ${where}`);
  } catch (error) {
    const refusal = error instanceof Failure && !(error instanceof SqlError) ? error.cause : error;
    if (error instanceof ClusterTrouble || !(refusal instanceof SqlError)) throw error;
    throw new Failure(
      `the ${cluster.role}, ${cluster.url}, cannot write to the stage ${
        address === undefined ? where : `that this script serves at http://${address}`
      }: ${refusal.serverMessage || messageOf(refusal)}`,
      address === undefined
        ? "its directory must be there and writable for the user that the database runs as; for a storage see --connection."
        : "give an address of this machine that the cluster's nodes reach by --serve-address HOST:PORT, and open that port in the firewall.",
    );
  } finally {
    await stage.remove(directory);
  }
}
