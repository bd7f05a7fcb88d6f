/** The stage that the command line asks for. */
import type { Args } from "../cli/command.ts";
import { UsageError } from "../cli/errors.ts";
import { type ServedOptions, servedStage } from "./served.ts";
import type { Stage } from "./stage.ts";
import { connectionOptions, parseStage, storageStage } from "./storage.ts";

/**
 * Opens the stage at `--stage`, or serves one. Options of CONNECTION come from CNOSDB_STAGE_CONNECTION, too.
 * @throws {UsageError} where the flags make none @throws {Failure} where it cannot be served
 */
export async function openStage(
  args: Args,
  served: Pick<ServedOptions, "from" | "to" | "say">,
): Promise<Stage> {
  const [stage, importStage] = [args.value("stage"), args.value("import-stage")];
  const connection = args.values("connection");
  const [address, bytesPerSecond] = [args.value("serve-address"), args.bytes("rate")];
  if (stage === undefined) {
    if (importStage === undefined && !connection.length) {
      return await servedStage({ ...served, address, bytesPerSecond });
    }
    throw new UsageError("--import-stage and --connection need a --stage");
  }
  if (address !== undefined || bytesPerSecond !== undefined) {
    const told = "--serve-address and --rate go with the stage that this script serves, not with --stage";
    throw new UsageError(told);
  }
  const url = parseStage("--stage", stage);
  const importUrl = importStage === undefined ? url : parseStage("--import-stage", importStage);
  return storageStage(url, importUrl, connectionOptions(url, [...fromEnvironment(), ...connection]));
}

function fromEnvironment(): string[] {
  const text = Deno.env.get("CNOSDB_STAGE_CONNECTION");
  if (!text) return [];
  try {
    return Object.entries<unknown>(JSON.parse(text)).map(([key, value]) => `${key}=${value}`);
  } catch {
    throw new UsageError(
      "CNOSDB_STAGE_CONNECTION is no JSON",
      'expected {"region":"…","access_key_id":"…"}',
    );
  }
}
