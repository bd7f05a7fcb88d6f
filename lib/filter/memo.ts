/**
 * Values of one kind that differ in their id and names alone convert alike: so the conversion of what follows them is done once. A
 * large dump has a million entries and some hundred different rests.
 */
import type { Converted } from "./convert.ts";
import type { Item } from "./item.ts";

/** No more than this is remembered, in characters of JSON text. */
const most = 64 << 20;

/**
 * @param convert what is to be remembered
 * @param variant what the conversion depends on beside the kind and the value, as text
 */
export function remember(
  convert: (item: Item) => Converted,
  variant: (item: Item) => string,
): (item: Item) => Converted {
  const known = new Map<string, Map<string, Converted>>();
  let size = 0;
  return (item) => {
    const { entry: { value }, key, headLength } = item;
    if (headLength === undefined) return convert(item);
    const rest = value.slice(headLength);
    const group = `${key.kind} ${variant(item)}`;
    let rests = known.get(group);
    if (!rests) known.set(group, rests = new Map());
    const found = rests.get(rest);
    if (found) {
      return found.value === rest
        ? { ...found, value }
        : { ...found, value: value.slice(0, headLength) + found.value };
    }
    const converted = convert(item);
    const keepsHead = converted.value.startsWith(value.slice(0, headLength));
    if (keepsHead && !converted.personal && size < most) {
      size += 2 * rest.length;
      // A slice keeps alive the whole block that it was cut from: what is put together and cut anew does not.
      rests.set(` ${rest}`.slice(1), {
        ...converted,
        value: ` ${converted.value.slice(headLength)}`.slice(1),
      });
    }
    return converted;
  };
}
