/** Opens the stage that a command line asks for. */
import type { Args } from "../cli/command.ts";
import { UsageError } from "../cli/errors.ts";
import { type ServedOptions, servedStage } from "./served.ts";
import type { Stage } from "./stage.ts";
import { connectionOptions, parseStage, storageStage } from "./storage.ts";

/**
 * Opens the stage at `--stage`, or serves one. CNOSDB_STAGE_CONNECTION may hold options of CONNECTION, too.
 * @throws {UsageError} if the flags contradict each other @throws {Failure} if it cannot be served
 */
export async function openStage(
  args: Args,
  served: Pick<ServedOptions, "from" | "to" | "say">,
): Promise<Stage> {
  const stage = args.value("stage");
  const importStage = args.value("import-stage");
  const connection = args.values("connection");
  const address = args.value("serve-address");
  const bytesPerSecond = args.bytes("rate") || undefined; // 0 is no limit, as for curl
  if (stage === undefined) {
    if (importStage !== undefined || connection.length) {
      throw new UsageError("--import-stage and --connection need a --stage");
    }
    return await servedStage({ ...served, address, bytesPerSecond });
  }
  if (address !== undefined || bytesPerSecond !== undefined) {
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
    return Object.entries<unknown>(JSON.parse(text)).map(([key, value]) => `${key}=${value}`);
  } catch {
    throw new UsageError(
      "CNOSDB_STAGE_CONNECTION is no JSON",
      'expected {"region":"…","access_key_id":"…"}',
    );
  }
}
