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
  const groups = new Map<string, Map<string, Converted>>();
  let size = 0;
  return (item) => {
    const { entry: { value }, key: { kind }, headLength } = item;
    if (headLength === undefined) return convert(item);
    const rest = value.slice(headLength);
    // of tables by the name of their one member
    const group = kind === "table" ? value.slice(0, value.indexOf("{", 1)) : kind;
    let rests = groups.get(group);
    if (!rests) groups.set(group, rests = new Map());
    const known = rests.get(rest);
    if (known) return known;
    const converted = convert(item);
    const { about } = converted;
    const head = value.slice(0, headLength);
    const text = converted.textFor(value);
    if (about.personal || !text.startsWith(head) || size > most) return converted;
    size += 2 * rest.length;
    // A slice keeps all alive that it was cut from, and what is put together and cut anew does not.
    const [before, after] = [` ${rest}`.slice(1), ` ${text.slice(headLength)}`.slice(1)];
    const textFor = about.rules.length
      ? (other: string) => other.slice(0, other.length - before.length) + after
      : (other: string) => other;
    const shared = { about, textFor };
    rests.set(before, shared);
    return shared;
  };
}
