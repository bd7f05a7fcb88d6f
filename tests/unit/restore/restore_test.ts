/** restore_meta as a whole: into each version, again, interrupted, as a process. */
import { Failure, Interrupted } from "../../../lib/cli/errors.ts";
import { parseEndpoint } from "../../../lib/cnosdb/endpoint.ts";
import { restore } from "../../../lib/restore/restore.ts";
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
  holds,
  mark,
  onPost,
  posts,
  run,
  script,
  settings,
  test,
  user,
  versions,
  withDirectory,
} from "./restoring.ts";

const root = new URL("../../../", import.meta.url);

for (const version of versions) {
  test(`restore() puts a converted dump into a new ${version}, which survives a restart`, async ({ start }) => {
    const target = await start({ version, mode: "separate", metaNodes: 3, auth: false });
    const dump = await accepted(version);
    const { restored, said } = await run(target, dump, { sql: parseEndpoint(target.sqlUrl, 8902) });
    assert(holds(target, dump));
    await target.restart();
    assert(holds(target, dump));
    assertEquals(restored?.length, 40);
    assertMatch(said, /verified: 40 values and 7 lists of \/read, and SQL, are as they should be/);
    // What a new 2.4.0 and 2.4.1 write for `public` is what the dump has.
    const equal = version < "2.4.2" ? 1 : 0;
    assertStringIncludes(said, `38 created, ${2 - equal} overwritten, ${equal} unchanged`);
  });
}

test("restore() sends nothing the second time, though the level of a limiter has moved", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted("2.4.2");
  await run(target, dump);
  const key = "/cluster_xxx/tenants/limited/limiter";
  target.store.set(key, target.store.get(key)!.replace('"balance":0', '"balance":7'));
  const before = posts(target).length;
  const { said } = await run(target, dump);
  assertEquals(posts(target).length, before);
  assertMatch(said, /0 created, 0 overwritten, 40 unchanged/);
});

test("restore() goes on where a run stopped, and sends only what is missing", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted("2.4.2");
  target.fault = ({ path, body }) =>
    path === "/restore" && body.includes("/schemas/") ? { kind: "answer", status: 404, body: "" } : undefined;
  await assertRejects(() => run(target, dump), Failure, "are written");
  target.fault = undefined;
  const sent = posts(target).length;
  const { said } = await run(target, dump);
  assert(holds(target, dump));
  assert(posts(target).slice(sent).every(({ body }) => !body.includes("/users/")));
  assertMatch(said, /\d+ created, 0 overwritten, [1-9]\d* unchanged/);
});

test("restore() takes a dump with CRLF", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const text = await Deno.readTextFile(new URL("fixtures/accepted/2.4.2.dump", root));
  await restore(await dumpOf(text.replaceAll("\n", "\r\n"), true), settings(target));
  assert(holds(target, text));
});

test("restore() into a target without a root", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.delete("/cluster_xxx/users/root");
  const dump = await accepted("2.4.2");
  await run(target, dump);
  assert(holds(target, dump));
});

test("restore_meta passes on exactly what it read, with an end mark", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted("2.4.2");
  const { stdout, stderr, code } = await script("restore_meta", [target.metaUrl], dump);
  assertEquals(stdout, dump);
  assertEquals(code, 0, stderr);
});

test("restore_meta keeps the backup of an earlier run, so that the same command can be run again", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  await withDirectory(async (directory) => {
    const backup = `${directory}/before.dump`;
    assertEquals(
      (await script("restore_meta", [target.metaUrl, "--backup", backup], mark(user("zoe")))).code,
      0,
    );
    const before = await Deno.readTextFile(backup);
    const { stderr, code } = await script(
      "restore_meta",
      [target.metaUrl, "--backup", backup],
      mark(user("zoe")),
    );
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "kept as it is");
    assertEquals(await Deno.readTextFile(backup), before);
  });
});

test("restore_meta passes nothing on where reading back finds a difference: exit 3", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.fault = ({ path }) => {
    if (path === "/dump" && posts(target).length) target.store.delete("/cluster_xxx/users/alice");
    return undefined;
  };
  const { stdout, stderr, code } = await script("restore_meta", [target.metaUrl], await accepted("2.4.2"));
  assertEquals({ stdout, code }, { stdout: "", code: 3 });
  assertStringIncludes(stderr, "written again: user alice: /cluster_xxx/users/alice is not there");
});

test("restore_meta finishes the batch in flight at SIGINT, says how to go on, exits 130", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const { promise: goOn, resolve: release } = Promise.withResolvers<void>();
  target.fault = onPost(1, () => {
    arrive();
    return { kind: "delay", until: goOn };
  });
  const { stdout, stderr, code } = await script(
    "restore_meta",
    [target.metaUrl, "--jobs", "1"],
    await accepted("2.4.2"),
    async (child) => {
      await arrived;
      child.kill("SIGINT");
      // Nothing tells from outside that a signal has been handled.
      await new Promise((resolve) => setTimeout(resolve, 300));
      release();
    },
  );
  assertEquals({ stdout, code }, { stdout: "", code: 130 });
  assertStringIncludes(stderr, "interrupted, 2 of 40 entries are written");
  assertStringIncludes(stderr, "run the same command again");
  assertEquals(posts(target).length, 1);
  assert(posts(target)[0]!.status === 200);
});

test("an interrupted restore stops between retries at once", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const controller = new AbortController();
  target.fault = onPost(99, () => {
    controller.abort(new Interrupted("interrupted"));
    return { kind: "close" };
  });
  await assertRejects(
    async () => run(target, await accepted("2.4.2"), { signal: controller.signal, pauseMs: 60_000 }),
    Interrupted,
    "0 of 40 entries are written",
  );
});

test("restore_meta refuses flags that do not go together, and a missing META_URL", async () => {
  assertEquals((await script("restore_meta", [], "")).code, 2);
  const { stderr, code } = await script("restore_meta", ["127.0.0.1:1", "--undo", "x", "--force"], "");
  assertEquals(code, 2);
  assertStringIncludes(stderr, "--undo does not go with --force");
});
