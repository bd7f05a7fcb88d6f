import { harmless, harmlessLines } from "../../../lib/cli/harmless.ts";
import { assertEquals } from "../../helpers/deps.ts";

Deno.test("harmless() escapes what a terminal, a comment of SQL or a reader would be misled by", () => {
  assertEquals(
    harmless("a\nDROP\x1b[31m\x07\x9b\u202ex\u2028"),
    "a\\u000aDROP\\u001b[31m\\u0007\\u009b\\u202ex\\u2028",
  );
  assertEquals(harmless("温度 '\"c d"), "温度 '\"c d");
  assertEquals(harmlessLines("a\nb\t"), "a\nb\\u0009");
});

Deno.test("harmless() leaves the meaning of JSON as it is", () => {
  const value = { name: "\x9b2J\u202e", text: "a\n\x1b" };
  assertEquals(JSON.parse(harmless(JSON.stringify(value))), value);
});
