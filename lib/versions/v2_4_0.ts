/** 2.4.0 and 2.4.0.1: passwords are hashed, tenants and databases can be hidden. */
import { type RawObject, readString, renamed, withChanged, withMember } from "../dump/json.ts";
import * as s from "./shape.ts";
import {
  columns,
  consistentColumns,
  limiter,
  limiterConfig,
  limiterKinds,
  limitNames,
  renumberColumns,
  timeNumDuration,
  type VersionStep,
} from "./common.ts";

/** A bcrypt hash as 2.3.4 and later write it; such a password logs into 2.4 unchanged. */
export const bcryptHash = /^\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$/;

export const userOptions = {
  hash_password: s.nullable(s.string),
  must_change_password: s.nullable(s.bool),
  rsa_public_key: s.nullable(s.string),
  comment: s.nullable(s.string),
  granted_admin: s.nullable(s.bool),
};

/** Whether a user's options, in the form of 2.4.0 or later, have what it can log in with. */
export function canLogIn(options: RawObject): boolean {
  return ["hash_password", "rsa_public_key"].some((name) => (options.get(name) ?? "null") !== "null");
}

/** A tenant, with the form that `drop_after` has in a version. */
export function tenantShape(dropAfter: s.Shape): s.Shape {
  return s.struct({
    id: s.u128,
    name: s.string,
    options: s.struct({ tenant_is_hidden: s.bool }, {
      comment: s.nullable(s.string),
      limiter_config: s.nullable(limiterConfig(limitNames)),
      drop_after: s.nullable(dropAfter),
    }),
  });
}

export const v2_4_0: VersionStep = {
  version: "2.4.0",
  conversions: {
    user: (user, { hash }) =>
      withChanged(user, "options", (options) => {
        const password = options.get("password");
        if (password === undefined) return options;
        const plain = password !== "null" && !bcryptHash.test(readString(password));
        const stored = plain ? JSON.stringify(hash(readString(password), user.get("id") ?? "")) : password;
        return renamed(withMember(options, "password", stored), "password", "hash_password");
      }),
    tenant: (tenant) =>
      withChanged(
        tenant,
        "options",
        (options) =>
          options.has("tenant_is_hidden") ? options : withMember(options, "tenant_is_hidden", "false"),
      ),
    database: (database) =>
      withChanged(
        database,
        "config",
        (config) => config.has("db_is_hidden") ? config : withMember(config, "db_is_hidden", "false"),
      ),
    table: renumberColumns,
  },
  shapes: {
    user: s.struct({ id: s.u128, name: s.string, options: s.struct({}, userOptions), is_admin: s.bool }),
    tenant: tenantShape(timeNumDuration),
    limiter: limiter(limiterKinds),
    database: s.struct({
      tenant: s.string,
      database: s.string,
      config: s.struct({ db_is_hidden: s.bool }, {
        ttl: s.nullable(timeNumDuration),
        shard_num: s.nullable(s.u64),
        vnode_duration: s.nullable(timeNumDuration),
        replica: s.nullable(s.u64),
        precision: s.nullable(s.variant(["MS", "US", "NS"])),
      }),
    }),
    table: s.both(
      s.struct({
        tenant: s.string,
        db: s.string,
        name: s.string,
        schema_id: s.u32,
        ...columns({ geometry: true, deltaTs: false }),
      }),
      consistentColumns,
    ),
  },
};
