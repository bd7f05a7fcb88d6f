/** The version to convert for, as an operator names it. */
import { UsageError } from "../cli/errors.ts";
import { type Format, targetFormat } from "../versions/versions.ts";

/**
 * The target's format and how to call it.
 * @param text a release, or a data node's URL, which is asked
 * @throws {UsageError} if it is missing, or none that can be converted for
 */
export async function readTarget(
  text: string | undefined,
  signal: AbortSignal,
): Promise<{ format: Format; name: string }> {
  if (text === undefined) {
    throw new UsageError(
      "--target is missing",
      "a wrong guess here makes the new cluster unreadable: say its version, or a data node's URL.",
    );
  }
  if (!/[:/]/.test(text)) return { format: targetFormat(text), name: text };
  const [{ parseEndpoint }, { SqlClient }] = await Promise.all([
    import("../cnosdb/endpoint.ts"),
    import("../cnosdb/sql.ts"),
  ]);
  const node = parseEndpoint(text, 8902);
  const version = await new SqlClient(node, signal).version();
  return { format: targetFormat(version), name: `${version} (as ${node.url} says)` };
}
