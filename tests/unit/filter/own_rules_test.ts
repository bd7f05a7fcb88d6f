import { UsageError } from "../../../lib/cli/errors.ts";
import { parseRules } from "../../../lib/filter/own_rules.ts";
import { assertEquals, assertRejects } from "../../helpers/deps.ts";
import { printRules } from "../../../lib/filter/rules.ts";
import { defaults, filter, select } from "./filtering.ts";

const user = '/c/users/u: {"id":340282366920938463463374607431768211455,"name":"u","options":' +
  '{"password":null,"comment":"x","note":{"a":[1.50]}},"is_admin":false}\n';

async function patched(rules: string): Promise<string> {
  const { out, error } = await filter(user, { target: "2.4.0", own: await parseRules(rules, "r.yaml") });
  return error ?? out.split("\n")[0]!.slice("/c/users/u: ".length);
}

Deno.test("merge changes, adds and removes fields, and keeps every digit of the others", async () => {
  assertEquals(
    await patched(
      "- patch: /*/users/*\n  merge: {options: {comment: null, note: {b: [2]}, granted_admin: true}}",
    ),
    '{"id":340282366920938463463374607431768211455,"name":"u","options":{"hash_password":null,"note":{"a":[1.50],' +
      '"b":[2]},"granted_admin":true},"is_admin":false}',
  );
});

Deno.test("rename keeps a field's place and value", async () => {
  assertEquals(
    await patched("- patch: /*/users/*\n  rename: {options.note.a: options.note.z, options.none: options.x}"),
    '{"id":340282366920938463463374607431768211455,"name":"u","options":{"hash_password":null,"comment":"x",' +
      '"note":{"z":[1.50]}},"is_admin":false}',
  );
});

Deno.test("a patch that would lose a field, or part a value from its key, is refused", async () => {
  assertEquals(
    await patched("- patch: /*/users/*\n  rename: {options.note: options.comment}"),
    "line 1: /c/users/u: rename: options.comment is there already",
  );
  assertEquals(
    await patched("- patch: /*/users/*\n  merge: {name: v}"),
    "line 1: /c/users/u: the names in its value are not those in its key",
  );
});

Deno.test("what JSON does not have is refused with its line", async () => {
  for (
    const [merge, message] of [
      ["{options: {x: 2024-01-01}}", /^r\.yaml: line 2: .*2024.* is nothing that JSON has/],
      ["{options: {x: .nan}}", /^r\.yaml: line 2: NaN is nothing that JSON has/],
      ["{options: {x: .inf}}", /^r\.yaml: line 2: Infinity is nothing that JSON has/],
      ["&a {options: *a}", /^r\.yaml: line 2: an alias that contains itself/],
      ["{options: {x: !!binary aGk=}}", /^r\.yaml: line 2: .*nothing that JSON has/],
      ["{id: 340282366920938463463374607431768211455}", /^r\.yaml: line 2: merge: a number beyond 2\^53/],
    ] as const
  ) {
    const error = await assertRejects(
      () => parseRules(`# first\n- patch: /*/users/*\n  merge: ${merge}\n`, "r.yaml"),
      UsageError,
    );
    assertEquals(message.test(error.message), true, error.message);
  }
});

Deno.test("a rule keeps its line in a file that begins with ---", async () => {
  const [rule] = await parseRules("---\n- drop: /a\n", "r.yaml");
  assertEquals(rule?.name, "r.yaml line 2");
});

Deno.test("a rule that is printed means the same when it is read again", async () => {
  const own = await parseRules('- drop: "/c/users/a #1: x"\n- patch: /b\n  merge: {a: "#"}\n', "r.yaml");
  const printed = printRules({ ...defaults, selection: select(), own });
  const again = await parseRules(printed, "r.yaml");
  assertEquals(again.map(({ pattern }) => pattern).filter((pattern) => !pattern.startsWith("/*")), [
    "/c/users/a #1: x",
    "/data_version",
    "/already_init_key",
    "/test_alive",
    "/b",
  ]);
});

Deno.test("an alias that is used twice is no cycle", async () => {
  await parseRules("- patch: /a\n  merge: {x: &a {b: 1}, y: *a}\n", "r.yaml");
});
