import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { AwsV4Signer } from "npm:aws4fetch@1.0.20";
import { checkSignature, Refusal, signatureOf } from "../../../lib/stage/sigv4.ts";
import {
  addressTowards,
  serveStage,
  type StageServer,
  type StageServerOptions,
} from "../../../lib/stage/stage_server.ts";

const sha256Of = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex");
const emptySha256 = sha256Of("");
const bytesOf = (text: string) => new TextEncoder().encode(text);

interface Answer {
  status: number;
  headers: Headers;
  body: Uint8Array;
  text: string;
}

/** A stage in a directory of the test's own, with the directory `t-1` open. */
async function withStage(
  test: (stage: StageServer, parent: string) => Promise<void>,
  options: Partial<StageServerOptions> = {},
): Promise<void> {
  const parent = await Deno.makeTempDir();
  const stage = await serveStage({
    listen: { hostname: "127.0.0.1", port: 0 },
    advertise: "127.0.0.1:0",
    directory: parent,
    ...options,
  });
  try {
    stage.url("t-1");
    await test(stage, parent);
  } finally {
    await stage.close();
    await Deno.remove(parent, { recursive: true });
  }
}

const bucketOf = (stage: StageServer) => new URL(stage.url("t-1")).hostname;
const hostOf = (stage: StageServer) => new URL(stage.connection.endpoint_url ?? "").host;
const directoryOf = (parent: string) => join(parent, [...Deno.readDirSync(parent)][0]?.name ?? "");
/** The names of what lies in the stage's directory, its lock aside. */
const filesIn = (parent: string) =>
  [...Deno.readDirSync(directoryOf(parent))].map((entry) => entry.name).filter((name) => name !== "lock");

interface Signing {
  accessKeyId?: string;
  secretKey?: string;
  headers?: Record<string, string>;
}

/** Headers by aws4fetch: `path` starts with a slash and holds the query. */
async function sign(
  stage: StageServer,
  method: string,
  path: string,
  signing: Signing = {},
): Promise<Headers> {
  const { endpoint_url, region, access_key_id, secret_key } = stage.connection;
  const signed = await new AwsV4Signer({
    method,
    url: endpoint_url + path,
    accessKeyId: signing.accessKeyId ?? access_key_id ?? "",
    secretAccessKey: signing.secretKey ?? secret_key ?? "",
    region: region ?? "",
    service: "s3",
    headers: { "x-amz-content-sha256": emptySha256, ...signing.headers },
  }).sign();
  return signed.headers;
}

/** Sends a request byte for byte, with as much of `body` as there is, and reads the answer to its end. */
async function send(
  stage: StageServer,
  method: string,
  target: string,
  headers: Headers,
  body: Iterable<Uint8Array> = [],
): Promise<Answer> {
  using connection = await start(stage, method, target, headers, body);
  return await readAnswer(connection);
}

async function start(
  stage: StageServer,
  method: string,
  target: string,
  headers: Headers,
  body: Iterable<Uint8Array> = [],
): Promise<Deno.TcpConn> {
  const [hostname = "", port] = hostOf(stage).split(":");
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const lines = [`${method} ${target} HTTP/1.1`, `host: ${hostOf(stage)}`, "connection: close"];
  headers.forEach((value, name) => lines.push(`${name}: ${value}`));
  await write(connection, bytesOf(`${lines.join("\r\n")}\r\n\r\n`));
  for (const piece of body) await write(connection, piece);
  return connection;
}

