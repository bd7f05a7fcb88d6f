/** What differs between two dumps. */
import { compareDumps, differingFields, ownOf } from "../../../lib/dump/compare.ts";
import { candidates } from "../../../lib/dump/key.ts";
import { assert, assertEquals } from "../../helpers/deps.ts";

Deno.test("differingFields() knows no order of members, and every digit of an id", () => {
  const key = "/c/users/a";
  assertEquals(differingFields(key, '{"a":1,"b":{"c":[1,2]}}', '{"b": {"c": [1, 2]}, "a": 1}'), []);
  assertEquals(
    differingFields(
      key,
      '{"id":97516372427273501448793474162317844843}',
      '{"id":97516372427273501448793474162317844844}',
    ),
    ["id"],
  );
  assertEquals(differingFields(key, '{"a":[1,2]}', '{"a":[1,3,4]}'), ["a[1]", "a[2]"]);
  assertEquals(differingFields(key, "test_value", "1"), ["value"]);
});

Deno.test("differingFields() passes over a role's id, as each meta node gives it another", () => {
  const key = "/c/tenants/a/roles/r";
  const role = (id: number, inherits: string) => `{"id":${id},"name":"r","system_role":"${inherits}"}`;
  assertEquals(differingFields(key, role(1, "Member"), role(2, "Member")), []);
  assertEquals(differingFields(key, role(1, "Member"), role(2, "Owner")), ["system_role"]);
  assertEquals(differingFields("/c/tenants/a", role(1, "Member"), role(2, "Member")), ["id"]);
});

Deno.test("differingFields() passes over the level of a limiter, and only that", () => {
  const limiter = (max: number, balance: number) =>
    `{"buckets":{"CoordDataIn":{"max":${max},"critical":{"balance":${balance}}}}}`;
  assertEquals(differingFields("/c/tenants/t/limiter", limiter(1, 0), limiter(1, 9)), []);
  assertEquals(differingFields("/c/tenants/t/limiter", limiter(1, 0), limiter(2, 9)), [
    "buckets.CoordDataIn.max",
  ]);
});

const entry = (key: string, value = "{}") => ({ key, value, line: 1 });

Deno.test("compareDumps() names a key of either side once", () => {
  const here = [entry("/c/users/a"), entry("/c/users/b")];
  const there = [entry("/c/users/b"), entry("/c/users/d"), entry("/c/auto_incr_id", "3")];
  assertEquals(compareDumps(here, there), [
    { key: "/c/users/a", side: "here", fields: [] },
    { key: "/c/users/d", side: "there", fields: [] },
  ]);
});

Deno.test("compareDumps() passes over what every cluster has of its own, and over nothing that was changed", () => {
  const own = [
    entry("/c/tenants/cnosdb"),
    entry("/c/tenants/cnosdb/dbs/public"),
    entry("/c/tenants/cnosdb/dbs/usage_schema"),
    entry("/c/tenants/cnosdb/dbs/usage_schema/schemas/http_queries"),
    entry("/c/tenants/cnosdb/members/1", '{"System":"Owner"}'),
    entry("/c/tenants/cnosdb/members/99", '{"System":"Owner"}'),
    entry("/c/users/root", '{"id":1}'),
    entry("/c/data_nodes/1001"),
  ];
  assertEquals(compareDumps(own, []), []);
  assertEquals(compareDumps(own, [entry("/c/users/root", '{"id":2}')]), [
    { key: "/c/users/root", side: "both", fields: ["id"] },
  ]);
  assertEquals(compareDumps([], [entry("/c/tenants/cnosdb/dbs/public")]).length, 1);
  // As after a phased migration, whose last part found the tenant cnosdb there (seen on 2.4.0).
  const [mine, theirs] = ['{"id":1,"options":{}}', '{"id":2,"options":{}}'];
  assertEquals(compareDumps([entry("/c/tenants/cnosdb", mine)], [entry("/c/tenants/cnosdb", theirs)]), []);
  assertEquals(compareDumps([entry("/c/tenants/acme", mine)], [entry("/c/tenants/acme", theirs)]).length, 1);
});

Deno.test("ownOf() is about the server's own keys, not about tenants or databases named like them", () => {
  const isOwn = ownOf([entry("/c/users/root", '{"id":1}'), entry("/c/users/bob", '{"id":2}')]);
  const owns = (key: string) => isOwn([...candidates(key)][0]!);
  for (
    const key of [
      "/c/data_nodes_metrics/1001",
      "/c/1001/queries/5",
      "/c/tenants/a/dbs/b/buckets/3",
      "/c/tenants/a/members/3",
    ]
  ) {
    assert(owns(key), key);
  }
  for (
    const key of [
      "/c/tenants/queries/dbs/a",
      "/c/tenants/a/dbs/usage_schema",
      "/c/tenants/a/members/1",
      "/c/tenants/cnosdb/members/2",
      "/c/tenants/cnosdb/dbs/public/schemas/air",
      "/c/users/bob",
    ]
  ) assert(!owns(key), key);
});
