/** AWS Signature Version 4 of requests to the served stage, and the errors that answer them. */
import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import { loadSigner } from "../cli/deps.ts";

/** An error answer: HTTP status, S3's error code, and a message for the operator. */
export class Refusal extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

/**
 * Checks that a request was signed with the stage's key: we sign it, too, and compare. When it was signed does
 * not matter: a wrong clock must not stop a migration, and what was captured in one run fails in the next.
 * @returns the sha256 in hex that the body must have
 * @throws {Refusal} 403
 */
export async function checkSignature(
  { method, url, headers }: Pick<Request, "method" | "url" | "headers">,
  key: { accessKeyId: string; secretAccessKey: string; region: string },
): Promise<string> {
  const header = (name: string) => headers.get(name) ?? "";
  const authorization = header("authorization");
  const datetime = header("x-amz-date");
  const sha256 = header("x-amz-content-sha256");
  const names = /, SignedHeaders=([\w-]+(?:;[\w-]+)*),/.exec(authorization)?.[1]?.split(";") ?? [];
  const { AwsV4Signer } = await loadSigner();
  const signer = new AwsV4Signer({
    ...key,
    method,
    url,
    datetime,
    service: "s3",
    allHeaders: true,
    headers: names.filter((name) => name !== "host").map((name): [string, string] => [name, header(name)]),
  });
  const given = Buffer.from(authorization);
  const expected = Buffer.from(await signer.authHeader());
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new Refusal(403, "SignatureDoesNotMatch", "it is not signed with the key of this run's stage");
  }
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new Refusal(403, "InvalidRequest", "x-amz-content-sha256 must be the body's sha256 in hex");
  }
  return sha256;
}
