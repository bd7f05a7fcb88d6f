/**
 * From the dump of one version to the dump of another: what is dropped, what is converted, and an account of both.
 * The dump is read twice: a survey finds what has to be known beforehand, then each line is converted by itself.
 */
import { Buffer } from "node:buffer";
import { Account, type Outcome } from "./account.ts";
import { type Change, changes } from "../dump/changes.ts";
import { type Choice, path } from "./choice.ts";
import { copyOf, DumpReader, DumpWriter, entriesOf, keyEnd, toBytes, toText } from "../dump/dump.ts";
import { Failure } from "../cli/errors.ts";
import { FastLines, type Remark, type Verdict } from "./filter_fast.ts";
import type { Source } from "../cli/io.ts";
import { parseJson, readObject } from "../dump/json.ts";
import { candidates, displayName, formatKey, isUnlisted, type Key, namesOf } from "../dump/key.ts";
import { References } from "./references.ts";
import type { Rule } from "./rules.ts";
import { ShapeError } from "../versions/shape.ts";
import { describeFormats, includesFormat, type Survey, surveyDump } from "./survey.ts";
import {
  assertReadable,
  capReplica,
  convert,
  type Format,
  formatOf,
  formatsOf,
  identify,
  stepsBetween,
  walMaxFileSizeBytes,
} from "../versions/versions.ts";
import type { Context, VersionStep } from "../versions/common.ts";
import { canLogIn } from "../versions/v2_4_0.ts";

export interface FilterOptions {
  target: Format;
  /** a release or a form; what the dump's shapes say is checked against it */
  source?: string;
  /** the cluster's name in the keys that come out */
  cluster?: string;
  choice: Choice;
  rules: Rule[];
  /** the most replicas a database may have */
  replica?: number;
  memcachePartitions: number;
  root: "auto" | "keep" | "drop";
  keepSystem: boolean;
  pruneUsers: boolean;
  dropInvalid: boolean;
  /** bcrypt, loaded only where the survey has found a plain-text password */
  loadHash: () => Promise<Context["hash"]>;
  /** every line the plain way, for tests that compare the two */
  plain?: boolean;
}

const systemDatabases = new Set(["usage_schema", "cluster_schema"]);

/** Converts a dump. One object for one run. */
export class Filter {
  readonly account = new Account();
  readonly #options: FilterOptions;
  readonly #fast = new FastLines();
  readonly #references = new References(this.account);
  #previousKey = "";
  #sorted = true;
  #hashed = 0;
  #tells = false;
  /** what became of the block's entries, where somebody wants to know */
  readonly #outcomes: Outcome[] = [];
  #survey!: Survey;
  #sourceFormat: Format = "2.3";
  #steps: VersionStep[] = [];
  #context!: Context;

  constructor(options: FilterOptions) {
    this.#options = options;
  }

