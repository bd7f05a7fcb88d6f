/**
 * What the filter does, as one list of rules that each entry takes its way through: drops first, then changes of the value. What
 * `--print-rules` prints is made from the very list that runs.
 */
import { digitsOf, isObject } from "../dump/json.ts";
import { displayName } from "../cnosdb/names.ts";
import { isUnlisted, type Key, namesOf } from "../dump/key.ts";
import {
  anyFormat,
  defaultsOf,
  type Format,
  type Range,
  stepsBetween,
  targetFormat,
  targets,
} from "../versions/versions.ts";
import { changingPart } from "../versions/entry.ts";
import type { Context } from "../versions/step.ts";
import type { Facts } from "./facts.ts";
import { glob } from "./glob.ts";
import type { Item } from "./item.ts";
import type { FilterOptions, Rule } from "./rule.ts";
import { namesUnder } from "./selection.ts";

/** Drops by pattern of entries of one kind, as a key of another kind may look alike. @param why why they are dropped */
function drops(name: string, kind: Key["kind"], why: string, patterns: readonly string[]): Rule {
  const tests = patterns.map((pattern) => glob(pattern, "/"));
  return {
    name,
    text: [`# ${why}`, ...patterns.map((pattern) => `- drop: ${pattern}`)].join("\n"),
    kind,
    applies: ({ entry }) => tests.some((matches) => matches(entry.key)),
  };
}

const internal = drops(
  "internal",
  "internal",
  "the cluster's own bookkeeping: data_nodes would point the new cluster at the old one's addresses",
  [
    ...["/data_version", "/already_init_key", "/test_alive", "/*/auto_incr_id", "/*/data_nodes/**"],
    ...["/*/data_nodes_metrics/**", "/*/resourceinfos/**", "/*/resourceinfosmark", "/*/queries/**"],
    "/*/*/queries/**",
  ],
);
const buckets = drops("buckets", "bucket", "raft groups that do not exist in the new cluster", [
  "/*/tenants/**/dbs/**/buckets/*",
]);
const systemDatabases = ["usage_schema", "cluster_schema"].map((name) => `/*/tenants/cnosdb/dbs/${name}`);
const system = [
  drops(
    "system-databases",
    "database",
    "the server's own metrics and views (--keep-system keeps them)",
    systemDatabases,
  ),
  drops(
    "system-databases",
    "table",
    "and what is in them",
    systemDatabases.map((database) => `${database}/schemas/**`),
  ),
];

/**
 * The rules in the order in which they run.
 * @param facts what the dump says beforehand; without one, as for `--print-rules`, every rule that there may be
 * @param hash as in `Context`
 */
export function rulesFor(options: FilterOptions, facts: Facts, hash: Context["hash"]): Rule[] {
  const { own, keepSystem, replica, root } = options;
  const dropsRoot = root === "drop" || (root === "auto" && !facts.root?.hasPassword);
  return [
    ...own.filter(({ change }) => !change),
    internal,
    buckets,
    ...(keepSystem ? [] : system),
    {
      name: "slashed-names",
      text:
        "# databases, tables and roles with a slash in their name: no version of CnosDB lists or opens them",
      applies: ({ key }) => key.kind !== "user" && key.kind !== "tenant" && isUnlisted(key),
    },
    {
      name: "root",
      text: "# root and its memberships, if it has no password (--root): it would lock all out",
      applies: ({ key }) =>
        dropsRoot &&
        (key.kind === "user" ? key.user === "root" : key.kind === "member" && key.userId === facts.root?.id),
    },
    {
      name: "--prune-users",
      text: "# with --prune-users: users who are members of no tenant carried over",
      kind: "user",
      applies: ({ key }) => key.kind === "user" && facts.pruned.has(key.user),
    },
    ...options.selection.flags.map((flag) => ({
      name: flag.text,
      text: `# ${flag.text}`,
      applies: ({ key }: Item) => flag.drops(namesUnder(key)),
    })),
    ...conversions(facts.source, options.target, hash),
    ...(replica === undefined ? [] : [capReplica(replica)]),
    ...own.filter(({ change }) => change),
  ];
}

/**
 * The list that runs, as YAML that `--rules` takes; what no pattern says is a comment.
 * @param target a release; undefined: the newest
 */
export function printRules(options: Omit<FilterOptions, "target">, target = targets.at(-1)!): string {
  const facts = {
    source: anyFormat,
    sourceLine: 0,
    users: [],
    plainPasswords: false,
    pruned: new Set<string>(),
  };
  const rules = rulesFor({ ...options, target: targetFormat(target) }, facts, () => "");
  return [`# in the order in which they run, for ${target}`, ...rules.map(({ text }) => text), ""].join("\n");
}

function conversions(source: Range, target: Format, hash: Context["hash"]): Rule[] {
  return stepsBetween(source, target).map(({ releases: [version], convert }) => ({
    name: version,
    text: `# converts to ${version}: ${Object.keys(convert).join(", ")}`,
    applies: () => true,
    change: ({ key }, value, personal) => {
      const changing = changingPart(key, value);
      const step = changing && convert[changing.kind];
      if (!step) return value;
      const context: Context = {
        defaults: defaultsOf(target),
        hash: (password, userId) => {
          personal();
          return hash(password, userId);
        },
      };
      return changing.whole(step(changing.part, context));
    },
  }));
}

/** A database with at most `most` replicas, in whichever form it is; for a cluster with fewer nodes. */
function capReplica(most: number): Rule {
  return {
    name: "--replica",
    text: `# --replica ${most}`,
    applies: ({ key }) => key.kind === "database",
    change: (_item, value) => {
      if (!isObject(value)) return value;
      const name = "options" in value ? "options" : "config";
      const settings = value[name];
      if (!isObject(settings) || BigInt(digitsOf(settings.replica) ?? "0") <= BigInt(most)) return value;
      return { ...value, [name]: { ...settings, replica: most } };
    },
  };
}

/** What an operator should know of an entry that no flag dropped. */
export function slashNote({ key }: Item): string {
  return `${key.kind} ${displayName(...namesOf(key))} is left out: no version of CnosDB lists or opens it`;
}
