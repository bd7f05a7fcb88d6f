/** 2.3.4 to 2.3.5.4: each request limit became two: the coordinator's, which is the former one, and HTTP's. */
import { changed, renamed, type VersionStep } from "./step.ts";
import * as values from "./values.ts";

export const v2_3_4: VersionStep = {
  releases: [
    ...["2.3.4", "2.3.4.1", "2.3.4.2", "2.3.4.3", "2.3.4.4"] as const,
    ...["2.3.5", "2.3.5.1", "2.3.5.2", "2.3.5.3", "2.3.5.4"],
  ],
  convert: {
    tenant: (tenant) =>
      changed(
        tenant,
        ["options", "limiter_config", "request_config"],
        (limits) => renamed(limits, (name) => values.formerLimits.includes(name) ? `coord_${name}` : name),
      ),
    limiter: (limiter) =>
      changed(limiter, ["buckets"], (buckets) => {
        const former = values.formerLimits.map(values.camelCase);
        return renamed(buckets, (name) => former.includes(name) ? `Coord${name}` : name);
      }),
  },
  reads: {},
};
