/**
 * 2.4.1: `is_admin` became `is_root_admin`, tenants can be dropped later, `schema_id` became `schema_version`, and a user whose
 * `must_change_password` is true can do nothing else (statement_to_plan in query_server/query/src/sql/planner.rs).
 */
import { type RawObject, renamed, withChanged, withMember } from "../dump/json.ts";
import * as s from "./shape.ts";
import { columns, consistentColumns, renumberColumns, type VersionStep } from "./common.ts";
import { canLogIn, userOptions } from "./v2_4_0.ts";

export const tableFields = {
  tenant: s.string,
  db: s.string,
  name: s.string,
  schema_version: s.u64,
  ...columns({ geometry: true, deltaTs: true }),
};

export const v2_4_1: VersionStep = {
  version: "2.4.1",
  conversions: {
    user: (user) =>
      user.has("is_admin")
        ? renamed(withChanged(user, "options", withoutMustChange), "is_admin", "is_root_admin")
        : user,
    tenant: (tenant) =>
      withChanged(
        tenant,
        "options",
        (options) => options.has("drop_after") ? options : withMember(options, "drop_after", "null"),
      ),
    table: (table) =>
      renumberColumns(table.has("schema_id") ? renamed(table, "schema_id", "schema_version") : table),
  },
  shapes: {
    user: s.struct({ id: s.u128, name: s.string, options: s.struct({}, userOptions), is_root_admin: s.bool }),
    table: s.both(s.struct(tableFields), consistentColumns),
  },
};

/**
 * Before 2.4.1 nothing looks at `must_change_password` and nothing resets it: root has it from the first day on, whatever password it was
 * given since. Carried over it would lock out whoever has a password.
 */
function withoutMustChange(options: RawObject): RawObject {
  return canLogIn(options) && options.get("must_change_password") === "true"
    ? withMember(options, "must_change_password", "false")
    : options;
}
