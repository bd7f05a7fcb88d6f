import { candidates, type Key, readKey } from "../../../lib/dump/key.ts";
import { parseJson } from "../../../lib/dump/json.ts";
import { identify as identifyParsed } from "../../../lib/versions/entry.ts";
import { assertEquals, assertThrows } from "../../helpers/deps.ts";

/** What an entry is about; a value that is no JSON, as the probe writes it, says nothing. */
const identify = (key: string, value: string) =>
  identifyParsed(key, value[0] === "{" ? parseJson(value) : null);
const first = (key: string) => [...candidates(key)][0];

/** The key of an object, the inverse of `candidates`. Not for internal ones, which are never written. */
function formatKey(key: Exclude<Key, { kind: "internal" }>): string {
  if (key.kind === "user") return `/${key.cluster}/users/${key.user}`;
  const tenant = `/${key.cluster}/tenants/${key.tenant}`;
  switch (key.kind) {
    case "tenant":
      return tenant;
    case "role":
      return `${tenant}/roles/${key.role}`;
    case "member":
      return `${tenant}/members/${key.userId}`;
    case "limiter":
      return `${tenant}/limiter`;
    case "database":
      return `${tenant}/dbs/${key.database}`;
    case "table":
      return `${tenant}/dbs/${key.database}/schemas/${key.table}`;
    case "bucket":
      return `${tenant}/dbs/${key.database}/buckets/${key.id}`;
  }
}

Deno.test("every key of the real dumps is read, and written back as it was", async () => {
  for (const { name } of Deno.readDirSync(new URL("../../../fixtures/dumps/", import.meta.url))) {
    const dump = await Deno.readTextFile(new URL(`../../../fixtures/dumps/${name}`, import.meta.url));
    for (const line of dump.split("\n").map((l) => l.replace(/^\* /, "")).filter((l) => l.startsWith("/"))) {
      const at = line.indexOf(": ");
      const read = identify(line.slice(0, at), line.slice(at + 2));
      if (read.kind !== "internal") assertEquals(formatKey(read), line.slice(0, at));
    }
  }
});

Deno.test("names hold spaces, dots, slashes, quotes and Chinese", () => {
  const key: Key = { kind: "table", cluster: "c", tenant: "a b", database: "d.e", table: '温度"x' };
  assertEquals(first(formatKey(key)), key);
  assertEquals(
    [...candidates("/c/tenants/a/dbs/b/schemas/x/schemas/y")].map((k) => "table" in k ? k.table : k.kind),
    [
      "x/schemas/y",
      "y",
      "database",
      "tenant",
    ],
  );
});

Deno.test("where slashes leave a key ambiguous, the names in the value decide", () => {
  const tenant = '{"id":1,"name":"a/dbs/b","options":{"comment":null,"limiter_config":null}}';
  assertEquals(identify("/c/tenants/a/dbs/b", tenant), { kind: "tenant", cluster: "c", tenant: "a/dbs/b" });
  const database = '{"tenant":"a","database":"b/buckets/5","config":{}}';
  assertEquals(identify("/c/tenants/a/dbs/b/buckets/5", database).kind, "database");
  assertEquals(identify("/c/tenants/a/dbs/b/buckets/5", '{"id":5,"shard_group":[]}').kind, "bucket");
  assertEquals(identify("/c/tenants/a/limiter", '{"buckets":{}}').kind, "limiter");
  assertThrows(
    () => identify("/c/tenants/a/dbs/b", '{"tenant":"a","database":"c"}'),
    Error,
    "not those in its key",
  );
});

Deno.test("what is no key of CnosDB has no reading", () => {
  for (const key of ["", "/", "c/users/x", "/c", "/c/users/", "/c/rec_test", "/other_key", "/c/tenants/"]) {
    assertEquals(first(key), undefined, key);
  }
  for (
    const key of [
      "/data_version",
      "/test_alive",
      "/c/auto_incr_id",
      "/c/data_nodes/1",
      "/c/queries/7",
      "/c/1001/queries/7",
    ]
  ) {
    assertEquals(first(key)?.kind, "internal", key);
  }
});

Deno.test("readKey() is the first of candidates(), of keys of every kind and odd ones", () => {
  const odd = ["", "/", "//tenants/a/dbs/b", "/c/tenants//dbs/b", "/c/tenants/a/dbs/", "/c/tenants/a/dbs/b/"];
  const made = [
    "/dbs/b",
    "/dbs/b/schemas/t",
    "/dbs/b/buckets/5",
    "/dbs/b/buckets/x",
    "/members/5",
    "/roles/r",
    "/limiter",
  ];
  const tails = [
    ...made,
    ...made.flatMap((one) => made.map((other) => one + other)),
    "/schemas/t",
    "/dbs/dbs/schemas",
  ];
  const keys = [
    ...odd,
    ...tails.map((tail) => `/c/tenants/a${tail}`),
    ...tails.map((tail) => `/c/users/a${tail}`),
  ];
  for (const key of keys) assertEquals(readKey(key), first(key), key);
});
