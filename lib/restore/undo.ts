/** Takes a restore back: writes former values, and makes the SQL that removes what was added. */
import { harmless } from "../cli/presentable.ts";
import { quoteName } from "../cnosdb/sql.ts";
import { isVolatile, userNames } from "../dump/compare.ts";
import { someOf } from "../cli/text.ts";
import { namesOf } from "../dump/key.ts";
import type { Dump } from "../dump/text.ts";
import {
  differences,
  isBackupOf,
  type Item,
  lookAt,
  parentKeys,
  readItems,
  type RestoreOptions,
  tenantOf,
  unreadable,
} from "./target.ts";
import { verify } from "./verify.ts";
import { write } from "./write.ts";

/**
 * Gives what a restore overwrote its former value.
 * @param yes whether to write; otherwise the plan is shown
 * @returns SQL that removes what the restore added, a statement or a comment a line
 * @throws {Failure} if the backup is of another cluster or another version
 */
export async function undo(backup: Dump, yes: boolean, options: RestoreOptions): Promise<string[]> {
  const { say } = options;
  const target = await lookAt(options, true);
  const { problems } = target;
  const { items, unknown } = readItems(backup.entries, target.cluster);
  const backupHint = "--undo takes the file that --backup of a restore into this cluster has written.";
  if (!isBackupOf(backup, target)) {
    problems.add(`${backup.name} is no backup of this cluster: it names other data nodes`, backupHint);
  }
  const bad = [...unknown, ...unreadable(items, target.format)].map(([{ line, key }, why]) =>
    `line ${line}: ${key}: ${why}`
  );
  if (bad.length) {
    const text = `${target.format} could not read ${bad.length} of its entries: ${someOf(bad, 3)}`;
    problems.add(`${backup.name} is no backup of this version: ${text}`, backupHint);
  }
  problems.throwIfAny();
  // What a server fills by itself, such as its metrics, is not taken back.
  const usersOwn = (all: ReadonlyMap<string, Item>) =>
    [...all.values()].filter(({ object }) => !isVolatile(object));
  const kept = usersOwn(items);
  const changed = kept.filter((item) => differences(item, target.values)?.length);
  const added = usersOwn(target.items).filter(({ key }) => !items.has(key));
  // As they are after the undo: users that it changes have their former ids again, and no other ids.
  const users = userNames([...backup.entries, ...target.entries.filter(({ key }) => !items.has(key))]);
  for (const { key, label } of kept) {
    if (!target.values.has(key)) say(`gone since the backup, not brought back: ${label}`);
  }
  if (yes) {
    await write(target.meta, changed, options);
    await verify(target, changed, options);
  }
  const becomes = yes ? "has its former value again" : "would get back its former value";
  for (const { label } of changed) say(`${becomes}: ${label}`);
  if (!yes) say("nothing was written: --undo writes with --yes");
  return removal(added, users);
}

/** SQL that removes items, by tenant. What goes with its tenant or its database has no statement of its own. */
function removal(items: readonly Item[], users: ReadonlyMap<string, string>): string[] {
  const removed = new Set(items.map(({ key }) => key));
  // what is in tenants first
  const rank = ({ object }: Item) => ["tenant", "user"].indexOf(object.kind);
  const lines = items.toSorted((a, b) => rank(a) - rank(b)).flatMap((item) => {
    if (parentKeys(item).some((key) => removed.has(key))) return [];
    const tenant = tenantOf(item);
    const sql = statementFor(item.object, tenant, users);
    // A client may read line by line, so a name with a line break must not end a statement.
    const line = harmless(sql) === sql ? `${sql};` : `-- by hand, for its name: ${harmless(item.label)}`;
    return sql ? [{ tenant, line }] : [];
  });
  return [...Map.groupBy(lines, ({ tenant }) => tenant)].flatMap(([tenant, statements]) => [
    tenant ? `-- as a member of tenant ${harmless(quoteName(tenant))}` : "-- as an administrator",
    ...statements.map(({ line }) => line),
  ]);
}

/** "" for a member whose user does not exist: SQL cannot name it. */
function statementFor(object: Item["object"], tenant: string, users: ReadonlyMap<string, string>): string {
  if (object.kind === "limiter") return `ALTER TENANT ${quoteName(tenant)} UNSET _limiter`;
  if (object.kind === "member") {
    const user = users.get(object.userId);
    return user === undefined ? "" : `ALTER TENANT ${quoteName(tenant)} REMOVE USER ${quoteName(user)}`;
  }
  return `DROP ${object.kind.toUpperCase()} ${quoteName(...namesOf(object).slice(tenant ? 1 : 0))}`;
}
