/** An entry on its way through the filter. */
import { digitsOf, isObject, parseJson } from "../dump/json.ts";
import { type Key, readKey } from "../dump/key.ts";
import type { Entry } from "../dump/text.ts";
import { identifyEntry } from "../versions/entry.ts";

/** An entry and what it is about, which is found out when a rule asks for it. */
export class Item {
  #key: Key | undefined;
  #headLength: number | undefined;

  constructor(readonly entry: Entry) {}

  /** @throws {InvalidValue} if the key is none of CnosDB's, or does not fit the value */
  get key(): Key {
    return this.#key ??= this.#identify();
  }

  /**
   * How much of the value is its id and names, as CnosDB writes them: values of one kind with the same rest convert alike. Undefined
   * if the value begins otherwise.
   */
  get headLength(): number | undefined {
    this.#key ??= this.#identify();
    return this.#headLength;
  }

  #identify(): Key {
    const { key, value } = this.entry;
    const read = readKey(key);
    this.#headLength = read && !mustBeEscaped.test(key) ? lengthOfHead(read, value) : undefined;
    return read && this.#headLength !== undefined ? read : identifyEntry(this.entry);
  }
}

const largestId = String((1n << 128n) - 1n);
/** Names with one of these stand otherwise in JSON than in a key. */
// deno-lint-ignore no-control-regex
const mustBeEscaped = /["\\\x00-\x1f]/;

/** The length of the value's beginning that holds the key's names; undefined if it does not begin like that. */
function lengthOfHead(key: Key, value: string): number | undefined {
  switch (key.kind) {
    case "user":
      return headWithId(value, key.user);
    case "tenant":
      return headWithId(value, key.tenant);
    case "role":
      return headWithId(value, key.role);
    case "database":
      return begins(value, 0, '{"tenant":"', key.tenant, '","database":"', key.database, '",');
    case "table": {
      // behind the name of its one member, such as TsKvTableSchema
      const schema = value.indexOf("{", 1);
      return begins(
        value,
        schema,
        '{"tenant":"',
        key.tenant,
        '","db":"',
        key.database,
        '","name":"',
        key.table,
        '",',
      );
    }
    case "bucket":
      return begins(value, 0, '{"id":');
    case "internal":
      return undefined;
    default:
      return 0;
  }
}

function headWithId(value: string, name: string): number | undefined {
  const id = idOf(value);
  if (id === undefined || id.length > largestId.length) return undefined;
  if (id.length === largestId.length && id > largestId) return undefined;
  return begins(value, 6 + id.length, ',"name":"', name, '",');
}

/** Where in `value` all of `parts` end that stand there one after another; undefined if they do not. */
function begins(value: string, at: number, ...parts: string[]): number | undefined {
  for (const part of parts) {
    if (!value.startsWith(part, at)) return undefined;
    at += part.length;
  }
  return at;
}

/** The digits of the id that a value begins with, as CnosDB writes a user's, a tenant's and a role's. */
function idOf(value: string): string | undefined {
  return /^\{"id":(0|[1-9]\d*),/.exec(value)?.[1];
}

/** The digits of a user's id. @throws {InvalidValue} if the value is no JSON */
export function userIdOf(value: string): string {
  const id = idOf(value);
  if (id !== undefined) return id;
  const user = parseJson(value);
  return (isObject(user) && digitsOf(user.id)) || "";
}
