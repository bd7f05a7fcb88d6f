/** 2.4.3 to 2.4.3.4: a TSKV table with a field that is not known is refused. */
import * as s from "./shape.ts";
import { consistentColumns, renumberColumns, type VersionStep } from "./common.ts";
import { tableFields } from "./v2_4_1.ts";

export const v2_4_3: VersionStep = {
  version: "2.4.3",
  conversions: {
    table: (table) => {
      const known = new Map([...table].filter(([name]) => name in tableFields));
      return renumberColumns(known.size === table.size ? table : known);
    },
  },
  shapes: { table: s.both(s.struct(tableFields, {}, true), consistentColumns) },
};