async function write(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function readAnswer(connection: Deno.TcpConn): Promise<Answer> {
  return answerOf(new Uint8Array(await new Response(connection.readable).arrayBuffer()));
}

function answerOf(bytes: Uint8Array): Answer {
  const latin = new TextDecoder("latin1").decode(bytes);
  const [head = "", ...rest] = latin.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers = new Headers(lines.map((line) => line.split(/: ?(.*)/).slice(0, 2) as [string, string]));
  const body = bytes.subarray(bytes.length - rest.join("\r\n\r\n").length);
  return { status: Number(first.split(" ")[1]), headers, body, text: new TextDecoder().decode(body) };
}

async function put(
  stage: StageServer,
  key: string,
  content: Uint8Array,
  signing: Signing = {},
): Promise<Answer> {
  const path = `/${bucketOf(stage)}/${key}`;
  const headers = { "x-amz-content-sha256": sha256Of(content), ...signing.headers };
  const signed = await sign(stage, "PUT", path, { ...signing, headers });
  signed.set("content-length", `${content.length}`);
  return await send(stage, "PUT", path, signed, [content]);
}

async function get(
  stage: StageServer,
  pathAndQuery: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const path = `/${bucketOf(stage)}${pathAndQuery}`;
  return await send(stage, "GET", path, await sign(stage, "GET", path, { headers }));
}

const list = (stage: StageServer, dir: string) => get(stage, `?list-type=2&prefix=${dir}%2F`);
const errorCode = (answer: Answer) => /<Code>(.*)<\/Code>/.exec(answer.text)?.[1];

/** Signs by hand what no client would send: any path, any headers. */
function signByHand(
  stage: StageServer,
  method: string,
  target: string,
  extra: Record<string, string> = {},
): Headers {
  const { region = "", access_key_id: accessKeyId = "", secret_key: secretKey = "" } = stage.connection;
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const headers = new Headers({
    host: hostOf(stage),
    "x-amz-date": time,
    "x-amz-content-sha256": emptySha256,
    ...extra,
  });
  const [path = "", query = ""] = target.split("?");
  const names = [...headers.keys()];
  const signature = signatureOf({ method, path, query, headers }, names, { accessKeyId, secretKey, region });
  const scope = `${(extra["x-amz-date"] ?? time).slice(0, 8)}/${region}/s3/aws4_request`;
  headers.set(
    "authorization",
    `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${
      names.join(";")
    }, Signature=${signature}`,
  );
  headers.delete("host");
  return headers;
}

Deno.test("signatureOf() gives the signatures of Amazon's own examples", () => {
  const key = {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region: "us-east-1",
  };
  const headers = new Headers({
    host: "examplebucket.s3.amazonaws.com",
    range: "bytes=0-9",
    "x-amz-content-sha256": emptySha256,
    "x-amz-date": "20130524T000000Z",
  });
  const plain = ["host", "x-amz-content-sha256", "x-amz-date"];
  assert.equal(
    signatureOf({ method: "GET", path: "/test.txt", query: "", headers }, [
      "host",
      "range",
      ...plain.slice(1),
    ], key),
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );
  assert.equal(
    signatureOf({ method: "GET", path: "/", query: "prefix=J&max-keys=2", headers }, plain, key),
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  );
});

Deno.test("checkSignature() takes a clock that is hours off and refuses one that is days off", () => {
  const key = { accessKeyId: "id", secretKey: "secret", region: "stage" };
  const headers = new Headers({
    host: "stage:1",
    "x-amz-content-sha256": emptySha256,
    "x-amz-date": "20260101T000000Z",
  });
  const head = { method: "GET", path: "/b/k", query: "", headers };
  const names = ["host", "x-amz-content-sha256", "x-amz-date"];
  headers.set(
    "authorization",
    `AWS4-HMAC-SHA256 Credential=id/20260101/stage/s3/aws4_request, SignedHeaders=${names.join(";")}, ` +
      `Signature=${signatureOf(head, names, key)}`,
  );
  const sentMs = Date.UTC(2026, 0, 1);
  for (const hours of [-23, 0, 23]) {
    assert.equal(checkSignature(head, key, sentMs + hours * 3_600_000), emptySha256);
  }
  for (const hours of [-25, 25]) {
    assert.throws(
      () => checkSignature(head, key, sentMs + hours * 3_600_000),
      (error) => error instanceof Refusal && error.code === "RequestTimeTooSkewed",
    );
  }
});

Deno.test("the stage gives back whole and in ranges what was put into it", () =>
  withStage(async (stage) => {
    const content = new Uint8Array(randomBytes(60_000));
    const answer = await put(stage, "t-1/part-1-0-0.parquet", content);
    assert.equal(answer.status, 200);
    assert.equal(answer.body.length, 0);
    assert.equal(stage.size("t-1"), 60_000);
    assert.equal(stage.bytesStaged(), 60_000);
    assert.equal(stage.bytesIn(), 60_000);

    const whole = await get(stage, "/t-1/part-1-0-0.parquet");
    assert.equal(whole.status, 200);
    assert.deepEqual(whole.body, content);
    for (
      const [range, start, end] of [
        ["bytes=59992-59999", 59_992, 60_000],
        ["bytes=4-59000", 4, 59_001],
        ["bytes=0-0", 0, 1],
        ["bytes=59999-70000", 59_999, 60_000],
        ["bytes=100-", 100, 60_000],
        ["bytes=-8", 59_992, 60_000],
        ["bytes=-70000", 0, 60_000],
      ] as const
    ) {
      const part = await get(stage, "/t-1/part-1-0-0.parquet", { range });
      assert.equal(part.status, 206, range);
      assert.equal(part.headers.get("content-range"), `bytes ${start}-${end - 1}/60000`);
      assert.equal(part.headers.get("content-length"), `${end - start}`);
      assert.deepEqual(part.body, content.subarray(start, end), range);
    }
    for (const range of ["bytes=60000-", "bytes=8-4", "bytes=-0", "bytes=-", "bytes=1-2,4-5", "rows=1-2"]) {
      const refused = await get(stage, "/t-1/part-1-0-0.parquet", { range });
      assert.deepEqual([refused.status, errorCode(refused)], [416, "InvalidRange"], range);
    }
    assert.equal((await get(stage, "/t-1/part-2.parquet")).status, 404);
    assert.ok(stage.bytesOut() > 60_000 * 3);
  }));

Deno.test("the stage answers HEAD with a file's size and no body", () =>
  withStage(async (stage) => {
    await put(stage, "t-1/a.parquet", bytesOf("rows"));
    const path = `/${bucketOf(stage)}/t-1/a.parquet`;
    const answer = await send(stage, "HEAD", path, await sign(stage, "HEAD", path));
    assert.deepEqual([answer.status, answer.headers.get("content-length"), answer.text], [200, "4", ""]);
    assert.ok(!Number.isNaN(Date.parse(answer.headers.get("last-modified") ?? "")));
  }));

Deno.test("an empty file is taken, listed and given back", () =>
  withStage(async (stage) => {
    assert.equal((await put(stage, "t-1/a", new Uint8Array())).status, 200);
    assert.match((await list(stage, "t-1")).text, /<Key>t-1\/a<\/Key>.*<Size>0<\/Size>/);
    const answer = await get(stage, "/t-1/a");
    assert.deepEqual([answer.status, answer.body.length], [200, 0]);
  }));

Deno.test("a listing has the form that real clusters were served", async () => {
  const recorded =
    (await Deno.readTextFile(new URL("../../../fixtures/recorded/stage-s3.jsonl", import.meta.url)))
      .trim().split("\n").map((line) => JSON.parse(line));
  // What truly varies: the bucket, times and ETags.
  const form = (xml: string) =>
    xml.replace(/<Name>[^<]*/, "<Name>BUCKET").replace(/<LastModified>[\d-]+T[\d:.]+Z/g, "<LastModified>TIME")
      .replace(/<ETag>"[^"]*"/g, '<ETag>"TAG"');
  await withStage(async (stage) => {
    const puts = recorded.filter((request) => request.method === "PUT");
    for (const request of puts) {
      const key = request.path.split("/").slice(2).join("/");
      stage.url(key.split("/")[0]);
      assert.equal((await put(stage, key, new Uint8Array(request.bytes))).status, request.status);
    }
    let compared = 0;
    for (const request of recorded.filter((request) => request.method === "GET")) {
      const target = request.path.slice("/run-1".length);
      const answer = await get(stage, target, request.headers.range ? { range: request.headers.range } : {});
      assert.equal(answer.status, request.status);
      if (request.note) assert.equal(form(answer.text), form(request.note));
      else assert.equal(answer.body.length, request.bytes);
      compared++;
    }
    assert.deepEqual([puts.length, compared], [3, 11]);
  });
});

Deno.test("a recorded PUT's header set is taken once it is signed with this run's key", () =>
  withStage(async (stage) => {
    const target = `/${bucketOf(stage)}/t-1/part-1-0-0.parquet`;
    const headers = signByHand(stage, "PUT", target, { "x-amz-content-sha256": sha256Of("rows") });
    for (
      const [name, value] of [["accept", "*/*"], ["user-agent", "object_store/0.6.1"], [
        "content-length",
        "4",
      ]]
    ) {
      headers.set(name ?? "", value ?? "");
    }
    assert.match(headers.get("authorization") ?? "", /SignedHeaders=host;x-amz-content-sha256;x-amz-date,/);
    assert.equal((await send(stage, "PUT", target, headers, [bytesOf("rows")])).status, 200);
  }));

Deno.test("a listing goes on in pages where there is more", () =>
  withStage(async (stage) => {
    for (const name of ["c", "a", "b"]) await put(stage, `t-1/${name}`, bytesOf(name));
    const first = await get(stage, "?list-type=2&max-keys=2&prefix=t-1%2F");
    assert.match(first.text, /<KeyCount>2<.*<IsTruncated>true<.*<Key>t-1\/a<.*<Key>t-1\/b</);
    const token = /<NextContinuationToken>(.*)<\/Next/.exec(first.text)?.[1] ?? "";
    const page = `?continuation-token=${encodeURIComponent(token)}&list-type=2&max-keys=2&prefix=t-1%2F`;
    assert.match(
      (await get(stage, page)).text,
      /<KeyCount>1<.*<IsTruncated>false<\/IsTruncated><Contents><Key>t-1\/c</,
    );
  }));

Deno.test("a listing names only what is under its prefix, and escapes it", () =>
  withStage(async (stage) => {
    stage.url("t-10");
    await put(stage, "t-1/a", bytesOf("1"));
    await put(stage, "t-10/a", bytesOf("2"));
    const keys = (text: string) => [...text.matchAll(/<Key>([^<]*)/g)].map((match) => match[1]);
    assert.deepEqual(keys((await list(stage, "t-1")).text), ["t-1/a"]);
    assert.deepEqual(keys((await get(stage, "?list-type=2")).text), ["t-1/a", "t-10/a"]);
    const odd = await get(stage, "?list-type=2&prefix=%3Cx%26%22");
    assert.match(odd.text, /<Prefix>&#60;x&#38;&#34;<\/Prefix><KeyCount>0</);
  }));

Deno.test("what is not signed with this run's key is refused and writes nothing", () =>
  withStage(async (stage, parent) => {
    const rows = bytesOf("rows");
    const path = `/${bucketOf(stage)}/t-1/a`;
    const unsigned = new Headers({ "content-length": "4" });
    const answers: [Promise<Answer>, number, string][] = [
      [put(stage, "t-1/a", rows, { secretKey: "another" }), 403, "SignatureDoesNotMatch"],
      [put(stage, "t-1/a", rows, { accessKeyId: "another" }), 403, "InvalidAccessKeyId"],
      [send(stage, "PUT", path, unsigned, [rows]), 403, "AccessDenied"],
      [
        put(stage, "t-1/a", rows, { headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } }),
        400,
        "InvalidRequest",
      ],
      [put(stage, "t-1/a", rows, { headers: { "x-amz-content-sha256": "" } }), 400, "InvalidRequest"],
    ];
    for (const [answer, status, code] of answers) {
      const { status: got, ...rest } = await answer;
      assert.deepEqual([got, errorCode({ status: got, ...rest })], [status, code]);
    }

    const signed = await sign(stage, "PUT", path, { headers: { "x-amz-content-sha256": sha256Of(rows) } });
    signed.set("content-length", "4");
    const changes: [string, (headers: Headers) => string | void][] = [
      ["another path", () => `/${bucketOf(stage)}/t-1/b`],
      ["a query", () => `${path}?x=1`],
      ["another sha256", (headers) => headers.set("x-amz-content-sha256", sha256Of("none"))],
      ["another time", (headers) => headers.set("x-amz-date", "20260101T000000Z")],
      ["an unsigned x-amz header", (headers) => headers.set("x-amz-copy-source", "/b/k")],
    ];
    for (const [change, apply] of changes) {
      const headers = new Headers(signed);
      const target = apply(headers) || path;
      assert.equal((await send(stage, "PUT", target, headers, [rows])).status, 403, change);
    }
    const other = await sign(stage, "PUT", "/other/t-1/a", {
      headers: { "x-amz-content-sha256": sha256Of(rows) },
    });
    other.set("content-length", "4");
    const elsewhere = await send(stage, "PUT", "/other/t-1/a", other, [rows]);
    assert.deepEqual([elsewhere.status, errorCode(elsewhere)], [403, "AccessDenied"]);
    const withoutSha = new Headers(signed);
    withoutSha.delete("x-amz-content-sha256");
    assert.equal((await send(stage, "PUT", path, withoutSha, [rows])).status, 400);
    assert.equal((await send(stage, "GET", path, new Headers())).status, 403);

    assert.deepEqual(filesIn(parent), []);
    assert.equal(stage.bytesStaged(), 0);
    assert.equal(stage.bytesIn(), 0);
    assert.equal(stage.lastError(), undefined);
    assert.equal((await send(stage, "PUT", path, signed, [rows])).status, 200);
  }));

Deno.test("a body that is not the one that was signed is refused and leaves nothing", () =>
  withStage(async (stage, parent) => {
    const path = `/${bucketOf(stage)}/t-1/a`;
    const signed = await sign(stage, "PUT", path, { headers: { "x-amz-content-sha256": sha256Of("rows") } });
    signed.set("content-length", "4");
    const answer = await send(stage, "PUT", path, signed, [bytesOf("rowz")]);
    assert.deepEqual([answer.status, errorCode(answer)], [400, "XAmzContentSHA256Mismatch"]);
    assert.deepEqual(filesIn(parent), []);
    assert.equal((await get(stage, "/t-1/a")).status, 404);
    assert.match(stage.lastError() ?? "", /t-1\/a is not what was sent/);
  }));

Deno.test("names that climb out or need encoding are refused, however well they are signed", () =>
  withStage(async (stage, parent) => {
    const names = [
      "../a",
      "t-1/../../a",
      "t-1/%2e%2e/a",
      "t-1/..%2fa",
      "/etc/a",
      "t-1//a",
      "t-1/",
      "t-1/./a",
    ];
    for (
      const name of [...names, "t-1/..", "t-1/a\\b", "t-1/a%00", "t-1/a%20b", "t-1/a:b", "t-1/%E5%8C%85"]
    ) {
      for (const method of ["PUT", "GET"]) {
        const target = `/${bucketOf(stage)}/${name}`;
        const content = method === "PUT" ? bytesOf("rows") : new Uint8Array();
        const headers = signByHand(stage, method, target, { "x-amz-content-sha256": sha256Of(content) });
        headers.set("content-length", `${content.length}`);
        const answer = await send(stage, method, target, headers, [content]);
        assert.deepEqual([answer.status, errorCode(answer)], [400, "InvalidURI"], `${method} ${name}`);
      }
    }
    assert.deepEqual(filesIn(parent), []);
    assert.deepEqual([...Deno.readDirSync(parent)].length, 1);
    for (const dir of ["", "..", "a/../b", "a//b", "a b", "/a"]) {
      assert.throws(() => stage.url(dir), TypeError);
    }
  }));

Deno.test("requests that COPY INTO does not make are refused by their names", () =>
  withStage(async (stage) => {
    await put(stage, "t-1/a", bytesOf("rows"));
    const bucket = `/${bucketOf(stage)}`;
    for (
      const [method, target, status, extra] of [
        ["DELETE", `${bucket}/t-1/a`, 405],
        ["POST", `${bucket}/t-1/a?uploads=`, 405],
        ["PUT", bucket, 405],
        ["GET", bucket, 405],
        ["GET", `${bucket}/t-1/a?acl=`, 501],
        ["PUT", `${bucket}/t-1/a?partNumber=1&uploadId=1`, 501],
        ["PUT", `${bucket}/t-1/b`, 501, { "x-amz-copy-source": `${bucket}/t-1/a` }],
        ["GET", `${bucket}?delimiter=%2F&list-type=2`, 501],
        ["GET", "/other/t-1/a", 403],
        ["GET", "/", 403],
      ] as [string, string, number, Record<string, string>?][]
    ) {
      const headers = signByHand(stage, method, target, extra);
      headers.set("content-length", "0");
      const answer = await send(stage, method, target, headers);
      assert.equal(answer.status, status, `${method} ${target}`);
      assert.match(answer.text, /^<\?xml.*<Error><Code>\w+<\/Code><Message>[^<]+<\/Message><Resource>/);
    }
    const chunked = signByHand(stage, "PUT", `${bucket}/t-1/b`, { "x-amz-content-sha256": sha256Of("rows") });
    chunked.set("transfer-encoding", "chunked");
    const answer = await send(stage, "PUT", `${bucket}/t-1/b`, chunked, [bytesOf("4\r\nrows\r\n0\r\n\r\n")]);
    assert.equal(answer.status, 411);
    assert.equal((await get(stage, "/t-1/a")).text, "rows");
  }));

/** Starts an upload of `content` that stops after half of it. */
async function startUpload(stage: StageServer, key: string, content: Uint8Array): Promise<Deno.TcpConn> {
  const path = `/${bucketOf(stage)}/${key}`;
  const signed = await sign(stage, "PUT", path, { headers: { "x-amz-content-sha256": sha256Of(content) } });
  signed.set("content-length", `${content.length}`);
  return await start(stage, "PUT", path, signed, [content.subarray(0, content.length / 2)]);
}

/** A promise that is kept when as many bytes have come in as `settled` expects. */
function received(bytes: number): { onBytes: (inBytes: number) => void; done: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { onBytes: (inBytes) => inBytes >= bytes && resolve(), done: promise };
}

/** Looks again and again, at most some seconds: for what the stage does when no client is there to be answered. */
async function eventually(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000 && !condition(); tries++) await new Promise((done) => setTimeout(done, 5));
  assert.ok(condition());
}

