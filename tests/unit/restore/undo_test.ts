/** The way back: what --undo takes, shows and writes. */
import { Failure } from "../../../lib/cli/errors.ts";
import { undo } from "../../../lib/restore/undo.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../../helpers/deps.ts";
import {
  accepted,
  dumpOf,
  mark,
  posts,
  run,
  script,
  settings,
  test,
  user,
  withDirectory,
} from "./restoring.ts";

const readBackup = async (path: string) => await dumpOf(await Deno.readTextFile(path));

test("undo() shows what it would do, and with yes restores former values and tells what removes the rest", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.set("/cluster_xxx/users/bob", user("bob").slice(24).trim());
  const before = new Map(target.store);
  await withDirectory(async (directory) => {
    const backup = `${directory}/before.dump`;
    await run(target, await accepted("2.4.2"), { backup, force: true });
    assertEquals((await Deno.stat(backup)).mode! & 0o777, 0o600);
    assertMatch(await Deno.readTextFile(backup), /\n# end entries=\d+ sha256=[0-9a-f]{64}\n$/);
    const after = new Map(target.store);
    const said: string[] = [];
    const options = settings(target, { say: (line) => said.push(line) });
    const shown = await undo(await readBackup(backup), false, options);
    assertEquals(new Map(target.store), after);
    assertEquals(said.slice(-2), [
      "would get back its former value: user bob",
      "nothing was written: --undo writes with --yes",
    ]);
    const statements = await undo(await readBackup(backup), true, options);
    assertEquals(said.at(-1), "has its former value again: user bob");
    for (const [key, value] of before) {
      if (key !== "/data_version") assertEquals(target.store.get(key), value);
    }
    assertEquals(statements, shown);
    const air = [
      "a.b-c",
      "air",
      "air_stream",
      "altered",
      "born_from_lines",
      "codecs",
      "empty_table",
      "every_type",
      "ext_csv",
    ];
    assertEquals(statements, [
      '-- as a member of tenant "cnosdb"',
      ...["Weird DB", "hourly", "minutes", "plain"].map((name) => `DROP DATABASE "${name}";`),
      ...["Mixed Case", ...air, "no_tags", "select", "温度"].map((name) => `DROP TABLE "public"."${name}";`),
      'DROP DATABASE "tuned";',
      "-- as an administrator",
      ...["acme", "globex", "limited"].map((name) => `DROP TENANT "${name}";`),
      ...["alice", "carol"].map((name) => `DROP USER "${name}";`),
    ]);
  });
});

test("undo() refuses the dump of the old cluster, another cluster's backup and one of another version", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  await run(target, await accepted("2.4.2"));
  const sent = posts(target).length;
  const old = await Deno.readTextFile(
    new URL("../../../fixtures/dumps/2.3.5.4-cluster.dump", import.meta.url),
  );
  const prod = [...target.store].map(([key, value]) =>
    `${key.replace("/cluster_xxx/", "/prod/")}: ${value}\n`
  ).join("");
  const root = target.store.get("/cluster_xxx/users/root")!;
  const younger = [...target.store].map(([key, value]) => `${key}: ${value}\n`).join("")
    .replace(root, root.replace("is_root_admin", "is_admin"));
  for (
    const [text, why] of [
      [old, "stdin is no backup of this cluster: it names other data nodes"],
      [old, "stdin is no backup of this version: 2.4.2 could not read "],
      [prod, "stdin is no backup of this cluster"],
      [younger, "2.4.2 could not read 1 of its entries: line "],
    ] as const
  ) {
    const backup = await dumpOf(text, true);
    for (const yes of [false, true]) {
      await assertRejects(() => undo(backup, yes, settings(target)), Failure, why);
    }
  }
  assertEquals(posts(target).length, sent);
});

