/**
 * What the filter does to each entry, as lists of rules. `--print-rules` prints the very rules that run.
 */
import { systemDatabases } from "../dump/compare.ts";
import { digitsOf, isObject, type Json } from "../dump/json.ts";
import { isUnlisted, type Key } from "../dump/key.ts";
import type { Entry } from "../dump/text.ts";
import {
  anyFormat,
  type Format,
  type Range,
  rangeOfSource,
  stepsBetween,
  targetFormat,
  targets,
  walMaxFileSizeBytesOf,
} from "../versions/versions.ts";
import { partOf } from "../versions/entry.ts";
import type { Context, VersionStep } from "../versions/step.ts";
import { glob, namesUnder, type Selection } from "./selection.ts";

interface Rule {
  /** as reports name it */
  readonly name: string;
  /** as `--print-rules` prints it: YAML that `--rules` takes, or a comment */
  readonly text: string;
}

/** Drops an entry. */
export interface Drop extends Rule {
  /** the kind of entry that it is about; undefined: any */
  readonly kind?: Key["kind"];
  applies(entry: Entry, key: Key): boolean;
}

/** Changes a value, or returns it as it is. */
export interface Conversion extends Rule {
  change(value: Json, key: Key, hash: Context["hash"]): Json;
}

/** A rule of `--rules`: it goes by the key alone, and is reported even if it changes nothing. */
export interface OwnRule extends Rule {
  readonly pattern: string;
  applies(entry: Entry): boolean;
  /** undefined if it drops the entry */
  readonly change?: (value: Json) => Json;
}

/** The rules in the order in which they run. */
export interface Rules {
  readonly ownDrops: readonly OwnRule[];
  readonly drops: readonly Drop[];
  readonly conversions: readonly Conversion[];
  readonly patches: readonly OwnRule[];
}

/** What an operator asks for. */
export interface FilterOptions {
  target: Format;
  /** the release that the dump is of, if it does not show */
  source?: string | undefined;
  /** the name that the cluster gets in all keys */
  cluster?: string | undefined;
  selection: Selection;
  /** the rules of `--rules` */
  own: readonly OwnRule[];
  /** the most replicas that a database may have */
  replica?: number | undefined;
  root: "auto" | "keep" | "drop";
  keepSystem: boolean;
  pruneUsers: boolean;
  dropInvalid: boolean;
  /** whether outcomes list the fields that changed */
  details: boolean;
  /** bcrypt, loaded only if the dump has a plain-text password */
  loadHash: () => Promise<Context["hash"]>;
}

/** What the filter has to know of a whole dump before it takes the first entry. */
export interface Survey {
  /** the forms that the dump may have */
  source: Range;
  /** the line that shows them */
  sourceLine: number;
  /** undefined if there is none, or it cannot be read */
  root?: { id: string; hasPassword: boolean } | undefined;
  /** the keys of users that `--prune-users` drops */
  pruned: ReadonlySet<string>;
  /** whether passwords may have to be hashed */
  plainPasswords: boolean;
  /** the users' names by id */
  users: ReadonlyMap<string, string>;
  /** the keys of tenants without a slash in their names */
  tenants: ReadonlySet<string>;
}

/** Drops entries of one kind by patterns, which a key of another kind may match too. @param why is printed */
function dropsByKey(name: string, kind: Key["kind"], why: string, ...patterns: string[]): Drop {
  const tests = patterns.map((pattern) => glob(pattern, "/"));
  return {
    name,
    text: [`# ${why}`, ...patterns.map((pattern) => `- drop: ${pattern}`)].join("\n"),
    kind,
    applies: ({ key }) => tests.some((matches) => matches(key)),
  };
}

const internal = dropsByKey(
  "internal",
  "internal",
  "the cluster's own bookkeeping: data_nodes would point the new cluster at the old one's addresses",
  ...["/data_version", "/already_init_key", "/test_alive", "/*/auto_incr_id", "/*/data_nodes/**"],
  ...["/*/data_nodes_metrics/**", "/*/resourceinfos/**", "/*/resourceinfosmark", "/*/queries/**"],
  "/*/*/queries/**",
);
const buckets = dropsByKey(
  "buckets",
  "bucket",
  "raft groups that do not exist in the new cluster",
  "/*/tenants/**/dbs/**/buckets/*",
);
const systemKeys = systemDatabases.map((name) => `/*/tenants/cnosdb/dbs/${name}`);
const systemTables = systemKeys.map((key) => `${key}/schemas/**`);
const metrics = "the server's own metrics and views (--keep-system keeps them)";
const system = [
  dropsByKey("system-databases", "database", metrics, ...systemKeys),
  dropsByKey("system-databases", "table", "and what is in them", ...systemTables),
];
const slashedNames: Drop = {
  name: "slashed-names",
  text: "# databases, tables and roles with a slash in their name: no version of CnosDB lists or opens them",
  applies: (_entry, key) => key.kind !== "user" && key.kind !== "tenant" && isUnlisted(key),
};