  /**
   * Reads a dump and writes the converted one.
   * @param output undefined: nothing is written
   * @param tell is told what became of each entry
   * @throws {Failure} at the line that cannot be converted; what was written until then has no end mark
   */
  async run(input: Source, output?: DumpWriter, tell?: (outcome: Outcome) => Promise<void>): Promise<Survey> {
    const { target, source, choice, pruneUsers, memcachePartitions, plain } = this.#options;
    const survey = this.#survey = await surveyDump(input, target, source, choice, pruneUsers);
    this.#steps = stepsBetween(survey.source, target);
    this.#sourceFormat = formatOf(survey.source);
    const bcrypt = survey.plainPasswords ? await this.#options.loadHash() : undefined;
    const hash = (password: string, userId: string) => {
      if (!bcrypt) throw new Error("a password is to be hashed that the survey did not see");
      this.#hashed++;
      return bcrypt(password, userId);
    };
    this.#context = { memcachePartitions, walMaxFileSizeBytes: walMaxFileSizeBytes(target), hash };
    this.#tells = tell !== undefined;
    const writer = output ?? new DumpWriter(() => Promise.resolve());
    for await (const block of new DumpReader(input.name, { whole: true }).blocks(input.open())) {
      const sortedBefore = this.#sorted;
      try {
        if (block.raw && !plain) this.#fastLines(block.bytes, block.raw, block.line, writer);
        else {
          for (const { key, value, line } of entriesOf(block)) {
            this.#noteOrder(key);
            this.#plainLine(key, value, line, writer);
          }
        }
      } finally {
        for (const outcome of this.#outcomes.splice(0)) await tell?.(outcome);
      }
      // Lest the block lives on: by a key that was cut from it, and as what the last regular expression was matched with.
      this.#previousKey = copyOf(this.#previousKey);
      /^/.test("");
      if (sortedBefore && !this.#sorted) await this.#refuseTwice(input);
      if (writer.full) await writer.flush();
    }
    this.#references.check();
    this.#noteRest();
    await output?.end();
    return survey;
  }

  /** Keys that rise, as CnosDB dumps them, are never there twice. */
  #noteOrder(key: string): void {
    if (this.#sorted && key <= this.#previousKey) {
      this.#sorted = false;
      this.#references.unsorted();
    }
    this.#previousKey = key;
  }

  /** Reads all keys of a dump that is not sorted. @throws {Failure} where one is there twice */
  async #refuseTwice(input: Source): Promise<void> {
    const lines = new Map<string, number>();
    for await (const block of new DumpReader(input.name, { whole: true }).blocks(input.open())) {
      for (const { key, line } of entriesOf(block)) {
        const text = toText(key);
        if (this.#options.rules.some((rule) => !rule.apply && rule.test(text))) continue;
        const before = lines.get(text);
        if (before !== undefined) {
          throw new Failure(
            `line ${line}: ${text}: is there twice, first in line ${before}`,
            "keep one of the two lines.",
          );
        }
        lines.set(text, line);
      }
    }
  }

  #fastLines(text: string, raw: Buffer, firstLine: number, writer: DumpWriter): void {
    const { cluster } = this.#options;
    const fast = this.#fast;
    let line = firstLine;
    /** where the bytes begin that go out as they are, and are copied together */
    let from = 0;
    for (let at = 0, next = 0; at < text.length; at = next, line++) {
      const end = text.indexOf("\n", at);
      next = end + 1;
      const colon = keyEnd(text, at, end, line);
      const key = text.slice(at, colon);
      this.#noteOrder(key);
      const isFast = fast.match(text, at, colon) && !this.#isRuled(key);
      const verdict = isFast ? this.#verdict(text, at, colon, end, line) : undefined;
      if (verdict === undefined || typeof verdict === "string") {
        writer.copy(raw, from, at);
        from = next;
        if (verdict === undefined) this.#plainLine(key, text.slice(colon + 2, end), line, writer);
        else this.#drop(line, key, fast.kind, verdict);
        continue;
      }
      writer.entries++;
      const renamed = cluster !== undefined && !text.startsWith(`/${cluster}/`, at);
      if (renamed) {
        writer.copy(raw, from, at);
        writer.put(toBytes(`/${cluster}`));
        from = text.indexOf("/", at + 1);
        this.account.counter("converted", fast.kind).n++;
      } else verdict.count.n++;
      if (this.#tells) {
        const entry = toText(key);
        const newKey = renamed ? `/${cluster}${entry.slice(entry.indexOf("/", 1))}` : entry;
        this.#tell(line, entry, fast.kind, verdict.rules, newKey, verdict.changes);
      }
      if (!verdict.rest) continue;
      writer.copy(raw, from, fast.restAt);
      writer.copy(verdict.rest, 0, verdict.rest.length);
      from = next;
    }
    writer.copy(raw, from, text.length);
  }

