/** Odd names of tenants, databases, tables, columns and users, through the whole pipe: four scripts as their users run them. */
import { Clusters } from "../live/pipe.ts";
import { seedRows, type StandIn, startStandIn, type Version } from "../standin/standin.ts";
import type { Part, Random } from "./fuzz.ts";

interface Input {
  readonly target: Version;
  readonly names: readonly {
    readonly kind: "tenant" | "database" | "table" | "column" | "user";
    readonly name: string;
  }[];
}

const words = [
  ...[
    "CONNECTION=(",
    "CONNECTION=(x)",
    "CONNECTION = (",
    `CONNECTION=(${"'".repeat(80)}`,
    `CONNECTION=(${'"'.repeat(80)}`,
  ],
  ...[
    "'",
    '"',
    "`",
    "\\",
    ";",
    "--",
    "/*",
    "*/",
    "-x",
    "--help",
    "$(id)",
    "%",
    "%s",
    "${x}",
    "*",
    "?",
    "[a]",
    "{}",
    "<b>",
    "&",
  ],
  ...[
    "a.b",
    " ",
    "  x ",
    "\t",
    "~",
    "|",
    "\u00a0",
    "温度",
    "é",
    "e\u0301",
    "🏔",
    "\u202e",
    "\u2066",
    "\u200f",
    "\ufeff",
    "\u2028",
  ],
  ...[
    "\x1b[2J",
    "\x07",
    "\x7f",
    "\x85",
    "\x9b",
    "\0",
    "\r",
    "\n",
    "a\nDROP DATABASE public;\n--",
    ": ",
    ":",
    "a: b",
    "#",
    "=",
    ",",
  ],
  ...[
    "select",
    "NULL",
    "time",
    "Time",
    "public",
    "..",
    ".",
    "x".repeat(255),
    "温".repeat(85),
    "__proto__",
    "constructor",
    "# end",
  ],
];

const file = new URL("../../fixtures/dumps/2.3.5.4-cluster.dump", import.meta.url);

/** The lines of a small dump of a real server, with these names in it; a name may break its line. */
function linesOf({ names }: Input): string[] {
  const lines = Deno.readTextFileSync(file).trimEnd().split("\n");
  const taken = (key: string) => lines.find((line) => line.includes(`${key}: `))!;
  const kept = lines.filter((line) =>
    !/\/tenants\/(?!cnosdb[:/])|\/dbs\/(?!public|usage_schema|cluster_schema)|\/schemas\/(?!air:)/.test(line)
  );
  const json = (name: string) => JSON.stringify(name);
  const air = taken("/dbs/public/schemas/air");
  const rename = (
    line: string,
    [key, value]: readonly [string, string],
    [from, to]: readonly [string, string],
  ) => {
    const at = line.indexOf(": ");
    return `${line.slice(0, at).replace(key, () => value)}: ${line.slice(at + 2).replaceAll(from, () => to)}`;
  };
  for (const { kind, name } of names) {
    const [database, tenant] = [taken("/dbs/public"), taken("/tenants/cnosdb")];
    if (kind === "table") {
      kept.push(rename(air, ["schemas/air", `schemas/${name}`], ['"name":"air"', `"name":${json(name)}`]));
    } else if (kind === "column") {
      kept.push(
        rename(air, ["schemas/air", `schemas/c${kept.length}`], ['"name":"air"', `"name":"c${kept.length}"`])
          .replaceAll('"pressure"', () => json(name)),
      );
    } else if (kind === "database") {
      kept.push(
        rename(database, ["dbs/public", `dbs/${name}`], ['"database":"public"', `"database":${json(name)}`]),
      );
      kept.push(rename(air, ["dbs/public", `dbs/${name}`], ['"db":"public"', `"db":${json(name)}`]));
    } else if (kind === "tenant") {
      kept.push(
        rename(tenant, ["tenants/cnosdb", `tenants/${name}`], ['"name":"cnosdb"', `"name":${json(name)}`]),
      );
    } else {
      const user = taken("/users/root");
      kept.push(
        rename(user, ["users/root", `users/${name}`], ['"name":"root"', `"name":${json(name)}`])
          .replace(/"id":\d+/, `"id":${1000 + kept.length}`),
      );
    }
  }
  return kept;
}

/** An old cluster that holds these names. Its tables have rows. */
export async function startOld(input: Input): Promise<StandIn> {
  const lines = linesOf(input);
  const dump = lines.filter((line) => !line.includes("\n")).join("\n");
  const old = await startStandIn({ version: "2.3.5", mode: "separate", dump, rows: seedRows(dump, 20) });
  for (const line of lines.filter((line) => line.includes("\n"))) {
    const at = line.indexOf(": {");
    old.store.set(line.slice(0, at), line.slice(at + 2));
  }
  return old;
}

/** What no output may hold. A name may, made harmless. */
// deno-lint-ignore no-control-regex
const unsafe = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;

export const names: Part<Input> = {
  make(random: Random) {
    const kinds = ["table", "table", "table", "column", "database", "user", "tenant"] as const;
    const name = () => random.below(3) ? random.of(words) : random.of(words) + random.of(words);
    return {
      target: random.of(["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const),
      names: Array.from({ length: 1 + random.below(6) }, () => ({ kind: random.of(kinds), name: name() })),
    };
  },
  async check(input) {
    const old = await startOld(input);
    const young = await startStandIn({ version: input.target });
    await using clusters = await Clusters.of(old, young);
    const startMs = performance.now();
    const { code, stderr, stdout, tables } = await clusters.migrate(`${input.target}`);
    const [said, told] = [stderr.replaceAll(/\r/g, "\\r"), stdout.replaceAll("\n", "")];
    if (performance.now() - startMs > 60_000) return "it takes more than a minute";
    if (/this should not happen|at file:\/\//.test(stderr)) return `an error of ours:\n${stderr}`;
    if (unsafe.test(said) || unsafe.test(told)) {
      return `harmful characters in the output:\n${JSON.stringify(said + told)}`;
    }
    if (/secret_key|access_key_id|AWS4|\$2[ab]\$/.test(said + told)) {
      return `a secret in the output:\n${stderr}${stdout}`;
    }
    if (code !== 0) return undefined; // said, and nothing is lost
    if (clusters.differingRows().length) {
      return `exit 0, but they differ: ${clusters.differingRows()}\n${stderr}`;
    }
    if (tables.length < old.rows.size) {
      return `exit 0, but ${tables.length} of ${old.rows.size} tables were told`;
    }
  },
  *smaller({ target, names }) {
    for (const at of names.keys()) if (names.length > 1) yield { target, names: names.toSpliced(at, 1) };
    for (const [at, { kind, name }] of names.entries()) {
      for (const part of [name.slice(0, name.length / 2), name.slice(1), name.slice(0, -1)]) {
        if (part && part !== name) yield { target, names: names.toSpliced(at, 1, { kind, name: part }) };
      }
    }
  },
  show: (input) => JSON.stringify(input),
};
