/** What a restore would do to a target, and all that speaks against it, found before anything is written. */
import { parseJson } from "../dump/json.ts";
import { Failure, messageOf } from "../cli/errors.ts";
import type { Problems } from "../cli/problems.ts";
import type { Endpoint } from "../cnosdb/http.ts";
import type { MetaClient } from "../cnosdb/meta.ts";
import { findLeader } from "../cnosdb/meta_nodes.ts";
import { displayName } from "../cnosdb/names.ts";
import { differingFields, ownOf, someOf, userNames } from "../dump/compare.ts";
import { isUnlisted, type Key, kinds, namesOf } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import { assertReadable, identifyEntry } from "../versions/entry.ts";
import type { Format } from "../versions/versions.ts";

/** An entry of something that users made. */
export interface Item extends Entry {
  readonly object: Exclude<Key, { kind: "internal" | "bucket" }>;
  /** as an operator reads it: `table acme.iot.air`, `member bob of tenant acme` */
  readonly label: string;
}

/** A cluster that is to be restored into, as its leader's dump shows it. */
export interface Target {
  /** the leader */
  node: Endpoint;
  dump: Dump;
  cluster: string;
  /** mostly one: 2.4.0 to 2.4.2 are told apart by what is in the store */
  formats: Format[];
  /** the values of its data nodes by key */
  dataNodes: ReadonlyMap<string, string>;
  items: ReadonlyMap<string, Item>;
  /** all values by key, those too that are nothing CnosDB knows */
  values: ReadonlyMap<string, string>;
}

/** What becomes of each entry of a dump. */
export interface Plan {
  create: Item[];
  unchanged: Item[];
  overwrite: Item[];
  /** there and different, and not touched under `add` */
  left: Item[];
}

const filterHint = "run the dump through filter_meta --target VERSION, which makes what that version reads.";

/** The items among entries, by key. @param report is called for an entry that is nothing CnosDB knows */
export function readItems(
  entries: readonly Entry[],
  report: (entry: Entry, reason: string) => void = () => {},
): Map<string, Item> {
  const users = userNames(entries);
  const items = new Map<string, Item>();
  for (const entry of entries) {
    try {
      const object = identifyEntry(entry);
      if (object.kind === "internal" || object.kind === "bucket") continue;
      const label = object.kind === "member"
        ? `member ${displayName(users.get(object.userId) ?? object.userId)} of tenant ${
          displayName(object.tenant)
        }`
        : `${object.kind} ${displayName(...namesOf(object))}`;
      items.set(entry.key, { ...entry, object, label });
    } catch (error) {
      report(entry, messageOf(error));
    }
  }
  return items;
}

/** The items of a dump that is to be restored. Adds what can never be restored to `problems`. */
export function readDumpItems({ entries }: Dump, problems: Problems): Item[] {
  const at = ({ line, key }: Entry) => `line ${line}: ${key}`;
  const refused = new Set<Entry>();
  const items = readItems(entries, (entry, reason) => {
    refused.add(entry);
    problems.add(`${at(entry)}: ${reason}`, filterHint);
  });
  const seen = new Map<string, Entry>();
  const bookkeeping: string[] = [];
  for (const entry of entries) {
    const { key } = entry;
    const object = items.get(key)?.object;
    const twice = seen.get(key);
    seen.set(key, entry);
    if (twice) {
      problems.add(`${at(entry)}: is in line ${twice.line} too`, "keep one of two lines with one key.");
    } else if (key.includes(": ")) {
      problems.add(
        `${at(entry)}: a name with ": " in it, where CnosDB cuts the line: it cannot be restored`,
        "leave it out with filter_meta --exclude.",
      );
    } else if (!object) {
      if (!refused.has(entry)) bookkeeping.push(at(entry));
    } else if (object.kind !== "user" && object.kind !== "tenant" && isUnlisted(object)) {
      problems.add(
        `${at(entry)}: a name with a slash: no version of CnosDB lists or opens it`,
        "filter_meta leaves such entries out.",
      );
    }
  }
  if (bookkeeping.length) {
    problems.add(
      `${bookkeeping.length} entries are the old cluster's own bookkeeping: ${someOf(bookkeeping, 3)}`,
      "run the dump through filter_meta, which leaves out what must not be carried over.",
    );
  }
  return [...items.values()];
}

