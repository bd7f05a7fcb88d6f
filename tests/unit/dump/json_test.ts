import { digitsOf, formatJson, InvalidValue, isObject, parseJson } from "../../../lib/dump/json.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/deps.ts";

const id = "340282366920938463463374607431768211455";

Deno.test("every value of the real dumps comes back byte for byte", async () => {
  const directory = new URL("../../../fixtures/dumps/", import.meta.url);
  let values = 0;
  for (const { name } of Deno.readDirSync(directory)) {
    for (const line of (await Deno.readTextFile(new URL(name, directory))).split("\n")) {
      const value = /: (\{.*)$/.exec(line)?.[1];
      if (value === undefined) continue;
      assertEquals(formatJson(parseJson(value)), value);
      values++;
    }
  }
  assert(values > 500, `only ${values}`);
});

Deno.test("a number keeps the digits that it came with", () => {
  const text = `{"id":${id},"a":[1.50,-0,1e3,-9007199254740993,9007199254740991],"b":0.1}`;
  assertEquals(formatJson(parseJson(text)), text);
  const value = parseJson(text);
  assert(isObject(value) && !isObject(value.id));
  assertEquals([digitsOf(value.id), digitsOf(7), digitsOf("7"), digitsOf(undefined)], [
    id,
    "7",
    undefined,
    undefined,
  ]);
});

Deno.test("a member that is there twice is refused, as CnosDB refuses it", () => {
  assertThrows(() => parseJson('{"a":1,"b":{"c":2,"\\u0063":3}}'), InvalidValue, 'member "c" is there twice');
  assertThrows(() => parseJson('{"__proto__":1,"__proto__":1}'), InvalidValue, '"__proto__"');
  assertEquals(formatJson(parseJson('[{"a":"\\":{[,"},{"a":{"a":1}}]')), '[{"a":"\\":{[,"},{"a":{"a":1}}]');
});

Deno.test("a value is read as deep as serde_json reads, and not deeper", () => {
  const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  assertEquals(formatJson(parseJson(nested(128))), nested(128));
  parseJson(nested(128).replace("[]", `[${id}]`));
  for (const levels of [129, 5_000, 1_000_000]) {
    for (const text of [nested(levels), `[${nested(levels - 1)},${id}]`]) {
      assertThrows(() => parseJson(text), InvalidValue, "nested more than 128 levels deep");
    }
  }
});

Deno.test("what is no JSON is refused without showing it", () => {
  for (const text of ["", "{", '{"password":"secret"', "[1,]", "01", '"a" "b"', "NaN", '{"a":1}x']) {
    const error = assertThrows(() => parseJson(text), InvalidValue, "no JSON");
    assert(!error.message.includes("secret"));
  }
});
