import {
  canonical,
  readArray,
  readObject,
  renamed,
  withChanged,
  withMember,
  writeObject,
} from "../../../lib/dump/old_json.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/deps.ts";

const id = "340282366920938463463374607431768211455";

Deno.test("an object that is read and written keeps every digit and every byte of its values", () => {
  const text = `{"id":${id},"a":"\\u00e9\\/ \\"{[","b":[1.50,{"c":-0.0e1}],"中":null}`;
  assertEquals(writeObject(readObject(text)), text);
  assertEquals(readObject(text).get("id"), id);
});

Deno.test("white space between members is no part of their values", () => {
  assertEquals([...readObject(' { "a" : [ 1 ] ,\n"b":\t"x" } ')], [["a", "[ 1 ]"], ["b", '"x"']]);
  assertEquals(readArray(' [ 1 , "]," , {} ] '), ["1", '"],"', "{}"]);
});

Deno.test("a member that is there twice is refused, as CnosDB refuses it", () => {
  assertThrows(() => readObject('{"a":1,"b":2,"\\u0061":3}'), TypeError, "twice");
});

Deno.test("something else than an object or an array is refused", () => {
  assertThrows(() => readObject("[1]"), TypeError, "expected an object");
  assertThrows(() => readArray('{"a":1}'), TypeError, "expected an array");
});

Deno.test("a member is renamed and replaced at its place, a new one comes last", () => {
  const object = readObject('{"a":1,"b":2,"c":3}');
  assertEquals(writeObject(renamed(object, "b", "x")), '{"a":1,"x":2,"c":3}');
  assertEquals(writeObject(withMember(withMember(object, "b", "5"), "d", "4")), '{"a":1,"b":5,"c":3,"d":4}');
  assertEquals(withChanged(readObject('{"o":{"a":1}}'), "o", (o) => o).get("o"), '{"a":1}');
});

Deno.test("canonical() is the same for equal values only, digit for digit", () => {
  assertEquals(canonical(` { "b" : [1, 2] , "a":"\\u00e9" } `), canonical('{"a":"é","b":[1,2]}'));
  assert(canonical(`{"id":${id}}`) !== canonical(`{"id":${id.slice(0, -1)}4}`));
  assert(canonical("[1,2]") !== canonical("[2,1]"));
  assertThrows(() => canonical('{"a":1'), SyntaxError);
});
