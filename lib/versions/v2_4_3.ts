/** 2.4.3 to 2.4.3.4: a TSKV table with a field that is not known is refused. */
import type { VersionStep } from "./step.ts";
import * as values from "./values.ts";
import { fields } from "./v2_4_1.ts";

export const v2_4_3: VersionStep = {
  releases: ["2.4.3", "2.4.3.1", "2.4.3.2", "2.4.3.3", "2.4.3.4"],
  convert: {
    table: (table) =>
      Object.fromEntries(Object.entries(table).filter(([name]) => Object.hasOwn(fields, name))),
  },
  reads: { table: values.table(fields, true) },
  walMaxFileSizeBytes: 134_217_728,
};
