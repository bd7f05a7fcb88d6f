import { atOnce } from "../../../lib/cli/deps.ts";
import { assertEquals, assertRejects } from "../../helpers/deps.ts";

Deno.test("atOnce() starts nothing after a failure, waits for what runs, and throws the failure", async () => {
  const ended: number[] = [];
  const failing = atOnce(2, [1, 2, 3, 4, 5], async (n) => {
    await Promise.resolve();
    if (n === 2) throw new RangeError("two");
    await new Promise((resolve) => setTimeout(resolve, 5));
    ended.push(n);
  });
  await assertRejects(() => failing, RangeError, "two");
  assertEquals(ended, [1]);
});
