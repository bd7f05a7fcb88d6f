/** What a version of CnosDB is to a conversion, and the parts of values that several versions share. */
import { changes } from "../dump/compare.ts";
import { digitsOf, InvalidValue, isObject, type Json, type JsonObject } from "../dump/json.ts";
import type { Key } from "../dump/key.ts";
import * as s from "./schema.ts";

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
  /** what this version reads; a kind that is not named is read as by the version before */
  readonly reads: { readonly [kind in ValueKind]?: s.Schema };
  /** whether a value has this form (or a later one), or an earlier one; undefined if it does not show */
  readonly recognizes?: { readonly [kind in ValueKind]?: (value: JsonObject) => boolean | undefined };
  /** what CREATE DATABASE writes, if that changed */
  readonly walMaxFileSizeBytes?: number;
  /** `convert` would change values of later versions, and no dump shows which it has: only `--source` asks for it */
  readonly onlyIfSaid?: true;
}

/** A copy of an object with members renamed, each at its place. */
export function renamed(object: JsonObject, rename: (name: string) => string): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [rename(name), value]));
}

/** An object with a member at its end, unless it is there. */
export function withDefault(object: JsonObject, name: string, value: Json): JsonObject {
  return Object.hasOwn(object, name) ? object : { ...object, [name]: value };
}

/** A copy of an object with an object in it changed, such as "options.limiter_config"; the object itself if none is there. */
export function changed(
  object: JsonObject,
  path: string,
  change: (inner: JsonObject) => JsonObject,
): JsonObject {
  const [name = "", ...deeper] = path.split(".");
  const inner = object[name];
  if (!isObject(inner)) return object;
  return { ...object, [name]: deeper.length ? changed(inner, deeper.join("."), change) : change(inner) };
}

/** A duration of 2.3 to 2.4.1: `{"time_num":30,"unit":"Day"}`. */
export const timeNumDuration = s.struct({
  time_num: s.u64,
  unit: s.variant(["Minutes", "Hour", "Day", "Inf"]),
});
/** 2.3's effective year; 2.4.2's own default is 31557600 s. */
export const year = { time_num: 365, unit: "Day" };

/** The limits of requests before 2.3.4. */
export const formerLimits = ["data_in", "data_out", "queries", "writes"];
/** The request limits since 2.3.4. */
export const limits = ["coord", "http"].flatMap((side) => formerLimits.map((kind) => `${side}_${kind}`));

