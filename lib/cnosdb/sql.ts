/** SQL over HTTP on a CnosDB data node (`POST /api/v1/sql`, recorded from 2.3.3 to 2.4.3.4). */
import { Failure, UsageError } from "../cli/errors.ts";
import { basicAuthorization, type Endpoint, parseEndpoint } from "./endpoint.ts";
import { jsonOf, send } from "./http.ts";

/** A statement that the server refused. `code` is CnosDB's error_code, or "". */
export class SqlError extends Failure {
  override name = "SqlError";
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly serverMessage: string,
  ) {
    super(message);
  }
}

/** A row, parsed from JSON. The server leaves out nulls. CAST numbers beyond 2^53 to STRING. */
export type Row = Record<string, string | number | boolean | undefined>;

export interface QueryOptions {
  tenant: string;
  database?: string;
  /** undefined: no limit (COPY INTO of a large table takes hours and answers only at its end) */
  timeoutMs?: number | undefined;
}

/** A data node, and our user there. */
export class SqlClient {
  readonly #authorization: string;
  readonly url: string;

  constructor(readonly endpoint: Endpoint, readonly signal: AbortSignal, readonly ca?: string) {
    this.url = endpoint.url;
    this.#authorization = basicAuthorization(endpoint);
  }

  /**
   * Runs one statement, once.
   * @throws {SqlError} if the server refuses it
   * @throws {NoAnswer} if no whole answer comes: `sent` says whether it may have run
   */
  async query(sql: string, { tenant, database, timeoutMs }: QueryOptions): Promise<Row[]> {
    const parameters = new URLSearchParams({ tenant });
    if (database !== undefined) parameters.set("db", database);
    const { url, signal, ca } = this;
    const { status, body } = await send({
      method: "POST",
      url: `${url}/api/v1/sql?${parameters.toString().replaceAll("+", "%20")}`,
      headers: { accept: "application/json", authorization: this.#authorization },
      body: sql,
      timeoutMs,
      signal,
      ca,
    });
    if (status === 200 && body === "") return [];
    const answer = jsonOf(body);
    if (status === 200) {
      const isRow = (row: unknown) => typeof row === "object" && row && !Array.isArray(row);
      if (Array.isArray(answer) && answer.every(isRow)) return answer;
      throw new Failure(
        `${url}: the answer to ${shorten(sql)} holds no rows as JSON: ${body.slice(0, 100)}`,
        "is this the HTTP port of a data node (8902 by default)?",
      );
    }
    const error = (answer ?? {}) as { error_code?: string; error_message?: string };
    const { error_code: code = "", error_message: message = body.slice(0, 300) } = error;
    const what = `${url}, tenant ${tenant}: ${shorten(sql)} answered ${status}`;
    throw new SqlError(`${what}${code && ` ${code}`}: ${message || "(nothing)"}`, status, code, message);
  }

  /**
   * The version of the node, three parts (2.4.2.1 says 2.4.2).
   * @throws {Failure} if nothing like a data node answers
   */
  async version(timeoutMs = 10_000): Promise<string> {
    const { signal, ca } = this;
    const url = `${this.url}/api/v1/ping`;
    const { status, body } = await send({ method: "GET", url, timeoutMs, mostBytes: 1 << 20, signal, ca });
    const version = /"version"\s*:\s*"(\d+\.\d+\.\d+)/.exec(body)?.[1];
    if (status === 200 && version) return version;
    throw new Failure(
      `${url} answered ${status}, not a version`,
      "expected the HTTP port of a data node (8902 by default), not the meta service's (8901).",
    );
  }

  /** HOST:PORT of the meta service's leader; undefined while there is none, and from 2.3. */
  async metaLeader(): Promise<string | undefined> {
    const { signal, ca } = this;
    const url = `${this.url}/api/v1/meta_leader`;
    const headers = { authorization: this.#authorization };
    const { status, body } = await send({ method: "GET", url, headers, timeoutMs: 10_000, signal, ca });
    return status === 200 ? body.trim().replaceAll('"', "") : undefined;
  }
}

/**
 * A data node: a flag's `text`, or else the environment's `variable`. Credentials that are not in the URL are
 * CNOSDB_USER and CNOSDB_PASSWORD.
 * @throws {UsageError} if neither is set, or it is no URL
 */
export function sqlEndpoint(flag: string, text: string | undefined, variable: string): Endpoint {
  const given = text ?? Deno.env.get(variable);
  if (!given) {
    throw new UsageError(
      `${flag} is missing`,
      `give ${flag} http://host:8902, or the whole URL in ${variable}.`,
    );
  }
  const { url, user, password } = parseEndpoint(given, 8902);
  if (user !== undefined) return { url, user, password };
  return { url, user: Deno.env.get("CNOSDB_USER"), password: password ?? Deno.env.get("CNOSDB_PASSWORD") };
}

/** Names joined by dots, quoted for SQL: CnosDB lower-cases names that are not. */
export function quoteName(...names: string[]): string {
  return names.map((name) => `"${name.replaceAll('"', '""')}"`).join(".");
}

/** A string, quoted for SQL. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A statement for a message: on one line, short, and cut before options with keys or a password. */
export function shorten(sql: string): string {
  const [shown = "", ...hidden] = sql.split(/\b(?:CONNECTION\s*=|PASSWORD\b)/i);
  const text = shown.replace(/\s+/g, " ");
  return text.length > 200 || hidden.length ? `${text.slice(0, 200)}…` : text;
}
