import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { bytesOf, filesIn, sha256Of, withStage } from "./client.ts";

Deno.test("the stage returns what was put into it, whole and by range", () =>
  withStage(async (client, stage) => {
    const content = new Uint8Array(randomBytes(200_000));
    const answer = await client.put("t-1/part-1-0-0.parquet", content);
    assert.deepEqual([answer.status, answer.body.length], [200, 0]);
    assert.equal(await stage.bytes("t-1"), 200_000);
    const whole = await client.get("/t-1/part-1-0-0.parquet");
    assert.equal(whole.status, 200);
    assert.deepEqual(whole.body, content);
    for (
      const [range, start, end] of [
        ["bytes=199992-199999", 199_992, 200_000],
        ["bytes=4-199000", 4, 199_001],
        ["bytes=0-0", 0, 1],
        ["bytes=199999-300000", 199_999, 200_000],
        ["bytes=100-", 100, 200_000],
        ["bytes=-8", 199_992, 200_000],
        ["bytes=-300000", 0, 200_000],
      ] as const
    ) {
      const part = await client.get("/t-1/part-1-0-0.parquet", { range });
      assert.deepEqual([part.status, part.headers.get("content-range")], [
        206,
        `bytes ${start}-${end - 1}/200000`,
      ]);
      assert.deepEqual(part.body, content.subarray(start, end), range);
    }
    for (const range of ["bytes=200000-", "bytes=8-4", "bytes=-0", "bytes=-", "bytes=1-2,4-5", "rows=1-2"]) {
      const refused = await client.get("/t-1/part-1-0-0.parquet", { range });
      assert.deepEqual([refused.status, refused.code], [416, "InvalidRange"], range);
    }
    assert.equal((await client.get("/t-1/part-2.parquet")).code, "NoSuchKey");
  }));

Deno.test("recorded requests get the recorded answers", async () => {
  const recorded =
    (await Deno.readTextFile(new URL("../../../fixtures/recorded/stage-s3.jsonl", import.meta.url)))
      .trim().split("\n").map((line) => JSON.parse(line));
  // What truly varies: the bucket, times and ETags.
  const form = (xml: string) =>
    xml.replace(/<Name>[^<]*/, "<Name>BUCKET").replace(/<LastModified>[\d-]+T[\d:.]+Z/g, "<LastModified>TIME")
      .replace(/<ETag>"[^"]*"/g, '<ETag>"TAG"');
  await withStage(async (client, stage) => {
    for (const { method, path, headers, status, bytes, note } of recorded) {
      const target = path.slice("/run-1".length);
      if (method === "PUT") {
        stage.source.url(target.split("/")[1]);
        assert.equal((await client.put(target.slice(1), new Uint8Array(bytes))).status, status);
        continue;
      }
      const answer = await client.get(target, headers.range ? { range: headers.range } : {});
      assert.equal(answer.status, status);
      if (note) assert.equal(form(answer.text), form(note));
      else assert.equal(answer.body.length, bytes);
    }
    assert.equal(recorded.length, 14);
  });
});

Deno.test("a listing has the files of one directory, in order, and escapes its prefix", () =>
  withStage(async (client, stage) => {
    stage.source.url("t-10");
    for (const key of ["t-1/b", "t-1/a", "t-10/a"]) await client.put(key, "rows");
    const keys = (text: string) => [...text.matchAll(/<Key>([^<]*)/g)].map((match) => match[1]);
    assert.deepEqual(keys((await client.list("t-1")).text), ["t-1/a", "t-1/b"]);
    const odd = await client.get("?list-type=2&prefix=%3Cx%26%22");
    assert.match(odd.text, /<Prefix>&#60;x&#38;&#34;<\/Prefix><KeyCount>0</);
  }));

Deno.test("an empty file is stored, listed and returned", () =>
  withStage(async (client) => {
    assert.equal((await client.put("t-1/a", "")).status, 200);
    assert.match((await client.list("t-1")).text, /<Key>t-1\/a<\/Key>.*<Size>0<\/Size>/);
    const answer = await client.get("/t-1/a");
    assert.deepEqual([answer.status, answer.body.length], [200, 0]);
  }));

Deno.test("a request that is not signed with this run's key is refused, and neither writes nor reads", () =>
  withStage((client, stage, parent) =>
    withStage(async (other) => {
      await client.put("t-1/there", "rows");
      const path = `/${client.bucket}/t-1/a`;
      const foreign = {
        accessKeyId: other.options.access_key_id!,
        secretAccessKey: other.options.secret_key!,
      };
      for (
        const [answer, code] of [
          [await client.put("t-1/a", "rows", { secretAccessKey: "another" }), "SignatureDoesNotMatch"],
          [await client.put("t-1/a", "rows", foreign), "SignatureDoesNotMatch"],
          [
            await client.send("PUT", path, { unsigned: true, body: bytesOf("rows") }),
            "SignatureDoesNotMatch",
          ],
          [
            await client.put("t-1/a", "rows", { headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } }),
            "InvalidRequest",
          ],
          [
            await client.send("GET", `/${client.bucket}/t-1/there`, { unsigned: true }),
            "SignatureDoesNotMatch",
          ],
          [await client.send("GET", `/${other.bucket}/t-1/there`), "AccessDenied"],
        ] as const
      ) assert.equal(answer.code, code, answer.text);
      assert.deepEqual(filesIn(parent).length, 1);
      assert.equal(stage.problem(), undefined);
    })
  ));