/** `coord_data_in` → `CoordDataIn`, as a tenant's `/limiter` names it. */
export function camelCase(name: string): string {
  return name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The fields of a user but for whether it is an administrator. @param options those of its options */
export function userFields(options: Record<string, s.Schema>): Record<string, s.Schema> {
  return { id: s.u128, name: s.string, options: s.struct(options) };
}

/** A struct whose fields may all be missing or null. */
function optional(names: readonly string[], schema: s.Schema): s.Schema {
  return s.struct(Object.fromEntries(names.map((name) => [`${name}?`, schema])));
}

/** A tenant. @param requests the request limits that a version knows @param options its further options */
export function tenant(requests: readonly string[], options: Record<string, s.Schema> = {}): s.Schema {
  const objects = ["max_users_number", "max_databases", "max_shard_number", "max_replicate_number"];
  const bucket = s.struct({
    remote_bucket: s.struct({ initial: s.u64, refill: s.u64, interval: s.i64, "max?": s.u64 }),
    local_bucket: s.struct({ initial: s.i64, "max?": s.i64 }),
  });
  const limiterConfig = s.struct({
    "object_config?": optional([...objects, "max_retention_time"], s.u64),
    "request_config?": optional(requests, bucket),
  });
  return s.struct({
    ...{ id: s.u128, name: s.string },
    options: s.struct({ ...options, "comment?": s.string, "limiter_config?": limiterConfig }),
  });
}

/** A tenant's `/limiter`, with the request limits that a version knows. */
export function limiter(requests: readonly string[]): s.Schema {
  const critical = s.struct({ balance: s.u64, deadline: s.string });
  const level = s.struct({ refill: s.u64, interval: s.i64, max: s.u64, critical });
  return s.struct({ buckets: s.map(level, requests.map(camelCase)) });
}

export const precision = s.variant(["MS", "US", "NS"]);

/** A database up to 2.4.1. @param config what a version has in it beside the options of CREATE DATABASE */
export function database(config: Record<string, s.Schema> = {}): s.Schema {
  return s.struct({
    ...{ tenant: s.string, database: s.string },
    config: s.struct({
      ...config,
      ...{ "ttl?": timeNumDuration, "shard_num?": s.u64, "vnode_duration?": timeNumDuration },
      ...{ "replica?": s.u64, "precision?": precision },
    }),
  });
}

const encodings = "Default Null Delta Quantile Gzip Bzip Gorilla Snappy Zstd Zlib BitPack Unknown".split(" ");
const types = ["Unknown", "Float", "Integer", "Unsigned", "Boolean", "String"];
const geometries = "Point LineString Polygon MultiPoint MultiLineString MultiPolygon GeometryCollection";

/** The fields of a TSKV table; DeltaTs came with 2.4.1. */
export function tableFields(version: Record<string, s.Schema>, deltaTs: boolean): Record<string, s.Schema> {
  const geometry = s.struct({ sub_type: s.variant(geometries.split(" ")), srid: s.i16 });
  const column = s.struct({
    id: s.u32,
    name: s.string,
    column_type: s.variant(["Tag"], {
      Time: s.variant(["Second", "Millisecond", "Microsecond", "Nanosecond"]),
      Field: s.variant(types, { Geometry: geometry }),
    }),
    encoding: s.variant(deltaTs ? [...encodings, "DeltaTs"] : encodings),
  });
  return {
    ...{ tenant: s.string, db: s.string, name: s.string },
    ...version,
    ...{ next_column_id: s.u32, columns: s.list(column), columns_index: s.map(s.u64) },
  };
}

interface Column extends JsonObject {
  id: Json;
  name: string;
}

/** Ids that differ, and an index of each name's one position: what 2.4 reads a table's rows by. */
export const consistentColumns: s.Schema = (value) => {
  const { columns, columns_index: index } = value as { columns: Column[]; columns_index: JsonObject };
  /** names by id */
  const ids = new Map<string, string>();
  const quoted = JSON.stringify;
  for (const [position, { id, name }] of columns.entries()) {
    const digits = digitsOf(id) ?? "";
    const same = ids.get(digits);
    if (same !== undefined) {
      throw new InvalidValue(`columns: ${quoted(same)} and ${quoted(name)} have the same id ${digits}`);
    }
    ids.set(digits, name);
    const at = Object.hasOwn(index, name) ? digitsOf(index[name]) : undefined;
    if (at !== String(position)) {
      throw new InvalidValue(
        `columns_index: expected ${quoted(name)} at ${position}, got ${at ?? "nothing"}`,
      );
    }
  }
  const indexed = Object.keys(index).length;
  if (indexed !== columns.length) {
    throw new InvalidValue(`columns_index: has ${indexed} names for ${columns.length} columns`);
  }
};

/**
 * Gives the columns the ids 0 … n-1. 2.3's line protocol gives a new column an id that is taken after DROP COLUMN, and 2.4
 * reads columns by id: such a table cannot be read after import. No data files move, so ids are free to change (accepted
 * by 2.4.0 to 2.4.3.4).
 */
export function renumberColumns(table: JsonObject): JsonObject {
  const columns = (table.columns as Column[]).map((column, id) => ({ ...column, id }));
  const index: JsonObject = Object.fromEntries(columns.map(({ name, id }) => [name, id]));
  return {
    ...table,
    next_column_id: columns.length,
    columns,
    columns_index: changes(index, table.columns_index).length ? index : table.columns_index ?? null,
  };
}
