/**
 * What each version of CnosDB keeps in its meta store: the Rust types behind the keys (common/models of the
 * tags v2.3.3 to v2.4.3.4), and what a new cluster of that version holds.
 */
import {
  bool,
  i16,
  i64,
  list,
  map,
  option,
  orElse,
  raw,
  type Shape,
  skipNull,
  string,
  struct,
  tuple,
  u128,
  u32,
  u64,
  u8,
  units,
  usize,
  type Variant,
  variants,
} from "./serde.ts";

/** The versions that differ. "2.3.3" stands for 2.3.0 to 2.3.3, "2.3.5" for 2.3.4 and 2.3.5, and 2.4.x for its patches. */
export const VERSIONS = ["2.3.3", "2.3.5", "2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const;
export type Version = typeof VERSIONS[number];

/** Whether `version` is `other` or later. */
export const since = (version: Version, other: Version) =>
  VERSIONS.indexOf(version) >= VERSIONS.indexOf(other);

/** Anything read by a struct shape. */
export type Fields = Record<string, unknown>;

/** A column of a TSKV table. */
export interface Column {
  id: bigint;
  name: string;
  column_type: Variant;
  encoding: string;
}

/** How one version reads each kind of value. */
export interface Shapes {
  user: Shape<Fields>;
  userOptions: Shape<Fields>;
  tenant: Shape<Fields>;
  tenantOptions: Shape<Fields>;
  database: Shape<Fields>;
  table: Shape<Variant>;
  bucket: Shape<Fields>;
  role: Shape<Fields>;
  member: Shape<Variant>;
  dataNode: Shape<Fields>;
  nodeMetrics: Shape<Fields>;
  command: Shape<Variant>;
}

/** The shapes of a version. */
export function shapesOf(version: Version): Shapes {
  const from = (other: Version) => since(version, other);
  const s = struct as (
    name: string,
    fields: Record<string, Shape<unknown>>,
    strict?: boolean,
  ) => Shape<Fields>;
  const some = (there: boolean, fields: Record<string, Shape<unknown>>) => there ? fields : {};

  // 2.3.3 and 2.4.0, which came from the same branch, write these two even where they are not set.
  const flag = version === "2.3.3" || version === "2.4.0" ? option(bool) : skipNull(bool);
  const userOptions = s("UserOptions", {
    [from("2.4.0") ? "hash_password" : "password"]: option(string),
    must_change_password: flag,
    rsa_public_key: skipNull(string),
    comment: skipNull(string),
    granted_admin: flag,
  });
  const user = s("UserDesc", {
    id: u128,
    name: string,
    options: userOptions,
    [from("2.4.1") ? "is_root_admin" : "is_admin"]: bool,
  });

  const rateBucket = s("RateBucketConfig", {
    max: option(usize),
    initial: usize,
    refill: usize,
    interval: i64,
  });
  const limit = option(s("Bucket", {
    remote_bucket: rateBucket,
    local_bucket: s("CountBucketConfing", { max: option(i64), initial: i64 }),
  }));
  const kinds = version === "2.3.3"
    ? ["data_in", "data_out", "queries", "writes"]
    : ["coord", "http"].flatMap((side) =>
      ["data_in", "data_out", "queries", "writes"].map((kind) => `${side}_${kind}`)
    );
  const numbers = ["users_number", "databases", "shard_number", "replicate_number", "retention_time"];
  const limiter = s("TenantLimiterConfig", {
    object_config: option(
      s(
        "TenantObjectLimiterConfig",
        Object.fromEntries(numbers.map((name) => [`max_${name}`, option(usize)])),
      ),
    ),
    request_config: option(s("RequestLimiterConfig", Object.fromEntries(kinds.map((kind) => [kind, limit])))),
  });
  const oldDuration = s("Duration", { time_num: u64, unit: units("Minutes", "Hour", "Day", "Inf") });
  const stdDuration = s("Duration", { secs: u64, nanos: u32 }, true);
  const duration = from("2.4.2") ? s("CnosDuration", { duration: stdDuration, is_inf: bool }) : oldDuration;
  const tenantOptions = s("TenantOptions", {
    comment: option(string),
    limiter_config: option(limiter),
    ...some(from("2.4.1"), { drop_after: option(duration) }),
    ...some(from("2.4.0"), { tenant_is_hidden: bool }),
  });
  const tenant = s("Tenant", { id: u128, name: string, options: tenantOptions });

  const precision = units("MS", "US", "NS");
  const database = from("2.4.2")
    ? s("DatabaseSchema", {
      tenant: string,
      database: string,
      is_hidden: bool,
      options: s("DatabaseOptions", {
        ttl: duration,
        shard_num: u64,
        vnode_duration: duration,
        replica: u64,
      }),
      config: s("DatabaseConfig", {
        precision,
        max_memcache_size: u64,
        memcache_partitions: u64,
        wal_max_file_size: u64,
        wal_sync: bool,
        strict_write: bool,
        max_cache_readers: u64,
      }),
    })
    : s("DatabaseSchema", {
      tenant: string,
      database: string,
      config: s("DatabaseOptions", {
        ttl: option(duration),
        shard_num: option(u64),
        vnode_duration: option(duration),
        replica: option(u64),
        precision: option(precision),
        ...some(from("2.4.0"), { db_is_hidden: bool }),
      }),
    });

  const geometries = ["", "Multi"].flatMap((many) =>
    ["Point", "LineString", "Polygon"].map((kind) => many + kind)
  );
  const valueType = variants({
    Unknown: null,
    Float: null,
    Integer: null,
    Unsigned: null,
    Boolean: null,
    String: null,
    ...some(from("2.4.0"), {
      Geometry: s("Geometry", { sub_type: units(...geometries, "GeometryCollection"), srid: i16 }),
    }),
  });
  const codecs = [
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
  ];
  const column = s("TableColumn", {
    id: u32,
    name: string,
    column_type: variants({
      Tag: null,
      Time: units("Second", "Millisecond", "Microsecond", "Nanosecond"),
      Field: valueType,
    }),
    encoding: units("Default", ...codecs, ...(from("2.4.1") ? ["DeltaTs"] : []), "Unknown"),
  });
  const table = variants({
    // 2.4.3 reads this by hand, and refuses what it does not know.
    TsKvTableSchema: s("TskvTableSchema", {
      tenant: string,
      db: string,
      name: string,
      [from("2.4.1") ? "schema_version" : "schema_id"]: u64,
      next_column_id: u32,
      columns: list(column),
      columns_index: map(usize),
    }, from("2.4.3")),
    ExternalTableSchema: s("ExternalTableSchema", {
      tenant: string,
      db: string,
      name: string,
      file_compression_type: string,
      file_type: string,
      location: string,
      target_partitions: usize,
      table_partition_cols: list(tuple(string, raw)),
      has_header: bool,
      delimiter: u8,
      schema: raw,
    }),
    StreamTableSchema: s("StreamTable", {
      tenant: string,
      db: string,
      name: string,
      schema: raw,
      stream_type: string,
      watermark: s("Watermark", { column: string, delay: stdDuration }),
      extra_options: map(string),
    }),
  });

  const vnode = s("VnodeInfo", {
    id: u32,
    node_id: u64,
    status: orElse(units("Running", "Copying", "Broken"), "Running"),
  });
  const bucket = s("BucketInfo", {
    id: u32,
    start_time: i64,
    end_time: i64,
    shard_group: list(s("ReplicationSet", {
      id: u32,
      ...some(from("2.4.0"), { leader_node_id: u64, leader_vnode_id: u32 }),
      vnodes: list(vnode),
    })),
  });

  const systemRole = units("Owner", "Member");
  const role = s("CustomTenantRole", {
    id: u128,
    name: string,
    system_role: from("2.4.2") ? option(systemRole) : systemRole,
    additional_privileges: map(units("Read", "Write", "Full")),
  });
  const two = tuple(string, string), three = tuple(string, string, string);
  const four = tuple(string, string, string, string);
  const command = variants({
    DataNodes: string,
    [from("2.4.3") ? "TenantMetaData" : "TenaneMetaData"]: two,
    NodeMetrics: string,
    CustomRole: three,
    CustomRoles: two,
    MemberRole: tuple(string, string, u128),
    Members: two,
    User: two,
    Users: string,
    Tenant: from("2.4.1") ? tuple(string, string, bool) : two,
    Tenants: string,
    TableSchema: four,
    ...some(version === "2.4.0", { ResourceInfos: tuple(string, list(string)), ResourceInfosMark: string }),
    ...some(version === "2.4.1", { ResourceInfos: string, ResourceInfo: two, ResourceInfosMark: string }),
    ...some(from("2.4.2"), {
      ResourceInfos: string,
      ResourceInfoByName: two,
      ResourceInfosByNodeid: tuple(string, u64),
      ResourceInfosMark: string,
    }),
    ...some(from("2.4.1"), { ReplicationSet: tuple(string, string, string, u32) }),
    ...some(from("2.4.2"), { ReadQueryInfos: tuple(string, u64), ReadTableSchema: four }),
  });

  return {
    user,
    userOptions,
    tenant,
    tenantOptions,
    database,
    table,
    bucket,
    role,
    member: variants({ System: systemRole, Custom: string }),
    dataNode: s("NodeInfo", {
      id: u64,
      grpc_addr: string,
      ...some(version === "2.3.3" || version === "2.4.0", {
        http_addr: string,
        attribute: units("Hot", "Cold"),
      }),
    }),
    nodeMetrics: s("NodeMetrics", {
      id: u64,
      disk_free: u64,
      time: i64,
      status: units("Healthy", "Broken", "Unreachable", "NoDiskSpace", "Cordon"),
    }),
    command,
  };
}

/** The database options of CREATE DATABASE, as a version writes them; what is not given is null before 2.4.2. */
export interface DatabaseOptions {
  ttl?: unknown;
  shards?: bigint;
  vnodeDuration?: unknown;
  replica?: bigint;
  precision?: string;
}

/** A database as CREATE DATABASE writes it; `memcacheBytes` and the partitions differ for system databases. */
export function newDatabase(
  version: Version,
  tenant: string,
  database: string,
  options: DatabaseOptions = {},
  memcacheBytes = 134217728n,
): Fields {
  if (!since(version, "2.4.2")) {
    const config = {
      ttl: options.ttl ?? null,
      shard_num: options.shards ?? null,
      vnode_duration: options.vnodeDuration ?? null,
      replica: options.replica ?? null,
      precision: options.precision ?? null,
      db_is_hidden: false,
    };
    return { tenant, database, config };
  }
  const seconds = (secs: bigint, is_inf: boolean) => ({ duration: { secs, nanos: 0n }, is_inf });
  return {
    tenant,
    database,
    is_hidden: false,
    options: {
      ttl: options.ttl ?? seconds(0n, true),
      shard_num: options.shards ?? 1n,
      vnode_duration: options.vnodeDuration ?? seconds(31557600n, false),
      replica: options.replica ?? 1n,
    },
    config: {
      precision: options.precision ?? "NS",
      max_memcache_size: memcacheBytes,
      memcache_partitions: memcacheBytes === 134217728n ? 2n : 16n,
      wal_max_file_size: since(version, "2.4.3") ? 134217728n : 1073741824n,
      wal_sync: false,
      strict_write: false,
      max_cache_readers: 32n,
    },
  };
}

/** The dump of a cluster that was just made, with one data node. */
export function freshDump(version: Version, cluster: string, dataNodes = 1): string {
  const shapes = shapesOf(version);
  const from = (other: Version) => since(version, other);
  const tenantId = from("2.4.0")
    ? 78322384368497284380257291774744000001n
    : 105136673781503969071118965008990951628n;
  const rootId = from("2.4.0")
    ? 78322384368497284380257291774744000002n
    : 77040772814092051118931871388402322326n;
  // The hash is of "root", which 2.4.1 and later give the first user.
  const hash = from("2.4.1") ? "$2b$12$pT6yTL9v/VKQIhPHmjocKe9h1nYK.LDxZZmpQmkSBSSpDnXhAWKR6" : null;
  const tenant = {
    id: tenantId,
    name: "cnosdb",
    options: { comment: "system tenant", limiter_config: null, drop_after: null, tenant_is_hidden: false },
  };
  const root = {
    id: rootId,
    name: "root",
    options: {
      password: null,
      hash_password: hash,
      must_change_password: true,
      rsa_public_key: null,
      comment: "system admin",
      granted_admin: version === "2.3.3" || version === "2.4.0" ? false : null,
    },
    is_admin: true,
    is_root_admin: true,
  };
  const nodes = Array.from({ length: dataNodes }, (_, i) => ({
    id: 1001n + BigInt(i),
    grpc_addr: `localhost:${8903 + 10 * i}`,
    http_addr: `localhost:${8902 + 10 * i}`,
    attribute: "Hot",
  }));
  const metrics = { disk_free: 67502333952n, time: 1795344733n, status: "Healthy" };
  const databases: [string, bigint][] = [["public", 536870912n], ["usage_schema", 2097152n]];
  if (from("2.4.2")) databases.unshift(["cluster_schema", 2097152n]);
  return [
    ...(from("2.4.0") ? ["/already_init_key: true"] : []),
    `/${cluster}/auto_incr_id: 1`,
    ...nodes.map((node) => `/${cluster}/data_nodes/${node.id}: ${shapes.dataNode.write(node)}`),
    ...nodes.map(({ id }) =>
      `/${cluster}/data_nodes_metrics/${id}: ${shapes.nodeMetrics.write({ id, ...metrics })}`
    ),
    ...(from("2.4.1") ? [`/${cluster}/resourceinfosmark: [1001,true]`] : []),
    `/${cluster}/tenants/cnosdb: ${shapes.tenant.write(tenant)}`,
    ...databases.map(([name, bytes]) =>
      `/${cluster}/tenants/cnosdb/dbs/${name}: ` +
      shapes.database.write(newDatabase(version, "cnosdb", name, {}, bytes))
    ),
    ...(from("2.4.1") ? [] : [`/${cluster}/tenants/cnosdb/members/${rootId}: {"System":"Owner"}`]),
    `/${cluster}/users/root: ${shapes.user.write(root)}`,
    "/data_version: 8",
    "",
  ].join("\n");
}
