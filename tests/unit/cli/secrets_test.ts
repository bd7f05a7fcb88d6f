import { Failure, messageOf, presentable } from "../../../lib/cli/errors.ts";
import { echoed, keepSecret, keepSecretsOf, withoutSecrets } from "../../../lib/cli/secrets.ts";
import { assert, assertEquals } from "../../helpers/deps.ts";

Deno.test("a secret that is known appears in no message, however it is written", () => {
  keepSecret('p/4ss"wörd');
  for (const form of ['p/4ss"wörd', "p%2F4ss%22w%C3%B6rd", 'p/4ss\\"wörd']) {
    assertEquals(withoutSecrets(`at ${form}!`), "at …!");
    assertEquals(new Failure("x", `try ${form}`).hint, "try …");
    assertEquals(messageOf(new Error(form)), "…");
  }
});

Deno.test("a hash of a password appears in no message, even cut", () => {
  assertEquals(presentable("x $2b$12$abcdefghij/.XYZ y $2a$10$ab"), "x $2… y $2…");
});

Deno.test("a password on the command line is known, wherever it stands and however malformed", () => {
  const passwords = ["one/x", "two22", "three%", "four#x", "u:five", "seven;", "eight?y"];
  keepSecretsOf([
    ...[
      `http://root:one/x@old:8902`,
      `root:two22\n@old:8902x`,
      `//root:three%@h`,
      `--from=http://root:four#x@h`,
    ],
    ...[
      `postgres:u:five@h/d`,
      `http://root%3Aseven;@h`,
      `http:/root:eight?y@`,
      "a@b:nine",
      "old:8902",
      "--jobs",
    ],
  ]);
  for (const password of passwords) assertEquals(withoutSecrets(`no file ${password}`), "no file …");
  assertEquals(withoutSecrets("old:8902 --jobs a@b:nine"), "old:8902 --jobs a@b:nine");
});

Deno.test("a secret too short to be blotted disfigures nothing", () => {
  keepSecret("ab");
  keepSecret(undefined);
  assertEquals(withoutSecrets("a table"), "a table");
});

Deno.test("echoed() shows what was given only as far as it can hold no password", () => {
  assertEquals(echoed("old.dump"), '"old.dump"');
  assertEquals(echoed("old:89O2"), '"old:…"');
  assertEquals(echoed("http://old:89O2"), '"http://old:…"');
  for (const text of ["root:pw@old:8902x", "http://root:pw/x@old:8902", "postgres:u:pw@h/d", "pass word"]) {
    assert(!/pw|word"/.test(echoed(text)), echoed(text));
  }
});
