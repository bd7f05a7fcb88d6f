import { Failure, messageOf } from "../../../lib/cli/errors.ts";
import { echoed, harmless, keepSecret, keepSecretsOf, presentable } from "../../../lib/cli/presentable.ts";
import { assert, assertEquals } from "../../helpers/deps.ts";

Deno.test("harmless() escapes what would mislead a terminal, a comment of SQL or a reader", () => {
  assertEquals(
    harmless("a\nDROP\x1b[31m\x07\x9b\u202ex\u2028"),
    "a\\u000aDROP\\u001b[31m\\u0007\\u009b\\u202ex\\u2028",
  );
  assertEquals(harmless("温度 '\"c d"), "温度 '\"c d");
  assertEquals(presentable("a\nb\t"), "a\nb\\u0009");
});

Deno.test("harmless() does not change the meaning of JSON", () => {
  const value = { name: "\x9b2J\u202e", text: "a\n\x1b" };
  assertEquals(JSON.parse(harmless(JSON.stringify(value))), value);
});

Deno.test("a known secret appears in no message, in none of its forms", () => {
  keepSecret('p/4ss"wörd');
  for (const form of ['p/4ss"wörd', "p%2F4ss%22w%C3%B6rd", 'p/4ss\\"wörd']) {
    assertEquals(presentable(`at ${form}!`), "at …!");
    assertEquals(new Failure("x", `try ${form}`).hint, "try …");
    assertEquals(messageOf(new Error(form)), "…");
  }
});

Deno.test("a secret that begins with another one is hidden whole", () => {
  keepSecret("summer");
  keepSecret("summer2026");
  assertEquals(presentable("summer2026 or summer"), "… or …");
});

Deno.test("a hash of a password appears in no message, even cut", () => {
  assertEquals(presentable("x $2b$12$abcdefghij/.XYZ y $2a$10$ab"), "x $2… y $2…");
});

Deno.test("a password on the command line is hidden, wherever it is and however malformed", () => {
  const passwords = ["one/x", "two22", "three%", "four#x", "u:five", "seven;", "eight?y"];
  keepSecretsOf([
    `http://root:one/x@old:8902`,
    `root:two22\n@old:8902x`,
    `//root:three%@h`,
    `--from=http://root:four#x@h`,
    `postgres:u:five@h/d`,
    `http://root%3Aseven;@h`,
    `http:/root:eight?y@`,
    "a@b:nine",
    "old:8902",
    "--jobs",
  ]);
  for (const password of passwords) assertEquals(presentable(`no file ${password}`), "no file …");
  assertEquals(presentable("old:8902 --jobs a@b:nine"), "old:8902 --jobs a@b:nine");
});

Deno.test("a very short secret is not replaced in other words", () => {
  keepSecret("ab");
  keepSecret(undefined);
  assertEquals(presentable("a table"), "a table");
});

Deno.test("echoed() shows only the part of an argument that cannot hold a password", () => {
  assertEquals(echoed("old.dump"), '"old.dump"');
  assertEquals(echoed("old:89O2"), '"old:…"');
  assertEquals(echoed("http://old:89O2"), '"http://old:…"');
  for (const text of ["root:pw@old:8902x", "http://root:pw/x@old:8902", "postgres:u:pw@h/d", "pass word"]) {
    assert(!/pw|word"/.test(echoed(text)), echoed(text));
  }
});
