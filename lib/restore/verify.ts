/** What a target makes of what was restored: the stores of its nodes, the lists that it parses, and SQL. */
import { atOnce } from "../cli/deps.ts";
import { Difference, Failure, messageOf } from "../cli/errors.ts";
import { someOf } from "../cli/text.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { Transient } from "../cnosdb/http.ts";
import type { MetaClient } from "../cnosdb/meta.ts";
import { caughtUp } from "../cnosdb/meta_nodes.ts";
import { displayName } from "../cnosdb/names.ts";
import type { SqlClient } from "../cnosdb/sql.ts";
import { isUnlisted } from "../dump/key.ts";
import type { Entry } from "../dump/text.ts";
import {
  differences,
  type Item,
  readItems,
  type RestoreOptions,
  type Target,
  tenantCommand,
  tenantOf,
  unreadable,
} from "./target.ts";
import { write } from "./write.ts";

/**
 * Reads back what was restored. Writes what a node lacks once more.
 * @throws {Difference} if the target is not as it should be
 * @throws {Failure} if no meta node can be read
 */
export async function verify(target: Target, items: readonly Item[], options: RestoreOptions): Promise<void> {
  const { meta, sql } = target;
  const { say, signal } = options;
  const waitMs = Math.min(options.timeoutMs, 15_000);
  const fail = (error: unknown) => {
    throw new Failure(
      `all is written, but no meta node could be read back: ${failureOf(error, signal)}`,
      "run the same command again once they answer: it reads everything back.",
    );
  };
  let stores = await compareStores(meta, items, waitMs).catch(fail);
  if (stores.wrong.size) {
    say(`written again: ${someOf([...stores.wrong.values()], 20, "\n  ")}`);
    await write(meta, [...stores.wrong.keys()], options);
    stores = await compareStores(meta, items, waitMs).catch(fail);
  }
  if (stores.unread.length) {
    const again =
      "run the same command again with all of them up and given: it writes what one of them lacks";
    say(`warning: not every meta node was read back: ${stores.unread.join("; ")}; ${again}`);
  }
  const { findings, count } = await readLists(target, stores.nodes, stores.entries).catch(fail);
  const unlisted = sql
    ? await listBySql(sql, items, meta)
      .catch((error) => [`SQL cannot list what was restored: ${failureOf(error, signal)}`])
    : [];
  const all = [...stores.wrong.values(), ...findings, ...unlisted];
  if (all.length) {
    throw new Difference(
      `all is written, but ${all.length} thing(s) do not read back as they should:\n  ${
        someOf(all, 20, "\n  ")
      }`,
      "run the same command again: it writes what is missing on any meta node. Do not restart the target before " +
        "this is mended; nothing is passed on to copy_tables.",
    );
  }
  const lists = `${count} lists of /read${sql ? ", and SQL," : ""}`;
  say(`verified: ${items.length} values and ${lists} are as they should be`);
}

/**
 * Compares every value on every given meta node. One that was killed between two steps lacks an entry for
 * good, since raft takes it for applied (seen on 2.4.2.1, replication/src/node_store.rs), and may lead later.
 * @returns `nodes` that were read, the leader first; `entries` of that first one; `wrong`: items that are
 * missing or different on a node, with a text that says so; `unread`: why others were not read, a text each
 * @throws {Failure} if no node can be read
 */
async function compareStores(meta: MetaClient, items: readonly Item[], waitMs: number) {
  const { signal } = meta.options;
  const { nodes: up, unread } = await caughtUp(meta, waitMs);
  const nodes: Endpoint[] = [];
  let entries: readonly Entry[] = [];
  const wrong = new Map<Item, string>();
  // One after another, since each takes a dump's memory.
  for (const node of up) {
    const dump = await meta.dump(node).catch((error) => {
      unread.push(`${node.url}: ${failureOf(error, signal)}`);
    });
    if (!dump) continue;
    if (!nodes.length) entries = dump.entries;
    nodes.push(node);
    const values = new Map(dump.entries.map(({ key, value }) => [key, value]));
    for (const item of items) {
      const fields = differences(item, values);
      if (fields?.length === 0) continue;
      const how = fields ? `reads back differently in ${someOf(fields, 5)}` : "is not there";
      const before = wrong.get(item);
      wrong.set(item, `${before ? `${before},` : `${item.label}: ${item.key} ${how} on`} ${node.url}`);
    }
  }
  if (!nodes.length) throw new Failure(unread.join("; "));
  return { nodes, entries, wrong, unread };
}

