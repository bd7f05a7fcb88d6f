/** What values have in several versions of CnosDB. */
import { changes } from "../dump/compare.ts";
import { digitsOf, InvalidValue, type Json, type JsonObject } from "../dump/json.ts";
import * as s from "./schema.ts";

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

/**
 * A TSKV table whose columns have ids that differ, and an index with the one position of each name: what 2.4
 * reads its rows by.
 * @param fields as of `tableFields` @param closed whether another field is refused
 */
export function table(fields: Record<string, s.Schema>, closed = false): s.Schema {
  const schema = s.struct(fields, closed);
  return (value, path) => {
    schema(value, path);
    checkColumns(value as { columns: Column[]; columns_index: JsonObject });
  };
}

function checkColumns(
  { columns, columns_index: index }: { columns: Column[]; columns_index: JsonObject },
): void {
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
}

/**
 * Gives the columns the ids 0 … n-1. 2.3's line protocol gives a new column an id that is taken after DROP
 * COLUMN, and 2.4 reads columns by id: such a table cannot be read after import. No data files move, so ids
 * are free to change (accepted by 2.4.0 to 2.4.3.4).
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
