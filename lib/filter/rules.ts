/**
 * What the filter does, as one list of rules that each entry takes its way through: drops first, then changes
 * of the value. What `--print-rules` prints is made from the very list that runs.
 */
import { digitsOf, isObject, type Json } from "../dump/json.ts";
import { isUnlisted, type Key } from "../dump/key.ts";
import type { Entry } from "../dump/text.ts";
import {
  anyFormat,
  type Format,
  type Range,
  stepsBetween,
  targetFormat,
  targets,
} from "../versions/versions.ts";
import { partOf } from "../versions/entry.ts";
import type { Context } from "../versions/step.ts";
import { glob, namesUnder, type Selection } from "./selection.ts";

/** A rule drops an entry, or changes its value. */
export interface Rule {
  /** as reports say */
  readonly name: string;
  /** as `--print-rules` prints it: YAML that `--rules` takes, or a comment */
  readonly text: string;
  /** the kind of entry that it is about, if it is about one */
  readonly kind?: Key["kind"];
  applies(entry: Entry, key: Key): boolean;
  /** the value that the entry gets; undefined for a rule that drops it */
  readonly change?: (value: Json, key: Key, hash: Context["hash"]) => Json;
}

/** One of the operator's own: it goes by the key alone, and is reported even if it changes nothing. */
export interface OwnRule extends Rule {
  readonly pattern: string;
  applies(entry: Entry): boolean;
}

/** What an operator asks for. */
export interface FilterOptions {
  target: Format;
  /** the release that the dump is of, if it does not show */
  source?: string | undefined;
  /** the target cluster's name, in the keys that come out */
  cluster?: string | undefined;
  selection: Selection;
  /** the rules of `--rules` */
  own: readonly OwnRule[];
  /** the most replicas a database may have */
  replica?: number | undefined;
  root: "auto" | "keep" | "drop";
  keepSystem: boolean;
  pruneUsers: boolean;
  dropInvalid: boolean;
  /** whether outcomes say which fields changed */
  details: boolean;
  /** bcrypt, loaded only if the dump has a plain-text password */
  loadHash: () => Promise<Context["hash"]>;
}

/** What the rules have to know of a whole dump. */
export interface Facts {
  /** the forms that it may be of */
  source: Range;
  root?: { id: string; hasPassword: boolean } | undefined;
  /** the keys of users that `--prune-users` drops */
  pruned: ReadonlySet<string>;
}

/** Drops entries of one kind by pattern, as a key of another kind may look alike. @param why is printed */
function drops(name: string, kind: Key["kind"], why: string, ...patterns: string[]): Rule {
  const tests = patterns.map((pattern) => glob(pattern, "/"));
  return {
    name,
    text: [`# ${why}`, ...patterns.map((pattern) => `- drop: ${pattern}`)].join("\n"),
    kind,
    applies: ({ key }) => tests.some((matches) => matches(key)),
  };
}

const internal = drops(
  "internal",
  "internal",
  "the cluster's own bookkeeping: data_nodes would point the new cluster at the old one's addresses",
  ...["/data_version", "/already_init_key", "/test_alive", "/*/auto_incr_id", "/*/data_nodes/**"],
  ...["/*/data_nodes_metrics/**", "/*/resourceinfos/**", "/*/resourceinfosmark", "/*/queries/**"],
  "/*/*/queries/**",
);
const buckets = "raft groups that do not exist in the new cluster";
const system = "the server's own metrics and views (--keep-system keeps them)";
const [usage, views] = ["usage_schema", "cluster_schema"].map((name) => `/*/tenants/cnosdb/dbs/${name}`);
const systemDrops = [
  drops("system-databases", "database", system, `${usage}`, `${views}`),
  drops("system-databases", "table", "and what is in them", `${usage}/schemas/**`, `${views}/schemas/**`),
];

/** The rules in the order in which they run. */
export function rulesFor(options: FilterOptions, facts: Facts): Rule[] {
  const { own, keepSystem, replica, root, selection, target } = options;
  const dropsRoot = root === "drop" || (root === "auto" && facts.root?.hasPassword === false);
  return [
    ...own.filter(({ change }) => !change),
    internal,
    drops("buckets", "bucket", buckets, "/*/tenants/**/dbs/**/buckets/*"),
    ...(keepSystem ? [] : systemDrops),
    {
      name: "slashed-names",
      text:
        "# databases, tables and roles with a slash in their name: no version of CnosDB lists or opens them",
      applies: (_entry, key) => key.kind !== "user" && key.kind !== "tenant" && isUnlisted(key),
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
    ...selection.flags.map(({ text, drops }): Rule => ({
      name: text,
      text: `# ${text}`,
      applies: (_entry, key) => drops(namesUnder(key)),
    })),
    ...conversions(facts.source, target),
    ...(replica === undefined ? [] : [capReplica(replica)]),
    ...own.filter(({ change }) => change),
  ];
}

/**
 * Every rule that there may be, as YAML that `--rules` takes; what no pattern says is a comment.
 * @param target a release
 */
export function printRules(options: Omit<FilterOptions, "target">, target = targets.at(-1)!): string {
  const facts = { source: anyFormat, pruned: new Set<string>() };
  const rules = rulesFor({ ...options, target: targetFormat(target) }, facts);
  return [`# in the order in which they run, for ${target}`, ...rules.map(({ text }) => text), ""].join("\n");
}

function conversions(source: Range, target: Format): Rule[] {
  return stepsBetween(source, target).map(({ releases: [version], convert }) => ({
    name: version,
    text: `# converts to ${version}: ${Object.keys(convert).join(", ")}`,
    applies: () => true,
    change: (value, key, hash) => {
      const read = partOf(key, value);
      const step = read && convert[read.kind];
      if (!step) return value;
      const part = step(read.part, { target, hash });
      return read.member ? { [read.member]: part } : part;
    },
  }));
}

/** A database with at most `most` replicas, in whichever form it is; for a cluster with fewer nodes. */
function capReplica(most: number): Rule {
  return {
    name: "--replica",
    text: `# --replica ${most}`,
    kind: "database",
    applies: (_entry, key) => key.kind === "database",
    change: (value) => {
      if (!isObject(value)) return value;
      const name = "options" in value ? "options" : "config";
      const settings = value[name];
      if (!isObject(settings) || BigInt(digitsOf(settings.replica) ?? "0") <= BigInt(most)) return value;
      return { ...value, [name]: { ...settings, replica: most } };
    },
  };
}
