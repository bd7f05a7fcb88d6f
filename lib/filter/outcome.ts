/** What becomes of an entry. */
import type { Change } from "../dump/compare.ts";
import type { Key } from "../dump/key.ts";

/** What became of one entry. */
export interface Outcome {
  line: number;
  /** as in the dump */
  key: string;
  kind: Key["kind"] | "unknown";
  action: "kept" | "converted" | "dropped";
  /** the rules that were applied, in their order */
  rules: string[];
  /** the key that comes out, if it is another */
  newKey?: string | undefined;
  /** what differs in its value, if details are asked for */
  changes: Change[];
  /** a database's, such as `30d` or `INF` */
  ttl?: string | undefined;
}
