/** What the version modules share: the form of a step, and the parts of values that several versions have. */
import { type RawObject, readArray, readObject, readString, withMember, writeObject } from "../dump/json.ts";
import * as s from "./shape.ts";

/** What a conversion depends on beside the value. */
export interface Context {
  /** `memcache_partitions` of databases that get it anew */
  memcachePartitions: number;
  /** `wal_max_file_size` of databases that get it anew, in bytes: what CREATE DATABASE of the target's version writes */
  walMaxFileSizeBytes: number;
  /** bcrypt (cost 12) of a plain-text password, with a salt that follows from the user's id */
  hash: (password: string, userId: string) => string;
}

/** A function that gives a value in the next version's form; the same object where nothing has to change. */
export type Conversion = (value: RawObject, context: Context) => RawObject;

/** The kinds of values whose form changed between 2.3.0 and 2.4.3. `table` is what stands inside TsKvTableSchema. */
export type Changing = "user" | "tenant" | "limiter" | "database" | "table";

/** A version at which the form of some values changed. */
export interface VersionStep {
  readonly version: string;
  readonly conversions: { readonly [kind in Changing]?: Conversion };
  /** what this version reads; a kind that is not named is read as by the version before */
  readonly shapes: { readonly [kind in Changing]?: s.Shape };
}

/** A duration of 2.3 to 2.4.1: `{"time_num":30,"unit":"Day"}`. */
export const timeNumDuration = s.struct({
  time_num: s.u64,
  unit: s.variant(["Minutes", "Hour", "Day", "Inf"]),
});

/** A duration from 2.4.2 on: `{"duration":{"secs":…,"nanos":…},"is_inf":false}`. */
export const secsDuration = s.struct({
  duration: s.struct({ secs: s.u64, nanos: s.u32 }),
  is_inf: s.bool,
});

const bucketKinds = ["data_in", "data_out", "queries", "writes"];

/** The eight request limits since 2.3.4, as fields and as kinds in a tenant's `/limiter`. */
export const limitNames = ["coord", "http"].flatMap((side) => bucketKinds.map((kind) => `${side}_${kind}`));
export const limiterKinds = limitNames.map(camelCase);

/** `coord_data_in` → `CoordDataIn`. */
export function camelCase(name: string): string {
  return name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const bucket = s.struct({
  remote_bucket: s.struct({ initial: s.u64, refill: s.u64, interval: s.i64 }, { max: s.nullable(s.u64) }),
  local_bucket: s.struct({ initial: s.i64 }, { max: s.nullable(s.i64) }),
});

/** A tenant's limiter_config, with the request limits that a version knows. */
export function limiterConfig(limits: readonly string[]): s.Shape {
  const numbers = [
    "max_users_number",
    "max_databases",
    "max_shard_number",
    "max_replicate_number",
    "max_retention_time",
  ];
  return s.struct({}, {
    object_config: s.nullable(s.struct({}, Object.fromEntries(numbers.map((n) => [n, s.nullable(s.u64)])))),
    request_config: s.nullable(s.struct({}, Object.fromEntries(limits.map((n) => [n, s.nullable(bucket)])))),
  });
}

/** A tenant's `/limiter`, with the kinds that a version knows. */
export function limiter(kinds: readonly string[]): s.Shape {
  return s.struct({
    buckets: s.map(
      s.struct({
        refill: s.u64,
        interval: s.i64,
        max: s.u64,
        critical: s.struct({ balance: s.u64, deadline: s.string }),
      }),
      kinds,
    ),
  });
}

const encodings = [
  "Default",
  "Null",
  "Delta",
  "Quantile",
  "Gzip",
  "Bzip",
  "Gorilla",
  "Snappy",
  "Zstd",
  "Zlib",
  "BitPack",
  "Unknown",
];
const types = ["Unknown", "Float", "Integer", "Unsigned", "Boolean", "String"];
const geometries = [
  "Point",
  "LineString",
  "Polygon",
  "MultiPoint",
  "MultiLineString",
  "MultiPolygon",
  "GeometryCollection",
];

/** The `columns` and `columns_index` of a TSKV table. Geometry came with 2.4.0, DeltaTs with 2.4.1. */
export function columns(since: { geometry: boolean; deltaTs: boolean }): Record<string, s.Shape> {
  const geometry = s.struct({ sub_type: s.variant(geometries), srid: s.i16 });
  const column = s.struct({
    id: s.u32,
    name: s.string,
    column_type: s.variant(["Tag"], {
      Time: s.variant(["Second", "Millisecond", "Microsecond", "Nanosecond"]),
      Field: s.variant(types, since.geometry ? { Geometry: geometry } : {}),
    }),
    encoding: s.variant(since.deltaTs ? [...encodings, "DeltaTs"] : encodings),
  });
  return { next_column_id: s.u32, columns: s.list(column), columns_index: s.map(s.u64) };
}

/** Ids that differ, names that differ, and an index that gives each column's position: what 2.4 reads a table's rows by. */
export const consistentColumns: s.Shape = (text) => {
  const table = readObject(text);
  const all = readArray(table.get("columns") ?? "[]").map(readObject);
  const index = readObject(table.get("columns_index") ?? "{}");
  const ids = new Map<string, string>();
  const names = new Set<string>();
  for (const [position, column] of all.entries()) {
    const name = readString(column.get("name") ?? "");
    const id = column.get("id") ?? "";
    if (ids.has(id)) {
      throw new s.ShapeError(
        `columns: ${JSON.stringify(ids.get(id))} and ${JSON.stringify(name)} have the same id ${id}`,
      );
    }
    if (names.has(name)) throw new s.ShapeError(`columns: two are called ${JSON.stringify(name)}`);
    ids.set(id, name);
    names.add(name);
    if (index.get(name) !== String(position)) {
      throw new s.ShapeError(
        `columns_index: expected ${JSON.stringify(name)} at ${position}, got ${index.get(name) ?? "nothing"}`,
      );
    }
  }
  if (index.size !== all.length) {
    throw new s.ShapeError(`columns_index: has ${index.size} names for ${all.length} columns`);
  }
};

/**
 * Gives the columns the ids 0 … n-1. 2.3's line protocol gives a new column an id that is taken after DROP COLUMN, and 2.4
 * reads columns by id: such a table cannot be read after import. No data files move, so ids are free to change (accepted
 * by 2.4.0 to 2.4.3.4).
 */
export function renumberColumns(table: RawObject): RawObject {
  const before = readArray(table.get("columns") ?? "[]").map(readObject);
  const after = before.map((column, position) =>
    column.get("id") === String(position) ? column : withMember(column, "id", String(position))
  );
  const index = new Map(
    after.map((column, position) => [readString(column.get("name") ?? ""), String(position)]),
  );
  const former = readObject(table.get("columns_index") ?? "{}");
  const sameIndex = former.size === index.size &&
    [...index].every(([name, position]) => former.get(name) === position);
  const sameColumns = after.every((column, position) => column === before[position]);
  const count = String(after.length);
  if (sameIndex && sameColumns && table.get("next_column_id") === count) return table;
  const result = new Map(table);
  result.set("next_column_id", count);
  if (!sameColumns) result.set("columns", `[${after.map(writeObject).join(",")}]`);
  if (!sameIndex) result.set("columns_index", writeObject(index));
  return result;
}
