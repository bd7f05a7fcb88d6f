/** 2.4.1: `is_admin` became `is_root_admin`, tenants can be dropped later, `schema_id` became `schema_version`. */
import { renamed, withChanged, withMember } from "../json.ts";
import * as s from "../shape.ts";
import { columns, consistentColumns, renumberColumns, type VersionStep } from "./common.ts";
import { userOptions } from "./v2_4_0.ts";

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
    user: (user) => user.has("is_admin") ? renamed(user, "is_admin", "is_root_admin") : user,
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
