/**
 * The fast way through a dump, for lines in the form that CnosDB writes. What a conversion does to a value does not depend on the
 * names and ids at its head, only on the rest, and most rests are alike: so a line whose head agrees with its key is looked up by its
 * rest. The first line with some rest goes the plain way and shows what becomes of it. Everything else goes the plain way too.
 */
import { Buffer } from "node:buffer";
import type { Action, Counter } from "./account.ts";
import type { Key } from "./key.ts";

/** What becomes of the rest of a line. */
export interface Verdict {
  action: Action;
  /** the rest that is written; undefined where it stays */
  rest?: Buffer;
  /** the databases that a role has rights on */
  databases?: string[];
  /** a user without a password */
  noPassword?: boolean;
  count: Counter;
}

/** A line that a head matched. Positions are in the block's text. */
export interface FastLine {
  kind: Exclude<Key["kind"], "internal">;
  /** which rests this one is looked up in: a rest means something only behind its own head */
  rests: string;
  /** behind the head */
  restAt: number;
  /** where the id stands that a member refers to, or that a user has */
  idAt: number;
  idEnd: number;
}

// A name without anything that would be escaped in JSON or be ambiguous in a key.
const name = String.raw`([^\x00-\x1f"\\/:]+)`;
// A number that is in the range of 128 bits for sure (2^128 is 3.402…e38); of the last few the plain way decides.
const id = String.raw`(?:0|[1-9]\d{0,37}|[12]\d{38}|3[0-3]\d{37})`;
const tenant = String.raw`/[^\x00-\x1f"\\/: ]+/tenants/${name}`;

function tableHead(schema: string): string {
  return `${tenant}/dbs/${name}/schemas/${name}: {"${schema}":{"tenant":"\\1","db":"\\2","name":"\\3",`;
}

const heads = [
  [
    "table",
    `${tenant}/dbs/${name}/schemas/${name}: {"TsKvTableSchema":{"tenant":"\\1","db":"\\2","name":"\\3",`,
  ],
  ["bucket", String.raw`${tenant}/dbs/${name}/buckets/\d+: {"id":`],
  ["database", `${tenant}/dbs/${name}: {"tenant":"\\1","database":"\\2",`],
  ["member", String.raw`${tenant}/members/\d+: `],
  ["tenant", `${tenant}: {"id":${id},"name":"\\1",`],
  ["limiter", `${tenant}/limiter: `],
  ["table", tableHead("StreamTableSchema")],
  ["table", tableHead("ExternalTableSchema")],
  ["role", `${tenant}/roles/${name}: {"id":${id},"name":"\\2",`],
] as const;
const tenantHeads = heads.map(([kind, source]) => ({ kind, head: new RegExp(source, "y"), rests: source }));
const userHead = new RegExp(String.raw`/[^\x00-\x1f"\\/: ]+/users/${name}: {"id":(${id}),"name":"\1",`, "y");

/** The rests that were seen, and what became of them. */
export class FastLines {
  readonly #verdicts = new Map<string, Map<string, Verdict>>();
  #held = 0;
  readonly #line: FastLine = { kind: "user", rests: "user", restAt: 0, idAt: 0, idEnd: 0 };

  /** @param mostHeld how many bytes of rests to remember */
  constructor(readonly mostHeld = 4 << 20) {}

  /**
   * Matches the head of a line.
   * @param at where the line starts in `text`
   * @returns what it is, good until the next call; undefined where it has to go the plain way
   */
  match(text: string, at: number): FastLine | undefined {
    const line = this.#line;
    const second = text.indexOf("/", at + 1);
    if (text.startsWith("/users/", second)) {
      userHead.lastIndex = at;
      if (!userHead.test(text)) return undefined;
      line.kind = "user";
      line.rests = "user";
      line.restAt = userHead.lastIndex;
      line.idAt = text.indexOf(": ", at) + 8;
      line.idEnd = text.indexOf(",", line.idAt);
      return line;
    }
    for (const { kind, head, rests } of tenantHeads) {
      head.lastIndex = at;
      if (!head.test(text)) continue;
      line.kind = kind;
      line.rests = rests;
      line.restAt = head.lastIndex;
      if (kind === "member") {
        line.idEnd = head.lastIndex - 2;
        line.idAt = text.lastIndexOf("/", line.idEnd) + 1;
      }
      return line;
    }
    return undefined;
  }

  /** What becomes of a rest, where one like it was seen. */
  verdict({ rests }: FastLine, rest: string): Verdict | undefined {
    return this.#verdicts.get(rests)?.get(rest);
  }

  /** Remembers what became of a rest. */
  learn({ rests }: FastLine, rest: string, verdict: Verdict): void {
    this.#held += rest.length * 2;
    if (this.#held > this.mostHeld) {
      this.#verdicts.clear();
      this.#held = rest.length * 2;
    }
    const known = this.#verdicts.get(rests) ?? new Map<string, Verdict>();
    this.#verdicts.set(rests, known);
    // A copy: a slice would keep the whole block that it was cut from.
    known.set(Buffer.from(rest, "latin1").toString("latin1"), verdict);
  }
}