type RuleFacts = Pick<Survey, "source" | "root" | "pruned" | "users" | "tenants">;

export function rulesFor(options: FilterOptions, facts: RuleFacts): Rules {
  const { own, keepSystem, replica, root, selection, target } = options;
  // A root that cannot be read stays, so that it is refused when it is converted.
  const dropsRoot = root === "drop" || (root === "auto" && facts.root?.hasPassword === false);
  const drops: Drop[] = [
    internal,
    buckets,
    ...(keepSystem ? [] : system),
    slashedNames,
    {
      name: "leftovers",
      text:
        "# memberships whose user and tenant are both gone: a user who was dropped before the tenant leaves one",
      kind: "member",
      applies: (_entry, key) =>
        key.kind === "member" && !facts.users.has(key.userId) && !key.tenant.includes("/") &&
        !facts.tenants.has(`/${key.cluster}/tenants/${key.tenant}`),
    },
    {
      name: "root",
      text: "# root and its memberships, if it has no password (--root): it would lock all out",
      applies: (_entry, key) =>
        dropsRoot &&
        (key.kind === "user" ? key.user === "root" : key.kind === "member" && key.userId === facts.root?.id),
    },
    {
      name: "--prune-users",
      text: "# with --prune-users: users who are members of no tenant carried over",
      kind: "user",
      applies: ({ key }) => facts.pruned.has(key),
    },
    ...selection.flags.map(({ text, drops }): Drop => ({
      name: text,
      text: `# ${text}`,
      applies: (_entry, key) => drops(namesUnder(key)),
    })),
  ];
  const steps = stepsBetween(facts.source, target).map((step) => conversionOf(step, target));
  return {
    ownDrops: own.filter(({ change }) => !change),
    drops,
    conversions: replica === undefined ? steps : [...steps, capReplica(replica)],
    patches: own.filter(({ change }) => change),
  };
}

/**
 * All rules as YAML that `--rules` takes. Those that no pattern can express are comments.
 * @param target a release
 */
export function printRules(options: Omit<FilterOptions, "target">, target = targets.at(-1)!): string {
  const source = options.source === undefined ? anyFormat : rangeOfSource(options.source);
  const facts = {
    source,
    pruned: new Set<string>(),
    users: new Map<string, string>(),
    tenants: new Set<string>(),
  };
  const rules = rulesFor({ ...options, target: targetFormat(target) }, facts);
  const { ownDrops, drops, conversions, patches } = rules;
  const texts = [...ownDrops, ...drops, ...conversions, ...patches].map(({ text }) => text);
  return [`# in the order in which they run, for ${target}`, ...texts, ""].join("\n");
}

function conversionOf({ releases: [version], convert }: VersionStep, target: Format): Conversion {
  const walMaxFileSizeBytes = walMaxFileSizeBytesOf(target);
  return {
    name: version,
    text: `# converts to ${version}: ${Object.keys(convert).join(", ")}`,
    change: (value, key, hash) => {
      const read = partOf(key, value);
      const step = read && convert[read.kind];
      if (!step) return value;
      const part = step(read.part, { walMaxFileSizeBytes, hash });
      return read.member ? { [read.member]: part } : part;
    },
  };
}

/** Lowers a database's replicas to `most`, for a cluster with fewer nodes. */
function capReplica(most: number): Conversion {
  return {
    name: "--replica",
    text: `# --replica ${most}`,
    change: (value, key) => {
      if (key.kind !== "database" || !isObject(value)) return value;
      // In `config` up to 2.4.1.
      const name = "options" in value ? "options" : "config";
      const settings = value[name];
      if (!isObject(settings) || BigInt(digitsOf(settings.replica) ?? "0") <= BigInt(most)) return value;
      return { ...value, [name]: { ...settings, replica: most } };
    },
  };
}
