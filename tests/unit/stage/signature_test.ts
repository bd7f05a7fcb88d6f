import assert from "node:assert/strict";
import { checkSignature, Refusal } from "../../../lib/stage/signature.ts";
import { sha256Of } from "./client.ts";

/** Amazon's own examples: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
const key = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  region: "us-east-1",
};

function example(target: string, names: string, signature: string, more: Record<string, string> = {}) {
  return {
    method: "GET",
    url: `http://examplebucket.s3.amazonaws.com${target}`,
    headers: new Headers({
      host: "examplebucket.s3.amazonaws.com",
      "x-amz-content-sha256": sha256Of(""),
      "x-amz-date": "20130524T000000Z",
      authorization: `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/20130524/us-east-1/s3/aws4_request, ` +
        `SignedHeaders=${names}, Signature=${signature}`,
      ...more,
    }),
  };
}

const ranged = () =>
  example(
    "/test.txt",
    "host;range;x-amz-content-sha256;x-amz-date",
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    { range: "bytes=0-9" },
  );
const listed = () =>
  example(
    "/?max-keys=2&prefix=J",
    "host;x-amz-content-sha256;x-amz-date",
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  );

Deno.test("checkSignature() accepts Amazon's own examples, whenever they were signed, and returns the sha256 of the body", async () => {
  assert.equal(await checkSignature(ranged(), key), sha256Of(""));
  assert.equal(await checkSignature(listed(), key), sha256Of(""));
});

Deno.test("a request that was changed is refused", async () => {
  const change = async (change: (request: ReturnType<typeof ranged>) => void, other = key) => {
    const request = ranged();
    change(request);
    await assert.rejects(
      () => checkSignature(request, other),
      (error) => error instanceof Refusal && error.code === "SignatureDoesNotMatch",
    );
  };
  await change((request) => request.method = "PUT");
  await change((request) => request.url = request.url.slice(0, -1));
  await change((request) => request.url += "?a=b");
  await change(({ headers }) => headers.set("range", "bytes=0-8"));
  await change((request) => request.url = "http://another/test.txt");
  await change(({ headers }) => headers.set("x-amz-date", "20130524T000001Z"));
  await change(({ headers }) => headers.set("x-amz-content-sha256", sha256Of("x")));
  await change(() => {}, { ...key, secretAccessKey: "another" });
  await change(() => {}, { ...key, region: "eu-west-1" });
  await change(() => {}, { ...key, accessKeyId: "another" });
  await change(({ headers }) => headers.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD"));
  await change(({ headers }) => headers.delete("authorization"));
  await change(({ headers }) => headers.set("authorization", "Basic cm9vdDo="));
});

Deno.test("a signature without host, date or the body's sha256 is refused", async () => {
  for (const names of ["", ";", "host", "x-amz-content-sha256;x-amz-date", "host;x-amz-date"]) {
    const request = listed();
    request.headers.set(
      "authorization",
      request.headers.get("authorization")!.replace(/SignedHeaders=[^,]*/, `SignedHeaders=${names}`),
    );
    await assert.rejects(() => checkSignature(request, key), Refusal);
  }
});
