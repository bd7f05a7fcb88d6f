/**
 * What an error of CnosDB means: whether it passes by itself, is final, or concerns more than one statement.
 * Codes and texts are from real servers (2.3.3 to 2.4.3.4, fixtures/recorded) and CnosDB's source
 * (coordinator, meta, tskv, query_server/spi).
 */
import { NoAnswer } from "./http.ts";
import { SqlError } from "./sql.ts";

/**
 * - `transient`: nothing was done, and it passes by itself (a node has just started, a connection is refused)
 * - `unknown`: it may have been done; repeat it if it is idempotent
 * - `overloaded`: the cluster has too much to do: wait, and send less at once
 * - `expired`: rows are older than the database's TTL
 * - `cluster`: the cluster refuses our user, so all other statements would fail, too
 * - `refused`: a repeat would fail again
 */
export type Meaning = "transient" | "unknown" | "overloaded" | "expired" | "cluster" | "refused";

/** The first match decides. Texts that quote users' names come first, and are matched at their beginning. */
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
  // "max is" is in errors about the number of objects, a limit that does not refill
  [/reached limit(?!, max is)|request limit exceeded|too many requests/i, "overloaded"],
  [
    /memory exhausted|resources exhausted|failed to allocate|no space left|insufficient.?storage/i,
    "overloaded",
  ],
  // Too few nodes are up: one that has just started, or was killed (2.4.2.1), comes back. If the database has
  // more replicas than there are nodes it does not pass, but ALTER DATABASE can fix that during the retries.
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
 * Codes of errors that may pass: those of the coordinator (05, but for a wrong tenant, column, time, table
 * name or fields), of replication (06), of meta's store and leader (03), a query that was cancelled (01), a
 * server that is shutting down (02).
 */
const passing = /^(05(?!0009|0024|003[1247])|06|0300(15|22|25|26|28|29|33|36|37|55)|01001[45]|020008)/;

/** What the error of a statement means. Whatever else is thrown, such as a bug of ours, is `refused`. */
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
