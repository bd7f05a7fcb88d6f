import { UsageError } from "../../../lib/cli/errors.ts";
import { glob, splitName } from "../../../lib/filter/selection.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/deps.ts";
import { select } from "./filtering.ts";

const names = [["a"], ["a", "d"], ["a", "d", "t"], ["a", "e"], ["b"], ["b", "d"], []];

function kept(flags: Record<string, string[]>): string[] {
  const selection = select(flags);
  for (const path of names) selection.survey(path);
  return names.filter((path) => !selection.drops(path)).map((path) => path.join("."));
}

Deno.test("selecting includes parents, and what belongs to no tenant", () => {
  assertEquals(kept({ table: ["a.d.t"] }), ["a", "a.d", "a.d.t", ""]);
  assertEquals(kept({ database: ["*.d"] }), ["a", "a.d", "a.d.t", "b", "b.d", ""]);
  assertEquals(kept({ tenant: ["b"] }), ["b", "b.d", ""]);
});

Deno.test("excluding excludes everything inside, also of what was selected", () => {
  assertEquals(kept({ exclude: ["a.d"] }), ["a", "a.e", "b", "b.d", ""]);
  assertEquals(kept({ tenant: ["a"], exclude: ["a.d.t"] }), ["a", "a.d", "a.e", ""]);
});

Deno.test("a flag that matched nothing is known, and one with too few or too many names refused", () => {
  const selection = select({ tenant: ["x"], exclude: ["a.d", "nobody"] });
  for (const path of names) selection.survey(path);
  assertEquals(selection.unmatched(), ["--tenant x", "--exclude nobody"]);
  assertThrows(() => select({ tenant: ["a.b"] }), UsageError, "expected TENANT");
  assertThrows(() => select({ database: ["a"] }), UsageError, "expected TENANT.DATABASE");
  assertThrows(() => select({ exclude: ["a.b.c.d"] }), UsageError);
});

Deno.test("glob() matches whole names, * any run and ? one character", () => {
  const cases: [pattern: string, text: string, matches: boolean][] = [
    ["", "", true],
    ["", "a", false],
    ["*", "", true],
    ["a*c", "abbc", true],
    ["a*c", "abbcd", false],
    ["?", "🎉", true],
    ["??", "🎉", false],
    ["温*", "温度", true],
    ["a.b", "axb", false],
    ["*a*b", "xaxxbab", true],
    ["[ab]", "a", false],
    ["**", "a/b", true],
  ];
  for (const [pattern, text, matches] of cases) {
    assertEquals(glob(pattern)(text), matches, `${pattern} ${text}`);
  }
});

Deno.test("with a separator * and ? stop at it, and ** does not", () => {
  const cases: [pattern: string, text: string, matches: boolean][] = [
    ["/*/users/*", "/c/users/a", true],
    ["/*/users/*", "/c/users/a/b", false],
    ["/*/users/**", "/c/users/a/b", true],
    ["/?", "//", false],
    ["/**/buckets/*", "/c/tenants/t/dbs/d/buckets/5", true],
    ["/**/x*y/**", "/a/xb/xcy/d", true],
    ["/**/x*y/**", "/a/xb/xc/y/d", false],
    ["**", "", true],
    ["/a/**", "/a/", true],
    ["/a/**", "/a", false],
  ];
  for (const [pattern, text, matches] of cases) {
    assertEquals(glob(pattern, "/")(text), matches, `${pattern} ${text}`);
  }
});

Deno.test("glob() says what a regular expression says, of all short patterns and texts", () => {
  const words = (letters: string[], length: number): string[] =>
    length === 0
      ? [""]
      : words(letters, length - 1).flatMap((word) => [word, ...letters.map((l) => word + l)]);
  const texts = [...new Set(words(["a", "b", "/"], 4))];
  for (const pattern of new Set(words(["a", "/", "*", "**", "?"], 4))) {
    const source = pattern.replaceAll(
      /\*\*|\*|\?/g,
      (w) => ({ "**": "[^]*", "*": "[^/]*", "?": "[^/]" })[w]!,
    );
    const [expression, matches] = [new RegExp(`^${source}$`), glob(pattern, "/")];
    for (const text of texts) assertEquals(matches(text), expression.test(text), `${pattern} ${text}`);
  }
});

Deno.test("no pattern takes long", () => {
  const start = performance.now();
  const name = "a".repeat(2_000);
  for (const pattern of ["*a*a*a*a*a*a*ab", "**a**a**a**a**ab", "*a?*a?*a?*ab", "/**/*a/**/*a/**/b"]) {
    glob(pattern)(name);
    glob(pattern, "/")(`/${name}`.repeat(3));
  }
  assert(performance.now() - start < 2_000);
});

Deno.test("splitName() cuts at dots outside of quotes", () => {
  assertEquals(splitName('acme."a.b""c".t'), ["acme", 'a.b"c', "t"]);
  for (const text of ["", "a..b", '"a', ".a"]) assertEquals(splitName(text), undefined);
});