Deno.test("an upload that is cut leaves nothing, and the same PUT again works", async () => {
  const half = received(50_000);
  await withStage(async (stage, parent) => {
    const content = new Uint8Array(randomBytes(100_000));
    const connection = await startUpload(stage, "t-1/a", content);
    await half.done;
    assert.equal(filesIn(parent).length, 1);
    assert.match((await list(stage, "t-1")).text, /<KeyCount>0</);
    assert.equal((await get(stage, "/t-1/a")).status, 404);
    assert.equal(stage.bytesStaged(), 100_000);
    connection.close();
    await eventually(() => stage.bytesStaged() === 0 && filesIn(parent).length === 0);
    assert.match(stage.lastError() ?? "", /upload of t-1\/a was cut off after 50000 bytes/);

    assert.equal((await put(stage, "t-1/a", content)).status, 200);
    assert.deepEqual((await get(stage, "/t-1/a")).body, content);
  }, half);
});

Deno.test("an upload that sends nothing more is cut off and answered so that it is repeated", () =>
  withStage(async (stage, parent) => {
    using connection = await startUpload(stage, "t-1/a", bytesOf("rows"));
    let text = "";
    const buffer = new Uint8Array(4096);
    while (!text.includes("</Error>")) { // not to the end: the connection stays, as the request has not ended
      const bytes = await connection.read(buffer);
      assert.ok(bytes !== null, text);
      text += new TextDecoder().decode(buffer.subarray(0, bytes));
    }
    assert.match(text, /^HTTP\/1.1 503 [^]*<Code>IncompleteBody<.*t-1\/a was cut off after 2 bytes/);
    assert.deepEqual([filesIn(parent), stage.bytesStaged()], [[], 0]);
  }, { idleTimeoutMs: 20 }));

