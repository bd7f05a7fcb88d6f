/** Where the files of a copy are between export and import. */
import { Failure } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { quoteText } from "../cnosdb/sql.ts";

/** A stage as one of the two clusters reaches it. */
export interface StageSide {
  /** `CONNECTION = (…)` and a blank, or "". It holds keys: put it into the statement and nowhere else */
  readonly connection: string;
  /** HOST:PORT of a served stage */
  readonly address?: string;
  /** of a storage: its URL */
  readonly storage?: string;
  /** The URL of a directory, without a slash at its end. A served stage takes files there until `remove`. */
  readonly url: (directory: string) => string;
}

/** A stage. Its directories are named by `freshDirectory`, in this run or an earlier one. */
export interface Stage {
  readonly source: StageSide;
  readonly target: StageSide;
  /** Bytes of a directory's files; undefined if they cannot be seen from here. */
  bytes(directory: string): Promise<number | undefined>;
  /** When a cluster last read from a directory, by `performance.now()`; only a served stage knows. */
  lastReadMs?(directory: string): number;
  /** Why the stage last refused or stopped something. */
  problem(): string | undefined;
  /** Deletes a directory that is no longer needed; a storage that cannot be reached from here keeps it. */
  remove(directory: string): Promise<void>;
  /** Ends the stage. @returns what the operator should know about what is left */
  close(): Promise<string | undefined>;
}

/**
 * A new directory for each export: a second export into a used one would add its rows again. Only
 * `[A-Za-z0-9_-]`: if there is a space in its path, an export works but its import finds nothing and answers
 * 200 (2.3.5.4 to 2.4.3.4).
 */
export function freshDirectory({ tenant, database, table }: TableName): string {
  const safe = (name: string) => name.replace(/[^A-Za-z0-9_-]/gu, "_").slice(0, 40);
  return [safe(tenant), safe(database), safe(table), crypto.randomUUID().slice(0, 8)].join("-");
}

/**
 * Checks that a name is one part of a path: otherwise files outside of the stage could be read and deleted.
 * @param Kind of failure to throw
 * @throws {Failure}
 */
export function assertDirectory(
  name: string,
  Kind: new (message: string, hint: string) => Failure = Failure,
): void {
  if (/^[A-Za-z0-9_-]{1,160}$/.test(name)) return;
  throw new Kind(
    `${JSON.stringify(name)} is no directory of a stage`,
    "expected what --only export prints.",
  );
}

/** COPY INTO's CONNECTION and a blank, or "" without options. Every version refuses switches in quotes. */
export function connectionClause(options: Readonly<Record<string, string>>): string {
  const switches = ["virtual_hosted_style", "disable_oauth", "use_emulator"];
  const list = Object.entries(options).map(([key, value]) =>
    `${key} = ${switches.includes(key) ? value : quoteText(value)}`
  );
  return list.length ? `CONNECTION = (${list.join(", ")}) ` : "";
}
