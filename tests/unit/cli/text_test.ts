import { describeBytes, describeSeconds, fit, widthOf, wrap } from "../../../lib/cli/text.ts";
import { assertEquals } from "../../helpers/deps.ts";

Deno.test("wrap() cuts between words, and Chinese between characters but not before punctuation", () => {
  assertEquals(wrap("copy every row from one CnosDB cluster", 20), [
    "copy every row from",
    "one CnosDB cluster",
  ]);
  assertEquals(wrap("复制一个集群的所有行，并证明它们都到了。copy every row", 20), [
    "复制一个集群的所有",
    "行，并证明它们都到",
    "了。copy every row",
  ]);
});

Deno.test("widthOf() counts two columns for Chinese and emoji", () => {
  assertEquals(["ab", "中文", "🙂a"].map(widthOf), [2, 4, 3]);
});

Deno.test("fit() cuts a text to a terminal's columns, and never a character in two", () => {
  assertEquals(fit("abcdef", 6), "abcdef");
  assertEquals(fit("abcdef", 5), "abcd…");
  assertEquals(fit("温度计", 6), "温度计");
  assertEquals(fit("温度计", 5), "温度…");
  assertEquals(fit("🙂🙂🙂", 5), "🙂🙂…");
  assertEquals(fit("𠀀𠀀", 3), "𠀀…");
});

Deno.test("times and sizes are short and readable", () => {
  assertEquals([0.2, 8, 185, 4805, 90_000].map(describeSeconds), ["0s", "8s", "3m 5s", "1h 20m", "1d 1h"]);
  assertEquals([0, 999, 1500, 337_000, 2_100_000_000].map(describeBytes), [
    "0 B",
    "999 B",
    "1.5 kB",
    "337 kB",
    "2.1 GB",
  ]);
});
