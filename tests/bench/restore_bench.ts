/**
 * Restores 20 000 entries through a stand-in that takes 7 ms a write and lets four go on at once, as three real nodes do, by one
 * post after another and by 16 at once. Measured once and not by `Deno.bench`, which repeats what takes minutes.
 */
import { restore } from "../../lib/restore/restore.ts";
import { defaults } from "../../lib/restore/target.ts";
import { dumpOf, mark, settings } from "../unit/restore/restoring.ts";
import { startStandIn } from "../standin/standin.ts";

const entries = 20_000;
const user = (i: number) =>
  `/cluster_xxx/users/u${i}: {"id":${
    i + 10
  },"name":"u${i}","options":{"hash_password":null},"is_root_admin":false}\n`;
const dump = await dumpOf(mark(Array.from({ length: entries }, (_, i) => user(i)).join("")));

const seconds: number[] = [];
for (const jobs of [1, defaults.jobs]) {
  const target = await startStandIn({ version: "2.4.2", latency: { metaWriteMs: 7, metaParallel: 4 } });
  const startMs = performance.now();
  await restore(dump, settings(target, { ...defaults, jobs }));
  seconds.push((performance.now() - startMs) / 1000);
  await target.close();
  console.log(`restore of ${entries} entries, --jobs ${jobs}: ${seconds.at(-1)!.toFixed(1)} s`);
}
console.log(`--jobs ${defaults.jobs} is ${(seconds[0]! / seconds[1]!).toFixed(2)} times as fast as --jobs 1`);
