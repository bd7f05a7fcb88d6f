import { displayName } from "../../../lib/cnosdb/names.ts";
import { assertEquals } from "../../helpers/deps.ts";

Deno.test("displayName() quotes all but plain words", () => {
  assertEquals(displayName("acme", "Weird DB", 'a"b', "温度"), 'acme."Weird DB"."a""b".温度');
});
