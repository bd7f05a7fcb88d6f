/** What refers to what among the entries that come out, for notes about what is missing. */
import { displayName } from "../cnosdb/names.ts";
import { userNames } from "../dump/compare.ts";
import type { Entry } from "../dump/text.ts";
import type { About } from "./convert.ts";
import { type Item, userIdOf } from "./item.ts";
import type { Notes } from "./report.ts";

/** The databases of a tenant that come out, and those that its roles have rights on. */
interface OfTenant {
  databases: string[];
  rights: { database: string; line: number }[];
}

/** Members refer to users, roles to databases. */
export class References {
  readonly #users = new Set<string>();
  readonly #members: { userId: string; tenant: string; line: number }[] = [];
  readonly #tenants = new Map<string, OfTenant>();
  #name = "";
  #last: OfTenant = { databases: [], rights: [] };

  take({ key, entry }: Item, { rights }: About): void {
    switch (key.kind) {
      case "user":
        this.#users.add(userIdOf(entry.value));
        break;
      case "member":
        this.#members.push({ userId: key.userId, tenant: key.tenant, line: entry.line });
        break;
      case "database":
        this.#tenant(key.tenant).databases.push(key.database);
        break;
      case "role":
        for (const database of rights) this.#tenant(key.tenant).rights.push({ database, line: entry.line });
    }
  }

  /** A tenant's; mostly it is the one that was asked for before. */
  #tenant(name: string): OfTenant {
    if (name === this.#name) return this.#last;
    this.#name = name;
    const known = this.#tenants.get(name);
    if (known) return this.#last = known;
    this.#tenants.set(name, this.#last = { databases: [], rights: [] });
    return this.#last;
  }

  /** Notes each reference to what does not come out. @param users all users of the dump */
  check(users: readonly Entry[], notes: Notes): void {
    for (const [tenant, { databases, rights }] of this.#tenants) {
      if (!rights.length) continue;
      const missing = new Map(rights.toReversed().map(({ database, line }) => [database, line]));
      for (const database of databases) missing.delete(database);
      for (const [database, line] of missing) {
        const name = displayName(tenant, database);
        notes.add("roles", `line ${line}: a role has rights on database ${name}, which does not come out`);
      }
    }
    const missing = this.#members.filter(({ userId }) => !this.#users.has(userId));
    const names = userNames(missing.length ? users : []);
    for (const { userId, tenant, line } of missing) {
      const user = names.get(userId);
      notes.add(
        "members",
        `line ${line}: ${
          user === undefined ? "a user who is not in the dump" : `user ${displayName(user)}`
        } is a member of tenant ${displayName(tenant)}, but does not come out`,
      );
    }
  }
}
