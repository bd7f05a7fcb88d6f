/** The cluster that is restored into: how it is reached, what it holds, which version it is. */
import { Failure } from "../cli/errors.ts";
import type { Say } from "../cli/say.ts";
import type { Endpoint } from "../cnosdb/endpoint.ts";
import { Transient } from "../cnosdb/http.ts";
import { MetaClient, type MetaOptions, unknownCommand } from "../cnosdb/meta.ts";
import { findLeader } from "../cnosdb/meta_nodes.ts";
import { displayName } from "../cnosdb/names.ts";
import { meaningOf } from "../cnosdb/refusals.ts";
import { type Row, SqlClient, SqlError } from "../cnosdb/sql.ts";
import { differingFields, userNames } from "../dump/compare.ts";
import { someOf } from "../cli/text.ts";
import { InvalidValue, type Json, parseJson } from "../dump/json.ts";
import { type Key, namesOf } from "../dump/key.ts";
import type { Entry } from "../dump/text.ts";
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
  /** milliseconds to go on trying while nothing gets through */
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
  cluster: string;
  format: Format;
  entries: readonly Entry[];
  /** all values by key, those too that are nothing CnosDB knows */
  values: ReadonlyMap<string, string>;
  items: ReadonlyMap<string, Item>;
  dataNodes: readonly Entry[];
  /** what speaks against writing anything to it */
  problems: Problems;
}

/** All that speaks against writing, so that an operator sees it at once and not one by one. */
export class Problems {
  readonly #found: string[] = [];
  readonly #hints = new Set<string>();

  /** @param hint what to do about it; said once, however often it is given */
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

/** What entries of a cluster are: items by key, and why others are nothing CnosDB knows. Its own bookkeeping is neither. */
export function readItems(
  entries: readonly Entry[],
): { items: Map<string, Item>; unknown: Map<Entry, string> } {
  const users = userNames(entries);
  const items = new Map<string, Item>();
  const unknown = new Map<Entry, string>();
  for (const entry of entries) {
    try {
      const object = identifyEntry(entry);
      if (object.kind === "internal" || object.kind === "bucket") continue;
      const name = object.kind === "member"
        ? `${displayName(users.get(object.userId) ?? object.userId)} of tenant ${displayName(object.tenant)}`
        : displayName(...namesOf(object));
      items.set(entry.key, {
        ...entry,
        object,
        json: parseJson(entry.value),
        label: `${object.kind} ${name}`,
      });
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      unknown.set(entry, error.message);
    }
  }
  return { items, unknown };
}

/** The tenant that has to be logged in to for SQL on an item; "" for users and tenants themselves. */
export function tenantOf({ object }: Item): string {
  return object.kind === "user" || object.kind === "tenant" ? "" : object.tenant;
}

/** The fields in which an item differs from what a store holds; undefined where that has none of its key. */
export function fieldsBefore(
  { key, value }: Item,
  values: ReadonlyMap<string, string>,
): string[] | undefined {
  const before = values.get(key);
  return before === undefined ? undefined : differingFields(key, before, value);
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
 * @param force whether entries that it cannot read itself are no problem: they may be about to be overwritten
 * @throws {Failure} where no leader is among the given nodes, no data node has joined it, it does not answer /read, or is no 2.4
 */
export async function lookAt(options: RestoreOptions, force = false): Promise<Target> {
  const meta = new MetaClient(options.urls, options);
  const sql = options.sql && new SqlClient(options.sql, options.signal, options.ca);
  const version = sql && await meta.patiently(() => sql.version());
  const node = await meta.patiently(() => findLeader(meta));
  const { entries } = await meta.dump(node);
  const dataNodes = entries.filter(({ key }) => /^\/[^/]+\/data_nodes\//.test(key));
  const [cluster = "", ...others] = new Set(dataNodes.map(({ key }) => key.split("/")[1]!));
  if (!cluster) throw new Failure("no data node has joined the target", "start its data nodes first.");
  if (others.length) {
    const names = [cluster, ...others].map((name) => JSON.stringify(name)).join(", ");
    throw new Failure(
      `the target holds data nodes of several clusters: ${names}`,
      "a dump with data_nodes in it was once restored under another name: begin with a new target.",
    );
  }
  const { error, wrapped } = await meta.read([node], tenantCommand("2.4.2", cluster, "cnosdb"));
  if (wrapped || version?.startsWith("2.3.")) {
    const hint = "was the old cluster's address given in place of the new one's?";
    throw new Failure(`${node.url}: the target is 2.3, which has no /restore`, hint);
  }
  const problems = new Problems();
  const spoken = targetFormats.filter((format) =>
    misspelling.includes(format) !== (error === unknownCommand)
  );
  const said = version && targetFormat(version);
  if (said && !spoken.includes(said)) {
    const text = `the data node at --sql says ${said}, the meta service answers as ${spoken.join(", ")} does`;
    problems.add(text, "are they of one cluster?");
  }
  // What was restored under another cluster's name stays in the store, and no server reads it.
  const { items } = readItems(entries.filter(({ key }) => key.startsWith(`/${cluster}/`)));
  const [format, ...more] = said ? [said] : fittest(spoken, items);
  if (more.length) {
    const text = `what the target holds does not tell whether it is ${[format, ...more].join(" or ")}`;
    problems.add(text, "give --sql: a data node tells its version.");
  }
  for (const [{ key }, why] of force ? [] : unreadable(items, format)) {
    problems.add(
      `the target (${format}) holds ${key}, which it cannot read: ${why}`,
      "the target would not survive its next restart: remove that by SQL, or write over it with --force.",
    );
  }
  const values = new Map(entries.map(({ key, value }) => [key, value]));
  return { meta, sql, cluster, format, entries, values, items, dataNodes, problems };
}

/**
 * Runs a query once.
 * @throws {Transient} if a repeat may fare better @throws {SqlError} if the server refuses it
 */
export async function query(sql: SqlClient, statement: string, tenant: string): Promise<Row[]> {
  try {
    return await sql.query(statement, { tenant, timeoutMs: 30_000 });
  } catch (error) {
    const passes = ["transient", "unknown", "overloaded"].includes(meaningOf(error));
    if (error instanceof SqlError && passes) throw new Transient(error.message);
    throw error;
  }
}

/** The versions that spell a command of /read wrong. */
const misspelling: readonly Format[] = ["2.4.0", "2.4.1", "2.4.2"];

/** What has a server parse a tenant with its databases, tables, roles and members. */
export function tenantCommand(format: Format, cluster: string, tenant: string): Record<string, unknown> {
  return { [misspelling.includes(format) ? "TenaneMetaData" : "TenantMetaData"]: [cluster, tenant] };
}

/** The versions that can read most of a store: a cluster reads all of its own, unless a botched restore is in it. */
function fittest(formats: readonly Format[], items: ReadonlyMap<string, Item>): [Format, ...Format[]] {
  const failures = formats.map((format) => unreadable(items, format).size);
  return formats.filter((_, i) => failures[i] === Math.min(...failures)) as [Format, ...Format[]];
}
