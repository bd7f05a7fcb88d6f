/**
 * Checks the AWS Signature Version 4 of requests to the stage that `copy_tables` serves.
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** Who may use the stage: random for each run, and told to the clusters in COPY INTO's CONNECTION. */
export interface StageKey {
  accessKeyId: string;
  secretKey: string;
  region: string;
}

/** A request as it was received: `path` and `query` still percent-encoded, `query` without its `?`. */
export interface RequestHead {
  method: string;
  path: string;
  query: string;
  headers: Headers;
}

/** An answer that is an error: `status` and S3's error code; the message is for the cluster's operator. */
export class Refusal extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

/**
 * How far a cluster's clock may be from ours. S3 allows 15 minutes, but a clock that is off must not stop a
 * migration, and replays of another run fail by their key anyway. The bound only keeps what was captured on
 * the wire from being sent again for ever.
 */
const clockSkewMs = 24 * 60 * 60 * 1000;

const hmac = (key: string | Uint8Array, text: string) => createHmac("sha256", key).update(text).digest();
const strictlyEncoded = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

function canonicalQuery(query: string): string {
  const pairs = new URLSearchParams(query);
  pairs.sort();
  return [...pairs].map((pair) => pair.map(strictlyEncoded).join("=")).join("&");
}

/**
 * The signature, in hex, that a request must carry.
 * @param signedHeaders names in lower case, in the order the client lists them
 */
export function signatureOf(head: RequestHead, signedHeaders: string[], key: StageKey): string {
  const time = head.headers.get("x-amz-date") ?? "";
  const day = time.slice(0, 8);
  const canonical = [
    head.method,
    head.path, // S3 signs the path as sent, other services encode it once more
    canonicalQuery(head.query),
    ...signedHeaders.map((name) => `${name}:${head.headers.get(name) ?? ""}`),
    "",
    signedHeaders.join(";"),
    head.headers.get("x-amz-content-sha256") ?? "",
  ].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const scope = [day, key.region, "s3", "aws4_request"];
  const signingKey = scope.reduce<string | Uint8Array>(hmac, `AWS4${key.secretKey}`);
  return hmac(signingKey, `AWS4-HMAC-SHA256\n${time}\n${scope.join("/")}\n${digest}`).toString("hex");
}

/**
 * Checks that a request was signed with the stage's key.
 * @param nowMs our clock, milliseconds since 1970
 * @returns the sha256 in hex that the body must have
 * @throws {Refusal} 403, or 400 where the body's sha256 is not given
 */
export function checkSignature(head: RequestHead, key: StageKey, nowMs = Date.now()): string {
  const given =
    /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\S+?),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/
      .exec(head.headers.get("authorization") ?? "");
  if (!given) throw new Refusal(403, "AccessDenied", "the request is not signed with AWS4-HMAC-SHA256");
  const [, id, scope, names = "", signature = ""] = given;
  if (id !== key.accessKeyId) {
    throw new Refusal(403, "InvalidAccessKeyId", "the access key is not this run's: each run has its own");
  }
  const signedHeaders = names.split(";");
  const sha256 = head.headers.get("x-amz-content-sha256") ?? "";
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new Refusal(400, "InvalidRequest", "x-amz-content-sha256 must be the body's sha256 in hex");
  }
  const amz = [...head.headers.keys()].filter((name) => name.startsWith("x-amz-"));
  const unsigned = ["host", "x-amz-date", ...amz].find((name) => !signedHeaders.includes(name));
  if (unsigned) throw new Refusal(403, "AccessDenied", `${unsigned} must be sent and signed`);

  const time = head.headers.get("x-amz-date") ?? "";
  const signed = scope === `${time.slice(0, 8)}/${key.region}/s3/aws4_request` &&
    timingSafeEqual(Buffer.from(signatureOf(head, signedHeaders, key)), Buffer.from(signature));
  if (!signed) throw new Refusal(403, "SignatureDoesNotMatch", "the signature does not match the request");

  const sentMs = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (!(Math.abs(nowMs - sentMs) <= clockSkewMs)) {
    const now = new Date(nowMs).toISOString();
    throw new Refusal(403, "RequestTimeTooSkewed", `sent at ${time}, but here it is ${now}: set the clocks`);
  }
  return sha256;
}
