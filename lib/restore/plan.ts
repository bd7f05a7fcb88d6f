/** What a restore would do to a target, and all that speaks against it, found before anything is written. */
import { differingFields, someOf } from "../dump/compare.ts";
import type { Block, Entry } from "../dump/dump.ts";
import { messageOf } from "../cli/errors.ts";
import { readObject } from "../dump/json.ts";
import { displayName, isUnlisted, type Key, kinds, namesOf } from "../dump/key.ts";
import type { Problems } from "../cli/problems.ts";
import { allEntries, objectOf, type Target } from "./target.ts";
import { assertReadable, identify } from "../versions/versions.ts";

/** The key of something that users made. */
export type UserKey = Exclude<Key, { kind: "internal" | "bucket" }>;

/** An entry that can be restored. */
export interface Item extends Entry {
  readonly object: UserKey;
}

/** What becomes of each entry of a dump. */
export interface Plan {
  items: Item[];
  fresh: Item[];
  equal: Item[];
  overwritten: Item[];
  /** equal on the node that was looked at, but not on all */
  behind: Item[];
}

const filterHint = "run the dump through filter_meta --target VERSION, which makes what that version reads.";

/**
 * The entries of a dump that users made.
 * @param own whether it is the target's own, which holds bookkeeping too; in another's that is a problem
 */
export function readItems(blocks: Iterable<Block>, problems: Problems, own = false): Item[] {
  const items = new Map<string, Item>();
  const internal: string[] = [];
  for (const entry of allEntries(blocks)) {
    const where = `line ${entry.line}: ${entry.key}`;
    const twice = items.get(entry.key);
    if (twice) {
      problems.add(`${where}: is in line ${twice.line} too`, "keep one of two lines with one key.");
      continue;
    }
    if (entry.key.includes(": ")) {
      problems.add(
        `${where}: a name with ": " in it, where CnosDB cuts the line: it cannot be restored`,
        "leave it out with filter_meta --exclude.",
      );
      continue;
    }
    try {
      const object = identify(entry.key, entry.value);
      if (object.kind === "internal" || object.kind === "bucket") internal.push(where);
      else items.set(entry.key, { ...entry, object });
      if (object.kind !== "user" && object.kind !== "tenant" && isUnlisted(object)) {
        problems.add(
          `${where}: a name with a slash: no version of CnosDB lists or opens it`,
          "filter_meta leaves such entries out.",
        );
      }
    } catch (error) {
      problems.add(`${where}: ${messageOf(error)}`, filterHint);
    }
  }
  if (internal.length && !own) {
    problems.add(
      `${internal.length} entries are the old cluster's own bookkeeping: ${someOf(internal, 3)}`,
      "run the dump through filter_meta, which leaves out what must not be carried over.",
    );
  }
  return [...items.values()];
}

/** `table acme.iot.air`, `user bob`. */
export function describeObject(object: UserKey): string {
  if (object.kind === "member") return `member ${object.userId} of tenant ${displayName(object.tenant)}`;
  return `${object.kind} ${displayName(...namesOf(object))}`;
}