/**
 * Has the server parse all that it holds. A list with one bad row is an error: the next restart panics at it or
 * loses the tenant, while running nodes still look healthy. A tenant's list includes its roles and members
 * (to_tenant_meta_data in meta/src/store/storage.rs; seen on 2.4.0 and 2.4.3.4).
 * @param entries what the nodes hold
 * @returns what is wrong, a text each, and how many lists were read
 * @throws {Failure} if the nodes do not answer
 */
async function readLists(
  { meta, cluster, format }: Target,
  nodes: readonly Endpoint[],
  entries: readonly Entry[],
): Promise<{ findings: string[]; count: number }> {
  const { items, unknown } = readItems(entries, cluster);
  const bad = [...unknown, ...unreadable(items, format)].map(([{ key }, reason]) => `${key}: ${reason}`);
  const lists: [name: string, prefix: string, command: Record<string, unknown>][] = [
    ["DataNodes", "data_nodes/", { DataNodes: cluster }],
    ["Users", "users/", { Users: cluster }],
    ["Tenants", "tenants/", { Tenants: cluster }],
  ];
  for (const { object } of items.values()) {
    if (object.kind !== "tenant") continue;
    const { tenant } = object;
    const name = `MetaData of tenant ${displayName(tenant)}`;
    lists.push([name, `tenants/${tenant}/`, tenantCommand(format, cluster, tenant)]);
  }
  const findings: string[] = [];
  await atOnce(8, lists, async ([name, prefix, command]) => {
    const error = await meta.read(nodes, command);
    if (error === undefined) return;
    const causes = bad.filter((text) => text.startsWith(`/${cluster}/${prefix}`));
    const why = causes.length ? ` (${someOf(causes, 3)})` : "";
    findings.push(`/read ${name} answers ${error}: the next restart would panic at it or lose it${why}`);
  });
  return { findings, count: lists.length };
}

const listings = {
  database: "SELECT database_name FROM information_schema.databases",
  table: "SELECT table_database, table_name FROM information_schema.tables",
  tenant: "SELECT tenant_name FROM cluster_schema.tenants",
  user: "SELECT user_name FROM cluster_schema.users",
};

/** What SQL does not show, a text each. Retries, since a data node learns of changes with a delay. */
async function listBySql(sql: SqlClient, items: readonly Item[], meta: MetaClient): Promise<string[]> {
  // Lists leave out what is dropped but not yet gone, with all in it, and names with a slash.
  const hidden = items.filter(({ value }) => /"(?:tenant_is_hidden|(?:db_)?is_hidden)":\s*true/.test(value));
  const listed = items.filter(({ object, key }) =>
    object.kind in listings && !isUnlisted(object) &&
    !hidden.some((above) => `${key}/`.startsWith(`${above.key}/`))
  );
  const missing: string[] = [];
  for (const [tenant, wanted] of Map.groupBy(listed, tenantOf)) {
    const kinds = tenant ? ["database", "table"] as const : ["tenant", "user"] as const;
    const above = tenant ? [tenant] : [];
    const notYet = new Transient("not all is there yet");
    let labels = wanted.map(({ label }) => label);
    await meta.retry(async () => {
      for (const kind of kinds) {
        const rows = await sql.query(listings[kind], { tenant: tenant || "cnosdb", timeoutMs: 30_000 });
        const shown = new Set(
          rows.map((row) => `${kind} ${displayName(...above, ...Object.values(row).map(String))}`),
        );
        labels = labels.filter((label) => !shown.has(label));
      }
      if (labels.length) throw notYet;
    }).catch((error) => {
      if (error !== notYet) throw error;
      missing.push(...labels);
    });
  }
  return missing.length ? [`SQL does not show ${someOf(missing, 5)}`] : [];
}

/** What failed, as a finding, since all is written by then. @throws what is no failure, and at SIGINT */
function failureOf(error: unknown, signal: AbortSignal): string {
  signal.throwIfAborted();
  if (error instanceof Failure) return messageOf(error);
  throw error;
}
