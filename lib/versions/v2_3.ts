/** The versions of 2.3, in three forms. They are only converted from, so one list says what all of them read. */
import * as s from "./schema.ts";
import { changed, renamed, type VersionStep } from "./step.ts";
import * as values from "./values.ts";

const allLimits = [...values.limits, ...values.formerLimits];
const systemRole = s.variant(["Owner", "Member"]);
const arrowSchema = s.struct({ fields: s.list(s.anything) });

/** A database without a TTL keeps its rows for 365 days. */
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

/** A database without a TTL keeps its rows for ever. */
export const v2_3_2: VersionStep = {
  releases: ["2.3.2", "2.3.3"],
  onlyBySource: true,
  convert: {
    database: (database) =>
      changed(database, ["config"], (config) => ({ ...config, ttl: config.ttl ?? values.year })),
  },
  reads: {},
};

/** Each request limit became two: the coordinator's, which is the former one, and HTTP's. */
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
