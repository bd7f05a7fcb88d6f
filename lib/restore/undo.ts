/** Takes a restore back, as far as the meta service can. */
import { differingFields } from "../dump/compare.ts";
import { Failure, messageOf } from "../cli/errors.ts";
import { chunksOf } from "../cli/io.ts";
import { candidates } from "../dump/key.ts";
import { describeObject, type Item, readItems } from "./plan.ts";
import { Problems } from "../cli/problems.ts";
import { check, connect, groupOf, readDump, type RestoreOptions, write } from "./restore.ts";
import { quoteName } from "../cnosdb/sql.ts";
import type { Target } from "./target.ts";

/**
 * Gives what a restore overwrote its former value. What a restore added can only be removed by SQL.
 * @param backup what `backup` wrote
 * @returns SQL, a statement or a comment each, that removes what the backup does not hold
 */
export async function undo(backup: string, options: RestoreOptions): Promise<string[]> {
  const problems = new Problems();
  using file = await Deno.open(backup).catch((error) => {
    throw new Failure(`${backup}: ${messageOf(error)}`);
  });
  const blocks = await readDump(chunksOf(file), backup, false);
  const { meta, sql, target } = await connect(options, true, problems);
  const before = readItems(blocks, new Problems(), true);
  if (before.every(({ object }) => object.cluster !== target.cluster)) {
    problems.add(`${backup} is not of cluster ${target.cluster}`, "is it this target's backup?");
  }
  problems.throwIfAny();
  const changed = before.filter(({ key, value }) => {
    const now = target.entries.get(key);
    return now && differingFields(key, value, now.value).length > 0;
  });
  for (const { object } of changed) options.say(`former value: ${describeObject(object)}`);
  for (const { object } of before.filter(({ key }) => !target.entries.has(key))) {
    options.say(`gone since, not brought back: ${describeObject(object)}`);
  }
  const kept = new Set(before.map(({ key }) => key));
  const added = readItems(target.blocks, new Problems(), true).filter(({ key }) => !kept.has(key));
  if (!options.dryRun) {
    const group = groupOf(meta, target, changed);
    await write(group, changed, options);
    await check(group, sql, changed, target, options);
  }
  return removal(added, target);
}

/** What removes objects, children of removed parents left out. Tables and the like are removed from within their tenant. */
function removal(items: Item[], { entries, cluster }: Target): string[] {
  const removed = new Set(items.map(({ key }) => key));
  const names = new Map<string, string>();
  for (const { key, value } of entries.values()) {
    const [read] = candidates(key);
    const id = read?.kind === "user" && /"id":(\d+)/.exec(value)?.[1];
    if (id) names.set(id, read.user);
  }
  const statements = items.flatMap(({ object }): { tenant: string; sql: string; last: number }[] => {
    if (object.kind === "user") return [{ tenant: "", sql: `DROP USER ${quoteName(object.user)};`, last: 2 }];
    const { tenant } = object;
    if (object.kind === "tenant") return [{ tenant: "", sql: `DROP TENANT ${quoteName(tenant)};`, last: 1 }];
    if (removed.has(`/${cluster}/tenants/${tenant}`)) return [];
    const inTenant = (sql: string) => [{ tenant, sql: `${sql};`, last: 0 }];
    switch (object.kind) {
      case "role":
        return inTenant(`DROP ROLE ${quoteName(object.role)}`);
      case "limiter":
        return inTenant(`ALTER TENANT ${quoteName(tenant)} UNSET _limiter`);
      case "member": {
        const user = names.get(object.userId);
        const sql = `ALTER TENANT ${quoteName(tenant)} REMOVE USER`;
        return inTenant(
          user === undefined ? `-- ${sql}: no user has id ${object.userId}` : `${sql} ${quoteName(user)}`,
        );
      }
      case "database":
        return inTenant(`DROP DATABASE ${quoteName(object.database)}`);
      case "table":
        return removed.has(`/${cluster}/tenants/${tenant}/dbs/${object.database}`)
          ? []
          : inTenant(`DROP TABLE ${quoteName(object.database, object.table)}`);
    }
  });
  const groups = Map.groupBy(statements.sort((a, b) => a.last - b.last), ({ tenant }) => tenant);
  return [...groups].flatMap(([tenant, group]) => [
    tenant ? `-- as a member of tenant ${quoteName(tenant)}` : "-- as an administrator",
    ...group.map(({ sql }) => sql),
  ]);
}
