/**
 * Values of one kind that differ in their id and names alone convert alike: so what follows them is converted once. A large dump
 * has a million entries and some hundred different rests.
 */
import type { Converted } from "./convert.ts";
import type { Item } from "./item.ts";

/** No more than this is remembered, in characters of JSON text. */
const most = 64 << 20;

/** @param convert what is to be remembered */
export function remember(convert: (item: Item) => Converted): (item: Item) => Converted {
  const known = new Map<string, Map<string, Converted>>();
  let size = 0;
  return (item) => {
    const { entry: { value }, key: { kind }, headLength } = item;
    if (headLength === undefined) return convert(item);
    const rest = value.slice(headLength);
    // of tables by the name of their one member
    const group = kind === "table" ? value.slice(0, value.indexOf("{", 1)) : kind;
    let rests = known.get(group);
    if (!rests) known.set(group, rests = new Map());
    const found = rests.get(rest);
    if (found) {
      const { about } = found;
      return { value: about.rules.length ? value.slice(0, headLength) + found.value : value, about };
    }
    const converted = convert(item);
    const keepsHead = converted.value.startsWith(value.slice(0, headLength));
    if (keepsHead && !converted.about.personal && size < most) {
      size += 2 * rest.length;
      rests.set(own(rest), { ...converted, value: own(converted.value.slice(headLength)) });
    }
    return converted;
  };
}

/** The same text by itself: a slice keeps all alive that it was cut from, and what is put together and cut anew does not. */
function own(text: string): string {
  return ` ${text}`.slice(1);
}
