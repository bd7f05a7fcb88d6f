/** What an operator should know of a dump that was filtered. */
import { displayName } from "../cnosdb/names.ts";
import type { Item, Outcome, Remark } from "./convert.ts";

const remarks: Record<Remark, (user: string) => string> = {
  "users without a password": (user) =>
    `user ${user} has no password: 2.4 lets it in only where authentication is off`,
  "users who had to change their password": (user) =>
    `user ${user} had to change its password, which nothing before 2.4.1 asked for: it keeps it, and must_change_password is false`,
};

/** Notes; of one sort the first 20 are kept, the others counted, but what was dropped as invalid is always named. */
export class Notes {
  readonly #known = new Map<string, { first: string[]; more: number }>();
  /** the keys of users and databases that come out */
  readonly #there: string[] = [];
  /** members and rights that come out, with the key of the user or the database that has to come out, too */
  readonly #members: { line: number; tenant: string; user: string | undefined; to: string }[] = [];
  readonly #rights: { line: number; tenant: string; database: string; to: string }[] = [];

  /** @param users their names by id */
  constructor(readonly users: ReadonlyMap<string, string>) {}

  /** @param note is only asked for if the note is kept */
  add(sort: string, note: () => string): void {
    const known = this.#known.getOrInsertComputed(sort, () => ({ first: [], more: 0 }));
    if (known.first.length < 20 || sort === "invalid") known.first.push(note());
    else known.more++;
  }

  /** Takes note of an entry that comes out. */
  take({ entry: { key: text, line }, key }: Item, { remarks: found = [], rights = [] }: Outcome): void {
    if (key.kind === "database") this.#there.push(text);
    else if (key.kind === "user") {
      this.#there.push(text);
      for (const remark of found) this.add(remark, () => remarks[remark](displayName(key.user)));
    } else if (key.kind === "member") {
      const user = this.users.get(key.userId);
      const to = user === undefined ? "" : `/${key.cluster}/users/${user}`;
      this.#members.push({ line, tenant: key.tenant, user, to });
    } else if (key.kind === "role") {
      const { cluster, tenant } = key;
      for (const database of rights) {
        this.#rights.push({ line, tenant, database, to: `/${cluster}/tenants/${tenant}/dbs/${database}` });
      }
    }
  }

  /** All notes, once every entry was taken. */
  lines(): string[] {
    const missing = new Set([...this.#members, ...this.#rights].map(({ to }) => to));
    for (const key of this.#there) missing.delete(key);
    for (const { line, tenant, database } of this.#rights.filter(({ to }) => missing.has(to))) {
      const name = displayName(tenant, database);
      this.add("roles", () => `line ${line}: a role has rights on database ${name}, which does not come out`);
    }
    for (const { line, tenant, user } of this.#members.filter(({ to }) => missing.has(to))) {
      const who = user === undefined ? "a user who is not in the dump" : `user ${displayName(user)}`;
      const where = displayName(tenant);
      this.add("members", () => `line ${line}: ${who} is a member of tenant ${where}, but does not come out`);
    }
    return [...this.#known].flatMap(([sort, { first, more }]) => [
      ...first,
      ...(more ? [`… and ${more} more: ${sort}`] : []),
    ]);
  }
}
