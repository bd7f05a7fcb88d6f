/** 2.4.0 and 2.4.0.1: passwords are hashed, tenants and databases can be hidden. */
import { digitsOf, type JsonObject, objectIn } from "../dump/json.ts";
import * as s from "./schema.ts";
import { changed, type VersionStep, withDefault } from "./step.ts";
import * as values from "./values.ts";

/** A bcrypt hash as 2.3.4 and later write it; such a password logs into 2.4 unchanged. */
const bcryptHash = /^\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$/;

export const user = values.userFields({
  ...s.each(s.string, "hash_password?", "rsa_public_key?", "comment?"),
  ...s.each(s.bool, "must_change_password?", "granted_admin?"),
});

/** Whether a user's options, in the form of any version, have what it can log in with. */
export function canLogIn(options: JsonObject): boolean {
  return ["password", "hash_password", "rsa_public_key"].some((name) => (options[name] ?? null) !== null);
}

export const v2_4_0: VersionStep = {
  releases: ["2.4.0", "2.4.0.1"],
  convert: {
    user: (user, { hash }) =>
      changed(user, ["options"], ({ password, ...options }) => {
        if (password === undefined) return options;
        const isPlain = typeof password === "string" && !bcryptHash.test(password);
        return { hash_password: isPlain ? hash(password, digitsOf(user.id) ?? "") : password, ...options };
      }),
    tenant: (tenant) =>
      changed(tenant, ["options"], (options) => withDefault(options, "tenant_is_hidden", false)),
    database: (database) =>
      changed(database, ["config"], (config) => withDefault(config, "db_is_hidden", false)),
    table: values.renumberColumns,
  },
  reads: {
    user: s.struct({ ...user, is_admin: s.bool }),
    tenant: values.tenant(values.limits, { tenant_is_hidden: s.bool, "drop_after?": values.timeNumDuration }),
    limiter: values.limiter(values.limits),
    database: values.database({ db_is_hidden: s.bool }),
    table: values.table(values.tableFields({ schema_id: s.u32 }, values.encodings)),
  },
  recognizes: {
    user: (user) => {
      const options = objectIn(user, "options");
      return "hash_password" in options ? true : "password" in options ? false : undefined;
    },
    tenant: (tenant) => "tenant_is_hidden" in objectIn(tenant, "options"),
    database: (database) => "options" in database || "db_is_hidden" in objectIn(database, "config"),
  },
};
