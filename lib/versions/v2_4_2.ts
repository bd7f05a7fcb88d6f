/** 2.4.2 and 2.4.2.1: databases got another form in which nothing may be null, durations are seconds. */
import {
  type RawObject,
  readObject,
  readString,
  withChanged,
  withMember,
  writeObject,
} from "../dump/json.ts";
import * as s from "./shape.ts";
import { secsDuration, type VersionStep } from "./common.ts";
import { tenantShape } from "./v2_4_0.ts";

const secondsOf: Record<string, bigint> = { Minutes: 60n, Hour: 3600n, Day: 86400n };
const mostSeconds = (1n << 64n) - 1n;

/** `{"time_num":30,"unit":"Day"}` as seconds; `Inf`, and what is more than 2^64 seconds, for ever. */
function duration(text: string): string {
  const value = readObject(text);
  const unit = secondsOf[readString(value.get("unit") ?? '""')];
  const seconds = unit === undefined ? mostSeconds + 1n : BigInt(value.get("time_num") ?? "0") * unit;
  return seconds > mostSeconds ? formatDuration(0n, true) : formatDuration(seconds, false);
}

function formatDuration(seconds: bigint, forEver: boolean): string {
  return `{"duration":{"secs":${seconds},"nanos":0},"is_inf":${forEver}}`;
}

/** A member that is there and not null. */
function given(object: RawObject, name: string): string | undefined {
  const value = object.get(name);
  return value === "null" ? undefined : value;
}

export const v2_4_2: VersionStep = {
  version: "2.4.2",
  conversions: {
    tenant: (tenant) =>
      withChanged(tenant, "options", (options) => {
        const after = given(options, "drop_after");
        return after && readObject(after).has("time_num")
          ? withMember(options, "drop_after", duration(after))
          : options;
      }),
    database: (database, { memcachePartitions, walMaxFileSizeBytes }) => {
      if (database.has("options")) return database;
      const config = readObject(database.get("config") ?? "{}");
      const ttl = given(config, "ttl");
      const vnodeDuration = given(config, "vnode_duration");
      return new Map([
        ["tenant", database.get("tenant") ?? ""],
        ["database", database.get("database") ?? ""],
        ["is_hidden", given(config, "db_is_hidden") ?? "false"],
        [
          "options",
          writeObject(
            new Map([
              ["ttl", ttl ? duration(ttl) : formatDuration(0n, true)],
              ["shard_num", given(config, "shard_num") ?? "1"],
              // 2.3's effective year has 365 days; 2.4.2's own default is 31557600 s.
              [
                "vnode_duration",
                vnodeDuration ? duration(vnodeDuration) : formatDuration(31_536_000n, false),
              ],
              ["replica", given(config, "replica") ?? "1"],
            ]),
          ),
        ],
        [
          "config",
          writeObject(
            new Map([
              ["precision", given(config, "precision") ?? '"NS"'],
              ["max_memcache_size", "134217728"],
              ["memcache_partitions", String(memcachePartitions)],
              ["wal_max_file_size", String(walMaxFileSizeBytes)],
              ["wal_sync", "false"],
              ["strict_write", "false"],
              ["max_cache_readers", "32"],
            ]),
          ),
        ],
      ]);
    },
  },
  shapes: {
    tenant: tenantShape(secsDuration),
    database: s.struct({
      tenant: s.string,
      database: s.string,
      is_hidden: s.bool,
      options: s.struct({
        ttl: secsDuration,
        shard_num: s.u64,
        vnode_duration: secsDuration,
        replica: s.u64,
      }),
      config: s.struct({
        precision: s.variant(["MS", "US", "NS"]),
        max_memcache_size: s.u64,
        memcache_partitions: s.u64,
        wal_max_file_size: s.u64,
        wal_sync: s.bool,
        strict_write: s.bool,
        max_cache_readers: s.u64,
      }),
    }),
  },
};
