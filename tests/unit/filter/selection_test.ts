import { UsageError } from "../../../lib/cli/errors.ts";
import { Selection } from "../../../lib/filter/selection.ts";
import { assertEquals, assertThrows } from "../../helpers/deps.ts";

const names = [["a"], ["a", "d"], ["a", "d", "t"], ["a", "e"], ["b"], ["b", "d"], []];

function kept(tenants: string[], databases: string[], tables: string[], excluded: string[]): string[] {
  const selection = new Selection(tenants, databases, tables, excluded);
  for (const path of names) selection.survey(path);
  return names.filter((path) => !selection.drops(path)).map((path) => path.join("."));
}

Deno.test("selecting includes parents, and what belongs to no tenant", () => {
  assertEquals(kept([], [], ["a.d.t"], []), ["a", "a.d", "a.d.t", ""]);
  assertEquals(kept([], ["*.d"], [], []), ["a", "a.d", "a.d.t", "b", "b.d", ""]);
  assertEquals(kept(["b"], [], [], []), ["b", "b.d", ""]);
});

Deno.test("excluding excludes everything inside, also of what was selected", () => {
  assertEquals(kept([], [], [], ["a.d"]), ["a", "a.e", "b", "b.d", ""]);
  assertEquals(kept(["a"], [], [], ["a.d.t"]), ["a", "a.d", "a.e", ""]);
});

Deno.test("a flag that matched nothing is known, and one with too few or too many names refused", () => {
  const selection = new Selection(["x"], [], [], ["a.d", "nobody"]);
  for (const path of names) selection.survey(path);
  assertEquals(selection.unmatched(), ["--tenant x", "--exclude nobody"]);
  assertThrows(() => new Selection(["a.b"], [], [], []), UsageError, "expected TENANT");
  assertThrows(() => new Selection([], ["a"], [], []), UsageError, "expected TENANT.DATABASE");
  assertThrows(() => new Selection([], [], [], ["a.b.c.d"]), UsageError);
});
