/** What a failed request to CnosDB means: what passes by itself, what is refused, and what concerns more than the statement. */
import { NoAnswer } from "./http.ts";
import { SqlError } from "./sql.ts";

/**
 * - `transient`: nothing was done; it passes by itself (a node that has just started, an election, a connection refused)
 * - `unknown`: it may have been done; a repeat does no harm where the statement is idempotent
 * - `overloaded`: the cluster has too much to do: wait, and send less at once
 * - `expired`: rows are older than the database's TTL
 * - `cluster`: it concerns the whole cluster and our user there, so no other statement fares better
 * - `refused`: a repeat would be refused again
 */
export type Meaning = "transient" | "unknown" | "overloaded" | "expired" | "cluster" | "refused";

/** By what the text says, the first that fits; texts are of real servers, 2.3.3 to 2.4.3.4, or of CnosDB's source. */
const byText: [RegExp, Meaning][] = [
  [/expired (bucket|time)/i, "expired"],
  // "max is" comes with limits on how many things there may be, which do not refill
  [
    /reached limit(?!, max is)|request limit exceeded|memory exhausted|resources exhausted|failed to allocate/i,
    "overloaded",
  ],
  [/no space left|insufficient.?storage/i, "overloaded"],
  // a node that has just started and has not reported itself; with "found: 1" there are too few nodes for good
  [/valid node is not enough, need: \d+, but found: 0\b/i, "transient"],
  [/valid node is not enough/i, "refused"],
  [/access denied|password|user .* not found|change password/i, "cluster"],
  // raft groups without a leader yet, nodes that do not answer each other: seconds to two minutes, outcome unknown
  [
    /leader|forward request|replica|time.?out|timed out|pre-execution failed|transport error|tcp connect/i,
    "unknown",
  ],
  [/connection (refused|reset|closed)|broken pipe|Generic (S3|GCS|MicrosoftAzure) error/i, "unknown"],
];

/** What a failure of a statement means. Anything that is no answer of a server, and no want of one, is `refused`. */
export function meaningOf(error: unknown): Meaning {
  if (error instanceof NoAnswer) return error.sent ? "unknown" : "transient";
  if (!(error instanceof SqlError)) return "refused";
  const { status, code, serverMessage } = error;
  if (status === 429 || status === 503 || status === 507) return "overloaded";
  if (status === 401 || status === 403) return "cluster";
  const found = byText.find(([pattern]) => pattern.test(serverMessage));
  if (found) return found[1];
  // 05xxxx is the coordinator, whose failures mostly pass
  return status >= 500 || code.startsWith("05") && code !== "050034" ? "unknown" : "refused";
}
