/**
 * The fast way through a dump, for lines in the form that CnosDB writes. What a conversion does to a value does not depend on the
 * names and ids at its head, only on the rest, and most rests are alike: so a line whose head agrees with its key is looked up by its
 * rest. The first line with some rest goes the plain way and shows what becomes of it. Everything else goes the plain way too.
 */
import type { Buffer } from "node:buffer";
import type { Counter } from "./account.ts";
import type { Change } from "../dump/changes.ts";
import { copyOf, toText } from "../dump/dump.ts";
import type { Key } from "../dump/key.ts";

/** Something that an operator should know about a user; `name` as it is displayed. */
export interface Remark {
  sort: string;
  text: (name: string) => string;
}

/** What becomes of the rest of a line that is not dropped. */
export interface Verdict {
  /** the rest that is written; undefined where it stays */
  rest?: Buffer;
  /** the databases that a role has rights on */
  databases?: string[];
  /** what an operator should know about a user */
  remarks?: Remark[];
  /** a user with rights on everything */
  admin?: boolean;
  /** the rules that were applied */
  rules: string[];
  /** what differs, where somebody wants to know */
  changes: Change[];
  /** is counted up with each such line */
  count: Counter;
}

/** The head of a line, and what became of each rest that was seen behind it. */
interface Head {
  kind: Exclude<Key["kind"], "internal">;
  pattern: RegExp;
  verdicts: Map<string, Verdict>;
}

// A name without anything that would be escaped in JSON or be ambiguous in a key.
const name = String.raw`([^\x00-\x1f"\\/:]+)`;
// A number that is in the range of 128 bits for sure (2^128 is 3.402…e38); of the last few the plain way decides.
const id = String.raw`(?:0|[1-9]\d{0,37}|[12]\d{38}|3[0-3]\d{37})`;
const cluster = String.raw`/[^\x00-\x1f"\\/: ]+`;
const tenant = `${cluster}/tenants/${name}`;

function head(kind: Head["kind"], pattern: string): Head {
  return { kind, pattern: new RegExp(pattern, "y"), verdicts: new Map() };
}

function tableHead(schema: string): Head {
  return head(
    "table",
    `${tenant}/dbs/${name}/schemas/${name}: {"${schema}":{"tenant":"\\1","db":"\\2","name":"\\3",`,
  );
}

/**
 * The lines that are looked up by their rest, and where their parts stand: matched one at a time, all positions are those of the
 * line that was matched last, in the text that it was matched in.
 */
export class FastLines {
  /** which head the line has */
  #head!: Head;
  /** behind the head */
  restAt = 0;
  /** a user's name, up to the key's end */
  nameAt = 0;
  /** the tenant's name, but for a user */
  tenantAt = 0;
  tenantEnd = 0;
  /** the database's name, for a database and what is in it */
  databaseAt = 0;
  databaseEnd = 0;
  /** the id that a member refers to, or that a user has */
  idAt = 0;
  idEnd = 0;

  readonly #heads = {
    user: head("user", String.raw`${cluster}/users/${name}: {"id":${id},"name":"\1",`),
    tenant: head("tenant", String.raw`${tenant}: {"id":${id},"name":"\1",`),
    role: head("role", String.raw`${tenant}/roles/${name}: {"id":${id},"name":"\2",`),
    member: head("member", String.raw`${tenant}/members/\d+: `),
    limiter: head("limiter", String.raw`${tenant}/limiter: `),
    database: head("database", String.raw`${tenant}/dbs/${name}: {"tenant":"\1","database":"\2",`),
    bucket: head("bucket", String.raw`${tenant}/dbs/${name}/buckets/\d+: {"id":`),
    table: tableHead("TsKvTableSchema"),
    stream: tableHead("StreamTableSchema"),
    external: tableHead("ExternalTableSchema"),
  };
  #held = 0;

  /** @param mostHeld how many bytes of rests to remember */
  constructor(readonly mostHeld = 4 << 20) {}

  /** Of what kind the line is. */
  get kind(): Head["kind"] {
    return this.#head.kind;
  }

  /**
   * Matches the head of a line.
   * @param at where the line starts in `text`; @param colon where its key ends
   * @returns false where the line has to go the plain way
   */
  match(text: string, at: number, colon: number): boolean {
    const head = this.#headOf(text, at, colon);
    head.pattern.lastIndex = at;
    if (!head.pattern.test(text)) return false;
    this.#head = head;
    this.restAt = head.pattern.lastIndex;
    if (head === this.#heads.user) {
      this.nameAt = text.indexOf("/", at + 1) + "/users/".length;
      this.idAt = colon + ': {"id":'.length;
      this.idEnd = text.indexOf(",", this.idAt);
    } else if (head === this.#heads.member) {
      this.idAt = this.tenantEnd + "/members/".length;
      this.idEnd = colon;
    }
    return true;
  }

  /** The one head that a line can have, from where the slashes of its key are, and where its parts are if it has it. */
  #headOf(text: string, at: number, colon: number): Head {
    const slash = text.indexOf("/", at + 1);
    if (text[slash + 1] === "u") return this.#heads.user;
    this.tenantAt = slash + "/tenants/".length;
    const end = text.indexOf("/", this.tenantAt);
    if (end < 0 || end > colon) {
      this.tenantEnd = colon;
      return this.#heads.tenant;
    }
    this.tenantEnd = end;
    switch (text[end + 1]) {
      case "l":
        return this.#heads.limiter;
      case "m":
        return this.#heads.member;
      case "r":
        return this.#heads.role;
    }
    this.databaseAt = end + "/dbs/".length;
    const inside = text.indexOf("/", this.databaseAt);
    if (inside < 0 || inside > colon) {
      this.databaseEnd = colon;
      return this.#heads.database;
    }
    this.databaseEnd = inside;
    if (text[inside + 1] === "b") return this.#heads.bucket;
    const schema = text[colon + ': {"'.length];
    return schema === "S" ? this.#heads.stream : schema === "E" ? this.#heads.external : this.#heads.table;
  }

  /** The tenant, database and table that the line stands under, as text; empty for a user. @param colon where its key ends */
  path(text: string, colon: number): string[] {
    const { kind } = this;
    if (kind === "user") return [];
    const names = [text.slice(this.tenantAt, this.tenantEnd)];
    if (kind === "database" || kind === "bucket" || kind === "table") {
      names.push(text.slice(this.databaseAt, this.databaseEnd));
    }
    if (kind === "table") names.push(text.slice(this.databaseEnd + "/schemas/".length, colon));
    return names.map(toText);
  }

  /** What becomes of a rest of the line that was matched, where one like it was seen. */
  verdict(rest: string): Verdict | undefined {
    return this.#head.verdicts.get(rest);
  }

  /** Remembers what became of a rest. */
  learn(rest: string, verdict: Verdict): void {
    this.#held += rest.length * 2;
    if (this.#held > this.mostHeld) {
      for (const { verdicts } of Object.values(this.#heads)) verdicts.clear();
      this.#held = rest.length * 2;
    }
    this.#head.verdicts.set(copyOf(rest), verdict);
  }
}
