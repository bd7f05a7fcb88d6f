/** The permissions in the shebangs: each is needed for something, and what is refused without it says which it is. */
import { assert, assertEquals } from "../helpers/deps.ts";
import { certificate, key } from "../helpers/tls.ts";
import { atOnce } from "../../lib/cli/deps.ts";
import { permissions } from "../live/pipe.ts";
import { startStandIn } from "../standin/standin.ts";

const root = new URL("../../", import.meta.url);
const fixture = (path: string) => new URL(`fixtures/${path}`, root).pathname;
const old = fixture("dumps/2.3.5.4-cluster.dump");

/** What needs a permission. `{…}` stands for addresses and a directory of the test's own. */
interface Job {
  /** as it begins in the shebang */
  permission: string;
  args: string[];
  /** what is said without it */
  without: string;
  /** what is said with it, where the job cannot be brought to its end here */
  with?: string;
  env?: Record<string, string>;
}

const https = (args: string[]): Job[] => [
  { permission: "--allow-sys", args, without: "Requires sys access", with: "self-signed certificate" },
  { permission: "NODE_USE_SYSTEM_CA", args, without: "NODE_USE_SYSTEM_CA", with: "self-signed certificate" },
];
const clusters = ["--from", "{oldSql}", "--to", "{newSql}"];
const chinese = ["LC_ALL", "LC_MESSAGES", "LANG"];

const jobs: Record<string, Job[]> = {
  dump_meta: [
    { permission: "--allow-net", args: ["{old}"], without: "Requires net access" },
    { permission: "--allow-read", args: ["{old}", "--compare", old], without: "Requires read access" },
    { permission: "--allow-write", args: ["{old}", "-o", "{directory}/a"], without: "Requires write access" },
    ...https(["{https}"]),
  ],
  filter_meta: [
    {
      permission: "--allow-net",
      args: ["--target", "{newSql}", "--unmarked", old],
      without: "Requires net access",
    },
    {
      permission: "--allow-read",
      args: ["--target", "2.4.2", "--unmarked", old],
      without: "Requires read access",
    },
    {
      permission: "--allow-write",
      args: ["--target", "2.4.2", "--unmarked", old, "-o", "{directory}/b"],
      without: "Requires write access",
    },
    ...https(["--target", "{https}", "--unmarked", old]),
  ],
  restore_meta: [
    { permission: "--allow-net", args: ["{new}", "--dry-run", "{dump}"], without: "Requires net access" },
    { permission: "--allow-read", args: ["{new}", "--dry-run", "{dump}"], without: "Requires read access" },
    {
      permission: "--allow-write",
      args: ["{new}", "{dump}", "--backup", "{directory}/c", "--force"],
      without: "Requires write access",
    },
    {
      permission: "CNOSDB_*",
      args: ["{new}", "--dry-run", "--force", "--sql", "{newSql}", "{dump}"],
      without: "CNOSDB_USER",
    },
    ...https(["{https}", "{dump}"]),
  ],
  copy_tables: [
    { permission: "--allow-net", args: [...clusters, "--all"], without: "Requires net access" },
    { permission: "--allow-read", args: [...clusters, "{dump}"], without: "Requires read access" },
    {
      permission: "--allow-write",
      args: [...clusters, "--all", "--ledger", "{directory}/d.sqlite"],
      without: "Requires write access",
    },
    { permission: "CNOSDB_*", args: [...clusters, "--all"], without: "CNOSDB_" },
    {
      permission: "PG*",
      args: ["--status", "--ledger", "postgres://root@127.0.0.1:1/x"],
      without: 'env access to "PG',
      with: "ECONNREFUSED",
    },
    ...https(["--from", "{https}", "--to", "{https}", "--all"]),
  ],
  compare_tables: [
    { permission: "--allow-net", args: [...clusters, "--all"], without: "Requires net access" },
    { permission: "--allow-read", args: [...clusters, "{dump}"], without: "Requires read access" },
    {
      permission: "--allow-write",
      args: [...clusters, "--all", "-o", "{directory}/e"],
      without: "Requires write access",
    },
    { permission: "CNOSDB_*", args: [...clusters, "--all"], without: "CNOSDB_" },
    ...https(["--from", "{https}", "--to", "{https}", "--all"]),
  ],
  report: [
    { permission: "--allow-read", args: ["{directory}/empty"], without: "Requires read access" },
  ],
};

/** A permission's flag without one of its parts; without the flag itself where that is what is named. */
function without(all: string, permission: string): string[] {
  return all.split(" ").flatMap((flag) => {
    if (flag === permission) return [];
    const [name = "", values] = flag.split("=");
    if (!values?.split(",").includes(permission)) return [flag];
    const left = values.split(",").filter((value) => value !== permission);
    return left.length ? [`${name}=${left.join(",")}`] : [];
  });
}

Deno.test("no script asks for more than the permissions that its jobs need, and none prompts or runs others", () => {
  for (const { name } of Deno.readDirSync(new URL("scripts/", root))) {
    const script = name.replace(/\.ts$/, "");
    const asked = permissions(script).split(" ").flatMap((flag) =>
      flag.includes("=") ? flag.split("=")[1]!.split(",") : [flag]
    );
    const needed = jobs[script]!.map(({ permission }) => permission);
    assertEquals(asked.toSorted(), [...needed, ...chinese, "--no-prompt"].toSorted(), script);
  }
});

Deno.test("each permission of each shebang is needed, and a script says which one is missing", async () => {
  const directory = await Deno.makeTempDir();
  const source = await startStandIn({ version: "2.3.5", dump: await Deno.readTextFile(old) });
  const target = await startStandIn({ version: "2.4.2", cluster: "cluster_test" });
  await using secured = Deno.serve({ port: 0, cert: certificate, key, onListen() {} }, () => new Response());
  try {
    const filled: Record<string, string> = {
      old: source.metaUrl,
      oldSql: source.sqlUrl,
      new: target.metaUrl,
      newSql: target.sqlUrl,
      https: `https://localhost:${secured.addr.port}`,
      directory,
      dump: `${directory}/new.dump`,
    };
    await Deno.writeTextFile(`${directory}/empty`, "");
    const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, name) => filled[name] ?? "");
    const run = async (script: string, flags: string[], args: string[]) => {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", ...flags, new URL(`scripts/${script}.ts`, root).pathname, ...args.map(fill)],
        cwd: directory,
        env: { CNOSDB_RETRY_FOR: "1s", LC_ALL: "C", NO_COLOR: "1" },
        stdin: "null",
        stdout: "null",
      }).output();
      return { code, stderr: new TextDecoder().decode(stderr) };
    };
    const made = await run("filter_meta", ["-A"], [
      ...["--target", "2.4.2.1", "--cluster", "cluster_test", "--unmarked", old, "-o", "{dump}"],
    ]);
    assertEquals(made.code, 0, made.stderr);
    const all = Object.entries(jobs).flatMap(([script, list]) => list.map((job) => ({ script, ...job })));
    await atOnce(4, all, async ({ script, permission, args, ...says }) => {
      const flags = permissions(script);
      const refused = await run(script, without(flags, permission), args);
      const allowed = await run(script, flags.split(" "), args);
      const what = `${script}, ${permission}: ${refused.stderr}\n${allowed.stderr}`;
      assert(refused.code !== 0 && refused.stderr.includes(says.without), what);
      assert(!/Requires \w+ access/.test(allowed.stderr) && allowed.stderr.includes(says.with ?? ""), what);
    });
  } finally {
    await Promise.all([source, target].map((standIn) => standIn.close()));
    await Deno.remove(directory, { recursive: true });
  }
});