  /** Whether one of the operator's rules is about an entry. */
  #isRuled(keyBytes: string): boolean {
    const { rules } = this.#options;
    if (rules.length === 0) return false;
    const key = toText(keyBytes);
    return rules.some((rule) => rule.test(key));
  }

  /** What becomes of a line whose head matched, or what drops it; undefined where it has to go the plain way. */
  #verdict(text: string, at: number, colon: number, end: number, line: number): Verdict | string | undefined {
    const fast = this.#fast;
    const { kind } = fast;
    switch (kind) {
      case "bucket":
        return "buckets";
      case "user":
        // A hash depends on the user's id, and root on its own rule.
        if (this.#survey.plainPasswords || text.slice(fast.nameAt, colon) === "root") return undefined;
        break;
      case "table":
      case "database":
        if (this.#isSystemDatabase(text)) return undefined;
        break;
      case "member":
        if (text.slice(fast.idAt, fast.idEnd) === this.#survey.root?.id && this.#dropsRoot()) {
          return undefined;
        }
    }
    const rest = text.slice(fast.restAt, end);
    const verdict = fast.verdict(rest);
    if (!verdict) {
      this.#learn(text.slice(at, colon), text.slice(colon + 2, fast.restAt), rest);
      return undefined;
    }
    const { choice } = this.#options;
    const dropper = choice.active ? choice.dropper(fast.path(text, colon)) : undefined;
    if (dropper !== undefined) return dropper;
    if (kind === "user") {
      const id = text.slice(fast.idAt, fast.idEnd);
      const { memberIds } = this.#survey;
      if (memberIds && !verdict.admin && !memberIds.has(id)) return "--prune-users";
      this.#references.user(id);
      if (verdict.remarks) this.#noteUser(text.slice(fast.nameAt, colon), verdict.remarks);
    } else if (kind === "member") {
      this.#references.member(text.slice(fast.idAt, fast.idEnd), line);
    } else if (kind === "database" || verdict.databases?.length) {
      const tenant = text.slice(fast.tenantAt, fast.tenantEnd);
      if (kind === "database") {
        this.#references.database(tenant, text.slice(fast.databaseAt, fast.databaseEnd));
      } else this.#references.role(tenant, verdict.databases ?? [], line);
    }
    return verdict;
  }

  /** Counts an entry as dropped. */
  #drop(line: number, keyBytes: string, kind: Outcome["kind"], rule: string): void {
    this.account.counter("dropped", kind).n++;
    this.account.droppedBy(rule).n++;
    if (!this.#tells) return;
    this.#outcomes.push({ line, key: toText(keyBytes), kind, action: "dropped", rules: [rule], changes: [] });
  }

  /** Whether the line that was matched is of a database that CnosDB makes by itself. */
  #isSystemDatabase(text: string): boolean {
    const { tenantAt, tenantEnd, databaseAt, databaseEnd } = this.#fast;
    return tenantEnd - tenantAt === 6 && text.startsWith("cnosdb", tenantAt) &&
      systemDatabases.has(text.slice(databaseAt, databaseEnd));
  }

  /** Converts a line's value to remember what becomes of its rest; a line that needs more than that teaches nothing. */
  #learn(keyBytes: string, head: string, rest: string): void {
    const { kind } = this.#fast;
    const [key, value] = [toText(keyBytes), toText(head + rest)];
    let converted: { after: string; rules: string[] };
    try {
      const read = identify(key, value) as Exclude<Key, { kind: "internal" }>;
      if (read.kind !== kind || !this.#isOneFormat(read, value)) return;
      converted = this.#convert(read, key, value);
    } catch {
      return; // the plain way, which this line goes now, says what is wrong with it
    }
    const { rules } = converted;
    const after = toBytes(converted.after);
    if (!after.startsWith(head)) return;
    const changed = after.length !== head.length + rest.length || !after.endsWith(rest);
    this.#fast.learn(rest, {
      ...(changed ? { rest: Buffer.from(`${after.slice(head.length)}\n`, "latin1") } : {}),
      ...(kind === "role" ? { databases: rightsOf(converted.after) } : {}),
      ...(kind === "user" ? { remarks: remarksOn(value, converted.after), admin: isAdmin(value) } : {}),
      rules,
      changes: this.#tells ? changes(parseJson(value), parseJson(converted.after)) : [],
      count: this.account.counter(rules.length ? "converted" : "kept", kind),
    });
  }

  /** One line, whatever it holds. */
  #plainLine(keyBytes: string, valueBytes: string, line: number, writer: DumpWriter): void {
    const [key, value] = [toText(keyBytes), toText(valueBytes)];
    const drop = this.#options.rules.find((rule) => !rule.apply && rule.test(key));
    if (drop) {
      drop.matches++;
      return this.#drop(line, keyBytes, [...candidates(key)][0]?.kind ?? "unknown", drop.name);
    }
    let read: Key;
    let converted: { after: string; rules: string[]; newKey: string };
    try {
      read = identify(key, value);
      const dropper = this.#dropper(read, value);
      if (dropper !== undefined || read.kind === "internal") {
        return this.#drop(line, keyBytes, read.kind, dropper ?? "internal");
      }
      this.#refuseMixed(read, value, line);
      converted = { ...this.#convert(read, key, value), newKey: this.#newKey(read) };
      this.#noteReferences(read, value, converted.after, line);
    } catch (error) {
      if (!(error instanceof ShapeError) && !(error instanceof TypeError)) throw error;
      if (this.#options.dropInvalid) {
        this.account.note("invalid", `line ${line}: ${key}: dropped as invalid: ${error.message}`);
        return this.#drop(line, keyBytes, "unknown", "--drop-invalid");
      }
      throw new Failure(
        `line ${line}: ${key}: ${error.message}`,
        "nothing may be lost in silence, so this stops here; drop the entry by --rules, or all such entries by --drop-invalid.",
      );
    }
    const { after, rules, newKey } = converted;
    writer.put(toBytes(`${newKey}: ${after}\n`));
    writer.entries++;
    this.account.counter(rules.length || newKey !== key ? "converted" : "kept", read.kind).n++;
    if (this.#tells) {
      this.#tell(line, key, read.kind, rules, newKey, changes(parseJson(value), parseJson(after)));
    }
  }

  /** Remembers what became of an entry that comes out. @param rules without --cluster */
  #tell(
    line: number,
    key: string,
    kind: Outcome["kind"],
    rules: string[],
    newKey: string,
    changes: Change[],
  ): void {
    const applied = newKey === key ? { rules } : { newKey, rules: [...rules, "--cluster"] };
    const action = applied.rules.length ? "converted" : "kept";
    this.#outcomes.push({ line, key, kind, action, ...applied, changes });
  }

  /** The built-in rule or the flag that drops an entry, or undefined. */
  #dropper(key: Key, value: string): string | undefined {
    const { keepSystem, choice } = this.#options;
    if (key.kind === "internal") return "internal";
    if (key.kind === "bucket") return "buckets";
    if ("database" in key && key.tenant === "cnosdb" && systemDatabases.has(key.database) && !keepSystem) {
      return "system-databases";
    }
    if (key.kind !== "user" && key.kind !== "tenant" && isUnlisted(key)) {
      this.account.note(
        "names with a slash",
        `${key.kind} ${displayName(...namesOf(key))} is left out: no version of CnosDB lists or opens it`,
      );
      return "slashed-names";
    }
    if (key.kind === "user" && key.user === "root" && this.#dropsRoot()) return "root";
    if (key.kind === "member" && key.userId === this.#survey.root?.id && this.#dropsRoot()) return "root";
    const { memberIds } = this.#survey;
    if (key.kind === "user" && memberIds && key.user !== "root") {
      if (!isAdmin(value) && !memberIds.has(readObject(value).get("id") ?? "")) return "--prune-users";
    }
    return choice.dropper(path(key));
  }

  #dropsRoot(): boolean {
    const { root } = this.#options;
    return root === "drop" || (root === "auto" && !this.#survey.root?.hasPassword);
  }

  #convert(
    read: Exclude<Key, { kind: "internal" }>,
    key: string,
    value: string,
  ): { after: string; rules: string[] } {
    const { rules: own, replica, target } = this.#options;
    const rules: string[] = [];
    let after = value;
    if (this.#steps.length) assertReadable(read, value, this.#sourceFormat);
    for (const step of this.#steps) {
      const next = convert(read, after, [step], this.#context);
      if (next !== after) rules.push(step.version);
      after = next;
    }
    if (replica !== undefined && read.kind === "database") {
      const capped = capReplica(after, replica);
      if (capped !== after) rules.push("--replica");
      after = capped;
    }
    for (const rule of own) {
      if (!rule.apply || !rule.test(key)) continue;
      rule.matches++;
      after = rule.apply(after);
      rules.push(rule.name);
    }
    assertReadable(read, after, target);
    return { after, rules };
  }

  /** The key that an entry gets. @throws {ShapeError} where it cannot be restored */
  #newKey(read: Exclude<Key, { kind: "internal" }>): string {
    const { cluster } = this.#options;
    const key = formatKey(cluster === undefined ? read : { ...read, cluster });
    if (!key.includes(": ")) return key;
    throw new ShapeError(
      'a name with ": " in it cannot be restored, as CnosDB cuts the line there; leave it out by --exclude or --rules',
    );
  }

  #isOneFormat(key: Key, value: string): boolean {
    const range = formatsOf(key, value);
    return !range || includesFormat(range, this.#sourceFormat);
  }

  #refuseMixed(key: Key, value: string, line: number): void {
    const range = formatsOf(key, value);
    if (!range || includesFormat(range, this.#sourceFormat)) return;
    const source = describeFormats([this.#sourceFormat, this.#sourceFormat]);
    throw new Failure(
      `line ${line}: this ${key.kind} has the form of ${
        describeFormats(range)
      }, line ${this.#survey.sourceLine} that of ${source}`,
      "a dump is of one version: was it put together from two, or edited half-way?",
    );
  }

  /** Remembers what refers to what, for notes at the end. */
  #noteReferences(key: Key, value: string, after: string, line: number): void {
    switch (key.kind) {
      case "user":
        this.#references.user(readObject(after).get("id") ?? "");
        this.#noteUser(toBytes(key.user), remarksOn(value, after));
        break;
      case "member":
        this.#references.member(key.userId, line);
        break;
      case "database":
        this.#references.database(toBytes(key.tenant), toBytes(key.database));
        break;
      case "role":
        this.#references.role(toBytes(key.tenant), rightsOf(after), line);
    }
  }

  /** @param user its name, a byte a character */
  #noteUser(user: string, remarks: Remark[]): void {
    for (const { sort, text } of remarks) this.account.note(sort, () => text(displayName(toText(user))));
  }

  /** @throws {Failure} for flags that matched nothing */
  #noteRest(): void {
    if (this.#hashed) {
      this.account.note(
        "hashed",
        `${this.#hashed} plain-text passwords hashed (bcrypt, cost 12): they log in as before`,
      );
    }
    if (this.account.written === 0) this.account.note("nothing", "not one entry comes out");
    for (const rule of this.#options.rules) {
      if (rule.matches === 0) this.account.note("rules", `${rule.name}: ${rule.text} matched nothing`);
    }
    const unmatched = this.#options.choice.unmatched();
    if (unmatched.length) {
      throw new Failure(
        `${unmatched.join(", ")}: matched nothing in the dump`,
        "is the name spelt as in the dump? It is case sensitive, and only * and ? stand for anything else.",
      );
    }
  }
}

function isAdmin(user: string): boolean {
  const fields = readObject(user);
  const options = readObject(fields.get("options") ?? "{}");
  return [fields.get("is_admin"), fields.get("is_root_admin"), options.get("granted_admin")].includes("true");
}

const noPassword: Remark = {
  sort: "users without a password",
  text: (name) => `user ${name} has no password: 2.4 lets it in only where authentication is off`,
};
const passwordKept: Remark = {
  sort: "users who had to change their password",
  text: (name) =>
    `user ${name} had to change its password, which nothing before 2.4.1 asked for: it keeps it, and must_change_password is false`,
};

/** What an operator should know about a user. @param value its value in the dump; @param after its value that comes out */
function remarksOn(value: string, after: string): Remark[] {
  const optionsOf = (user: string) => readObject(readObject(user).get("options") ?? "{}");
  const [before, now] = [optionsOf(value), optionsOf(after)];
  const kept = before.get("must_change_password") === "true" && now.get("must_change_password") === "false";
  return [...(canLogIn(now) ? [] : [noPassword]), ...(kept ? [passwordKept] : [])];
}

/** The databases that a role has rights on. */
function rightsOf(role: string): string[] {
  return [...readObject(readObject(role).get("additional_privileges") ?? "{}").keys()];
}
