/**
 * From the dump of one version to the dump of another: what is dropped, what is converted, and an account of both.
 * The dump is read twice: a survey finds what has to be known beforehand (its version, root's id, the parents of what is
 * chosen) and that it is whole, then each line is converted by itself.
 */
import type { Choice } from "./choice.ts";
import { type Block, DumpReader, type DumpWriter, toBytes, toText } from "./dump.ts";
import { Failure } from "./errors.ts";
import type { Source } from "./io.ts";
import { readObject, readString } from "./json.ts";
import { candidates, displayName, formatKey, type Key, kinds } from "./key.ts";
import type { Rule } from "./rules.ts";
import { ShapeError } from "./shape.ts";
import {
  assertReadable,
  capReplica,
  compareVersions,
  convert,
  type Format,
  formats,
  formatsOf,
  identify,
  readTable,
  sources,
  stepsBetween,
  walMaxFileSizeBytes,
} from "./versions.ts";
import type { Context, VersionStep } from "./versions/common.ts";
import { bcryptHash } from "./versions/v2_4_0.ts";

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
  /** bcrypt, where plain-text passwords may have to be hashed: loaded when the survey has found one */
  loadHash: () => Promise<Context["hash"]>;
}

export type Action = "kept" | "converted" | "dropped";

/** What became of one entry. */
export interface Outcome {
  line: number;
  key: string;
  kind: Key["kind"] | "unknown";
  action: Action;
  /** the rules that were applied, in their order */
  rules: string[];
  before: string;
  /** the key and the value that came out; undefined where it was dropped */
  newKey?: string;
  after?: string;
}

/** What a dump is, found before anything is converted. */
interface Survey {
  entries: number;
  framed: boolean;
  marked: boolean;
  /** what the conversion starts from: a release or a form */
  source: string;
  /** the line whose shape says so, for messages */
  sourceLine: number;
  rootId?: string;
  rootHasPassword: boolean;
  plainPasswords: boolean;
  sorted: boolean;
  /** the users that are members of a tenant that is kept; only under `--prune-users` */
  memberIds?: Set<string>;
}

/** What was done, for the summary. */
export interface Account {
  survey: Survey;
  counts: Map<string, number>;
  warnings: string[];
  dropped: Map<string, number>;
}

/** @returns how many entries of a kind had an action */
export function countOf(account: Account, action: Action, kind: Outcome["kind"]): number {
  return account.counts.get(`${action} ${kind}`) ?? 0;
}

const systemDatabases = new Set(["usage_schema", "cluster_schema"]);
const evidenceLines = 2_000;

/** A dump's lines, cut at the first `: `. */
function* entriesOf(block: Block): Generator<{ key: string; value: string; line: number }> {
  let line = block.line;
  for (let at = 0; at < block.bytes.length; line++) {
    const end = block.bytes.indexOf("\n", at);
    const colon = block.bytes.indexOf(": ", at);
    if (colon < 0 || colon > end) {
      throw new Failure(
        `line ${line}: no ": " in it`,
        "every line is a key, a colon and a space, and a value; CnosDB's /restore would skip this one in silence.",
      );
    }
    yield { key: block.bytes.slice(at, colon), value: block.bytes.slice(colon + 2, end), line };
    at = end + 1;
  }
}

/** Converts a dump. One object for one run. */
export class Filter {
  readonly #options: FilterOptions;
  readonly #counts = new Map<string, number>();
  readonly #dropped = new Map<string, number>();
  readonly #warnings: string[] = [];
  readonly #members = new Map<string, { line: number; key: string }>();
  readonly #userIds = new Set<string>();
  readonly #roleDatabases = new Map<string, number>();
  readonly #databases = new Set<string>();
  readonly #keys = new Map<string, number>();
  #survey!: Survey;
  #sourceFormat: Format = "2.3";
  #hashed = 0;
  #steps: VersionStep[] = [];
  #context!: Context;

