/** What a restore would do to a target, and all that speaks against it, found before anything is written. */
import { Failure, messageOf } from "../cli/errors.ts";
import type { MetaClient } from "../cnosdb/meta.ts";
import { findLeader } from "../cnosdb/meta_nodes.ts";
import { displayName } from "../cnosdb/names.ts";
import { differingFields, ownOf, userNames } from "../dump/compare.ts";
import { someOf } from "../cli/text.ts";
import { InvalidValue, type Json, objectIn, parseJson } from "../dump/json.ts";
import { isUnlisted, type Key, kinds, namesOf } from "../dump/key.ts";
import type { Dump, Entry } from "../dump/text.ts";
import { assertReadable, identifyEntry } from "../versions/entry.ts";
import type { Format } from "../versions/versions.ts";

/** An entry of something that users made. */
export interface Item extends Entry {
  readonly object: Exclude<Key, { kind: "internal" | "bucket" }>;
  readonly json: Json;
  /** as an operator reads it: `table acme.iot.air`, `member bob of tenant acme` */
  readonly label: string;
}

/** A cluster that is to be restored into, as its leader's dump shows it. */
export interface Target {
  dump: Dump;
  cluster: string;
  /** mostly one: 2.4.0 to 2.4.2 are told apart by what is in the store */
  formats: [Format, ...Format[]];
  /** the values of its data nodes by key */
  dataNodes: ReadonlyMap<string, string>;
  items: ReadonlyMap<string, Item>;
  /** all values by key, those too that are nothing CnosDB knows */
  values: ReadonlyMap<string, string>;
}

/** What becomes of each entry of a dump; `left` is there and different, and not touched under `add`. */
export type Plan = Record<"create" | "unchanged" | "overwrite" | "left", Item[]>;

/** All that speaks against doing something, so that an operator sees it at once and not one by one. */
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
    throw new Failure(
      this.#found.length > 1 ? `nothing was written, because:\n  ${list}` : `${list}; nothing was written`,
      [...this.#hints].join("\n"),
    );
  }
}

const unreadableHint =
  "run the dump through filter_meta --target VERSION, which makes what that version reads.";

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
      const name = object.kind === "member"
        ? `${displayName(users.get(object.userId) ?? object.userId)} of tenant ${displayName(object.tenant)}`
        : displayName(...namesOf(object));
      const label = `${object.kind} ${name}`;
      items.set(entry.key, { ...entry, object, json: parseJson(entry.value), label });
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      report(entry, error.message);
    }
  }
  return items;
}

/** The items of a dump that is to be restored. Adds what can never be restored to `problems`. */
export function readDumpItems({ entries }: Dump, problems: Problems): Item[] {
  const reasons = new Map<Entry, string>();
  const items = readItems(entries, (entry, reason) => reasons.set(entry, reason));
  const lines = new Map<string, number>();
  const bookkeeping: string[] = [];
  for (const entry of entries) {
    const { key, line } = entry;
    const [object, reason, twice] = [items.get(key)?.object, reasons.get(entry), lines.get(key)];
    const at = `line ${line}: ${key}`;
    lines.set(key, line);
    if (twice) problems.add(`${at}: is in line ${twice} too`, "keep one of two lines with one key.");
    else if (key.includes(": ")) {
      const text = 'a name with ": " in it, where CnosDB cuts the line: it cannot be restored';
      problems.add(`${at}: ${text}`, "leave it out with filter_meta --exclude.");
    } else if (reason !== undefined) problems.add(`${at}: ${reason}`, unreadableHint);
    else if (!object) bookkeeping.push(at);
    else if (object.kind !== "user" && object.kind !== "tenant" && isUnlisted(object)) {
      const text = "a name with a slash: no version of CnosDB lists or opens it";
      problems.add(`${at}: ${text}`, "filter_meta leaves such entries out.");
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
    const hint = "what is restored could not be checked, so nothing was written.";
    throw new Failure(`the target does not answer /read: ${messageOf(error)}`, hint);
  });
  if (meta.wraps || ping === "2.3") {
    const hint = "was the old cluster's address given in place of the new one's?";
    throw new Failure(`${node.url}: the target is 2.3, which has no /restore`, hint);
  }
  const spoken = meta.metaDataCommand === "TenantMetaData" ? ["2.4.3"] : ["2.4.0", "2.4.1", "2.4.2"];
  if (ping && !spoken.includes(ping)) {
    const text = `the data node at --sql says ${ping}, the meta service answers as ${spoken.join(", ")} does`;
    problems.add(text, "are they of one cluster?");
  }
  const items = readItems(dump.entries);
  const formats = fittest(ping ? [ping] : spoken, [...items.values()]);
  for (const item of force ? [] : items.values()) {
    const reason = unreadable(item, formats[0]);
    if (reason) {
      problems.add(
        `the target (${formats.join(" or ")}) holds ${item.key}, which it cannot read: ${reason}`,
        "the target would not survive its next restart: remove that by SQL, or write over it with --force.",
      );
    }
  }
  const byKey = (entries: readonly Entry[]) => new Map(entries.map(({ key, value }) => [key, value]));
  return { dump, cluster, formats, dataNodes: byKey(nodes), items, values: byKey(dump.entries) };
}

