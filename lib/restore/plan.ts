/** What a restore would do to a target, and everything that forbids it. */
import { harmless } from "../cli/presentable.ts";
import { someOf } from "../cli/text.ts";
import { ownOf } from "../dump/compare.ts";
import { objectIn } from "../dump/json.ts";
import { isCutByRestore, isUnlisted, kinds } from "../dump/key.ts";
import type { Dump } from "../dump/text.ts";
import {
  differences,
  type Item,
  parentKeys,
  readItems,
  type RestoreOptions,
  type Target,
  unreadable,
} from "./target.ts";

/** What becomes of each item of a dump. With `--add`, what is there and different is `left` as it is. */
export type Plan = Record<"create" | "unchanged" | "overwrite" | "left", Item[]>;

const unreadableHint =
  "run the dump through filter_meta --target VERSION, which makes what that version reads.";

/**
 * Compares a dump with a target. What cannot be restored, would do harm or get lost is a problem.
 * @returns the dump's items in its order, and what becomes of each
 */
export function makePlan(
  dump: Dump,
  target: Target,
  { add, force }: RestoreOptions,
): { items: readonly Item[]; plan: Plan } {
  const { cluster, problems } = target;
  const items = checkLines(dump, target);
  const clusters = new Set([...items.values()].map(({ object }) => object.cluster));
  clusters.delete(cluster);
  if (clusters.size) {
    const theirs = [...clusters].map((name) => JSON.stringify(name)).join(", ");
    const ours = `${JSON.stringify(cluster)}: its data nodes would never see what is restored`;
    problems.add(
      `the dump is of cluster ${theirs}, the target is ${ours}`,
      `filter_meta --cluster ${cluster} renames it.`,
    );
  }
  checkItems(items, target);
  const plan: Plan = { create: [], unchanged: [], overwrite: [], left: [] };
  for (const item of items.values()) {
    const fields = differences(item, target.values);
    if (!fields) plan.create.push(item);
    else if (!fields.length) plan.unchanged.push(item);
    else if (add) plan.left.push(item);
    else plan.overwrite.push(item);
    if (add && item.object.kind === "user" && fields?.includes("id")) {
      problems.add(
        `line ${item.line}: ${item.key}: the target has another user of that name: ` +
          "what the dump's is a member of would belong to nobody",
        "rename or drop one of the two, or leave it out with filter_meta.",
      );
    }
  }
  const foreign = add || force || clusters.size ? [] : foreignObjects(items, target);
  if (foreign.length) {
    const list = someOf(foreign, 10, "\n    ");
    problems.add(
      `the target is not empty, it holds ${foreign.length} object(s) of its own:\n    ${list}`,
      "is this the right target? --add restores only what is not there yet; --force overwrites what differs; " +
        "--dry-run lists both.",
    );
  }
  return { items: [...items.values()], plan };
}

/** Reads a dump's items, and finds lines that are none, or are there twice. */
function checkLines({ entries }: Dump, { problems }: Target): ReadonlyMap<string, Item> {
  const { items, unknown } = readItems(entries);
  const bookkeeping = entries.filter((entry) => !items.has(entry.key) && !unknown.has(entry));
  if (bookkeeping.length) {
    const some = someOf(bookkeeping.map(({ key, line }) => `line ${line}: ${key}`), 3);
    problems.add(
      `${bookkeeping.length} entries are the old cluster's own bookkeeping: ${some}`,
      "run the dump through filter_meta, which leaves out what must not be carried over.",
    );
  }
  for (const [{ key, line }, reason] of unknown) {
    problems.add(`line ${line}: ${key}: ${reason}`, unreadableHint);
  }
  for (const [key, [first, ...others]] of Map.groupBy(entries, ({ key }) => key)) {
    for (const { line } of others) {
      problems.add(
        `line ${line}: ${key}: is in line ${first!.line} too`,
        "keep one of two lines with one key.",
      );
    }
  }
  return items;
}

/** Finds items that the target could not read, list or use. */
function checkItems(
  items: ReadonlyMap<string, Item>,
  { cluster, format, dataNodes: { length: nodes }, values, problems }: Target,
): void {
  const bad = unreadable(items, format);
  for (const item of items.values()) {
    const { key, line, object, json } = item;
    const at = `line ${line}: ${harmless(key)}`;
    if (isCutByRestore(key)) {
      problems.add(
        `${at}: a name with ": " or a line break in it, where CnosDB cuts the line: it cannot be restored`,
        "leave it out with filter_meta --exclude.",
      );
    }
    if (object.kind !== "user" && object.kind !== "tenant" && isUnlisted(object)) {
      problems.add(
        `${at}: a name with a slash: no version of CnosDB lists or opens it`,
        "filter_meta leaves such entries out.",
      );
    }
    const reason = bad.get(item);
    if (reason !== undefined) {
      problems.add(`${at}: ${reason}; so ${format}, as the target is, could not read it`, unreadableHint);
    }
    const missing = parentKeys(item).find((parent) => !items.has(parent) && !values.has(parent));
    if (missing && object.cluster === cluster) {
      problems.add(
        `${at}: neither the dump nor the target has ${harmless(missing)}: CnosDB would never list it`,
        "leave it out with filter_meta --exclude, or restore what it is in too.",
      );
    }
    // in `config` up to 2.4.1
    const replica = Number(objectIn(json, "options").replica ?? objectIn(json, "config").replica ?? 1);
    if (object.kind === "database" && replica > nodes) {
      problems.add(
        `${at}: replica ${replica}, but the target has ${nodes} data node(s): every import would fail`,
        `filter_meta --replica ${nodes} lowers it.`,
      );
    }
  }
}

/** What in a target is somebody's: not what a new cluster holds by itself, nor what equals the dump. */
function foreignObjects(dumped: ReadonlyMap<string, Item>, { entries, values, items }: Target): string[] {
  const isOwn = ownOf(entries);
  return [...items.values()].flatMap(({ key, object, label }) => {
    if (isOwn(object)) return [];
    const item = dumped.get(key);
    const fields = item && differences(item, values);
    if (!fields) return [`${label} (not in the dump)`];
    return fields.length ? [`${label} (differs in ${someOf(fields, 3)})`] : [];
  });
}

/** The plan as a table with a line per kind, followed by the items that differ. */
export function describePlan(plan: Plan, { cluster, format, dataNodes, values }: Target): string[] {
  const columns = ["create", "unchanged", plan.left.length ? "left" : "overwrite"] as const;
  const row = (first: string, cells: readonly (string | number)[]) =>
    first.padEnd(10) + cells.map((cell) => String(cell).padStart(11)).join("");
  const rows = kinds.flatMap((kind) => {
    const counts = columns.map((column) => plan[column].filter(({ object }) => object.kind === kind).length);
    return counts.some(Boolean) ? [row(kind, counts)] : [];
  });
  const changed = (item: Item) => `${item.label} (${someOf(differences(item, values) ?? [], 5)})`;
  return [
    `target: cluster ${cluster}, ${format}, ${dataNodes.length} data node(s)`,
    row("", columns),
    ...rows,
    ...plan.overwrite.map((item) => `overwrite: ${changed(item)}`),
    ...plan.left.map((item) => `there and different, left as it is: ${changed(item)}`),
  ];
}