Deno.test("a captured request can only be repeated unchanged, and not after its export", () =>
  withStage(async (client, stage) => {
    const path = `/${client.bucket}/t-1/a`;
    const head = await client.head("PUT", path, {
      headers: { "x-amz-content-sha256": sha256Of("rows") },
      body: bytesOf("rows"),
    });
    const replay = async (text: string) => {
      using connection = await Deno.connect(client.address);
      await connection.write(bytesOf(text));
      const bytes = new Uint8Array(4096);
      return new TextDecoder().decode(bytes.subarray(0, await connection.read(bytes) ?? 0));
    };
    assert.match(await replay(`${head}rows`), /^HTTP\/1.1 200 /);
    assert.match(await replay(`${head}ROWS`), /^HTTP\/1.1 400 /, "another body");
    assert.match(await replay(`${head.replace("t-1/a", "t-1/b")}rows`), /^HTTP\/1.1 403 /, "another file");
    assert.equal((await client.get("/t-1/a")).text, "rows");
    await stage.remove("t-1");
    assert.match(await replay(`${head}rows`), /^HTTP\/1.1 403 /, "after the export");
  }));

Deno.test("no key leads out of the stage, or into a directory that is not open", () =>
  withStage(async (client, _stage, parent) => {
    for (
      const key of [
        "../a",
        "t-1/../a",
        "t-1//a",
        "t-1/..",
        "t-1/",
        "t-1/%2e%2e/a",
        "t-1/%00",
        "t-1/a%2Fb",
        "t-1/a b",
        "t-1/ä",
        `t-1/${"x".repeat(256)}`,
        `t-1/${"x/".repeat(1000)}a`,
        "t-1/a\\b",
        "t-1/a;b",
        "t-2/a",
        "t-/a",
        "t-1",
        "lock",
        ".",
      ]
    ) {
      const { status } = await client.put(key, "rows");
      assert.ok([0, 403, 501].includes(status || 0), `${key}: ${status}`);
    }
    assert.deepEqual(filesIn(parent), []);
    // Signed is the file that a path leads to, so that a captured request reaches no other.
    for (const key of ["t-1/a", "t-1/./a", "t-2/../t-1/a", `../${client.bucket}/t-1/a`]) {
      assert.equal((await client.put(key, "rows")).status, 200);
    }
    assert.equal(filesIn(parent).length, 1);
  }));

Deno.test("other S3 requests are refused", () =>
  withStage(async (client) => {
    await client.put("t-1/a", "rows");
    const path = `/${client.bucket}/t-1/a`;
    for (
      const [method, target, code, headers] of [
        ["DELETE", path, "NotImplemented"],
        ["POST", `${path}?uploads=`, "NotImplemented"],
        ["PUT", `${path}?partNumber=1&uploadId=1`, "NotImplemented"],
        ["PUT", `/${client.bucket}/t-1/b`, "NotImplemented", { "x-amz-copy-source": path }],
        ["PUT", path, "NotImplemented"],
        ["GET", `/${client.bucket}`, "NotImplemented"],
        ["PUT", `/${client.bucket}`, "NotImplemented"],
        ["GET", "/", "AccessDenied"],
      ] as const
    ) {
      assert.equal(
        (await client.send(method, target, { ...headers && { headers } })).code,
        code,
        `${method} ${target}`,
      );
    }
    assert.equal((await client.get("/t-1/a")).text, "rows");
  }));

Deno.test("a file with another sha256 is refused and reported, and can be sent again", () =>
  withStage(async (client, stage, parent) => {
    const answer = await client.put("t-1/a", "rows", {
      headers: { "x-amz-content-sha256": sha256Of("cows") },
    });
    assert.deepEqual([answer.status, answer.code], [400, "XAmzContentSHA256Mismatch"]);
    assert.match(stage.problem() ?? "", /t-1\/a is not what was sent/);
    assert.deepEqual(filesIn(parent), []);
    assert.equal((await client.put("t-1/a", "rows")).status, 200);
  }));

Deno.test("a full disk is reported to the cluster and the operator, and nothing stays", {
  ignore: Deno.build.os !== "linux",
}, () =>
  withStage(async (client, stage, parent) => {
    const [directory] = [...Deno.readDirSync(parent)];
    await Deno.symlink("/dev/full", `${parent}/${directory?.name}/1`);
    const answer = await client.put("t-1/a", new Uint8Array(1_000_000));
    assert.deepEqual([answer.status, answer.code], [503, "SlowDown"]);
    assert.match(stage.problem() ?? "", /^cannot write in .*cnosdb-stage-.*: No space left on device/);
    assert.deepEqual(filesIn(parent), []);
    assert.equal((await client.put("t-1/a", "rows")).status, 200);
  }));