Deno.test("a PUT that is repeated replaces the file, also while the first still runs", async () => {
  const half = received(3);
  await withStage(async (stage, parent) => {
    using slow = await startUpload(stage, "t-1/a", bytesOf("first!"));
    await half.done;
    assert.equal((await put(stage, "t-1/a", bytesOf("second"))).status, 200);
    assert.equal((await put(stage, "t-1/a", bytesOf("third"))).status, 200);
    assert.equal(stage.size("t-1"), 5);
    await write(slow, bytesOf("st!"));
    assert.equal((await readAnswer(slow)).status, 200);
    assert.equal((await get(stage, "/t-1/a")).text, "first!");
    assert.deepEqual([stage.size("t-1"), stage.bytesStaged(), filesIn(parent).length], [6, 6, 1]);
  }, half);
});

Deno.test("a full disk is told to the cluster and to the operator, and nothing stays", {
  ignore: Deno.build.os !== "linux",
}, () =>
  withStage(async (stage, parent) => {
    await Deno.symlink("/dev/full", join(directoryOf(parent), "1"));
    const answer = await put(stage, "t-1/a", new Uint8Array(1_000_000));
    assert.deepEqual([answer.status, errorCode(answer)], [507, "InsufficientStorage"]);
    assert.match(stage.lastError() ?? "", /^disk full in .*cnosdb-stage-.*t-1\/a \(1000000 bytes\)/);
    assert.deepEqual([filesIn(parent), stage.bytesStaged()], [[], 0]);
    assert.equal((await put(stage, "t-1/a", bytesOf("rows"))).status, 200);
  }));

