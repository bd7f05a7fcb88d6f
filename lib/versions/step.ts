/** What a version of CnosDB is to a conversion, and the parts of values that several versions share. */
import { changes } from "../dump/compare.ts";
import { digitsOf, InvalidValue, isObject, type Json, type JsonObject } from "../dump/json.ts";
import * as s from "./schema.ts";

/** What a conversion depends on beside the value. */
export interface Context {
  /** what CREATE DATABASE of the target's version writes, for what a database gets anew */
  defaults: Defaults;
  /** bcrypt (cost 12) of a plain-text password, with a salt that follows from the user's id */
  hash: (password: string, userId: string) => string;
}

/** Sizes in bytes that CREATE DATABASE writes. */
export interface Defaults {
  walMaxFileSizeBytes: number;
}

/** The kinds of values whose form changed between 2.3.0 and 2.4.3. `table` is what stands inside TsKvTableSchema. */
export type Changing = "user" | "tenant" | "limiter" | "database" | "table";

/** A version at which the form of some values changed. */
export interface VersionStep {
  /** the releases with this form, this version first */
  readonly releases: readonly [string, ...string[]];
  /** a value in this version's form; what is in it already comes back equal. Pure but for `context.hash` */
  readonly convert: { readonly [kind in Changing]?: (value: JsonObject, context: Context) => JsonObject };
  /** what this version reads; a kind that is not named is read as by the version before */
  readonly reads: { readonly [kind in Changing]?: s.Schema };
  /** whether a value has this form (or a later one), or an earlier one; undefined if it does not show */
  readonly recognizes?: { readonly [kind in Changing]?: (value: JsonObject) => boolean | undefined };
  readonly defaults?: Partial<Defaults>;
  /** `convert` would change values of later versions, and no dump shows which it has: only `--source` asks for it */
  readonly onlyIfSaid?: true;
}

/** A copy of an object with a member renamed, at its place. */
export function renamed(object: JsonObject, from: string, to: string): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([name, value]) => [name === from ? to : name, value]),
  );
}

/** An object with a member at its end, unless it is there. */
export function withDefault(object: JsonObject, name: string, value: Json): JsonObject {
  return Object.hasOwn(object, name) ? object : { ...object, [name]: value };
}

/** A copy of an object with one of its members, an object too, changed; the object itself if that member is something else. */
export function changed(
  object: JsonObject,
  name: string,
  change: (inner: JsonObject) => JsonObject,
): JsonObject {
  const inner = object[name];
  return isObject(inner) ? { ...object, [name]: change(inner) } : object;
}

/** A duration of 2.3 to 2.4.1: `{"time_num":30,"unit":"Day"}`. */
export const timeNumDuration = s.struct({
  time_num: s.u64,
  unit: s.variant(["Minutes", "Hour", "Day", "Inf"]),
});

/** The limits of requests before 2.3.4. */
export const formerLimits = ["data_in", "data_out", "queries", "writes"];
/** The request limits since 2.3.4. */
export const limits = ["coord", "http"].flatMap((side) => formerLimits.map((kind) => `${side}_${kind}`));

/** `coord_data_in` → `CoordDataIn`, as a tenant's `/limiter` names it. */
export function camelCase(name: string): string {
  return name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const bucket = s.struct({
  remote_bucket: s.struct({ initial: s.u64, refill: s.u64, interval: s.i64 }, { max: s.nullable(s.u64) }),
  local_bucket: s.struct({ initial: s.i64 }, { max: s.nullable(s.i64) }),
});

/** A struct whose fields may all be missing or null. */
function optional(names: readonly string[], schema: s.Schema): s.Schema {
  return s.struct({}, Object.fromEntries(names.map((name) => [name, s.nullable(schema)])));
}

/** A tenant, with the request limits that a version knows and further options. */
export function tenant(
  requests: readonly string[],
  required: Record<string, s.Schema> = {},
  more: Record<string, s.Schema> = {},
): s.Schema {
  const objects = ["max_users_number", "max_databases", "max_shard_number", "max_replicate_number"];
  const limiterConfig = s.struct({}, {
    object_config: s.nullable(optional([...objects, "max_retention_time"], s.u64)),
    request_config: s.nullable(optional(requests, bucket)),
  });
  const options = s.struct(required, {
    comment: s.nullable(s.string),
    limiter_config: s.nullable(limiterConfig),
    ...more,
  });
  return s.struct({ id: s.u128, name: s.string, options });
}

/** A tenant's `/limiter`, with the request limits that a version knows. */
export function limiter(requests: readonly string[]): s.Schema {
  const critical = s.struct({ balance: s.u64, deadline: s.string });
  const level = s.struct({ refill: s.u64, interval: s.i64, max: s.u64, critical });
  return s.struct({ buckets: s.map(level, requests.map(camelCase)) });
}

/** A database up to 2.4.1. */
export function database(config: Record<string, s.Schema> = {}): s.Schema {
  return s.struct({
    ...{ tenant: s.string, database: s.string },
    config: s.struct(config, {
      ttl: s.nullable(timeNumDuration),
      shard_num: s.nullable(s.u64),
      vnode_duration: s.nullable(timeNumDuration),
      replica: s.nullable(s.u64),
      precision: s.nullable(s.variant(["MS", "US", "NS"])),
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

/** Ids that differ, names that differ, and an index with each column's position: what 2.4 reads a table's rows by. */
export const consistentColumns: s.Schema = (value) => {
  const { columns, columns_index: index } = value as { columns: Column[]; columns_index: JsonObject };
  const ids = new Map<string, string>();
  const names = new Set<string>();
  for (const [position, { id, name }] of columns.entries()) {
    const digits = digitsOf(id) ?? "";
    const same = ids.get(digits);
    if (same !== undefined) {
      throw new InvalidValue(
        `columns: ${JSON.stringify(same)} and ${JSON.stringify(name)} have the same id ${digits}`,
      );
    }
    if (names.has(name)) throw new InvalidValue(`columns: two are called ${JSON.stringify(name)}`);
    ids.set(digits, name);
    names.add(name);
    const at = Object.hasOwn(index, name) ? digitsOf(index[name]) : undefined;
    if (at !== String(position)) {
      throw new InvalidValue(
        `columns_index: expected ${JSON.stringify(name)} at ${position}, got ${at ?? "nothing"}`,
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
