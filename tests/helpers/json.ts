import { formatJson, isObject, type Json, parseJson } from "../../lib/dump/json.ts";

/** A text that is the same for two JSON values exactly when they are equal, numbers digit for digit. */
export function canonical(text: string): string {
  return formatJson(sorted(parseJson(text)));
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name]!)]));
}
