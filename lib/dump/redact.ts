/** A dump that may be shown to others: without password hashes, keys, comments and places of files, and still convertible. */
import { formatJson, InvalidValue, isObject, type Json, type JsonObject, parseJson } from "./json.ts";
import { candidates } from "./key.ts";

const redacted = "redacted";
/** bcrypt's form, of no password. */
const dummyHash = `$2b$12$${"x".repeat(53)}`;

/**
 * @returns the value to show, or undefined for an entry that is left out: the text of a running query or a pending DDL, which may
 * hold a password, keys that no version has, and values that are no JSON
 */
export function redact(key: string, value: string): string | undefined {
  const [read] = candidates(key);
  if (!read || (read.kind === "internal" && /\/(queries|resourceinfos)\//.test(key))) return undefined;
  try {
    const json = parseJson(value);
    switch (read.kind) {
      case "user":
      case "tenant":
        return formatJson(withMember(json, "options", redactOptions));
      case "table": {
        const hidden = withMember(json, "ExternalTableSchema", (table) => set(table, "location", redacted));
        return formatJson(withMember(hidden, "StreamTableSchema", redactStream));
      }
      default:
        return value;
    }
  } catch (error) {
    if (error instanceof InvalidValue) return undefined;
    throw error;
  }
}

function redactOptions(options: JsonObject): JsonObject {
  const shown = {
    password: dummyHash,
    hash_password: dummyHash,
    rsa_public_key: redacted,
    comment: redacted,
  };
  return Object.entries(shown).reduce((result, [name, text]) => set(result, name, text), options);
}

/** A stream's options may hold the addresses and credentials of where it reads from. */
function redactStream(table: JsonObject): Json {
  return withMember(
    table,
    "extra_options",
    (options) => Object.keys(options).reduce((result, name) => set(result, name, redacted), options),
  );
}

/** Replaces a text; one that is empty or missing stays so, as it decides what becomes of root. */
function set(object: JsonObject, name: string, text: string): JsonObject {
  return object[name] ? { ...object, [name]: text } : object;
}

/** Changes a member that is an object; without one the same object is returned. */
function withMember(value: Json, name: string, change: (inner: JsonObject) => Json): Json {
  if (!isObject(value)) return value;
  const inner = value[name];
  return isObject(inner) ? { ...value, [name]: change(inner) } : value;
}
