/** A dump to show to others: without password hashes, keys, comments and places of files, still convertible. */
import { InvalidValue, isObject, type Json, parseJson } from "./json.ts";
import { readKey } from "./key.ts";
import type { Entry } from "./text.ts";

const hidden = "redacted";
/** Has the form of a bcrypt hash, but no password matches it. */
const dummyHash = `$2b$12$${"x".repeat(53)}`;
/** Replaces the text of a member of this name in a user, a tenant or a table. */
const shownInstead: Readonly<Record<string, string>> = {
  password: dummyHash,
  hash_password: dummyHash,
  rsa_public_key: hidden,
  comment: hidden,
  location: hidden,
};

/**
 * The entries that may be shown. Left out are running queries and pending DDL, whose texts may hold a password,
 * keys that no version has, and values that are no JSON.
 */
export function redacted(entries: readonly Entry[]): Entry[] {
  return entries.flatMap((entry) => {
    const kind = readKey(entry.key)?.kind;
    if (!kind || (kind === "internal" && /\/(queries|resourceinfos)\//.test(entry.key))) return [];
    try {
      const value = parseJson(entry.value);
      const mayHoldSecrets = kind === "user" || kind === "tenant" || kind === "table";
      return [mayHoldSecrets ? { ...entry, value: JSON.stringify(value, hide) } : entry];
    } catch (error) {
      if (error instanceof InvalidValue) return [];
      throw error;
    }
  });
}

/** Replaces a text. An empty or missing password stays as it is, since it decides what becomes of root. */
function hide(name: string, value: Json): Json {
  // A stream's options may hold the addresses and credentials of where it reads from.
  if (name === "extra_options" && isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([option, text]) => [option, text && hidden]));
  }
  return typeof value === "string" && value && Object.hasOwn(shownInstead, name)
    ? shownInstead[name]!
    : value;
}