  constructor(options: FilterOptions) {
    this.#options = options;
  }

  /**
   * Reads a dump and writes the converted one.
   * @param account is told what became of each entry
   * @throws {Failure} at the line that cannot be converted; what was written until then has no end mark
   */
  async run(
    input: Source,
    output: DumpWriter | undefined,
    account?: (outcome: Outcome) => void,
  ): Promise<Account> {
    const survey = this.#survey = await this.#look(input);
    const { target, memcachePartitions } = this.#options;
    this.#steps = stepsBetween(survey.source, target);
    this.#sourceFormat = formatOf(survey.source);
    const bcrypt = survey.plainPasswords ? await this.#options.loadHash() : undefined;
    const hash = (password: string, userId: string) => {
      if (!bcrypt) throw new Error("a password is to be hashed that the survey did not see");
      this.#hashed++;
      return bcrypt(password, userId);
    };
    this.#context = { memcachePartitions, walMaxFileSizeBytes: walMaxFileSizeBytes(target), hash };
    for await (const block of new DumpReader(input.name).blocks(input.open())) {
      for (const entry of entriesOf(block)) {
        const outcome = this.#entry(toText(entry.key), toText(entry.value), entry.line);
        this.#count(outcome);
        if (account) await account(outcome);
        if (outcome.newKey !== undefined && outcome.after !== undefined) {
          await output?.write(toBytes(`${outcome.newKey}: ${outcome.after}\n`), 1);
        }
      }
    }
    this.#warnAboutReferences();
    for (const rule of this.#options.rules) {
      if (rule.matches === 0) this.#warnings.push(`${rule.name}: ${rule.text} matched nothing`);
    }
    const unmatched = this.#options.choice.unmatched();
    if (unmatched.length) {
      throw new Failure(
        `${unmatched.join(", ")}: matched nothing in the dump`,
        "is the name spelt as in the dump? It is case sensitive.",
      );
    }
    await output?.end();
    if (this.#hashed) {
      this.#warnings.push(
        `${this.#hashed} plain-text passwords hashed (bcrypt, cost 12): they log in as before`,
      );
    }
    if (!countAll(this.#counts)) this.#warnings.push("no entry comes out");
    return { survey, counts: this.#counts, warnings: this.#warnings, dropped: this.#dropped };
  }

  /** The first reading. */
  async #look(input: Source): Promise<Survey> {
    const { choice, pruneUsers } = this.#options;
    const reader = new DumpReader(input.name);
    const evidence = new Evidence(input.name);
    const membersOf = new Map<string, { key: Key; ids: string[] }>();
    let root: { id: string; hasPassword: boolean } | undefined;
    let plainPasswords = false;
    let sorted = true;
    let previous = "";
    for await (const block of reader.blocks(input.open())) {
      plainPasswords ||= hasPlainPassword(block.bytes);
      for (const { key, value, line } of entriesOf(block)) {
        sorted &&= key > previous;
        previous = key;
        if (evidence.lines < evidenceLines) evidence.take(toText(key), value, line);
        if (key.endsWith("/users/root")) root = readRoot(value) ?? root;
        if (!choice.active && !pruneUsers) continue;
        const [read] = candidates(toText(key));
        if (!read) continue;
        choice.survey(read);
        if (read.kind !== "member") continue;
        const tenant = membersOf.get(read.tenant) ?? { key: read, ids: [] };
        tenant.ids.push(read.userId);
        membersOf.set(read.tenant, tenant);
      }
    }
    const kept = [...membersOf.values()].filter(({ key }) => choice.dropper(key) === undefined);
    return {
      entries: reader.entries,
      framed: reader.framed,
      marked: reader.marked,
      ...evidence.source(this.#options.target, this.#options.source),
      ...(root ? { rootId: root.id } : {}),
      rootHasPassword: root?.hasPassword ?? false,
      plainPasswords,
      sorted,
      ...(pruneUsers ? { memberIds: new Set(kept.flatMap(({ ids }) => ids)) } : {}),
    };
  }

  /** One line. */
  #entry(key: string, value: string, line: number): Outcome {
    const dropped = (kind: Outcome["kind"], rule: string): Outcome => {
      return { line, key, kind, action: "dropped", rules: [rule], before: value };
    };
    const drop = this.#options.rules.find((rule) => !rule.apply && rule.test(key));
    if (drop) {
      drop.matches++;
      return dropped([...candidates(key)][0]?.kind ?? "unknown", drop.name);
    }
    this.#refuseTwice(key, line);
    try {
      const read = identify(key, value);
      const dropper = this.#dropper(read, value);
      if (dropper !== undefined) return dropped(read.kind, dropper);
      return this.#convert(read as Exclude<Key, { kind: "internal" }>, key, value, line);
    } catch (error) {
      if (!(error instanceof ShapeError) && !(error instanceof TypeError)) throw error;
      if (this.#options.dropInvalid) {
        this.#warnings.push(`line ${line}: ${key}: dropped as invalid: ${error.message}`);
        return dropped("unknown", "invalid");
      }
      throw new Failure(
        `line ${line}: ${key}: ${error.message}`,
        "nothing may be lost in silence, so this stops here; drop the entry by --rules, or all such entries by --drop-invalid.",
      );
    }
  }

  /** The built-in rule or the flag that drops an entry, or undefined. */
  #dropper(key: Key, value: string): string | undefined {
    const { keepSystem, choice } = this.#options;
    if (key.kind === "internal") return "internal";
    if (key.kind === "bucket") return "buckets";
    if ("database" in key && key.tenant === "cnosdb" && systemDatabases.has(key.database) && !keepSystem) {
      return "system-databases";
    }
    if (key.kind === "user" && key.user === "root" && this.#dropsRoot()) return "root";
    if (key.kind === "member" && key.userId === this.#survey.rootId && this.#dropsRoot()) return "root";
    const { memberIds } = this.#survey;
    if (key.kind === "user" && memberIds && key.user !== "root") {
      const user = readObject(value);
      const admin = [
        user.get("is_admin"),
        user.get("is_root_admin"),
        readObject(user.get("options") ?? "{}").get("granted_admin"),
      ];
      if (!admin.includes("true") && !memberIds.has(user.get("id") ?? "")) return "--prune-users";
    }
    return choice.dropper(key);
  }

  #dropsRoot(): boolean {
    const { root } = this.#options;
    return root === "drop" || (root === "auto" && !this.#survey.rootHasPassword);
  }

  #convert(read: Exclude<Key, { kind: "internal" }>, key: string, value: string, line: number): Outcome {
    const { cluster, rules: own, replica, target } = this.#options;
    this.#refuseMixed(read, value, line);
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
    const renamed = cluster === undefined ? read : { ...read, cluster };
    const newKey = formatKey(renamed);
    if (newKey !== key) rules.push("--cluster");
    const name = newKey.slice(newKey.indexOf("/", 1));
    if (name.includes(": ")) {
      throw new ShapeError('a name with ": " in it cannot be restored: CnosDB cuts the line there');
    }
    this.#noteReferences(read, after, line);
    const action = rules.length ? "converted" : "kept";
    return { line, key, kind: read.kind, action, rules, before: value, newKey, after };
  }

  #refuseMixed(key: Key, value: string, line: number): void {
    const range = formatsOf(key, value);
    const { source, sourceLine } = this.#survey;
    if (!range || includes(range, source)) return;
    throw new Failure(
      `line ${line}: this ${key.kind} has the form of ${
        describe(range)
      }, line ${sourceLine} that of ${source}`,
      "a dump is of one version: was it put together from two, or edited half-way?",
    );
  }

