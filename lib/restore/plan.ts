/** What a restore would do to a target, and all that speaks against it. */
import { displayName } from "../cnosdb/names.ts";
import { ownOf } from "../dump/compare.ts";
import { harmless } from "../cli/presentable.ts";
import { someOf } from "../cli/text.ts";
import { objectIn } from "../dump/json.ts";
import { isCutByRestore, isUnlisted, kinds } from "../dump/key.ts";
import type { Dump } from "../dump/text.ts";
import {
  fieldsBefore,
  type Item,
  readItems,
  type RestoreOptions,
  type Target,
  unreadable,
} from "./target.ts";

/** What becomes of each entry of a dump; `left` is there and different, and not touched under `--add`. */
export type Plan = Record<"create" | "unchanged" | "overwrite" | "left", Item[]>;

const unreadableHint =
  "run the dump through filter_meta --target VERSION, which makes what that version reads.";

/** Compares a dump with a target. Adds to the target's problems what can never be restored, would do harm or get lost. */
export function makePlan(
  { entries }: Dump,
  target: Target,
  { add = false, force = false }: Pick<RestoreOptions, "add" | "force">,
): { items: readonly Item[]; plan: Plan } {
  const { cluster, format, dataNodes: { length: nodes }, values, problems } = target;
  const { items, unknown } = readItems(entries);
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
  const lines = new Map<string, number>();
  for (const { key, line } of entries) {
    const twice = lines.get(key);
    if (twice) {
      problems.add(`line ${line}: ${key}: is in line ${twice} too`, "keep one of two lines with one key.");
    }
    lines.set(key, line);
  }
  const bad = unreadable(items, format);
  const plan: Plan = { create: [], unchanged: [], overwrite: [], left: [] };
  for (const item of items.values()) {
    const { key, line, object, json } = item;
    const at = `line ${line}: ${harmless(key)}`;
    const fields = fieldsBefore(item, values);
    plan[!fields ? "create" : !fields.length ? "unchanged" : add ? "left" : "overwrite"].push(item);
    if (isCutByRestore(key)) {
      const text =
        'a name with ": " or a line break in it, where CnosDB cuts the line: it cannot be restored';
      problems.add(`${at}: ${text}`, "leave it out with filter_meta --exclude.");
    }
    if (object.kind !== "user" && object.kind !== "tenant" && isUnlisted(object)) {
      const text = "a name with a slash: no version of CnosDB lists or opens it";
      problems.add(`${at}: ${text}`, "filter_meta leaves such entries out.");
    }
    const reason = bad.get(item);
    if (reason !== undefined) {
      problems.add(`${at}: ${reason}; so ${format}, as the target is, could not read it`, unreadableHint);
    }
    const missing = parentsOf(item).find(({ key }) => !items.has(key) && !values.has(key));
    if (missing && object.cluster === cluster) {
      problems.add(
        `${at}: neither the dump nor the target has ${missing.label}: CnosDB would never list it`,
        "leave it out with filter_meta --exclude, or restore what it is in too.",
      );
    }
    // In `config` up to 2.4.1.
    const replica = Number(objectIn(json, "options")["replica"] ?? objectIn(json, "config")["replica"] ?? 1);
    if (object.kind === "database" && replica > nodes) {
      problems.add(
        `${at}: replica ${replica}, but the target has ${nodes} data node(s): every import would fail`,
        `filter_meta --replica ${nodes} lowers it.`,
      );
    }
    if (add && object.kind === "user" && fields?.includes("id")) {
      problems.add(
        `${at}: the target has another user of that name: what the dump's is a member of would belong to nobody`,
        "rename or drop one of the two, or leave it out with filter_meta.",
      );
    }
  }
  const foreign = add || force || clusters.size ? [] : foreignObjects(items, target);
  if (foreign.length) {
    const list = someOf(foreign, 10, "\n    ");
    problems.add(
      `the target is not empty, it holds ${foreign.length} object(s) of its own:\n    ${list}`,
      "is this the right target? --add restores only what is not there yet; --force overwrites what differs; --dry-run lists both.",
    );
  }
  return { items: [...items.values()], plan };
}

/** The tenant and the database that an item is in. */
function parentsOf({ object }: Item): { key: string; label: string }[] {
  if (object.kind === "user" || object.kind === "tenant") return [];
  const tenant = {
    key: `/${object.cluster}/tenants/${object.tenant}`,
    label: `tenant ${displayName(object.tenant)}`,
  };
  if (object.kind !== "table") return [tenant];
  const label = `database ${displayName(object.tenant, object.database)}`;
  return [tenant, { key: `${tenant.key}/dbs/${object.database}`, label }];
}

/** What a new cluster holds by itself may be overwritten; all else in it is somebody's, unless it equals the dump. */
function foreignObjects(dumped: ReadonlyMap<string, Item>, target: Target): string[] {
  const { entries, values } = target;
  const isOwn = ownOf(entries);
  return [...target.items.values()].flatMap(({ key, object, label }) => {
    if (isOwn(object)) return [];
    const item = dumped.get(key);
    const fields = item && fieldsBefore(item, values);
    if (!fields) return [`${label} (not in the dump)`];
    return fields.length ? [`${label} (differs in ${someOf(fields, 3)})`] : [];
  });
}

/** The plan as a table, a line per kind, and what is not simply created. */
export function describePlan(plan: Plan, { cluster, format, dataNodes, values }: Target): string[] {
  const columns = ["create", "unchanged", plan.left.length ? "left" : "overwrite"] as const;
  const row = (first: string, cells: readonly (string | number)[]) =>
    first.padEnd(10) + cells.map((cell) => String(cell).padStart(11)).join("");
  const rows = kinds.flatMap((kind) => {
    const counts = columns.map((column) => plan[column].filter(({ object }) => object.kind === kind).length);
    return counts.some(Boolean) ? [row(kind, counts)] : [];
  });
  const changed = (item: Item) => `${item.label} (${someOf(fieldsBefore(item, values) ?? [], 5)})`;
  return [
    `target: cluster ${cluster}, ${format}, ${dataNodes.length} data node(s)`,
    row("", columns),
    ...rows,
    ...plan.overwrite.map((item) => `overwrite: ${changed(item)}`),
    ...plan.left.map((item) => `there and different, left as it is: ${changed(item)}`),
  ];
}
