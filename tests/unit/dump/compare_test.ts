import { compareEntries } from "../../../lib/dump/compare.ts";
import { assertEquals } from "../../helpers/deps.ts";

const entries = (object: Record<string, string>) =>
  Object.entries(object).map(([key, value], i) => ({ key, value, line: i + 1 }));

/** What a cluster of 2.4.2 has before anything is restored. */
const own = {
  "/already_init_key": "true",
  "/c/auto_incr_id": "4",
  "/c/data_nodes/1001": '{"id":1001}',
  "/c/tenants/cnosdb": '{"id":2,"name":"cnosdb"}',
  "/c/tenants/cnosdb/dbs/usage_schema": '{"database":"usage_schema"}',
  "/c/tenants/cnosdb/dbs/usage_schema/schemas/x": '{"TsKvTableSchema":{}}',
  "/c/tenants/cnosdb/members/7": '{"System":"Owner"}',
  "/c/users/root": '{"id":7,"name":"root"}',
};

Deno.test("what every cluster has by itself is no difference unless it is asked for", () => {
  const restored = { "/c/users/u": '{"id":1,"name":"u"}' };
  const bucket = { "/c/tenants/t/dbs/d/buckets/5": "{}" };
  assertEquals([...compareEntries(entries({ ...own, ...restored, ...bucket }), entries(restored))], []);
  assertEquals([...compareEntries(entries({ ...own, ...restored }), entries(restored), true)].length, 8);
});

Deno.test("what is in the dump is compared whatever it is", () => {
  const dump = { "/c/users/root": '{"id":8,"name":"root"}', "/c/tenants/t": "{}" };
  assertEquals([...compareEntries(entries(own), entries(dump))], [
    { key: "/c/users/root", side: "both", fields: ["id"] },
    { key: "/c/tenants/t", side: "there", fields: [] },
  ]);
});

Deno.test("a member that is nobody's, or of somebody else, is a difference", () => {
  const here = { ...own, "/c/tenants/cnosdb/members/9": "{}", "/c/tenants/t/members/7": "{}" };
  assertEquals([...compareEntries(entries(here), [])].map(({ key }) => key), [
    "/c/tenants/cnosdb/members/9",
    "/c/tenants/t/members/7",
  ]);
});