  #refuseTwice(key: string, line: number): void {
    if (this.#survey.sorted) return;
    const before = this.#keys.get(key);
    if (before !== undefined) {
      throw new Failure(`line ${line}: ${key}: is in line ${before} too`, "keep one of the two lines.");
    }
    this.#keys.set(key, line);
  }

  /** Remembers what refers to what, for warnings at the end. */
  #noteReferences(key: Key, value: string, line: number): void {
    switch (key.kind) {
      case "user": {
        const user = readObject(value);
        this.#userIds.add(user.get("id") ?? "");
        const options = readObject(user.get("options") ?? "{}");
        if (
          (options.get("hash_password") ?? "null") === "null" &&
          (options.get("rsa_public_key") ?? "null") === "null"
        ) {
          this.#warnings.push(
            `user ${displayName(key.user)} has no password: 2.4 lets it in only where authentication is off`,
          );
        }
        break;
      }
      case "member":
        if (!this.#members.has(key.userId)) this.#members.set(key.userId, { line, key: formatKey(key) });
        break;
      case "database":
        this.#databases.add(displayName(key.tenant, key.database));
        break;
      case "role":
        for (const database of readObject(readObject(value).get("additional_privileges") ?? "{}").keys()) {
          const name = displayName(key.tenant, database);
          if (!this.#roleDatabases.has(name)) this.#roleDatabases.set(name, line);
        }
    }
  }

