/**
 * What a failed request to CnosDB means: what passes by itself, what is refused, and what concerns more than
 * the statement. Codes and texts are of real servers (2.3.3 to 2.4.3.4, fixtures/recorded) or from CnosDB's
 * source (coordinator, meta, tskv, query_server/spi).
 */
import { NoAnswer } from "./http.ts";
import { SqlError } from "./sql.ts";

/**
 * - `transient`: nothing was done; it passes by itself (a node that has just started, a connection refused)
 * - `unknown`: it may have been done; a repeat does no harm if the statement is idempotent
 * - `overloaded`: the cluster has too much to do: wait, and send less at once
 * - `expired`: rows are older than the database's TTL
 * - `cluster`: it concerns our user on the whole cluster, so no other statement fares better
 * - `refused`: a repeat would be refused again
 */
export type Meaning = "transient" | "unknown" | "overloaded" | "expired" | "cluster" | "refused";

/** The first that fits decides, so texts with users' names stand first and are told by their beginning. */
const byText: readonly [RegExp, Meaning][] = [
  [/^(Datafusion: )?(Error during planning|Schema error|Semantic error|sql parser error)/i, "refused"],
  [
    /^(Meta request error: )?(Table|Database|Column|The (tenant|member|role)) .*not found|^Not Found DB/i,
    "refused",
  ],
  [/^Auth error: The (tenant|member|role) /i, "refused"],
  [/^Auth error|^Access denied|^Insufficient privileges, expected \[change password/i, "cluster"],
  [/^Insufficient privileges/i, "refused"],
  [/expired (bucket|time)/i, "expired"],
  // "max is" comes with limits on how many things there may be, which do not refill
  [/reached limit(?!, max is)|request limit exceeded|too many requests/i, "overloaded"],
  [
    /memory exhausted|resources exhausted|failed to allocate|no space left|insufficient.?storage/i,
    "overloaded",
  ],
  // It counts the nodes that are up: one that has just started, or was killed (2.4.2.1, two of them), comes
  // back. Where the database has more replicas than there are nodes nothing comes, but ALTER DATABASE mends
  // that while this is tried again.
  [/valid node is not enough/i, "transient"],
  // raft groups without a leader yet, nodes that do not reach each other: up to two minutes, outcome unknown
  [
    /leader|forward request|valid replica|raft|time.?out|timed out|pre-execution failed|try again/i,
    "unknown",
  ],
  [/transport error|tcp connect|connection (refused|reset|closed)|broken pipe|dns error/i, "unknown"],
  [/Generic (S3|GCS|MicrosoftAzure) error/i, "unknown"],
];

/**
 * Codes of failures inside the cluster: of the coordinator (05) and of replication (06), but for what no
 * repeat mends (a tenant, a column, a time, a table's name, fields); of meta, those of its own store and its
 * leader; a query that was cancelled or a server that ends.
 */
const passing = /^(05(?!0009|0024|003[1247])|06|0300(15|22|25|26|28|29|33|36|37|55)|01001[45]|020008)/;

/** What a failure of a statement means. A bug of ours is `refused`. */
export function meaningOf(error: unknown): Meaning {
  if (error instanceof NoAnswer) return error.sent ? "unknown" : "transient";
  if (!(error instanceof SqlError)) return "refused";
  const { status, code, serverMessage } = error;
  if (status === 429 || status === 503 || status === 507) return "overloaded";
  if (status === 401 || status === 403) return "cluster";
  const found = byText.find(([pattern]) => pattern.test(serverMessage));
  if (found) return found[1];
  return status >= 500 || passing.test(code) ? "unknown" : "refused";
}
