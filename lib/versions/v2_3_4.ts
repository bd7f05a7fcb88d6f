/** 2.3.4: each request limit became two, of the coordinator and of HTTP; the former ones are the coordinator's. */
import type { JsonObject } from "../dump/json.ts";
import { camelCase, changed, formerLimits, type VersionStep } from "./step.ts";

/** The former names of limits, with what their names begin with now. */
function prefixed(limits: JsonObject, former: readonly string[], prefix: string): JsonObject {
  return Object.fromEntries(
    Object.entries(limits).map(([name, limit]) => [former.includes(name) ? `${prefix}${name}` : name, limit]),
  );
}

export const v2_3_4: VersionStep = {
  releases: [
    ...["2.3.4", "2.3.4.1", "2.3.4.2", "2.3.4.3", "2.3.4.4"] as const,
    ...["2.3.5", "2.3.5.1", "2.3.5.2", "2.3.5.3", "2.3.5.4"],
  ],
  convert: {
    tenant: (tenant) =>
      changed(
        tenant,
        "options",
        (options) =>
          changed(options, "limiter_config", (config) =>
            changed(config, "request_config", (limits) =>
              prefixed(limits, formerLimits, "coord_"))),
      ),
    limiter: (limiter) =>
      changed(
        limiter,
        "buckets",
        (buckets) => prefixed(buckets, formerLimits.map(camelCase), "Coord"),
      ),
  },
  reads: {},
};
