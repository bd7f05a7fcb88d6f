/** What is asked before the first table moves: are these two clusters, and can both reach the stage? */
import { lookup } from "node:dns/promises";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import type { Side } from "./side.ts";
import { SqlError } from "../cnosdb/sql.ts";
import { freshDirectory, type Stage } from "../stage/stage.ts";
import { probeSql, rowsOf } from "./table.ts";

/**
 * Refuses one cluster as both sides. Clusters of different versions are two; else their addresses are compared.
 * @throws {UsageError}
 */
export async function checkTwoClusters(from: Side, to: Side): Promise<void> {
  if (from.version !== to.version) return;
  const addressOf = async (side: Side) => {
    const { hostname, host } = new URL(side.url);
    const { address } = await lookup(hostname.replace(/^\[|\]$/g, ""), { family: 0 });
    return `${address === "::1" ? "127.0.0.1" : address}${host.slice(hostname.length)}`;
  };
  if (await addressOf(from) !== await addressOf(to)) return;
  throw new UsageError(`--from and --to are the same cluster: ${from.url} and ${to.url}`);
}

/**
 * Has each side write one row to the stage. What it writes lies beside the tables' directories and is never imported.
 * @param tenant one in which our user may work on both sides
 * @throws {Failure} naming the side that cannot, and what to do
 */
export async function checkStage(
  stage: Stage,
  sides: { from?: Side | undefined; to?: Side | undefined },
  tenant: string,
  signal: AbortSignal,
): Promise<void> {
  const name = { tenant: "probe", database: "of", table: "stage" };
  const probe = async (side: Side, url: (directory: string) => string, connection: string) => {
    const directory = freshDirectory(name);
    const where = url(directory);
    try {
      const rows = rowsOf(await side.run(probeSql(where, connection), { tenant }, signal), name);
      if (rows !== 1) throw new Failure(`a probe of 1 row wrote ${rows}`);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      const served = /endpoint_url = '([^']*)'/.exec(connection)?.[1];
      throw new Failure(
        `the ${side.role} cluster, ${side.url}, cannot write to the stage ${
          stage.durable ? where : `that this script serves at ${served}`
        }: ${error.serverMessage || messageOf(error)}`,
        stage.durable
          ? "its directory must be there and writable for the user that the database runs as; for a storage see --connection."
          : "give an address of this machine that the cluster's nodes reach by --serve-address HOST:PORT, and open that port in the firewall.",
      );
    } finally {
      await stage.remove(directory);
    }
  };
  if (sides.from) await probe(sides.from, (directory) => stage.exportUrl(directory), stage.exportConnection);
  if (sides.to) await probe(sides.to, (directory) => stage.importUrl(directory), stage.importConnection);
}