/**
 * Looks at a target: which cluster it is, how many data nodes it has, which version.
 * @param ping the format of the version that a data node says it has, where one was asked
 * @param force whether entries that the target itself cannot read are no problem: they may be about to be overwritten
 * @throws {Failure} where no leader is among the given nodes, it does not answer /read, or is no 2.4
 */
export async function lookAt(
  meta: MetaClient,
  { ping, force, problems }: { ping: Format | undefined; force: boolean; problems: Problems },
): Promise<Target> {
  const node = await meta.patiently(() => findLeader(meta));
  const dump = await meta.dump(node);
  const nodes = dump.entries.filter(({ key }) => /^\/[^/]+\/data_nodes\//.test(key));
  // What was once restored under a wrong name stays there, without nodes.
  const named = nodes[0] ?? dump.entries.find(({ key }) => /^\/[^/]+\/tenants\//.test(key));
  const cluster = named?.key.split("/")[1];
  if (!cluster) throw new Failure(`${node.url}: its dump holds no cluster`);
  await meta.readTenant(cluster, "cnosdb", [node]).catch((error) => {
    throw new Failure(
      `the target does not answer /read: ${messageOf(error)}`,
      "what is restored could not be checked, so nothing was written.",
    );
  });
  if (meta.wraps || ping === "2.3") {
    throw new Failure(
      `${node.url}: the target is 2.3, which has no /restore`,
      "was the old cluster's address given in place of the new one's?",
    );
  }
  const spoken: Format[] = meta.metaDataCommand === "TenantMetaData"
    ? ["2.4.3"]
    : ["2.4.0", "2.4.1", "2.4.2"];
  if (ping && !spoken.includes(ping)) {
    problems.add(
      `the data node at --sql says ${ping}, the meta service answers as ${spoken.join(", ")} does`,
      "are they of one cluster?",
    );
  }
  const items = readItems(dump.entries);
  const formats = fittest(ping ? [ping] : spoken, [...items.values()]);
  for (const item of force ? [] : items.values()) {
    const reason = unreadable(item, formats[0]);
    if (!reason) continue;
    problems.add(
      `the target (${formats.join(" or ")}) holds ${item.key}, which it cannot read: ${reason}`,
      "the target would not survive its next restart: remove that by SQL, or write over it with --force.",
    );
  }
  const dataNodes = new Map(nodes.map(({ key, value }) => [key, value]));
  const values = new Map(dump.entries.map(({ key, value }) => [key, value]));
  return { node, dump, cluster, formats, dataNodes, items, values };
}

/** The formats that can read most of a store; all is read by a cluster's own unless a botched restore is in it. */
function fittest(formats: Format[], items: Item[]): Format[] {
  const read = formats.map((format) => items.filter((item) => !unreadable(item, format)).length);
  return formats.filter((_, i) => read[i] === Math.max(...read));
}

/** Why a format cannot read an item; undefined where it can. */
export function unreadable({ object, value }: Item, format: Format | undefined): string | undefined {
  try {
    if (format) assertReadable(object, parseJson(value), format);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Compares a dump with a target. Adds to `problems` what would harm the target or get lost. */
export function makePlan(
  items: readonly Item[],
  target: Target,
  { add = false, force = false }: { add?: boolean; force?: boolean },
  problems: Problems,
): Plan {
  const plan: Plan = { create: [], unchanged: [], overwrite: [], left: [] };
  const { cluster, formats, dataNodes } = target;
  const others = new Set(items.map(({ object }) => object.cluster).filter((name) => name !== cluster));
  if (others.size) {
    problems.add(
      `the dump is of cluster ${[...others].map((name) => JSON.stringify(name)).join(", ")}, the target is ${
        JSON.stringify(cluster)
      }: its data nodes would never see what is restored`,
      `filter_meta --cluster ${cluster} renames it.`,
    );
  }
  if (!dataNodes.size) problems.add("no data node has joined the target", "start its data nodes first.");
  for (const item of items) {
    const { object, value } = item;
    const fields = fieldsBefore(item, target);
    if (!fields) plan.create.push(item);
    else if (!fields.length) plan.unchanged.push(item);
    else (add ? plan.left : plan.overwrite).push(item);
    const where = `line ${item.line}: ${item.key}`;
    for (const format of formats) {
      const reason = unreadable(item, format);
      if (!reason) continue;
      problems.add(`${where}: ${reason}; so ${format}, as the target is, could not read it`, filterHint);
      break;
    }
    const replica = object.kind === "database" ? replicaOf(value) : 0;
    if (dataNodes.size && replica > dataNodes.size) {
      problems.add(
        `${where}: replica ${replica}, but the target has ${dataNodes.size} data node(s): every import would fail`,
        `filter_meta --replica ${dataNodes.size} lowers it.`,
      );
    }
    if (add && object.kind === "user" && fields?.includes("id")) {
      problems.add(
        `${item.label}: the target has another user of that name: what the dump's is a member of would belong to nobody`,
        "rename or drop one of the two, or leave it out with filter_meta.",
      );
    }
  }
  if (!add && !force && !others.size) refuseForeign(items, target, problems);
  return plan;
}

/** The fields in which an item differs from the target's; undefined where the target has none of that key. */
function fieldsBefore({ key, value }: Item, { values }: Target): string[] | undefined {
  const before = values.get(key);
  return before === undefined ? undefined : differingFields(key, before, value);
}

function replicaOf(value: string): number {
  const { options, config } = JSON.parse(value) as { options?: Replicated; config?: Replicated };
  return (options ?? config)?.replica ?? 1;
}

interface Replicated {
  replica?: number | null;
}

/** What a new cluster holds by itself may be overwritten; all else in it is somebody's, unless it equals the dump. */
function refuseForeign(items: readonly Item[], target: Target, problems: Problems): void {
  const dump = new Map(items.map((item) => [item.key, item]));
  const isOwn = ownOf(target.dump.entries);
  const foreign: string[] = [];
  for (const [key, { object, value, label }] of target.items) {
    if (object.cluster !== target.cluster || isOwn(object)) continue;
    const item = dump.get(key);
    const fields = item && differingFields(key, value, item.value);
    if (!fields) foreign.push(`${label} (not in the dump)`);
    else if (fields.length) foreign.push(`${label} (differs in ${someOf(fields, 3)})`);
  }
  if (!foreign.length) return;
  problems.add(
    `the target is not empty, it holds ${foreign.length} object(s) of its own:\n    ${
      someOf(foreign, 10, "\n    ")
    }`,
    "is this the right target? --add restores only what is not there yet; --force overwrites what differs; --dry-run lists both.",
  );
}

/** The plan as a table, a line per kind, and what is not simply created. */
export function describePlan(plan: Plan, target: Target): string[] {
  const columns = [
    "create",
    "unchanged",
    ...(plan.left.length ? ["left"] as const : ["overwrite"] as const),
  ] as const;
  const all = columns.flatMap((column) => plan[column]);
  const row = (first: string, cells: string[]) =>
    first.padEnd(10) + cells.map((cell) => cell.padStart(11)).join("");
  const count = (items: Item[], kind: string) => items.filter(({ object }) => object.kind === kind).length;
  const changed = (item: Item) => `${item.label} (${someOf(fieldsBefore(item, target) ?? [], 5)})`;
  return [
    `target: cluster ${target.cluster}, ${
      target.formats.join(" or ")
    }, ${target.dataNodes.size} data node(s)`,
    row("", [...columns]),
    ...kinds.filter((kind) => count(all, kind)).map((kind) =>
      row(kind, columns.map((column) => String(count(plan[column], kind))))
    ),
    ...plan.overwrite.map((item) => `overwrite: ${changed(item)}`),
    ...plan.left.map((item) => `there and different, left as it is: ${changed(item)}`),
  ];
}
