/** Takes a restore back, as far as the meta service can: former values by writing them, what was added by SQL that is printed. */
import { harmless } from "../cli/harmless.ts";
import { quoteName } from "../cnosdb/sql.ts";
import { differingFields, someOf, userNames } from "../dump/compare.ts";
import type { Dump } from "../dump/text.ts";
import { type Item, type Problems, readItems, type Target, unreadable } from "./plan.ts";

/** What an undo would do. */
export interface UndoPlan {
  /** items of the backup that have another value now */
  changed: Item[];
  /** labels of items of the backup that are there no more: an undo does not bring them back */
  gone: string[];
  /** SQL that removes what the backup does not hold, a statement or a comment a line */
  sql: string[];
}

/**
 * Compares a backup with its cluster.
 * @param problems gets what shows that the backup is of another cluster, or of another version
 */
export function planUndo(backup: Dump, target: Target, problems: Problems): UndoPlan {
  const items = readItems(backup.entries, ({ line, key }, reason) => {
    problems.add(`${backup.name}: line ${line}: ${key}: ${reason}`, backupHint);
  });
  if (!isBackupOf(backup, target)) {
    problems.add(`${backup.name} is no backup of this cluster: it names other data nodes`, backupHint);
  }
  const [format] = target.formats;
  const bad = [...items.values()].flatMap((item) => {
    const reason = unreadable(item, format);
    return reason ? [`line ${item.line}: ${item.key}: ${reason}`] : [];
  });
  if (bad.length) {
    const text =
      `${backup.name} is no backup of this version: ${format} could not read ${bad.length} of its entries`;
    problems.add(`${text}: ${someOf(bad, 3)}`, backupHint);
  }
  const changed = [...items.values()].filter(({ key, value }) => {
    const now = target.values.get(key);
    return now !== undefined && differingFields(key, value, now).length > 0;
  });
  const gone = [...items.values()].filter(({ key }) => !target.values.has(key)).map(({ label }) => label);
  const added = [...target.items.values()].filter(({ key }) => !items.has(key));
  // As they are after the undo: a user that it changes has its former id again, and rows of the other id are nobody's.
  const users = userNames([...backup.entries, ...target.dump.entries.filter(({ key }) => !items.has(key))]);
  return { changed, gone, sql: removal(added, target.cluster, users) };
}

const backupHint = "--undo takes the file that --backup of a restore into this cluster has written.";

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
  const root = `/${cluster}/tenants/`;
  const groups = new Map<string, string[]>();
  const add = ({ label }: Item, group: string, sql: string, ...names: string[]) => {
    // A statement is one line: a name with a line break would end it where a client reads line by line.
    const line = names.some((name) => harmless(name) !== name)
      ? `-- by hand, for its name: ${harmless(label)}`
      : `${sql};`;
    groups.set(group, [...groups.get(group) ?? [], line]);
  };
  const rank = ({ object: { kind } }: Item) => kind === "user" ? 2 : kind === "tenant" ? 1 : 0;
  for (const item of [...items].sort((a, b) => rank(a) - rank(b))) {
    const { object } = item;
    if (object.kind === "user") {
      add(item, "", `DROP USER ${quoteName(object.user)}`, object.user);
      continue;
    }
    const { tenant } = object;
    if (object.kind === "tenant") add(item, "", `DROP TENANT ${quoteName(tenant)}`, tenant);
    else if (removed.has(root + tenant)) continue;
    else if (object.kind === "role") add(item, tenant, `DROP ROLE ${quoteName(object.role)}`, object.role);
    else if (object.kind === "limiter") {
      add(item, tenant, `ALTER TENANT ${quoteName(tenant)} UNSET _limiter`, tenant);
    } else if (object.kind === "database") {
      add(item, tenant, `DROP DATABASE ${quoteName(object.database)}`, object.database);
    } else if (object.kind === "table") {
      const { database, table } = object;
      if (removed.has(`${root}${tenant}/dbs/${database}`)) continue;
      add(item, tenant, `DROP TABLE ${quoteName(database, table)}`, database, table);
    } else {
      const user = users.get(object.userId);
      const sql = `ALTER TENANT ${quoteName(tenant)} REMOVE USER`;
      // A row without a user is nobody's, and SQL cannot name it.
      if (user !== undefined) add(item, tenant, `${sql} ${quoteName(user)}`, tenant, user);
    }
  }
  return [...groups].flatMap(([tenant, statements]) => [
    tenant ? `-- as a member of tenant ${harmless(quoteName(tenant))}` : "-- as an administrator",
    ...statements,
  ]);
}
