/** SQL over HTTP on a CnosDB data node (`POST /api/v1/sql`, recorded from 2.3.3 to 2.4.3.4). */
import { Failure, UsageError } from "../cli/errors.ts";
import { basicAuthorization, type Endpoint, parseEndpoint } from "./endpoint.ts";
import { readBody, type Request, type Response, send, stream } from "./http.ts";

/** A statement that the server refused. `code` is CnosDB's error_code, "" where the answer had none. */
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

/** A row as JSON gave it; null columns are left out by the server. Numbers beyond 2^53 have to be CAST to STRING. */
export type Row = Record<string, string | number | boolean | undefined>;

const mostRowCharacters = 64 << 20;

const isRow = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export interface QueryOptions {
  tenant: string;
  database?: string;
  /** none: as long as it takes (COPY INTO of a large table takes hours and answers only at its end) */
  timeoutMs?: number;
}

/** A data node, and who we are there. */
export class SqlClient {
  readonly #authorization: string;
  readonly url: string;

  /**
   * @param endpoint its URL; without a user in it `root` without a password, as CnosDB's own client does
   */
  constructor(readonly endpoint: Endpoint, readonly signal: AbortSignal, readonly ca?: string) {
    this.url = endpoint.url;
    this.#authorization = basicAuthorization(endpoint, "root");
  }

  /**
   * Runs one statement, once.
   * @throws {SqlError} where the server refuses it
   * @throws {NoAnswer} where no whole answer comes: `sent` tells whether it may have run
   */
  async query(sql: string, options: QueryOptions): Promise<Row[]> {
    const response = await send(this.#request(sql, "application/json", options));
    if (response.status !== 200) throw this.#refused(sql, options.tenant, response);
    if (response.body === "") return [];
    const rows = this.#parse(sql, response.body);
    if (!Array.isArray(rows) || !rows.every(isRow)) throw this.#noRows(sql, response.body);
    return rows;
  }

  /** Runs one query and gives its rows as they come, for lists too long to be held. Throws as `query` does. */
  async *rows(sql: string, options: QueryOptions): AsyncGenerator<Row> {
    const { status, headers, chunks } = await stream(this.#request(sql, "application/nd-json", options));
    if (status !== 200) {
      const { body } = await readBody(chunks, 1 << 20);
      throw this.#refused(sql, options.tenant, { status, headers, body });
    }
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of chunks) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > mostRowCharacters) throw this.#noRows(sql, rest);
      for (const line of lines) if (line) yield this.#row(sql, line);
    }
    if (rest) yield this.#row(sql, rest);
  }

  #request(sql: string, accept: string, { tenant, database, timeoutMs }: QueryOptions): Request {
    const parameters = new URLSearchParams({ tenant, ...(database === undefined ? {} : { db: database }) });
    return {
      method: "POST",
      url: `${this.url}/api/v1/sql?${parameters.toString().replaceAll("+", "%20")}`,
      headers: { accept, authorization: this.#authorization },
      body: sql,
      signal: this.signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(this.ca === undefined ? {} : { ca: this.ca }),
    };
  }

  #parse(sql: string, text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw error instanceof SyntaxError ? this.#noRows(sql, text) : error;
    }
  }

  #row(sql: string, line: string): Row {
    const row = this.#parse(sql, line);
    if (!isRow(row)) throw this.#noRows(sql, line);
    return row;
  }

  #noRows(sql: string, text: string): Failure {
    return new Failure(
      `${this.url}: the answer to ${shorten(sql)} holds no rows as JSON: ${text.slice(0, 100)}`,
      "is this the HTTP port of a data node (8902 by default)?",
    );
  }

  /**
   * The version of the node, three parts (2.4.2.1 says 2.4.2).
   * @throws {Failure} where nothing like a data node answers
   */
  async version(timeoutMs = 10_000): Promise<string> {
    const response = await send({
      method: "GET",
      url: `${this.url}/api/v1/ping`,
      timeoutMs,
      mostBytes: 1 << 20,
      signal: this.signal,
      ...(this.ca === undefined ? {} : { ca: this.ca }),
    });
    const version = /"version"\s*:\s*"(\d+\.\d+\.\d+)/.exec(response.body)?.[1];
    if (response.status !== 200 || !version) {
      throw new Failure(
        `${this.url}/api/v1/ping answered ${response.status}, not a version`,
        "expected the HTTP port of a data node (8902 by default), not the meta service's (8901).",
      );
    }
    return version;
  }

  #refused(sql: string, tenant: string, response: Response): SqlError {
    let code = "";
    let message = response.body.slice(0, 300);
    try {
      const answer = JSON.parse(response.body) as { error_code?: string; error_message?: string };
      code = answer.error_code ?? "";
      message = answer.error_message ?? message;
    } catch { /* an empty body, or a proxy's page: shown as it is */ }
    return new SqlError(
      `${this.url}, tenant ${tenant}: ${shorten(sql)} answered ${response.status}${code ? ` ${code}` : ""}: ${
        message || "(nothing)"
      }`,
      response.status,
      code,
      message,
    );
  }
}

/**
 * A client for a data node from what the operator gave.
 * @param text a flag's value; or where undefined the variable `variable`
 * Credentials: in the URL, else CNOSDB_USER and CNOSDB_PASSWORD, else root without a password.
 * @throws {UsageError} where neither is there or it is no URL
 */
export function sqlEndpoint(flag: string, text: string | undefined, variable: string): Endpoint {
  const given = text ?? Deno.env.get(variable);
  if (!given) {
    throw new UsageError(
      `${flag} is missing`,
      `give ${flag} http://host:8902, or the whole URL in ${variable}.`,
    );
  }
  const endpoint = parseEndpoint(given, 8902);
  const user = endpoint.user ?? Deno.env.get("CNOSDB_USER");
  const password = endpoint.password ??
    (endpoint.user === undefined ? Deno.env.get("CNOSDB_PASSWORD") : undefined);
  return {
    url: endpoint.url,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  };
}

/** A name in SQL: CnosDB lower-cases what is not quoted. */
export function quoteName(...names: string[]): string {
  return names.map((name) => `"${name.replaceAll('"', '""')}"`).join(".");
}

/** A string in SQL. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A statement as a message may show it: on one line, short, and only what stands before options that hold keys or a password. */
export function shorten(sql: string): string {
  const [shown = "", ...hidden] = sql.split(/\b(?:CONNECTION\s*=|PASSWORD\b)/i);
  const text = shown.replace(/\s+/g, " ");
  return text.length > 200 || hidden.length ? `${text.slice(0, 200)}…` : text;
}