/** Compares a dump with a target. Problems are what would harm the target or get lost; under `force` not what is overwritten. */
export function makePlan(
  items: Item[],
  target: Target,
  force: boolean,
  problems: Problems,
  behind: ReadonlySet<string> = new Set(),
): Plan {
  const plan: Plan = { items, fresh: [], equal: [], overwritten: [], behind: [] };
  const clusters = new Set(items.map(({ object }) => object.cluster));
  const alien = [...clusters].filter((name) => name !== target.cluster);
  if (alien.length) {
    problems.add(
      `the dump is of cluster ${alien.map((name) => JSON.stringify(name)).join(", ")}, the target is ${
        JSON.stringify(target.cluster)
      }: its data nodes would never see what is restored`,
      `filter_meta --cluster ${target.cluster} renames it.`,
    );
  }
  if (target.dataNodes === 0) {
    problems.add("no data node has joined the target", "start its data nodes first.");
  }
  for (const item of items) {
    const before = target.entries.get(item.key);
    const same = before && differingFields(item.key, item.value, before.value).length === 0;
    if (!before) plan.fresh.push(item);
    else if (!same) plan.overwritten.push(item);
    else (behind.has(item.key) ? plan.behind : plan.equal).push(item);
    const where = `line ${item.line}: ${item.key}`;
    for (const format of target.formats) {
      try {
        assertReadable(item.object, item.value, format);
      } catch (error) {
        problems.add(
          `${where}: ${messageOf(error)}; so ${format}, as the target is, could not read it`,
          filterHint,
        );
        break;
      }
    }
    if (item.object.kind === "database") {
      const replica = replicaOf(item.value);
      if (target.dataNodes && replica > target.dataNodes) {
        problems.add(
          `${where}: replica ${replica}, but the target has ${target.dataNodes} data node(s): every import would fail`,
          `filter_meta --replica ${target.dataNodes} lowers it.`,
        );
      }
    }
  }
  if (!force && !alien.length) refuseForeign(items, target, problems);
  return plan;
}

function replicaOf(value: string): number {
  const database = readObject(value);
  const replica = readObject(database.get("options") ?? database.get("config") ?? "{}").get("replica");
  return Number(replica ?? 1);
}

/** What a new cluster holds by itself may be overwritten; all else in it is somebody's, unless it equals the dump. */
function refuseForeign(items: Item[], target: Target, problems: Problems): void {
  const dump = new Map(items.map((item) => [item.key, item]));
  const rootId = readObject(target.entries.get(`/${target.cluster}/users/root`)?.value ?? "{}").get("id");
  const foreign: string[] = [];
  for (const entry of target.entries.values()) {
    const object = objectOf(entry);
    if (!object || object.kind === "internal" || object.kind === "bucket") continue;
    if (object.cluster !== target.cluster || isBuiltIn(object, rootId)) continue;
    const item = dump.get(entry.key);
    if (!item) foreign.push(`${describeObject(object)} (not in the dump)`);
    else {
      const fields = differingFields(entry.key, entry.value, item.value);
      if (fields.length) foreign.push(`${describeObject(object)} (differs in ${someOf(fields, 3)})`);
    }
  }
  if (foreign.length) {
    problems.add(
      `the target is not empty, it holds ${foreign.length} object(s) of its own:\n    ${
        someOf(foreign, 10, "\n    ")
      }`,
      "is this the right target? --force leaves what is not in the dump, and overwrites what differs; --dry-run --force lists that.",
    );
  }
}

function isBuiltIn(object: UserKey, rootId: string | undefined): boolean {
  if (object.kind === "user") return object.user === "root";
  if (object.tenant !== "cnosdb") return false;
  switch (object.kind) {
    case "tenant":
      return true;
    case "member":
      return object.userId === rootId;
    case "database":
      return ["public", "usage_schema", "cluster_schema"].includes(object.database);
    case "table":
      return ["usage_schema", "cluster_schema"].includes(object.database);
    default:
      return false;
  }
}

/** The plan as a table, a line per kind, and what will be overwritten. */
export function describePlan(plan: Plan, target: Target): string[] {
  const count = (items: Item[], kind: string) =>
    String(items.filter(({ object }) => object.kind === kind).length).padStart(11);
  return [
    `target: cluster ${target.cluster}, ${target.formats.join(" or ")}, ${target.dataNodes} data node(s)`,
    `${"".padEnd(10)}        new      equal  overwritten`,
    ...kinds.filter((kind) => plan.items.some(({ object }) => object.kind === kind)).map((kind) =>
      `${kind.padEnd(10)}${count(plan.fresh, kind)}${count(plan.equal, kind)}  ${
        count(plan.overwritten, kind)
      }`
    ),
    ...plan.overwritten.map(({ key, value, object }) => {
      const fields = differingFields(key, target.entries.get(key)?.value ?? "", value);
      return `overwritten: ${describeObject(object)} (${someOf(fields, 5)})`;
    }),
    ...plan.behind.map(({ object }) => `not on every meta node, written again: ${describeObject(object)}`),
  ];
}
