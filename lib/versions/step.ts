/** A version of CnosDB as a step of the conversion, and helpers that conversions share. */
import { isObject, type Json, type JsonObject } from "../dump/json.ts";
import type { Key } from "../dump/key.ts";
import type { Schema } from "./schema.ts";

/** What a conversion depends on beside the value. */
export interface Context {
  /** what CREATE DATABASE of the target's version writes */
  walMaxFileSizeBytes: number;
  /** bcrypt (cost 12) of a plain-text password, with a salt that follows from the user's id */
  hash: (password: string, userId: string) => string;
}

/** The kinds of values; `table`, `external` and `stream` are what stands inside TsKvTableSchema and so on. */
export type ValueKind = Exclude<Key["kind"], "bucket" | "internal"> | "external" | "stream";

/** A version at which the form of some values changed. */
export interface VersionStep {
  /** the releases with this form, this version first */
  readonly releases: readonly [string, ...string[]];
  /** a value in this version's form; what is in it already comes back equal. Pure but for `context.hash` */
  readonly convert: { readonly [kind in ValueKind]?: (value: JsonObject, context: Context) => JsonObject };
  /** what this version reads; other kinds are read as by the version before */
  readonly reads: { readonly [kind in ValueKind]?: Schema };
  /** whether a value has this form (or a later one), or an earlier one; undefined if it does not show */
  readonly recognizes?: { readonly [kind in ValueKind]?: (value: JsonObject) => boolean | undefined };
  /** what CREATE DATABASE writes, if that changed */
  readonly walMaxFileSizeBytes?: number;
  /** runs only if `--source` names an earlier version: it would change later values, and no dump shows its form */
  readonly onlyBySource?: true;
}

/** A copy of an object with members renamed, each at its place. */
export function renamed(object: JsonObject, rename: (name: string) => string): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [rename(name), value]));
}

/** An object with a member at its end, unless it is there. */
export function withDefault(object: JsonObject, name: string, value: Json): JsonObject {
  return Object.hasOwn(object, name) ? object : { ...object, [name]: value };
}

/**
 * A copy of an object with an object in it changed; the object itself if there is none.
 * @param path the names on the way to it, such as ["options", "limiter_config"]
 */
export function changed(
  object: JsonObject,
  [name, ...deeper]: readonly string[],
  change: (inner: JsonObject) => JsonObject,
): JsonObject {
  if (name === undefined) return change(object);
  const inner = Object.hasOwn(object, name) ? object[name] : undefined;
  return isObject(inner) ? { ...object, [name]: changed(inner, deeper, change) } : object;
}
