import { type Item, type Outcome, readItem, remember, valueOf } from "../../../lib/filter/convert.ts";
import { assertEquals } from "../../helpers/deps.ts";

const user = (name: string, id: number, rest: string) =>
  readItem({ key: `/c/users/${name}`, value: `{"id":${id},"name":"${name}",${rest}`, line: 1 });

/** A conversion that marks what it converts, and counts how often it was asked. */
function marking(hashed = false): { asked: number; convert: (item: Item) => Outcome } {
  const state = {
    asked: 0,
    convert: ({ entry: { value }, key: { kind } }: Item): Outcome => {
      state.asked++;
      const text = value.replace('"x":1}', '"x":2}');
      const end = text === value ? {} : { end: { length: value.length, text } };
      return { kind, action: "converted", rules: [], changes: [], hashed, ...end };
    },
  };
  return state;
}

Deno.test("values that differ in id and name alone are converted once, each with its own id and name", () => {
  const state = marking();
  const convert = remember(state.convert);
  const texts = [user("a", 1, '"x":1}'), user("bb", 22, '"x":1}')].map((item) =>
    valueOf(item.entry, convert(item, []))
  );
  assertEquals(texts, ['{"id":1,"name":"a","x":2}', '{"id":22,"name":"bb","x":2}']);
  assertEquals(state.asked, 1);
});

Deno.test("what nothing changes comes out as the very text that came in", () => {
  const convert = remember(marking().convert);
  for (const item of [user("a", 1, '"y":1}'), user("b", 2, '"y":1}')]) {
    assertEquals(valueOf(item.entry, convert(item, [])), item.entry.value);
  }
});

Deno.test("what depends on the entry, or does not begin as CnosDB writes it, is converted each time", () => {
  const personal = marking(true);
  const convert = remember(personal.convert);
  for (const item of [user("a", 1, '"x":1}'), user("b", 2, '"x":1}')]) convert(item, []);
  assertEquals(personal.asked, 2);
  const spaced = marking();
  const again = remember(spaced.convert);
  for (const id of [1, 2]) {
    again(readItem({ key: "/c/users/a", value: `{ "id":${id},"name":"a","x":1}`, line: 1 }), []);
  }
  assertEquals(spaced.asked, 2);
});

Deno.test("values of other kinds do not share what is remembered", () => {
  const state = marking();
  const convert = remember(state.convert);
  const table = (kind: string) =>
    readItem({
      key: "/c/tenants/t/dbs/d/schemas/x",
      value: `{"${kind}":{"tenant":"t","db":"d","name":"x","x":1}}`,
      line: 1,
    });
  for (const kind of ["TsKvTableSchema", "StreamTableSchema", "TsKvTableSchema"]) convert(table(kind), []);
  assertEquals(state.asked, 2);
});

Deno.test("values that other patches apply to do not share what is remembered", () => {
  const state = marking();
  const convert = remember(state.convert);
  const patch = { name: "rules.yaml line 1", text: "", pattern: "/**", applies: () => true };
  for (const patches of [[], [patch], [], [patch]]) convert(user("a", 1, '"x":1}'), patches);
  assertEquals(state.asked, 2);
});
