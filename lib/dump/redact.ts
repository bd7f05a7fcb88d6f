/** A dump that may be shown to others: without password hashes, keys and comments, and still convertible. */
import { toBytes, toText } from "./dump.ts";
import { readObject, writeObject } from "./json.ts";
import { candidates } from "./key.ts";

/** bcrypt's form, of no password. */
const dummyHash = JSON.stringify(`$2b$12$${"x".repeat(53)}`);
const secrets: Record<string, string> = {
  password: dummyHash,
  hash_password: dummyHash,
  rsa_public_key: '"redacted"',
  comment: '"redacted"',
};

/**
 * @param key a character a byte, as `value`
 * @returns the value to show, or undefined for an entry that is left out: the text of a running query or a pending DDL, which may
 * hold a password, and keys that no version has
 */
export function redact(key: string, value: string): string | undefined {
  const [read] = candidates(toText(key));
  if (!read || (read.kind === "internal" && /\/(queries|resourceinfos)\//.test(key))) return undefined;
  if (read.kind !== "user" && read.kind !== "tenant") return value;
  try {
    const object = readObject(value);
    const options = readObject(object.get("options") ?? "{}");
    for (const [name, shown] of Object.entries(secrets)) {
      const text = options.get(name);
      // An empty or a missing password decides what becomes of root.
      if (text !== undefined && text !== "null" && text !== '""') options.set(name, toBytes(shown));
    }
    object.set("options", writeObject(options));
    return writeObject(object);
  } catch {
    return undefined;
  }
}