  #warnAboutReferences(): void {
    for (const [id, { line, key }] of this.#members) {
      if (!this.#userIds.has(id)) {
        this.#warnings.push(`line ${line}: ${key}: its user is not in what comes out`);
      }
    }
    for (const [name, line] of this.#roleDatabases) {
      if (!this.#databases.has(name)) {
        this.#warnings.push(
          `line ${line}: a role has rights on database ${name}, which is not in what comes out`,
        );
      }
    }
  }

  #count({ action, kind, rules }: Outcome): void {
    const name = `${action} ${kind}`;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    const [rule] = rules;
    if (action === "dropped" && rule) this.#dropped.set(rule, (this.#dropped.get(rule) ?? 0) + 1);
  }
}

/** Which version a dump is of, from the shapes of its first lines. */
class Evidence {
  lines = 0;
  #first = 0;
  #last = formats.length - 1;
  #line = 0;

  constructor(readonly name: string) {}

  take(key: string, value: string, line: number): void {
    let range: readonly [Format, Format] | undefined;
    try {
      const text = toText(value);
      range = formatsOf(identify(key, text), text);
    } catch {
      return; // the second reading says what is wrong with it
    }
    if (!range) return;
    this.lines++;
    const first = Math.max(this.#first, formats.indexOf(range[0]));
    const last = Math.min(this.#last, formats.indexOf(range[1]));
    if (first > last) return; // a mixed dump: refused in the second reading, which knows both lines
    if (first !== this.#first || last !== this.#last || this.#line === 0) this.#line = line;
    this.#first = first;
    this.#last = last;
  }

  source(target: Format, given?: string): { source: string; sourceLine: number } {
    const range = [formats[this.#first] ?? "2.3", formats[this.#last] ?? "2.3"] as const;
    if (given !== undefined) {
      if (!includes(range, given)) {
        throw new Failure(
          `${this.name}: --source ${given}, but line ${this.#line} has the form of ${describe(range)}`,
          "leave --source away: but for 2.3.0 and 2.3.1 the version is found by itself.",
        );
      }
      return { source: given, sourceLine: this.#line };
    }
    // Where nothing says it, the earliest form: its conversions leave alone what is later already.
    const most = this.lines ? Math.min(this.#last, Math.max(this.#first, formats.indexOf(target))) : 0;
    const source = formats[most] ?? "2.3";
    if (compareVersions(source, target) > 0) {
      throw new Failure(
        `${this.name}: line ${this.#line} has the form of ${
          describe(range)
        }, which is later than the target ${target}`,
        "a dump can only be converted for a later version.",
      );
    }
    return { source, sourceLine: this.#line };
  }
}

/** Whether a release or a form lies in a range of forms. */
function includes([first, last]: readonly [Format, Format], source: string): boolean {
  const form = formats.indexOf(formatOf(source));
  return formats.indexOf(first) <= form && form <= formats.indexOf(last);
}

/** The form of a release. */
function formatOf(source: string): Format {
  return [...formats].reverse().find((format) => compareVersions(format, source) <= 0) ?? "2.3";
}

function countAll(counts: Map<string, number>): number {
  return [...counts].reduce((sum, [name, n]) => name.startsWith("dropped") ? sum : sum + n, 0);
}

function describe([first, last]: readonly [Format, Format]): string {
  const text = (format: Format) => format === "2.3" ? "2.3.x" : format;
  return first === last ? text(first) : `${text(first)} to ${text(last)}`;
}

/** Whether a value of `"password"` is there that is neither null nor a bcrypt hash. Only users of 2.3 have that member. */
function hasPlainPassword(bytes: string): boolean {
  for (let at = bytes.indexOf('"password":"'); at >= 0; at = bytes.indexOf('"password":"', at + 1)) {
    if (!bcryptHash.test(bytes.slice(at + 12, at + 72)) || bytes[at + 72] !== '"') return true;
  }
  return false;
}

function readRoot(value: string): { id: string; hasPassword: boolean } | undefined {
  try {
    const user = readObject(toText(value));
    const options = readObject(user.get("options") ?? "{}");
    const password = options.get("password") ?? options.get("hash_password") ?? "null";
    const key = options.get("rsa_public_key") ?? "null";
    return { id: user.get("id") ?? "", hasPassword: password !== "null" || key !== "null" };
  } catch {
    return undefined; // the second reading says what is wrong with it
  }
}

/** The kinds in a fixed order, as the summary lists them, with their plurals. */
export const kindNames: Record<Outcome["kind"], string> = {
  user: "users",
  tenant: "tenants",
  role: "roles",
  member: "members",
  limiter: "limiters",
  database: "databases",
  table: "tables",
  bucket: "buckets",
  internal: "internal entries",
  unknown: "others",
};

/** What was done, as lines for stderr. */
export function summarize(account: Account, name: string, target: string): string[] {
  const { survey } = account;
  const origin = survey.framed ? "framed" : survey.marked ? "with end mark" : "without end mark";
  const version = survey.source === "2.3" ? "2.3.x" : survey.source;
  const lines = [`${name}: ${survey.entries} entries of ${version} (${origin}), for ${target}`];
  if (!survey.marked && !survey.framed) {
    lines.push("the dump has no end mark, so nothing proves that it is whole (dump_meta.ts writes one)");
  }
  for (const action of ["converted", "kept", "dropped"] as const) {
    const parts = [...kinds, "unknown" as const].flatMap((kind) => {
      const n = countOf(account, action, kind);
      return n
        ? [`${n} ${n === 1 ? kindNames[kind].replace(/ies$/, "y").replace(/s$/, "") : kindNames[kind]}`]
        : [];
    });
    if (parts.length) lines.push(`  ${action.padEnd(9)} ${parts.join(", ")}`);
  }
  for (const [rule, n] of account.dropped) lines.push(`  dropped by ${rule}: ${n}`);
  return [...lines, ...account.warnings.map((warning) => `note: ${warning}`)];
}

/** Whether a text names a release that a dump can come from. */
export function isSource(text: string): boolean {
  return text === "2.3" || sources.includes(text);
}

/** The name that a table's value gives it; what copies tables starts from. Undefined for other than TSKV tables. */
export function tskvTable(value: string): { tenant: string; database: string; table: string } | undefined {
  const { kind, schema } = readTable(value);
  if (kind !== "TsKvTableSchema") return undefined;
  const table = readObject(schema);
  const name = (field: string) => readString(table.get(field) ?? "");
  return { tenant: name("tenant"), database: name("db"), table: name("name") };
}
