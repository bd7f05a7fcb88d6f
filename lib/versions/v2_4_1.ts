/**
 * 2.4.1: `is_admin` became `is_root_admin`, tenants can be dropped later, `schema_id` became
 * `schema_version`, and a user whose `must_change_password` is true can do nothing else (statement_to_plan in
 * query_server/query/src/sql/planner.rs).
 */
import type { JsonObject } from "../dump/json.ts";
import * as s from "./schema.ts";
import { changed, renamed, type VersionStep, withDefault } from "./step.ts";
import * as values from "./values.ts";
import { canLogIn, user } from "./v2_4_0.ts";

export const fields = values.tableFields({ schema_version: s.u64 }, [...values.encodings, "DeltaTs"]);

/**
 * Before 2.4.1 nothing looks at `must_change_password` and nothing resets it: root has it from the first day
 * on, whatever password it was given since. Carried over it would lock out whoever has a password.
 */
function mayWork(options: JsonObject): JsonObject {
  return canLogIn(options) && options.must_change_password === true
    ? { ...options, must_change_password: false }
    : options;
}

export const v2_4_1: VersionStep = {
  releases: ["2.4.1"],
  convert: {
    user: ({ is_admin, ...user }) =>
      is_admin === undefined ? user : { ...changed(user, ["options"], mayWork), is_root_admin: is_admin },
    tenant: (tenant) => changed(tenant, ["options"], (options) => withDefault(options, "drop_after", null)),
    table: (table) =>
      values.renumberColumns(renamed(table, (name) => name === "schema_id" ? "schema_version" : name)),
  },
  reads: {
    user: s.struct({ ...user, is_root_admin: s.bool }),
    table: values.table(fields),
  },
  recognizes: {
    user: (user) => "is_root_admin" in user ? true : "is_admin" in user ? false : undefined,
    table: (table) => "schema_version" in table,
  },
};
