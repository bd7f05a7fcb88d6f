/** 2.3.0 and 2.3.1: what all of 2.3 reads. A database without a TTL keeps its rows for 365 days. */
import * as s from "./schema.ts";
import { database, formerLimits, limiter, limits, tableFields, tenant, type VersionStep } from "./step.ts";

const allLimits = [...limits, ...formerLimits];

export const v2_3_0: VersionStep = {
  releases: ["2.3.0", "2.3.1"],
  convert: {},
  reads: {
    user: s.struct({
      id: s.u128,
      name: s.string,
      options: s.struct({ password: s.nullable(s.string) }),
      is_admin: s.bool,
    }),
    tenant: tenant(allLimits),
    limiter: limiter(allLimits),
    database: database(),
    table: s.struct(tableFields({ schema_id: s.u32 }, true)),
  },
};
