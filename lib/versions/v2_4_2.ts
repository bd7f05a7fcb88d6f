/** 2.4.2 and 2.4.2.1: databases got another form in which nothing may be null, durations are seconds. */
import { digitsOf, isObject, type Json, type JsonObject, objectIn, wholeNumber } from "../dump/json.ts";
import * as s from "./schema.ts";
import { changed, type VersionStep } from "./step.ts";
import * as values from "./values.ts";

/** A duration from 2.4.2 on: `{"duration":{"secs":…,"nanos":…},"is_inf":false}`. */
const secsDuration = s.struct({ duration: s.struct({ secs: s.u64, nanos: s.u32 }), is_inf: s.bool });

const secondsOf: Record<string, bigint> = { Minutes: 60n, Hour: 3600n, Day: 86400n };
const mostSeconds = (1n << 64n) - 1n;

/** `{"time_num":30,"unit":"Day"}` in seconds; null, `Inf` and what is beyond 2^64 seconds is for ever. */
function duration(former: Json | undefined): Json {
  const { unit, time_num: count } = isObject(former) ? former : {};
  const seconds = BigInt(digitsOf(count) ?? "0") * (secondsOf[String(unit)] ?? mostSeconds + 1n);
  const forEver = !isObject(former) || unit === "Inf" || seconds > mostSeconds;
  return { duration: { secs: forEver ? 0 : wholeNumber(seconds), nanos: 0 }, is_inf: forEver };
}

export const v2_4_2: VersionStep = {
  releases: ["2.4.2", "2.4.2.1"],
  convert: {
    tenant: (tenant) =>
      changed(
        tenant,
        ["options"],
        (options) =>
          "time_num" in objectIn(options, "drop_after")
            ? { ...options, drop_after: duration(options.drop_after) }
            : options,
      ),
    database: (former, { walMaxFileSizeBytes }) => {
      if ("options" in former) return former;
      const config: JsonObject = objectIn(former, "config");
      return {
        tenant: former.tenant ?? null,
        database: former.database ?? null,
        is_hidden: config.db_is_hidden ?? false,
        options: {
          ttl: duration(config.ttl),
          shard_num: config.shard_num ?? 1,
          vnode_duration: duration(config.vnode_duration ?? values.year),
          replica: config.replica ?? 1,
        },
        config: {
          precision: config.precision ?? "NS",
          // What CREATE DATABASE writes, but for memcache_partitions: it writes the node's cores, and CnosDB's
          // own database public has 16.
          max_memcache_size: 134_217_728,
          memcache_partitions: 16,
          wal_max_file_size: walMaxFileSizeBytes,
          wal_sync: false,
          strict_write: false,
          max_cache_readers: 32,
        },
      };
    },
  },
  reads: {
    tenant: values.tenant(values.limits, { tenant_is_hidden: s.bool, "drop_after?": secsDuration }),
    database: s.struct({
      tenant: s.string,
      database: s.string,
      is_hidden: s.bool,
      options: s.struct({
        ...s.each(secsDuration, "ttl", "vnode_duration"),
        ...s.each(s.u64, "shard_num", "replica"),
      }),
      config: s.struct({
        precision: values.precision,
        ...s.each(
          s.u64,
          "max_memcache_size",
          "memcache_partitions",
          "wal_max_file_size",
          "max_cache_readers",
        ),
        ...s.each(s.bool, "wal_sync", "strict_write"),
      }),
    }),
  },
  recognizes: {
    tenant: (tenant) => {
      const after = objectIn(objectIn(tenant, "options"), "drop_after");
      return "time_num" in after ? false : "duration" in after ? true : undefined;
    },
    database: (database) => "options" in database,
  },
  walMaxFileSizeBytes: 1_073_741_824,
};
