/** What the filter does with what goes wrong. */
import { assert, assertEquals, assertRejects } from "../../helpers/deps.ts";
import type { Outcome } from "../../../lib/filter/convert.ts";
import { parseRules } from "../../../lib/filter/own_rules.ts";
import { type OwnRule, printRules } from "../../../lib/filter/rules.ts";
import { defaults, filter, select } from "./filtering.ts";

const fixture = (path: string) => Deno.readTextFile(new URL(`../../../fixtures/${path}`, import.meta.url));
const tenant = (name: string, comment = "null") =>
  `/c/tenants/${name}: {"id":1,"name":"${name}","options":{"comment":${comment},"limiter_config":null}}\n`;

Deno.test("an error of ours is not taken for an invalid entry under --drop-invalid", async () => {
  const broken: OwnRule = {
    name: "broken",
    text: "",
    pattern: "/**",
    applies: () => true,
    change: () => (undefined as unknown as { x: string }).x,
  };
  await assertRejects(
    () => filter(tenant("a"), { target: "2.4.2", dropInvalid: true, own: [broken] }),
    TypeError,
  );
});

Deno.test("a value nested 5000 deep is invalid, and no more", async () => {
  const deep = tenant("b", "[".repeat(5_000) + "]".repeat(5_000));
  const { error } = await filter(deep, { target: "2.4.2" });
  assertEquals(error, "line 1: /c/tenants/b: nested more than 128 levels deep");
  const { out } = await filter(tenant("a") + deep, { target: "2.4.2", dropInvalid: true });
  assert(out.startsWith("/c/tenants/a: ") && !out.includes("/c/tenants/b"), out);
});

Deno.test("--drop-invalid names each entry that it drops, however many there are", async () => {
  const invalid = Array.from({ length: 50 }, (_, i) => tenant(`x${i}`, "7")).join("");
  const { notes } = await filter(tenant("a") + invalid, { target: "2.4.2", dropInvalid: true });
  assertEquals(notes.filter((note) => note.includes("dropped as invalid")).length, 50);
});

Deno.test("a plain password that looks like a hash, or is escaped, is hashed", async () => {
  for (const password of ["$2cool", `$2b$12$${"a".repeat(52)}`, "\\u0024x"]) {
    const user =
      `/c/users/bob: {"id":7,"name":"bob","options":{"password":"${password}"},"is_admin":false}\n`;
    const { out, error } = await filter(tenant("a") + user, { target: "2.4.2", source: "2.3.3" });
    assertEquals(error, undefined);
    assert(out.includes(`"hash_password":"$2b$12$7.${JSON.parse(`"${password}"`).length}"`), out);
  }
  const escaped = '/c/users/bob: {"id":7,"name":"bob","options":{"pass\\u0077ord":"x"},"is_admin":false}\n';
  assert(
    (await filter(tenant("a") + escaped, { target: "2.4.2", source: "2.3.3" })).out.includes("$2b$12$7.1"),
  );
});

Deno.test("a root whose value is broken is refused, not dropped as one without a password", async () => {
  const root = '/c/users/root: {"id":5,"name":"root","options":{"password":"$2b$12$\n';
  const { error } = await filter(tenant("a") + root, { target: "2.4.2" });
  assertEquals(error, "line 2: /c/users/root: its value is no JSON: was the line cut?");
});

Deno.test("a TTL of any length is converted", async () => {
  const database = (ttl: string) =>
    '/c/tenants/a/dbs/d: {"tenant":"a","database":"d","config":{"ttl":{"time_num":' + ttl +
    ',"unit":"Day"},"shard_num":null,"vnode_duration":null,"replica":null,"precision":null}}\n';
  for (
    const [ttl, target, reported] of [
      ["200000000000", "2.4.2", "200000000000d"],
      ["18446744073709551615", "2.4.0", "18446744073709551615d"],
      ["18446744073709551615", "2.4.2", "INF"],
    ] as const
  ) {
    const outcomes: Outcome[] = [];
    const { error } = await filter(database(ttl), { target }, outcomes);
    assertEquals([error, outcomes[0]?.ttl], [undefined, reported]);
  }
});

