/** The cluster that is restored into: how it is reached, what it holds, which version it is. */
import { Failure } from "../cli/errors.ts";
import type { Say } from "../cli/say.ts";
import { someOf } from "../cli/text.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { MetaClient, type MetaOptions, unknownCommand } from "../cnosdb/meta.ts";
import { findLeader } from "../cnosdb/meta_nodes.ts";
import { displayName } from "../cnosdb/names.ts";
import { SqlClient } from "../cnosdb/sql.ts";
import { differingFields, userNames } from "../dump/compare.ts";
import { InvalidValue, type Json, parseJson } from "../dump/json.ts";
import { type Key, namesOf } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import { identifyEntry } from "../versions/entry.ts";
import { assertReadable, type Format, targetFormat, targetFormats } from "../versions/versions.ts";

/** What to restore into, and how. */
export interface RestoreOptions extends MetaOptions {
  /** META_URLs of the target */
  urls: readonly string[];
  /** a data node of the target */
  sql?: Endpoint | undefined;
  /** the file that keeps what the target holds before the first write */
  backup?: string | undefined;
  /** restore only what is not there yet */
  add?: boolean;
  /** overwrite what differs */
  force?: boolean;
  dryRun?: boolean;
  /** posts at once: on three nodes 131 entries a second by 1, 516 by 16 (2.4.2.1) */
  jobs: number;
  /** milliseconds after which writing gives up if nothing gets through */
  timeoutMs: number;
  say: Say;
}

export const defaults = { jobs: 16, timeoutMs: 120_000 };

/** An entry of something that users made. */
export interface Item extends Entry {
  readonly object: Exclude<Key, { kind: "internal" | "bucket" }>;
  readonly json: Json;
  /** as an operator reads it: `table acme.iot.air`, `member bob of tenant acme` */
  readonly label: string;
}

/** A cluster, as its leader's dump shows it. */
export interface Target {
  meta: MetaClient;
  sql: SqlClient | undefined;
  /** its name, with which its keys begin */
  cluster: string;
  format: Format;
  entries: readonly Entry[];
  /** the values of all entries by key */
  values: ReadonlyMap<string, string>;
  /** its items by key; what another cluster left in the store is not among them */
  items: ReadonlyMap<string, Item>;
  dataNodes: readonly Entry[];
  /** why nothing must be written */
  problems: Problems;
}

/** Collects everything that forbids to write, so that an operator sees it all at once. */
export class Problems {
  readonly #found: string[] = [];
  readonly #hints = new Set<string>();

  /** @param hint what to do about it; shown once, however often it is added */
  add(problem: string, hint: string): void {
    this.#found.push(problem);
    this.#hints.add(hint);
  }

