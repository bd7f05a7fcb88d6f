/** Schemas and conversions that several versions share. */
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

/** The fields of a user, without the one for administrators. @param options the fields of its options */
export function userFields(options: Record<string, s.Schema>): Record<string, s.Schema> {
  return { id: s.u128, name: s.string, options: s.struct(options) };
}

/** A tenant. @param requests the version's request limits @param options the options that the version added */
export function tenant(requests: readonly string[], options: Record<string, s.Schema> = {}): s.Schema {
  const objects = ["users_number", "databases", "shard_number", "replicate_number", "retention_time"];
  const bucket = s.struct({
    remote_bucket: s.struct({ initial: s.u64, refill: s.u64, interval: s.i64, "max?": s.u64 }),
    local_bucket: s.struct({ initial: s.i64, "max?": s.i64 }),
  });
  const limiterConfig = s.struct({
    "object_config?": s.struct(s.each(s.u64, ...objects.map((name) => `max_${name}?`))),
    "request_config?": s.struct(s.each(bucket, ...requests.map((name) => `${name}?`))),
  });
  return s.struct({
    id: s.u128,
    name: s.string,
    options: s.struct({ ...options, "comment?": s.string, "limiter_config?": limiterConfig }),
  });
}

/** A tenant's `/limiter`. @param requests the version's request limits */
export function limiter(requests: readonly string[]): s.Schema {
  const critical = s.struct({ balance: s.u64, deadline: s.string });
  const level = s.struct({ refill: s.u64, interval: s.i64, max: s.u64, critical });
  return s.struct({ buckets: s.map(level, requests.map(camelCase)) });
}

export const precision = s.variant(["MS", "US", "NS"]);

/** A database up to 2.4.1. @param config the fields that the version added to its config */
export function database(config: Record<string, s.Schema> = {}): s.Schema {
  return s.struct({
    tenant: s.string,
    database: s.string,
    config: s.struct({
      ...config,
      ...s.each(timeNumDuration, "ttl?", "vnode_duration?"),
      ...s.each(s.u64, "shard_num?", "replica?"),
      "precision?": precision,
    }),
  });
}

export const encodings = "Default Null Delta Quantile Gzip Bzip Gorilla Snappy Zstd Zlib BitPack Unknown"
  .split(" ");
const types = ["Unknown", "Float", "Integer", "Unsigned", "Boolean", "String"];
const geometries = "Point LineString Polygon MultiPoint MultiLineString MultiPolygon GeometryCollection";

/** The fields of a TSKV table. @param version the field that holds its schema's version */
export function tableFields(
  version: Record<string, s.Schema>,
  encodings: readonly string[],
): Record<string, s.Schema> {
  const geometry = s.struct({ sub_type: s.variant(geometries.split(" ")), srid: s.i16 });
  const column = s.struct({
    id: s.u32,
    name: s.string,
    column_type: s.variant(["Tag"], {
      Time: s.variant(["Second", "Millisecond", "Microsecond", "Nanosecond"]),
      Field: s.variant(types, { Geometry: geometry }),
    }),
    encoding: s.variant(encodings),
  });
  return {
    ...s.each(s.string, "tenant", "db", "name"),
    ...version,
    next_column_id: s.u32,
    columns: s.list(column),
    columns_index: s.map(s.u64),
  };
}

interface Column extends JsonObject {
  id: Json;
  name: string;
}

/**
 * A TSKV table. 2.4 reads its rows by its columns' ids, which must differ, and by the index, which must hold
 * the position of every column.
 * @param fields from `tableFields` @param closed whether unknown fields are refused
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
 * Gives the columns the ids 0 … n-1. After DROP COLUMN, 2.3's line protocol gives a new column an id that is
 * taken. 2.4 reads columns by id, so such a table cannot be read after its import. No data files move, so ids
 * may change (accepted by 2.4.0 to 2.4.3.4).
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
