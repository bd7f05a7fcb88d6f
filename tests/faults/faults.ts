/** What the fault tests share: which request is which, and faults that come so many times. */
import type { TableName } from "../../lib/cnosdb/names.ts";
import type { TableResult } from "../../lib/copy/result.ts";
import type { Fault, RecordedRequest } from "../standin/standin.ts";
import { isExport as exports, isWrite } from "../standin/troubles.ts";
import type { DatabasePlan, Pair } from "../unit/copy/copying.ts";

export const day = 86_400_000;

/** Whether a request only tries out the stage. */
export const isProbe = ({ body }: Pick<RecordedRequest, "body">) => body.includes("SELECT 1 AS x");
export const isExport = (request: RecordedRequest) => exports(request.body) && !isProbe(request);
export const isImport = ({ body }: RecordedRequest) => isWrite(body);
/** Whether it asks for rows of tables. */
export const isProfile = ({ body }: RecordedRequest) =>
  body.startsWith("SELECT ") && body.includes("count(time)");
/** `"db"."table"`, the first that a statement names. */
export const tableOf = ({ body }: RecordedRequest) => /"(\w+)"\."(\w+)"/.exec(body)?.[0] ?? "";

/** An answer of a server that refuses a statement. */
export const refusal = (code: string, message: string, execute = false): Fault => ({
  kind: "answer",
  status: 422,
  body: JSON.stringify({ error_code: code, error_message: message }),
  execute,
});

/** Does something to the first `times` requests that fit. */
export function first(times: number, fits: (request: RecordedRequest) => boolean, fault: () => Fault) {
  return (request: RecordedRequest) => fits(request) && times-- > 0 ? fault() : undefined;
}

/** Where each export went; no two may go to one directory. */
export const exportPaths = (pair: Pair) =>
  pair.old.requests.filter(isExport).map(({ body }) => body.split("'")[1]);

/** What became of each table: the error where there is one. */
export const outcomes = (results: readonly TableResult[]) =>
  results.map(({ status, error }) => error ?? status);

/** A database whose rows are older than its TTL, so that they come in under a raised one only. */
export const aged = (tables: Record<string, number>): DatabasePlan => ({
  ttl: "30d",
  startMs: Date.now() - 40 * day,
  stepMs: day / 2,
  tables,
});

/** All tables that the old cluster has. */
export function tablesOf(pair: Pair): TableName[] {
  return [...pair.old.rows.keys()].map((key) => {
    const [tenant = "", database = "", table = ""] = key.split("/");
    return { tenant, database, table };
  });
}
