/** 2.3.4: each request limit became two, of the coordinator and of HTTP; the former ones are the coordinator's. */
import { type RawObject, readObject, withChanged } from "../dump/json.ts";
import * as s from "./shape.ts";
import {
  camelCase,
  limiter,
  limiterConfig,
  limiterKinds,
  limitNames,
  timeNumDuration,
  type VersionStep,
} from "./common.ts";
import { columns } from "./common.ts";

const former = ["data_in", "data_out", "queries", "writes"];
const formerKinds = former.map(camelCase);

function prefixed(object: RawObject, names: readonly string[], prefix: string): RawObject {
  if (![...object.keys()].some((name) => names.includes(name))) return object;
  return new Map(
    [...object].map(([name, value]) => [names.includes(name) ? `${prefix}${name}` : name, value]),
  );
}

const isNull = (object: RawObject, name: string) => (object.get(name) ?? "null") === "null";

export const v2_3_4: VersionStep = {
  version: "2.3.4",
  conversions: {
    tenant: (tenant) =>
      withChanged(
        tenant,
        "options",
        (options) =>
          isNull(options, "limiter_config") ||
            isNull(readObject(options.get("limiter_config")!), "request_config")
            ? options
            : withChanged(options, "limiter_config", (config) =>
              withChanged(config, "request_config", (limits) => prefixed(limits, former, "coord_"))),
      ),
    limiter: (limiter) =>
      withChanged(limiter, "buckets", (buckets) => prefixed(buckets, formerKinds, "Coord")),
  },
  shapes: {
    user: s.struct({
      id: s.u128,
      name: s.string,
      options: s.struct({ password: s.nullable(s.string) }),
      is_admin: s.bool,
    }),
    tenant: s.struct({
      id: s.u128,
      name: s.string,
      options: s.struct({}, {
        comment: s.nullable(s.string),
        limiter_config: s.nullable(limiterConfig([...limitNames, ...former])),
      }),
    }),
    limiter: limiter([...limiterKinds, ...formerKinds]),
    database: s.struct({
      tenant: s.string,
      database: s.string,
      config: s.struct({}, {
        ttl: s.nullable(timeNumDuration),
        shard_num: s.nullable(s.u64),
        vnode_duration: s.nullable(timeNumDuration),
        replica: s.nullable(s.u64),
        precision: s.nullable(s.variant(["MS", "US", "NS"])),
      }),
    }),
    table: s.struct({
      tenant: s.string,
      db: s.string,
      name: s.string,
      schema_id: s.u32,
      ...columns({ geometry: true, deltaTs: true }),
    }),
  },
};