Deno.test("a file that would make the stage too large is refused until another went", () =>
  withStage(async (stage) => {
    stage.url("t-2");
    assert.equal((await put(stage, "t-1/a", new Uint8Array(600))).status, 200);
    const answer = await put(stage, "t-2/a", new Uint8Array(600));
    assert.deepEqual([answer.status, errorCode(answer)], [507, "InsufficientStorage"]);
    assert.match(stage.lastError() ?? "", /t-2\/a \(600 bytes\) would make the stage larger than 1000 bytes/);
    await stage.remove("t-1");
    assert.equal((await put(stage, "t-2/a", new Uint8Array(600))).status, 200);
  }, { maxStagedBytes: 1000 }));

Deno.test("remove() deletes one directory's files and refuses what its attempt still sends", async () => {
  const half = received(2 + 4 + 4);
  await withStage(async (stage, parent) => {
    stage.url("t-10");
    await put(stage, "t-1/a", bytesOf("rows"));
    await put(stage, "t-10/a", bytesOf("rows"));
    using slow = await startUpload(stage, "t-1/b", bytesOf("late"));
    await half.done;
    await stage.remove("t-1");
    assert.deepEqual([stage.size("t-1"), stage.size("t-10")], [0, 4]);
    await write(slow, bytesOf("te"));
    assert.equal((await readAnswer(slow)).status, 403);
    assert.deepEqual([stage.bytesStaged(), filesIn(parent).length], [4, 1]);
    assert.equal(stage.lastError(), undefined);

    await stage.remove("t-10");
    const refused = await put(stage, "t-10/b", bytesOf("late"));
    assert.deepEqual([refused.status, errorCode(refused)], [403, "AccessDenied"]);
    assert.deepEqual([stage.bytesStaged(), filesIn(parent)], [0, []]);
  }, half);
});

