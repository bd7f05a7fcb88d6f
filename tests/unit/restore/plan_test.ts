/** What a restore would do, and all that it refuses before anything is written. */
import { Failure } from "../../../lib/cli/errors.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../../helpers/deps.ts";
import { accepted, holds, mark, posts, refuses, run, test, user } from "./restoring.ts";

const root = new URL("../../../", import.meta.url);

refuses([
  {
    name: "a dump without its end mark",
    raw: true,
    message: ["stdin: ", "--unmarked"],
  },
  {
    name: "a dump that was cut and lost its mark",
    dump: (text) => text.slice(0, 5_000),
    raw: true,
    message: ["cut in the middle of line"],
  },
  {
    name: "a dump whose lines changed on their way",
    dump: (text) => mark(text).replaceAll("\n", "\r\n"),
    raw: true,
    message: ["sha256"],
  },
  {
    name: "a dump for another version, each entry by itself, at most twenty",
    dump: () => Deno.readTextFileSync(new URL("fixtures/accepted/2.4.0.dump", root)),
    message: [
      "line 2: /cluster_xxx/tenants/acme/dbs/iot: is_hidden: missing; so 2.4.2, as the target is, could not read it",
      "more",
      "filter_meta --target VERSION",
    ],
  },
  {
    name: "what 2.4.2 reads where the target is 2.4.3, which only /read tells",
    dump: (text) => text.replace('"schema_version":0', '"schema_version":0,"schema_id":0'),
    target: { version: "2.4.3" },
    message: [
      "schemas/air: TsKvTableSchema.schema_id: a field that this version refuses; so 2.4.3, as the target is",
    ],
  },
  {
    name: "a dump that nobody filtered",
    dump: () => Deno.readTextFileSync(new URL("fixtures/dumps/2.3.5.4-cluster.dump", root)),
    message: [
      "12 entries are the old cluster's own bookkeeping: line 1: /cluster_xxx/auto_incr_id",
      "run the dump through filter_meta",
    ],
  },
  {
    name: "a dump of another cluster",
    dump: (text) => text.replaceAll("/cluster_xxx/", "/prod/"),
    message: [
      'the dump is of cluster "prod", the target is "cluster_xxx"',
      "filter_meta --cluster cluster_xxx",
    ],
  },
  {
    name: "a dump of two clusters",
    dump: (text) => text + user("zoe").replace("cluster_xxx", "prod"),
    message: ['"prod"', "filter_meta --cluster cluster_xxx"],
  },
  {
    name: "two lines with one key",
    dump: (text) => user("zoe") + text + user("zoe"),
    message: ["line 42: /cluster_xxx/users/zoe: is in line 1 too"],
  },
  {
    name: "a value that is no JSON",
    dump: (text) => text + '/cluster_xxx/users/zoe: {"id":5\n',
    message: ["line 41: /cluster_xxx/users/zoe: its value is no JSON"],
  },
  {
    name: "a key of an unknown kind",
    dump: (text) => text + "/cluster_xxx/rec_test: 1\n",
    message: ["line 41: /cluster_xxx/rec_test: an unknown kind of key"],
  },
  {
    name: "a name that goes on behind a colon and a blank",
    dump: (text) => text + user("a: b"),
    message: ['line 41: /cluster_xxx/users/a: b: a name with ": " or a line break in it', "--exclude"],
  },
  {
    name: "a name with a line break",
    dump: (text) => text + user("a\\nb").replace("/a\\nb", "/a\nb"),
    message: ['line 41: /cluster_xxx/users/a\\u000ab: a name with ": " or a line break in it', "--exclude"],
  },
  {
    name: "a name with a slash",
    dump: (text) => text.replaceAll(/"plain"|dbs\/plain/g, (name) => name.replace("plain", "pl/ain")),
    message: ["/cluster_xxx/tenants/cnosdb/dbs/pl/ain: a name with a slash"],
  },
  {
    name: "what neither the dump nor the target has the tenant or the database of",
    dump: (text) => text.replace(/^\/cluster_xxx\/tenants\/(globex|acme\/dbs\/iot): .*\n/gm, ""),
    message: [
      "/cluster_xxx/tenants/acme/dbs/iot/schemas/air: neither the dump nor the target has /cluster_xxx/tenants/acme/dbs/iot: CnosDB would never list it",
      "/cluster_xxx/tenants/globex/dbs/public_2: neither the dump nor the target has /cluster_xxx/tenants/globex",
    ],
  },
  {
    name: "more replicas than there are data nodes",
    dump: (text) => text.replace(/("database":"iot".*?"replica":)1/, "$13"),
    message: [
      "/cluster_xxx/tenants/acme/dbs/iot: replica 3, but the target has 1 data node(s)",
      "filter_meta --replica 1",
    ],
  },
  {
    name: "a target without data nodes",
    before: (target) => target.store.delete("/cluster_xxx/data_nodes/1001"),
    message: ["no data node has joined the target"],
  },
  {
    name: "a target that has objects of its own",
    before: (target) => {
      target.store.set(
        "/cluster_xxx/tenants/own",
        '{"id":7,"name":"own","options":{"comment":null,"limiter_config":null,"drop_after":null,"tenant_is_hidden":false}}',
      );
      target.store.set("/cluster_xxx/users/bob", user("bob").slice(24).trim());
    },
    message: [
      "the target is not empty, it holds 2 object(s) of its own:\n    tenant own (not in the dump)\n    " +
      "user bob (differs in id, options.hash_password)",
      "--force",
    ],
  },
  {
    name: "a backup over a file that is there",
    options: () => ({ backup: new URL("deno.json", root).pathname }),
    message: ["the file is there already, and is no backup of this target", "name another file"],
  },
]);