test("undo() leaves 2.4.0's own root a member, and the member row of the dump's root, which is nobody's then", async ({ start }) => {
  const target = await start({ version: "2.4.0" });
  const root = '/cluster_xxx/tenants/cnosdb/members/77: {"System":"Owner"}\n' +
    '/cluster_xxx/users/root: {"id":77,"name":"root","options":{"hash_password":"$2b$12$x"},"is_admin":true}\n';
  await withDirectory(async (directory) => {
    const backup = `${directory}/before.dump`;
    await run(target, await accepted("2.4.0", (text) => text + root), { backup });
    const sql = await undo(await readBackup(backup), false, settings(target));
    assert(!sql.some((line) => line.includes("REMOVE USER")), sql.join("\n"));
  });
});

test("undo() leaves the tables that the server has made for its metrics since", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const before = await dumpOf([...target.store].map(([key, value]) => `${key}: ${value}\n`).join(""), true);
  const air = "/cluster_xxx/tenants/acme/dbs/iot/schemas/air";
  const line = (await accepted("2.4.2")).split("\n").find((line) => line.startsWith(`${air}: `))!;
  const value = line.slice(air.length + 2).replace('"acme"', '"cnosdb"').replace('"iot"', '"usage_schema"');
  const key = "/cluster_xxx/tenants/cnosdb/dbs/usage_schema/schemas/air";
  target.store.set(key, value);
  assertEquals(await undo(before, false, settings(target)), []);
  // Nor is one taken back that it has changed.
  const later = await dumpOf([...target.store].map(([key, value]) => `${key}: ${value}\n`).join(""), true);
  target.store.set(key, value.replace('"schema_version":0', '"schema_version":1'));
  await undo(later, true, settings(target));
  assertEquals(posts(target).length, 0);
});

test("undo() removes nothing for what the target holds of another cluster", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.set("/prod/users/old", '{"id":9,"name":"old","options":{"password":"x"},"is_admin":false}');
  const before = await dumpOf([...target.store].map(([key, value]) => `${key}: ${value}\n`).join(""), true);
  const database = "/tenants/cnosdb/dbs/public";
  target.store.set(`/prod${database}`, target.store.get(`/cluster_xxx${database}`)!);
  assertEquals(await undo(before, false, settings(target)), []);
});

test("undo() prints no statement that a name could break out of", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const before = await dumpOf([...target.store].map(([key, value]) => `${key}: ${value}\n`).join(""), true);
  // A line break cannot come through a dump's lines; what a terminal obeys can.
  const name = "a\x1b[31m\u2028DROP DATABASE public;";
  const value = { id: 5, name, options: { hash_password: null }, is_root_admin: false };
  target.store.set(`/cluster_xxx/users/${name}`, JSON.stringify(value));
  assertEquals(await undo(before, false, settings(target)), [
    "-- as an administrator",
    '-- by hand, for its name: user "a\\u001b[31m\\u2028DROP DATABASE public;"',
  ]);
});

test("restore_meta --undo prints SQL alone on stdout, and another plan without --yes", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  await withDirectory(async (directory) => {
    const backup = `${directory}/before.dump`;
    const root = "/cluster_xxx/users/root";
    const before = target.store.get(root)!;
    assertEquals(
      (await script("restore_meta", [target.metaUrl, "--backup", backup], mark(user("zoe")))).code,
      0,
    );
    target.store.set(root, before.replace("system admin", "changed"));
    const sql = '-- as an administrator\nDROP USER "zoe";\n';
    const shown = await script("restore_meta", [target.metaUrl, "--undo", backup]);
    assertEquals({ stdout: shown.stdout, code: shown.code }, { stdout: sql, code: 0 });
    assertStringIncludes(shown.stderr, "would get back its former value: user root");
    assertStringIncludes(shown.stderr, "nothing was written: --undo writes with --yes");
    assert(target.store.get(root) !== before);
    const written = await script("restore_meta", [target.metaUrl, "--undo", backup, "--yes"]);
    assertEquals({ stdout: written.stdout, code: written.code }, { stdout: sql, code: 0 });
    assertStringIncludes(written.stderr, "has its former value again: user root");
    assertEquals(target.store.get(root), before);
  });
});
