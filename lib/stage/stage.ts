/** Where the files of a copy lie between export and import. */
import { Failure } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { quoteText } from "../cnosdb/sql.ts";

/** What one side is told of a stage. */
export interface StageSide {
  /** `CONNECTION = (…)` and a blank, or nothing: holds keys, so it is put into what is sent and into nothing else */
  readonly connection: string;
  /** HOST:PORT of a served stage */
  readonly address?: string;
  /** Where it writes or reads a directory, without a slash at the end; a served stage then takes files there until `remove`. */
  readonly url: (directory: string) => string;
}

/** A stage, as the copying of a table needs it. Directories are names that `freshDirectory` gave, in this run or an earlier one. */
export interface Stage {
  readonly source: StageSide;
  readonly target: StageSide;
  /** Bytes of a directory's files; undefined where they cannot be seen from here. */
  bytes(directory: string): Promise<number | undefined>;
  /** When something of a directory was read last, by `performance.now()`; a served stage alone can tell. */
  usedMs?(directory: string): number;
  /** Why the stage itself refused or stopped last, for the operator. */
  problem(): string | undefined;
  /** Lets go of a directory that is not needed any more; in another storage than a local one it is kept, and counted. */
  remove(directory: string): Promise<void>;
  /** Ends the stage; gives what an operator should know about what is left. */
  close(): Promise<string | undefined>;
}

/**
 * Another directory each time: an export into one that is used adds its rows a second time. `[A-Za-z0-9_-]`
 * alone: with a space in a path an export works and its import finds nothing, and says 200 (2.3.5.4 to
 * 2.4.3.4).
 */
export function freshDirectory({ tenant, database, table }: TableName): string {
  const safe = (name: string) => name.replace(/[^A-Za-z0-9_-]/gu, "_").slice(0, 40);
  return [safe(tenant), safe(database), safe(table), crypto.randomUUID().slice(0, 8)].join("-");
}

/**
 * @param Kind of failure that is thrown
 * @throws {Failure} for a name that is not one path part: anything could be read, and removed, outside of the stage
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

/** COPY INTO's CONNECTION and a blank; switches are bare words, as every version refuses them in quotes. Nothing for no options. */
export function connectionClause(options: Readonly<Record<string, string>>): string {
  const list = Object.entries(options).map(([key, value]) =>
    `${key} = ${/^(virtual_hosted_style|disable_oauth|use_emulator)$/.test(key) ? value : quoteText(value)}`
  );
  return list.length ? `CONNECTION = (${list.join(", ")}) ` : "";
}
