/** What an operator should know of a dump that was filtered. */
import { displayName } from "../cnosdb/names.ts";
import { type Key, namesOf } from "../dump/key.ts";
import type { Item, Outcome, Remark } from "./convert.ts";

const remarks: Record<Remark, (user: string) => string> = {
  "users without a password": (user) =>
    `user ${user} has no password: 2.4 lets it in only where authentication is off`,
  "users who had to change their password": (user) =>
    `user ${user} had to change its password, which nothing before 2.4.1 asked for: it keeps it, and must_change_password is false`,
};

/** Notes; of one sort the first few are kept, the others counted. */
export class Notes {
  readonly #known = new Map<string, { first: string[]; more: number }>();
  /** members and roles that come out, and the key of the user or the database that has to come out, too */
  readonly #references: { line: number; key: Key; name: string | undefined; to: string }[] = [];
  /** the keys of users and databases that come out */
  readonly #there: string[] = [];

  /** @param users their names by id */
  constructor(readonly users: ReadonlyMap<string, string>) {}

  /** @param note is only asked for if the note is kept */
  add(sort: string, note: () => string): void {
    const known = this.#known.getOrInsertComputed(sort, () => ({ first: [], more: 0 }));
    if (known.first.length < 20) known.first.push(note());
    else known.more++;
  }

  slashed(key: Key): void {
    const name = () => displayName(...namesOf(key));
    this.add(
      "names with a slash",
      () => `${key.kind} ${name()} is left out: no version of CnosDB lists or opens it`,
    );
  }

  /** Takes note of an entry that comes out. */
  take({ entry, key }: Item, { remarks: found = [], rights = [] }: Outcome): void {
    const refer = (name: string | undefined, to: string) =>
      this.#references.push({ line: entry.line, key, name, to });
    if (key.kind === "user" || key.kind === "database") this.#there.push(entry.key);
    if (key.kind === "user") {
      for (const remark of found) this.add(remark, () => remarks[remark](displayName(key.user)));
    }
    if (key.kind === "member") {
      const user = this.users.get(key.userId);
      refer(user, user === undefined ? "" : `/${key.cluster}/users/${user}`);
    }
    if (key.kind === "role") {
      for (const database of rights) refer(database, `/${key.cluster}/tenants/${key.tenant}/dbs/${database}`);
    }
  }

  /** All notes, once every entry was taken. */
  lines(): string[] {
    const missing = new Set(this.#references.map(({ to }) => to));
    for (const key of this.#there) missing.delete(key);
    for (const { line, key, name, to } of this.#references) {
      if (!missing.has(to) || !("tenant" in key)) continue;
      const who = name === undefined ? "a user who is not in the dump" : `user ${displayName(name)}`;
      const [sort, note] = key.kind === "member"
        ? ["members", `${who} is a member of tenant ${displayName(key.tenant)}, but does not come out`]
        : [
          "roles",
          `a role has rights on database ${displayName(key.tenant, name!)}, which does not come out`,
        ];
      this.add(sort, () => `line ${line}: ${note}`);
    }
    return [...this.#known].flatMap(([sort, { first, more }]) => [
      ...first,
      ...(more ? [`… and ${more} more: ${sort}`] : []),
    ]);
  }
}
