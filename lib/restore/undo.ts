/** Takes a restore back, as far as the meta service can: former values by writing them, what was added by SQL that is printed. */
import { harmless } from "../cli/presentable.ts";
import { quoteName } from "../cnosdb/sql.ts";
import { differingFields, userNames } from "../dump/compare.ts";
import { someOf } from "../cli/text.ts";
import { namesOf } from "../dump/key.ts";
import type { Dump } from "../dump/text.ts";
import {
  fieldsBefore,
  type Item,
  type Problems,
  readItems,
  type Target,
  tenantOf,
  unreadable,
} from "./plan.ts";

const backupHint = "--undo takes the file that --backup of a restore into this cluster has written.";

/**
 * Compares a backup with its cluster.
 * @param problems gets what shows that the backup is of another cluster, or of another version
 * @returns `changed`: items of the backup that have another value now; `gone`: labels of those that are there no more, which an undo does not
 * bring back; `sql`: removes what the backup does not hold, a statement or a comment a line
 */
export function planUndo(
  backup: Dump,
  target: Target,
  problems: Problems,
): { changed: Item[]; gone: string[]; sql: string[] } {
  const items = readItems(backup.entries, ({ line, key }, reason) => {
    problems.add(`${backup.name}: line ${line}: ${key}: ${reason}`, backupHint);
  });
  if (!isBackupOf(backup, target)) {
    problems.add(`${backup.name} is no backup of this cluster: it names other data nodes`, backupHint);
  }
  const [format] = target.formats;
  const kept = [...items.values()];
  const bad = kept.flatMap((item) => {
    const reason = unreadable(item, format);
    return reason ? [`line ${item.line}: ${item.key}: ${reason}`] : [];
  });
  if (bad.length) {
    const text =
      `${backup.name} is no backup of this version: ${format} could not read ${bad.length} of its entries`;
    problems.add(`${text}: ${someOf(bad, 3)}`, backupHint);
  }
  const changed = kept.filter((item) => fieldsBefore(item, target)?.length);
  const gone = kept.filter(({ key }) => !target.values.has(key)).map(({ label }) => label);
  const added = [...target.items.values()].filter(({ key }) => !items.has(key));
  // As they are after the undo: a user that it changes has its former id again, and rows of the other id are nobody's.
  const users = userNames([...backup.entries, ...target.dump.entries.filter(({ key }) => !items.has(key))]);
  return { changed, gone, sql: removal(added, target.cluster, users) };
}

/** Whether a dump is of the same cluster: of that name, with a data node that is still there. */
export function isBackupOf(backup: Dump, { dataNodes }: Target): boolean {
  return backup.entries.some(({ key, value }) => {
    const node = dataNodes.get(key);
    return node !== undefined && differingFields(key, value, node).length === 0;
  });
}

/** SQL that removes items, children of removed parents left out. What is in a tenant is removed from within it. */
function removal(items: readonly Item[], cluster: string, users: ReadonlyMap<string, string>): string[] {
  const removed = new Set(items.map(({ key }) => key));
  const rank = ({ object: { kind } }: Item) => kind === "user" ? 2 : kind === "tenant" ? 1 : 0;
  const lines = items.toSorted((a, b) => rank(a) - rank(b)).flatMap((item) => {
    const { object, label } = item;
    const tenant = tenantOf(item);
    const above = `/${cluster}/tenants/${tenant}`;
    if (removed.has(above)) return [];
    if (object.kind === "table" && removed.has(`${above}/dbs/${object.database}`)) return [];
    const sql = statementFor(object, tenant, users);
    // A statement is one line: a name with a line break would end it where a client reads line by line.
    const line = harmless(sql) === sql ? `${sql};` : `-- by hand, for its name: ${harmless(label)}`;
    return sql ? [{ tenant, line }] : [];
  });
  return [...Map.groupBy(lines, ({ tenant }) => tenant)].flatMap(([tenant, statements]) => [
    tenant ? `-- as a member of tenant ${harmless(quoteName(tenant))}` : "-- as an administrator",
    ...statements.map(({ line }) => line),
  ]);
}

/** "" for a member without a user: the row is nobody's, and SQL cannot name it. */
function statementFor(
  object: Item["object"],
  tenant: string,
  users: ReadonlyMap<string, string>,
): string {
  if (object.kind === "limiter") return `ALTER TENANT ${quoteName(tenant)} UNSET _limiter`;
  if (object.kind === "member") {
    const user = users.get(object.userId);
    return user === undefined ? "" : `ALTER TENANT ${quoteName(tenant)} REMOVE USER ${quoteName(user)}`;
  }
  return `DROP ${object.kind.toUpperCase()} ${quoteName(...namesOf(object).slice(tenant ? 1 : 0))}`;
}
