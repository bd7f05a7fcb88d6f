/** Counts the statements that were sent to a stand-in. */
import type { RecordedRequest } from "./standin.ts";
import { rowsKey } from "./rows.ts";

/** A table as our scripts write it in a statement. */
const TABLE = /"((?:[^"]|"")+)"\."((?:[^"]|"")+)"/g;

/** The statements that were sent, in order: tenant and text. */
export function statementsOf(requests: readonly RecordedRequest[]): { tenant: string; sql: string }[] {
  return requests.filter(({ role, path }) => role === "sql" && path.startsWith("/api/v1/sql")).map((
    request,
  ) => ({
    tenant: new URL(request.path, "http://stand-in").searchParams.get("tenant") ?? "cnosdb",
    sql: request.body,
  }));
}

/** How many statements named each table, by `rowsKey`; one that asks about 16 tables counts for each. */
export function statementsByTable(requests: readonly RecordedRequest[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { tenant, sql } of statementsOf(requests)) {
    const keys = [...sql.matchAll(TABLE)].map((match) => {
      const [database, table] = match.slice(1).map((name) => name!.replaceAll('""', '"')) as [string, string];
      return rowsKey(tenant, database, table);
    });
    for (const key of new Set(keys)) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
