/** What an operator should know of a dump that was filtered. */
import { displayName } from "../cnosdb/names.ts";
import type { Item, Outcome } from "./convert.ts";

const mostOfASort = 20;

/** Collects notes. Of one sort the first are kept and the others counted, but what is dropped as invalid is always named. */
export class Notes {
  readonly #sorts = new Map<string, { first: string[]; more: number }>();
  /** the keys of users and databases that come out */
  readonly #carried = new Set<string>();
  /** members and rights that come out; `needs` is the key of the user or the database that they refer to */
  readonly #references: { sort: string; needs: string; note: () => string }[] = [];

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
    if (key.kind === "database" || key.kind === "user") this.#carried.add(entry.key);
    if (key.kind === "user") {
      for (const { sort, text } of remarks) this.add(sort, () => `user ${displayName(key.user)} ${text}`);
    } else if (key.kind === "member") {
      const user = this.users.get(key.userId);
      const needs = user === undefined ? "" : `/${key.cluster}/users/${user}`;
      const note = () => {
        const who = user === undefined ? "a user who is not in the dump" : `user ${displayName(user)}`;
        const tenant = displayName(key.tenant);
        return `line ${entry.line}: ${who} is a member of tenant ${tenant}, but does not come out`;
      };
      this.#references.push({ sort: "members", needs, note });
    } else if (key.kind === "role") {
      for (const database of rights) {
        const needs = `/${key.cluster}/tenants/${key.tenant}/dbs/${database}`;
        const note = () => {
          const name = displayName(key.tenant, database);
          return `line ${entry.line}: a role has rights on database ${name}, which does not come out`;
        };
        this.#references.push({ sort: "roles", needs, note });
      }
    }
  }

  /** All notes, once every entry was taken. */
  lines(): string[] {
    for (const { sort, needs, note } of this.#references) if (!this.#carried.has(needs)) this.add(sort, note);
    return [...this.#sorts].flatMap(([sort, { first, more }]) =>
      more ? [...first, `… and ${more} more: ${sort}`] : first
    );
  }
}