test("restore() names all problems at once", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const dump = await accepted(
    "2.4.2",
    (text) =>
      text.replaceAll("/cluster_xxx/", "/prod/").replaceAll('"replica":1', '"replica":3') +
      "/prod/auto_incr_id: 3\n" +
      user("a: b"),
  );
  const { message } = await assertRejects(() => run(target, dump), Failure);
  for (const part of ["bookkeeping", 'cluster "prod"', "replica 3", "a name with"]) {
    assertStringIncludes(message, part);
  }
});

test("restore() under force overwrites what differs, says so, and leaves the rest", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.set("/cluster_xxx/users/bob", user("bob").slice(24).trim());
  target.store.set("/cluster_xxx/users/zoe", user("zoe").slice(24).trim());
  const dump = await accepted("2.4.2");
  const { said } = await run(target, dump, { force: true });
  assert(holds(target, dump + user("zoe")));
  assertStringIncludes(said, "overwrite: user bob (id, options.hash_password)");
});

test("restore() under dryRun prints the plan and writes nothing", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const { restored, said } = await run(target, await accepted("2.4.2"), { dryRun: true });
  assertEquals(restored, undefined);
  assertEquals(posts(target).length, 0);
  assertMatch(said, /^target: cluster cluster_xxx, 2\.4\.2, 1 data node\(s\)$/m);
  assertMatch(said, /^tenant +3 +0 +1$/m);
  assertMatch(said, /^table +20 +0 +0$/m);
  assertMatch(said, /\n--dry-run: nothing was written$/);
});

test("restore() runs a second time into 2.4.0, whose former root's member row is nobody's", async ({ start }) => {
  const target = await start({ version: "2.4.0" });
  const root =
    '/cluster_xxx/users/root: {"id":77,"name":"root","options":{"hash_password":"$2b$12$x"},"is_admin":true}\n';
  const dump = await accepted("2.4.0", (text) => text + root);
  await run(target, dump);
  assertEquals([...target.store.keys()].filter((key) => key.includes("/cnosdb/members/")).length, 1);
  const { said } = await run(target, dump);
  assertMatch(said, /0 created, 0 overwritten, 41 unchanged/);
});

test("restore() with add restores tenant after tenant, and leaves what is there and differs", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  const whole = await accepted("2.4.2");
  const lines = whole.split("\n").slice(0, -2);
  const without = (tenant: string) =>
    mark(lines.filter((line) => !line.includes(`/tenants/${tenant}`)).join("\n") + "\n");
  await run(target, without("acme"));
  await assertRejects(() => run(target, without("globex")), Failure, "the target is not empty");
  const bob = target.store.get("/cluster_xxx/users/bob")!.replace("{", '{"comment":"changed since",');
  target.store.set("/cluster_xxx/users/bob", bob);
  const { restored, said } = await run(target, without("globex"), { add: true });
  assertStringIncludes(said, "there and different, left as it is: user bob (comment)");
  assertMatch(said, /\d+ created, 0 overwritten, \d+ unchanged, 1 left as they were/);
  assert(
    !restored!.some(({ key }) => key.endsWith("/users/bob")),
    "bob was not restored, so he is not passed on",
  );
  assertEquals(target.store.get("/cluster_xxx/users/bob"), bob);
  target.store.set(
    "/cluster_xxx/users/bob",
    lines.find((line) => line.includes("/users/bob: "))!.split(": ").slice(1).join(": "),
  );
  assert(holds(target, whole));
});

test("restore() with add refuses a user whom the target knows by another id, as members would be nobody's", async ({ start }) => {
  const target = await start({ version: "2.4.2" });
  target.store.set("/cluster_xxx/users/bob", user("bob").slice(24).trim());
  const error = await assertRejects(async () => run(target, await accepted("2.4.2"), { add: true }), Failure);
  assertStringIncludes(error.message, "/cluster_xxx/users/bob: the target has another user of that name");
  assertEquals(posts(target).length, 0);
});
