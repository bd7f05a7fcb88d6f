/** Conversions against what real 2.4 servers took, served from and survived a restart with (fixtures/accepted). */
import { canonical } from "../../helpers/json.ts";
import type { Format } from "../../../lib/versions/versions.ts";
import { assert, assertEquals } from "../../helpers/deps.ts";
import { filter } from "../filter/filtering.ts";
import { entries } from "../../live/pipe.ts";

const fixture = (path: string) => Deno.readTextFile(new URL(`../../../fixtures/${path}`, import.meta.url));

/** A dump through the filter, as text. */
async function filtered(dump: string, target: Format): Promise<string> {
  const { out, error } = await filter(dump, { target });
  assertEquals(error, undefined);
  return out;
}

/** memcache_partitions is the number of the node's cores, so it is left out of the comparison. */
function withoutPartitions(value: string): string {
  return canonical(value.replace(/"memcache_partitions":\d+/, '"memcache_partitions":0'));
}

for (const target of ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const) {
  Deno.test(`the real 2.3.5.4 dump for ${target} is what a real ${target} accepted`, async () => {
    const ours = entries(await filtered(await fixture("dumps/2.3.5.4-cluster.dump"), target));
    const accepted = entries(await fixture(`accepted/${target}.dump`));
    assertEquals([...ours.keys()], [...accepted.keys()]);
    for (const [key, value] of accepted) {
      assertEquals(withoutPartitions(ours.get(key) ?? ""), withoutPartitions(value), key);
    }
  });

  Deno.test(`the framed dump of a single 2.3.5.4 converts for ${target} to the same kinds of entries`, async () => {
    const ours = entries(await filtered(await fixture("dumps/2.3.5.4-single.debug"), target));
    const accepted = entries(await fixture(`accepted/${target}.dump`));
    const anonymous = (keys: Iterable<string>) => [...keys].map((key) => key.replace(/\d{30,}/, "ID")).sort();
    assertEquals(anonymous(ours.keys()), anonymous(accepted.keys()));
  });
}

Deno.test("the real 2.3.3 dump converts: plain passwords are hashed, limits renamed", async () => {
  const ours = entries(await filtered(await fixture("dumps/2.3.3-cluster.dump"), "2.4.0"));
  const alice = ours.get("/cluster_xxx/users/alice") ?? "";
  assert(alice.includes('"hash_password":"$2b$12$72539515933318263490498342851267457700.5"'), alice);
  const limited = ours.get("/cluster_xxx/tenants/limited") ?? "";
  assert(limited.includes('"coord_data_in":null') && !limited.includes('"data_in"'), limited);
});