Deno.test("close() cuts what runs and removes everything", async () => {
  const half = received(4_000_000);
  await withStage(async (stage, parent) => {
    await put(stage, "t-1/a", new Uint8Array(4_000_000));
    using upload = await startUpload(stage, "t-1/b", new Uint8Array(8_000_000));
    await half.done;
    const path = `/${bucketOf(stage)}/t-1/a`;
    using download = await start(stage, "GET", path, await sign(stage, "GET", path));
    await download.read(new Uint8Array(100)); // under way, and too large for the socket's buffers
    assert.deepEqual([...Deno.readDirSync(parent)].length, 1);
    await stage.close();
    assert.deepEqual([...Deno.readDirSync(parent)], []);
    await assert.rejects(() => get(stage, "/t-1/a"), Deno.errors.ConnectionRefused);
    void upload;
  }, half);
});

Deno.test("a download whose client goes away is survived, and its file closed", {
  ignore: Deno.build.os !== "linux",
}, () =>
  withStage(async (stage, parent) => {
    await put(stage, "t-1/a", new Uint8Array(8_000_000));
    const path = `/${bucketOf(stage)}/t-1/a`;
    const download = await start(stage, "GET", path, await sign(stage, "GET", path));
    await download.read(new Uint8Array(100));
    const file = join(directoryOf(parent), "1");
    const opened = () =>
      [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
        try {
          return Deno.readLinkSync(`/proc/self/fd/${name}`) === file;
        } catch {
          return false; // the one that lists the directory
        }
      }).length;
    assert.ok(opened() > 0);
    download.close();
    await eventually(() => opened() === 0);
    assert.equal((await get(stage, "/t-1/a")).body.length, 8_000_000);
  }));

