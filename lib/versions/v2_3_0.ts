/** 2.3.0 and 2.3.1: what all of 2.3 reads. A database without a TTL keeps its rows for 365 days. */
import * as s from "./schema.ts";
import type { VersionStep } from "./step.ts";
import * as values from "./values.ts";

const allLimits = [...values.limits, ...values.formerLimits];
const systemRole = s.variant(["Owner", "Member"]);
const arrowSchema = s.struct({ fields: s.list(s.anything) });

export const v2_3_0: VersionStep = {
  releases: ["2.3.0", "2.3.1"],
  convert: {},
  reads: {
    user: s.struct({ ...values.userFields({ password: s.nullable(s.string) }), is_admin: s.bool }),
    tenant: values.tenant(allLimits),
    limiter: values.limiter(allLimits),
    role: s.struct({
      id: s.u128,
      name: s.string,
      system_role: systemRole,
      additional_privileges: s.map(s.variant(["Read", "Write", "Full"])),
    }),
    member: s.variant([], { System: systemRole, Custom: s.string }),
    database: values.database(),
    table: s.struct(values.tableFields({ schema_id: s.u32 }, [...values.encodings, "DeltaTs"])),
    external: s.struct({
      ...s.each(s.string, "tenant", "db", "name", "file_compression_type", "file_type", "location"),
      target_partitions: s.u64,
      table_partition_cols: s.list(s.anything),
      has_header: s.bool,
      delimiter: s.u8,
      schema: arrowSchema,
    }),
    stream: s.struct({
      ...s.each(s.string, "tenant", "db", "name", "stream_type"),
      schema: arrowSchema,
      extra_options: s.map(s.string),
      watermark: s.struct({ column: s.string, delay: s.anything }),
    }),
  },
};
