/** 2.3.2 and 2.3.3: a database without a TTL keeps its rows for ever; in 2.3.0 and 2.3.1 that meant 365 days. */
import { changed, type VersionStep } from "./step.ts";
import * as values from "./values.ts";

export const v2_3_2: VersionStep = {
  releases: ["2.3.2", "2.3.3"],
  onlyBySource: true,
  convert: {
    database: (database) =>
      changed(database, ["config"], (config) => ({ ...config, ttl: config.ttl ?? values.year })),
  },
  reads: {},
};