  /** @throws {Failure} with everything that was added, if there is anything */
  throwIfAny(): void {
    if (!this.#found.length) return;
    const list = someOf(this.#found, 20, "\n  ");
    const text = this.#found.length > 1
      ? `nothing was written, because:\n  ${list}`
      : `${list}; nothing was written`;
    throw new Failure(text, [...this.#hints].join("\n"));
  }
}

/**
 * Reads entries. A cluster's own bookkeeping is left out.
 * @param cluster reads only the entries of this cluster
 * @returns items by key, and the entries that CnosDB does not know, with the reason
 */
export function readItems(
  entries: readonly Entry[],
  cluster?: string,
): { items: Map<string, Item>; unknown: Map<Entry, string> } {
  const users = userNames(entries);
  const items = new Map<string, Item>();
  const unknown = new Map<Entry, string>();
  for (const entry of entries) {
    if (cluster !== undefined && !entry.key.startsWith(`/${cluster}/`)) continue;
    try {
      const object = identifyEntry(entry);
      if (object.kind === "internal" || object.kind === "bucket") continue;
      const name = object.kind === "member"
        ? `${displayName(users.get(object.userId) ?? object.userId)} of tenant ${displayName(object.tenant)}`
        : displayName(...namesOf(object));
      const label = `${object.kind} ${name}`;
      items.set(entry.key, { ...entry, object, json: parseJson(entry.value), label });
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      unknown.set(entry, error.message);
    }
  }
  return { items, unknown };
}

/** The tenant within which SQL has to work on an item; "" for users and for tenants themselves. */
export function tenantOf({ object }: Item): string {
  return object.kind === "user" || object.kind === "tenant" ? "" : object.tenant;
}

/** The keys of the tenant and the database that an item is in. */
export function parentKeys({ object }: Item): string[] {
  if (object.kind === "user" || object.kind === "tenant") return [];
  const tenant = `/${object.cluster}/tenants/${object.tenant}`;
  return object.kind === "table" ? [tenant, `${tenant}/dbs/${object.database}`] : [tenant];
}

/** The fields in which an item differs from a store's value; undefined if the store has no such key. */
export function differences(
  { key, value }: Item,
  values: ReadonlyMap<string, string>,
): string[] | undefined {
  const stored = values.get(key);
  return stored === undefined ? undefined : differingFields(key, stored, value);
}

/** The items that a version cannot read, and why. */
export function unreadable(items: ReadonlyMap<string, Item>, format: Format): Map<Item, string> {
  const found = new Map<Item, string>();
  for (const item of items.values()) {
    try {
      assertReadable(item.object, item.json, format);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      found.set(item, error.message);
    }
  }
  return found;
}

/**
 * Looks at a target, before anything is written.
 * @param force whether it may hold entries that it cannot read itself, since they may be about to be overwritten
 * @throws {Failure} if no leader is among the given nodes, no data node has joined it, it does not answer
 * /read, it is no 2.4, or the data node of --sql is of another version
 */
export async function lookAt(options: RestoreOptions, force = false): Promise<Target> {
  const meta = new MetaClient(options.urls, options);
  const sql = options.sql && new SqlClient(options.sql, options.signal, options.ca);
  const version = sql && await meta.retry(() => sql.version());
  const leader = await meta.retry(() => findLeader(meta));
  const { entries } = await meta.dump(leader);
  const dataNodes = entries.filter(({ key }) => /^\/[^/]+\/data_nodes\//.test(key));
  const cluster = clusterOf(dataNodes);
  const { items } = readItems(entries, cluster);

  const answer = await meta.read([leader], tenantCommand("2.4.2", cluster, "cnosdb"));
  const formats = targetFormats.filter((format) =>
    misspelling.includes(format) === (answer !== unknownCommand)
  );
  const atSql = version?.startsWith("2.3.") ? version : version && targetFormat(version);
  if (atSql && !formats.includes(atSql)) {
    throw new Failure(
      `the data node at --sql says ${atSql}, the meta service answers as ${formats.join(", ")} does`,
      "are they of one cluster?",
    );
  }
  const problems = new Problems();
  const [format, ...more] = atSql ? [atSql] : fittest(formats, items);
  if (more.length) {
    problems.add(
      `what the target holds does not tell whether it is ${[format, ...more].join(" or ")}`,
      "give --sql: a data node tells its version.",
    );
  }
  for (const [{ key }, reason] of force ? [] : unreadable(items, format)) {
    problems.add(
      `the target (${format}) holds ${key}, which it cannot read: ${reason}`,
      "the target would not survive its next restart: remove that by SQL, or write over it with --force.",
    );
  }
  const values = new Map(entries.map(({ key, value }) => [key, value]));
  return { meta, sql, cluster, format, entries, values, items, dataNodes, problems };
}

/** The name of the cluster that has these data nodes. @throws {Failure} unless there is one */
function clusterOf(dataNodes: readonly Entry[]): string {
  const [cluster, ...others] = new Set(dataNodes.map(({ key }) => key.split("/")[1]!));
  if (cluster === undefined) {
    throw new Failure("no data node has joined the target", "start its data nodes first.");
  }
  if (others.length === 0) return cluster;
  const names = [cluster, ...others].map((name) => JSON.stringify(name));
  throw new Failure(
    `the target holds data nodes of several clusters: ${names.join(", ")}`,
    "a dump with data_nodes in it was once restored under another name: begin with a new target.",
  );
}

/** The versions that spell a command of /read wrong. */
const misspelling: readonly Format[] = ["2.4.0", "2.4.1", "2.4.2"];

/** The command of /read that has a server parse a tenant with its databases, tables, roles and members. */
export function tenantCommand(format: Format, cluster: string, tenant: string): Record<string, unknown> {
  return { [misspelling.includes(format) ? "TenaneMetaData" : "TenantMetaData"]: [cluster, tenant] };
}

/** The versions that can read most of a store. A cluster reads all of its own, but for a botched restore. */
function fittest(formats: readonly Format[], items: ReadonlyMap<string, Item>): [Format, ...Format[]] {
  const failures = formats.map((format) => unreadable(items, format).size);
  return formats.filter((_, i) => failures[i] === Math.min(...failures)) as [Format, ...Format[]];
}

/** Whether a dump is of the same cluster: it has a data node that is still there. */
export function isBackupOf({ entries }: Dump, { dataNodes }: Target): boolean {
  return dataNodes.some((node) => entries.some(({ key, value }) => key === node.key && value === node.value));
}