Deno.test("each run has a bucket and a key of its own, in a directory that only its user can enter", () =>
  withStage((one, parent) =>
    withStage(async (two, otherParent) => {
      assert.notEqual(bucketOf(one), bucketOf(two));
      for (const name of ["access_key_id", "secret_key"]) {
        assert.notEqual(one.connection[name], two.connection[name]);
      }
      assert.equal(Deno.statSync(directoryOf(parent)).mode! & 0o777, 0o700);
      const path = `/${bucketOf(one)}/t-1/a`;
      const ofTheOther = await sign(two, "GET", path);
      assert.equal((await send(one, "GET", path, ofTheOther)).status, 403);
      assert.notEqual(directoryOf(parent), directoryOf(otherParent));
    })
  ));

const module = new URL("../../../lib/stage/stage_server.ts", import.meta.url).href;

/** Serves a stage in a process of its own, which tells what a client needs in a line of JSON. */
async function spawnStage(directory: string): Promise<{ process: Deno.ChildProcess; stage: StageServer }> {
  const code = `import { serveStage } from ${JSON.stringify(module)};
    const stage = await serveStage({ listen: { hostname: "127.0.0.1", port: 0 }, advertise: "127.0.0.1:0",
      directory: ${JSON.stringify(directory)} });
    console.log(JSON.stringify({ url: stage.url("t-1"), connection: stage.connection }));
    await new Response(Deno.stdin.readable).text();
    await stage.close();`;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", code],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  let line = "";
  for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.endsWith("\n")) break;
  }
  const { url, connection } = JSON.parse(line);
  return { process, stage: { url: () => url, connection } as unknown as StageServer };
}

