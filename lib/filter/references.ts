/** What refers to what among the entries that come out, for notes about what is missing. */
import type { Account } from "./account.ts";
import { copyOf, toBytes, toText } from "../dump/dump.ts";
import { displayName } from "../dump/key.ts";

/** Members refer to users, roles to databases. All names and ids are a byte a character; lines count from 1. */
export class References {
  readonly #users = new Ids();
  /** what roles have rights on, by tenant and database, with the line that said so first */
  #rights = new Map<string, { tenant: string; database: string; line: number }>();
  /** the databases that come out, by tenant: where the dump is sorted, those of the tenant that it has come to */
  #databases = new Map<string, string[]>();
  #tenant = "";
  #tenantDatabases: string[] = [];
  #sorted = true;

  constructor(readonly account: Account) {}

  /** Says that the dump is not sorted, so a tenant may come again. */
  unsorted(): void {
    this.#sorted = false;
  }

  user(id: string): void {
    this.#users.define(id);
  }

  member(userId: string, line: number): void {
    this.#users.refer(userId, line);
  }

  database(tenant: string, database: string): void {
    this.#enter(tenant);
    this.#tenantDatabases.push(copyOf(database));
  }

  /** @param databases the names of those that the role has rights on, as text */
  role(tenant: string, databases: string[], line: number): void {
    this.#enter(tenant);
    for (const text of databases) {
      const right = { tenant: this.#tenant, database: toBytes(text), line };
      const name = `${right.tenant}\0${right.database}`;
      if (!this.#rights.has(name)) this.#rights.set(name, right);
    }
  }

  /** Adds a note for each reference to what does not come out. */
  check(): void {
    this.#checkRights();
    for (const line of this.#users.missing()) {
      this.account.note("members", () => `line ${line}: a member of a tenant whose user does not come out`);
    }
  }

  /** In a sorted dump a tenant's entries stand together, so the former one's names can be forgotten. */
  #enter(tenant: string): void {
    if (tenant === this.#tenant) return;
    if (this.#sorted) this.#checkRights();
    this.#tenant = copyOf(tenant);
    this.#tenantDatabases = this.#databases.get(tenant) ?? [];
    this.#databases.set(this.#tenant, this.#tenantDatabases);
  }

  #checkRights(): void {
    const known = new Map<string, Set<string>>();
    for (const { tenant, database, line } of this.#rights.values()) {
      const names = known.get(tenant) ?? new Set(this.#databases.get(tenant));
      known.set(tenant, names);
      if (names.has(database)) continue;
      const name = displayName(toText(tenant), toText(database));
      this.account.note(
        "roles",
        `line ${line}: a role has rights on database ${name}, which does not come out`,
      );
    }
    // New ones: a map that is cleared again and again leaves a chain of its former tables, which only a full collection frees.
    if (this.#rights.size) this.#rights = new Map();
    this.#databases = new Map();
  }
}

/**
 * Ids that are referred to, and which of them exist: millions in little memory, 53 bits of hash each. Two ids are taken for one once
 * in some 10^15 pairs, so it is good for notes, not for decisions.
 */
class Ids {
  readonly #referred = new Numbers();
  /** where each of `#referred` is */
  readonly #lines = new Numbers();
  readonly #defined = new Numbers();

  /** @param id a byte a character; @param line where it is referred to, from 1 */
  refer(id: string, line: number): void {
    this.#referred.push(hash53(id));
    this.#lines.push(line);
  }

  /** Says that an id exists, before or after it is referred to. */
  define(id: string): void {
    this.#defined.push(hash53(id));
  }

  /** The lines that refer to ids which do not exist, in the order in which they were given. */
  *missing(): Generator<number> {
    const defined = this.#defined.all().sort();
    for (let n = 0; n < this.#referred.length; n++) {
      if (!includes(defined, this.#referred.at(n))) yield this.#lines.at(n);
    }
  }
}

const chunkBits = 13;

/** A list of numbers that grows without being copied. */
class Numbers {
  readonly #chunks: Float64Array[] = [];
  length = 0;

  push(number: number): void {
    const at = this.length++;
    let chunk = this.#chunks[at >>> chunkBits];
    if (!chunk) this.#chunks.push(chunk = new Float64Array(1 << chunkBits));
    chunk[at & (1 << chunkBits) - 1] = number;
  }

  at(n: number): number {
    return this.#chunks[n >>> chunkBits]![n & (1 << chunkBits) - 1]!;
  }

  all(): Float64Array {
    const all = new Float64Array(this.#chunks.length << chunkBits);
    for (const [n, chunk] of this.#chunks.entries()) all.set(chunk, n << chunkBits);
    return all.subarray(0, this.length);
  }
}

function includes(sorted: Float64Array, number: number): boolean {
  let from = 0, to = sorted.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle]! < number) from = middle + 1;
    else to = middle;
  }
  return sorted[from] === number;
}

/** Two FNV-1a hashes side by side. */
function hash53(text: string): number {
  let a = 0x811c9dc5, b = 0x9747b28c;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b ^ c, 0x85ebca6b) ^ (b >>> 13);
  }
  return (b >>> 11) * 4294967296 + (a >>> 0);
}
