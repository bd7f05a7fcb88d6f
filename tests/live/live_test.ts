import { assert, assertEquals, assertMatch, assertStringIncludes } from "../helpers/deps.ts";
import { Clusters, origins } from "./pipe.ts";

const origin = origins["a 2.3.5.4 with a meta service of its own"]!;

/** Runs the live check on two stand-ins, which are given an own directory for temporary files. */
async function live(clusters: Clusters, env: Record<string, string> = {}, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", new URL("live.ts", import.meta.url).pathname, ...args],
    env: {
      OLD_META: clusters.old.metaUrl,
      OLD_SQL: clusters.old.sqlUrl,
      NEW_META: [clusters.young.metaUrl, ...clusters.young.followerUrls].join(","),
      NEW_SQL: clusters.young.sqlUrl,
      TMPDIR: clusters.directory,
      NO_COLOR: "1",
      ...env,
    },
  }).output();
  const text = new TextDecoder().decode(stdout);
  return { code, stdout: text, stderr: new TextDecoder().decode(stderr), names: namesOf(text) };
}

/** How each check went, without what it took. */
const namesOf = (report: string) =>
  report.split("\n").filter((line) => /^(ok|FAILED) {2,}\w/.test(line)).map((line) =>
    line.replace(/ \([^(]*\)$/, "")
  );

const passed = [
  "ok      the old cluster is dumped",
  "ok      the new cluster is empty",
  "ok      the dump is converted for the new cluster",
  "ok      nothing speaks against restoring it",
  "ok      it is restored, and read back",
  "ok      every table is copied, and verified",
  "ok      a second run finds nothing to copy",
  "ok      it is followed until nothing is new, and ends equal",
  "ok      both clusters hold the same rows",
  "ok      the new cluster's meta store holds what was restored",
  "ok      the old cluster's meta store is as it was",
];

Deno.test("the live check carries a cluster over and leaves nothing behind", async () => {
  await using clusters = await Clusters.start(origin, "2.4.2", 3);
  const { code, stdout, stderr, names } = await live(clusters);
  assertEquals([code, names], [0, passed], stdout + stderr);
  assertMatch(stdout, /every table is copied, and verified \(18 tables, \d+ rows, /);
  assertEquals(clusters.differingRows(), []);
  assertEquals([...Deno.readDirSync(clusters.directory)], []);
});

Deno.test("the live check takes a stage, credentials in URLs, and flags of filter_meta", async () => {
  await using clusters = await Clusters.start(origin, "2.4.0");
  const withUser = (url: string) => url.replace("//", "//root:wrong-but-unchecked@");
  const stage = `${clusters.directory}/stage`;
  const { code, stdout, stderr, names } = await live(
    clusters,
    {
      STAGE: `file://${stage}`,
      OLD_SQL: withUser(clusters.old.sqlUrl),
      NEW_SQL: withUser(clusters.young.sqlUrl),
    },
    "--exclude",
    "acme",
  );
  assertEquals([code, names], [0, passed], stdout + stderr);
  assertEquals([...Deno.readDirSync(stage)], [], "what was imported is removed");
  assert(![...clusters.young.store.keys()].some((key) => key.includes("/tenants/acme")));
  assert(!(stdout + stderr).includes("unchecked"), stderr);
});

Deno.test("the live check refuses a new cluster that is not empty, and writes nothing to it", async () => {
  await using clusters = await Clusters.start(origin, "2.4.1");
  const [key, value] = [...clusters.young.store].find(([key]) => key.endsWith("/tenants/cnosdb"))!;
  clusters.young.store.set(
    key.replace(/cnosdb$/, "other"),
    value.replace('"name":"cnosdb"', '"name":"other"'),
  );
  const before = new Map(clusters.young.store);
  const { code, stdout, names } = await live(clusters);
  assertEquals([code, names], [1, [...passed.slice(0, 1), "FAILED  the new cluster is empty"]], stdout);
  assertMatch(stdout, /the target is not empty, it holds 1 object\(s\) of its own:\s+tenant other/);
  assertEquals([...clusters.young.store], [...before]);
  assertStringIncludes(stdout, `are in ${clusters.directory}`);
});

Deno.test("the live check tells of rows that are lost behind its back", async () => {
  await using clusters = await Clusters.start(origin, "2.4.3");
  let imported = false;
  clusters.young.fault = ({ body, path }) => {
    imported ||= body.startsWith("COPY INTO");
    // asked again only when the copy has ended
    if (imported && path.startsWith("/api/v1/ping")) clusters.young.rows.get("cnosdb/public/air")?.pop();
    return undefined;
  };
  const { code, stdout, names } = await live(clusters);
  const failed = "FAILED  both clusters hold the same rows";
  assertEquals([code, names], [1, passed.map((name) => name === passed[8] ? failed : name)], stdout);
  assertStringIncludes(stdout, '"table":"air"');
});

Deno.test("the live check names a variable that is missing", async () => {
  await using clusters = await Clusters.start(origin, "2.4.3");
  const { code, stderr, stdout } = await live(clusters, { NEW_SQL: "" });
  assertEquals([code, stdout], [2, ""]);
  assertStringIncludes(stderr, "NEW_SQL is missing");
});