const user = (name: string, password: string) =>
  `/c/users/${name}: {"id":${name.length},"name":"${name}","options":{"password":${password}},"is_admin":false}\n`;
const hash = `"$2b$12$${"a".repeat(53)}"`;

Deno.test("what --rules drops does not show the dump's version", async () => {
  const other = tenant("0").replace("null", 'null,"tenant_is_hidden":false,"drop_after":null');
  const own = await parseRules("- drop: /c/tenants/0", "rules.yaml");
  const { error, notes } = await filter(other + tenant("a") + user("bob", hash), { target: "2.4.2", own });
  assertEquals([error, notes[0]], [undefined, "dump: 3 entries of 2.3.x (without end mark), for 2.4.2"]);
});

Deno.test("a root that --rules drops, of another cluster, does not decide about this one's", async () => {
  const dump = user("root", "null") + user("root", hash).replace("/c/", "/d/");
  const own = await parseRules("- drop: /d/**", "rules.yaml");
  const { out } = await filter(dump, { target: "2.4.2", own });
  assert(out.startsWith("# end entries=0"), out);
});

Deno.test("--prune-users drops members of nothing but what --rules drops", async () => {
  const dump = tenant("a") + '/c/tenants/a/members/3: {"System":"Member"}\n' + user("bob", hash);
  const own = await parseRules("- drop: /c/tenants/a\n- drop: /c/tenants/a/**", "rules.yaml");
  const all = await filter(dump, { target: "2.4.2", pruneUsers: true });
  assert(all.out.includes("/c/users/bob"));
  const { out } = await filter(dump, { target: "2.4.2", pruneUsers: true, own });
  assert(out.startsWith("# end entries=0"), out);
});

Deno.test("many running queries before it do not hide the dump's version", async () => {
  const query = (_: unknown, n: number) => `/c/queries/${n}: {"n":${n}}\n`;
  const dump = Array.from({ length: 300 }, query).join("") + tenant("a");
  const { notes } = await filter(dump, { target: "2.4.2" });
  assertEquals(notes[0], "dump: 301 entries of 2.3.x (without end mark), for 2.4.2");
});

Deno.test("what is refused writes nothing at all", async () => {
  const { out, error } = await filter(await fixture("dumps/2.3.5.4-cluster.dump") + "/x: 1\n", {
    target: "2.4.2",
  });
  assertEquals([out, error?.startsWith("line 56: /x: an unknown kind of key")], ["", true]);
});

Deno.test("a member without its user is named with its tenant", async () => {
  const dump = await fixture("dumps/2.3.5.4-cluster.dump");
  const own = await parseRules("- drop: /*/users/alice", "rules.yaml");
  const { notes } = await filter(dump, { target: "2.4.2", own });
  assert(
    notes.some((note) => /^note: line \d+: user alice is a member of tenant acme, but/.test(note)),
    notes.join("\n"),
  );
});

Deno.test("the printed rules, given as --rules, change nothing", async () => {
  const text = printRules({ ...defaults, selection: select() });
  const dump = await fixture("dumps/2.4.3.4-single.dump");
  const plain = await filter(dump, { target: "2.4.3" });
  const outcomes: Outcome[] = [];
  const ruled = await filter(dump, { target: "2.4.3", own: await parseRules(text, "rules.yaml") }, outcomes);
  assertEquals(ruled.out, plain.out);
  assert(outcomes.some(({ rules }) => rules[0]?.startsWith("rules.yaml line ")));
});

Deno.test("two clusters in one dump cannot get the same keys by --cluster", async () => {
  const dump = tenant("a") + tenant("a").replace("/c/", "/d/");
  assertEquals((await filter(dump, { target: "2.4.2" })).error, undefined);
  const { error } = await filter(dump, { target: "2.4.2", cluster: "e" });
  assertEquals(error, "line 2: /e/tenants/a: is there twice, first in line 1");
});
