/** The stage that the command line asks for. */
import { UsageError } from "../cli/errors.ts";
import { type ServedOptions, servedStage } from "./served.ts";
import type { Stage } from "./stage.ts";
import { connectionOptions, parseStage, storageStage } from "./storage.ts";

/** The flags' texts, and both sides' nodes. */
export interface AskedStage extends ServedOptions {
  readonly stage?: string | undefined;
  readonly importStage?: string | undefined;
  /** `KEY=VALUE` */
  readonly connection: readonly string[];
}

/**
 * Opens the stage at `--stage`, or serves one. Options of CONNECTION come from CNOSDB_STAGE_CONNECTION, too.
 * @throws {UsageError} where the flags make none
 * @throws {Failure} where it cannot be served
 */
export async function openStage(asked: AskedStage): Promise<Stage> {
  const { stage, importStage, connection } = asked;
  if (stage === undefined) {
    if (importStage !== undefined || connection.length) {
      throw new UsageError("--import-stage and --connection need a --stage");
    }
    return await servedStage(asked);
  }
  if (asked.address !== undefined || asked.bytesPerSecond !== undefined) {
    throw new UsageError(
      "--serve-address and --rate go with the stage that this script serves, not with --stage",
    );
  }
  const url = parseStage("--stage", stage);
  const importUrl = importStage === undefined ? url : parseStage("--import-stage", importStage);
  return storageStage(url, importUrl, connectionOptions(url, [...fromEnvironment(), ...connection]));
}

function fromEnvironment(): string[] {
  const text = Deno.env.get("CNOSDB_STAGE_CONNECTION");
  if (!text) return [];
  try {
    const options = JSON.parse(text) as Record<string, unknown>;
    return Object.entries(options).map(([key, value]) => `${key}=${value}`);
  } catch {
    throw new UsageError(
      "CNOSDB_STAGE_CONNECTION is no JSON",
      'expected {"region":"…","access_key_id":"…"}',
    );
  }
}
