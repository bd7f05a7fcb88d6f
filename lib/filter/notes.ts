/** What an operator should know of a dump that was filtered. */
import { displayName } from "../cnosdb/names.ts";
import type { Item, Outcome } from "./convert.ts";

const mostOfASort = 20;

/** Collects notes. Of one sort the first are kept and the others counted, but what is dropped as invalid is always named. */
export class Notes {
  readonly #sorts = new Map<string, { first: string[]; more: number }>();
  /** the keys of users and databases that come out */
  readonly #carried: string[] = [];
  /** members, and roles' rights, that come out */
  readonly #references: Reference[] = [];

  /** @param users their names by id */
  constructor(readonly users: ReadonlyMap<string, string>) {}

  /** @param note is only called if its result is kept */
  add(sort: string, note: () => string): void {
    const known = this.#sorts.getOrInsertComputed(sort, () => ({ first: [], more: 0 }));
    if (known.first.length < mostOfASort || sort === "invalid") known.first.push(note());
    else known.more++;
  }

  /** Takes note of an entry that comes out. */
  take({ entry, key }: Item, { remarks = [], rights = [] }: Outcome): void {
    if (key.kind === "database" || key.kind === "user") this.#carried.push(entry.key);
    if (key.kind === "user") {
      for (const { sort, text } of remarks) this.add(sort, () => `user ${displayName(key.user)} ${text}`);
    } else if (key.kind === "member") {
      const user = this.users.get(key.userId);
      const needs = user === undefined ? "" : `/${key.cluster}/users/${user}`;
      this.#references.push({ line: entry.line, tenant: key.tenant, user, database: undefined, needs });
    } else if (key.kind === "role") {
      const { cluster, tenant } = key;
      for (const database of rights) {
        const needs = `/${cluster}/tenants/${tenant}/dbs/${database}`;
        this.#references.push({ line: entry.line, tenant, user: undefined, database, needs });
      }
    }
  }

  /** All notes, once every entry was taken. */
  lines(): string[] {
    // This set is smaller than one of all that comes out.
    const missing = new Set(this.#references.map(({ needs }) => needs));
    for (const key of this.#carried) missing.delete(key);
    for (const reference of this.#references) {
      if (!missing.has(reference.needs)) continue;
      this.add(reference.database === undefined ? "members" : "roles", () => describeReference(reference));
    }
    return [...this.#sorts].flatMap(([sort, { first, more }]) =>
      more ? [...first, `… and ${more} more: ${sort}`] : first
    );
  }
}

/** A member of a tenant, or a role's right on a database. One object for each: a dump may have millions. */
interface Reference {
  readonly line: number;
  readonly tenant: string;
  /** of a member; undefined if it is not in the dump */
  readonly user: string | undefined;
  /** of a right */
  readonly database: string | undefined;
  /** the key of the user or the database, which has to come out, too */
  readonly needs: string;
}

function describeReference({ line, tenant, user, database }: Reference): string {
  if (database !== undefined) {
    return `line ${line}: a role has rights on database ${
      displayName(tenant, database)
    }, which does not come out`;
  }
  const who = user === undefined ? "a user who is not in the dump" : `user ${displayName(user)}`;
  return `line ${line}: ${who} is a member of tenant ${displayName(tenant)}, but does not come out`;
}