Deno.test("what a killed run left behind is swept by the next, what a live one has is not", async () => {
  const parent = await Deno.makeTempDir();
  const { process, stage } = await spawnStage(parent);
  await using _endedEvenIfThisFails = process;
  assert.equal((await put(stage, "t-1/a", bytesOf("rows"))).status, 200);
  const ofTheFirst = directoryOf(parent);
  const next = () =>
    serveStage({ listen: { hostname: "127.0.0.1", port: 0 }, advertise: "127.0.0.1:0", directory: parent });

  await (await next()).close();
  assert.deepEqual(filesIn(parent), ["1"]);
  await Deno.mkdir(join(parent, "cnosdb-stage-being-made"));
  await Deno.mkdir(join(parent, "someone-elses"));

  process.kill("SIGKILL");
  await process.status;
  await process.stdin.close().catch(() => {});
  await (await next()).close();
  assert.throws(() => Deno.statSync(ofTheFirst), Deno.errors.NotFound);
  assert.deepEqual([...Deno.readDirSync(parent)].map((entry) => entry.name).sort(), [
    "cnosdb-stage-being-made",
    "someone-elses",
  ]);
  await Deno.remove(parent, { recursive: true });
});

Deno.test("eight files of 130 MB go in and out at once without being held in memory", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  const parent = await Deno.makeTempDir();
  const { process, stage } = await spawnStage(parent);
  await using _endedEvenIfThisFails = process;
  const piece = new Uint8Array(randomBytes(1_000_000));
  const pieces = Array<Uint8Array>(130).fill(piece);
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  const sha256 = hash.digest("hex");
  const peakBytes = () => {
    const status = Deno.readTextFileSync(`/proc/${process.pid}/status`);
    return Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1]) * 1024;
  };
  const before = peakBytes();
  const paths = Array.from({ length: 8 }, (_, number) => `/${bucketOf(stage)}/t-1/part-${number}.parquet`);

  await Promise.all(paths.map(async (path) => {
    const headers = await sign(stage, "PUT", path, { headers: { "x-amz-content-sha256": sha256 } });
    headers.set("content-length", "130000000");
    assert.equal((await send(stage, "PUT", path, headers, pieces)).status, 200);
  }));
  await Promise.all(paths.map(async (path) => {
    const headers = await sign(stage, "GET", path, { headers: { range: "bytes=1000000-129999999" } });
    using connection = await start(stage, "GET", path, headers);
    let bytes = 0;
    for await (const chunk of connection.readable) bytes += chunk.length;
    assert.ok(bytes > 129_000_000, `${bytes}`);
  }));
  const grownBytes = peakBytes() - before;
  assert.ok(grownBytes < 250_000_000, `grew by ${grownBytes} bytes for 1040000000`);

  await process.stdin.close();
  assert.equal((await process.status).success, true);
  assert.deepEqual([...Deno.readDirSync(parent)], []);
  await Deno.remove(parent, { recursive: true });
});

Deno.test("serveStage() says where it can neither listen nor write, and leaves nothing", async () => {
  const parent = await Deno.makeTempDir();
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await assert.rejects(
    () =>
      serveStage({
        listen: { hostname: "127.0.0.1", port: taken.addr.port },
        advertise: "127.0.0.1:0",
        directory: parent,
      }),
    new RegExp(`cannot serve the stage on 127.0.0.1:${taken.addr.port}: .*in use`),
  );
  assert.deepEqual([...Deno.readDirSync(parent)], []);
  const missing = join(parent, "missing");
  await assert.rejects(
    () =>
      serveStage({
        listen: { hostname: "127.0.0.1", port: 0 },
        advertise: "127.0.0.1:0",
        directory: missing,
      }),
    /cannot make the stage's directory in .*missing: No such file/,
  );
  await Deno.remove(parent);
});

Deno.test("the stage advertises the address it is told", () =>
  withStage(async (stage) => {
    assert.deepEqual(stage.connection, {
      ...stage.connection,
      endpoint_url: "http://migration.example:9000",
      virtual_hosted_style: "false",
    });
    await Promise.resolve();
  }, { advertise: "migration.example:9000" }));

Deno.test("addressTowards() is the local end of a connection to the cluster", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  const url = `http://root:secret@127.0.0.1:${listener.addr.port}/?db=public`;
  assert.equal(await addressTowards(url), "127.0.0.1");
  (await accepted).close();
  listener.close();
  await assert.rejects(
    () => addressTowards(url),
    (error: Error) =>
      /cannot connect to 127\.0\.0\.1:\d+: .*refused/.test(error.message) &&
      !error.message.includes("secret"),
  );
});
