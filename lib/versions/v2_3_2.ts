/** 2.3.2: a database without a TTL keeps its rows for ever; in 2.3.0 and 2.3.1 it meant 365 days. */
import { withChanged, withMember } from "../dump/json.ts";
import type { VersionStep } from "./common.ts";

export const v2_3_2: VersionStep = {
  version: "2.3.2",
  conversions: {
    database: (database) =>
      withChanged(
        database,
        "config",
        (config) =>
          (config.get("ttl") ?? "null") === "null"
            ? withMember(config, "ttl", '{"time_num":365,"unit":"Day"}')
            : config,
      ),
  },
  shapes: {},
};