/** The formats that can read most of a store: a cluster reads all of its own, unless a botched restore is in it. */
function fittest(formats: Format[], items: Item[]): [Format, ...Format[]] {
  const read = formats.map((format) => items.filter((item) => !unreadable(item, format)).length);
  return formats.filter((_, i) => read[i] === Math.max(...read)) as [Format, ...Format[]];
}

/** Why a format cannot read an item; undefined where it can. */
export function unreadable({ object, json }: Item, format: Format): string | undefined {
  try {
    assertReadable(object, json, format);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    return error.message;
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
  const others = [...new Set(items.map(({ object }) => object.cluster))].filter((name) => name !== cluster);
  if (others.length) {
    const theirs = others.map((name) => JSON.stringify(name)).join(", ");
    problems.add(
      `the dump is of cluster ${theirs}, the target is ${
        JSON.stringify(cluster)
      }: its data nodes would never see what is restored`,
      `filter_meta --cluster ${cluster} renames it.`,
    );
  }
  if (!dataNodes.size) problems.add("no data node has joined the target", "start its data nodes first.");
  for (const item of items) {
    const fields = fieldsBefore(item, target);
    const becomes = !fields ? "create" : !fields.length ? "unchanged" : add ? "left" : "overwrite";
    plan[becomes].push(item);
    const where = `line ${item.line}: ${item.key}`;
    const format = formats.find((format) => unreadable(item, format));
    if (format) {
      problems.add(
        `${where}: ${unreadable(item, format)}; so ${format}, as the target is, could not read it`,
        unreadableHint,
      );
    }
    const replica = Math.max(
      ...["config", "options"].map((name) => Number(objectIn(item.json, name)["replica"] ?? 1)),
    );
    if (item.object.kind === "database" && dataNodes.size && replica > dataNodes.size) {
      problems.add(
        `${where}: replica ${replica}, but the target has ${dataNodes.size} data node(s): every import would fail`,
        `filter_meta --replica ${dataNodes.size} lowers it.`,
      );
    }
    if (add && item.object.kind === "user" && fields?.includes("id")) {
      problems.add(
        `${item.label}: the target has another user of that name: what the dump's is a member of would belong to nobody`,
        "rename or drop one of the two, or leave it out with filter_meta.",
      );
    }
  }
  const foreign = add || force || others.length ? [] : foreignObjects(items, target);
  if (foreign.length) {
    const list = someOf(foreign, 10, "\n    ");
    problems.add(
      `the target is not empty, it holds ${foreign.length} object(s) of its own:\n    ${list}`,
      "is this the right target? --add restores only what is not there yet; --force overwrites what differs; --dry-run lists both.",
    );
  }
  return plan;
}

/** The tenant that has to be logged in to for SQL on an item; "" for users and tenants themselves. */
export function tenantOf({ object }: Item): string {
  return object.kind === "user" || object.kind === "tenant" ? "" : object.tenant;
}

/** The fields in which an item differs from what a store holds; undefined where that has none of its key. */
export function fieldsBefore({ key, value }: Item, { values }: Pick<Target, "values">): string[] | undefined {
  const before = values.get(key);
  return before === undefined ? undefined : differingFields(key, before, value);
}

/** What a new cluster holds by itself may be overwritten; all else in it is somebody's, unless it equals the dump. */
function foreignObjects(items: readonly Item[], { cluster, dump, items: held }: Target): string[] {
  const restored = new Map(items.map((item) => [item.key, item]));
  const isOwn = ownOf(dump.entries);
  return [...held].flatMap(([key, { object, value, label }]) => {
    if (object.cluster !== cluster || isOwn(object)) return [];
    const item = restored.get(key);
    if (!item) return [`${label} (not in the dump)`];
    const fields = differingFields(key, value, item.value);
    return fields.length ? [`${label} (differs in ${someOf(fields, 3)})`] : [];
  });
}

/** The plan as a table, a line per kind, and what is not simply created. */
export function describePlan(plan: Plan, target: Target): string[] {
  const { cluster, formats, dataNodes } = target;
  const columns = ["create", "unchanged", plan.left.length ? "left" : "overwrite"] as const;
  const row = (first: string, cells: readonly string[]) =>
    first.padEnd(10) + cells.map((cell) => cell.padStart(11)).join("");
  const counts = (kind: string) =>
    columns.map((column) => plan[column].filter(({ object }) => object.kind === kind).length);
  const changed = (item: Item) => `${item.label} (${someOf(fieldsBefore(item, target) ?? [], 5)})`;
  return [
    `target: cluster ${cluster}, ${formats.join(" or ")}, ${dataNodes.size} data node(s)`,
    row("", columns),
    ...kinds.filter((kind) => counts(kind).some(Boolean)).map((kind) => row(kind, counts(kind).map(String))),
    ...plan.overwrite.map((item) => `overwrite: ${changed(item)}`),
    ...plan.left.map((item) => `there and different, left as it is: ${changed(item)}`),
  ];
}
