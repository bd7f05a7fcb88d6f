import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { httpLimits } from "../../../lib/stage/http.ts";
import { bytesOf, Client, eventually, filesIn, readAnswer, sha256Of, withStage, write } from "./client.ts";

/** Starts a PUT and sends half of its body. */
async function startUpload(client: Client, key: string, content: Uint8Array): Promise<Deno.TcpConn> {
  return await client.start("PUT", `/${client.bucket}/${key}`, {
    headers: { "x-amz-content-sha256": sha256Of(content), "content-length": `${content.length}` },
    body: content.subarray(0, content.length / 2),
  });
}

/** Returns when so many files lie in the stage's directory, those under way too. */
const begun = (parent: string, files: number) => eventually(() => filesIn(parent).length >= files);

/** Whether the other end closes the connection. */
const isClosed = (connection: Deno.TcpConn) =>
  connection.read(new Uint8Array(1)).then((bytes) => bytes === null, () => true);

Deno.test("an upload that is cut off leaves nothing, and can be repeated", () =>
  withStage(async (client, stage, parent) => {
    const content = new Uint8Array(randomBytes(100_000));
    const connection = await startUpload(client, "t-1/a", content);
    await begun(parent, 1);
    assert.match((await client.list("t-1")).text, /<KeyCount>0</);
    assert.equal((await client.get("/t-1/a")).status, 404);
    connection.close();
    await eventually(() => stage.problem() !== undefined);
    assert.deepEqual(filesIn(parent), []);
    assert.match(stage.problem() ?? "", /upload of t-1\/a was cut off, 50000 bytes before its end/);
    assert.equal((await client.put("t-1/a", content)).status, 200);
    assert.deepEqual((await client.get("/t-1/a")).body, content);
  }));

Deno.test("an upload that stalls is cut off, so that object_store repeats it", () =>
  withStage(async (client, stage, parent) => {
    using connection = await startUpload(client, "t-1/a", bytesOf("rows"));
    assert.ok(await isClosed(connection));
    await eventually(() => stage.problem() !== undefined);
    assert.match(stage.problem() ?? "", /t-1\/a was cut off, 2 bytes before its end/);
    assert.deepEqual(filesIn(parent), []);
  }, { limits: { ...httpLimits, stallMs: 20 } }));

Deno.test("a client that does not read its answer is cut off", () =>
  withStage(async (client) => {
    await client.put("t-1/a", new Uint8Array(16_000_000));
    using connection = await client.start("GET", `/${client.bucket}/t-1/a`);
    await new Promise((done) => setTimeout(done, 300));
    assert.ok((await readAnswer(connection)).body.length < 16_000_000);
  }, { limits: { ...httpLimits, stallMs: 100 } }));

Deno.test("idle connections and slow heads are dropped in time", () =>
  withStage(async (client) => {
    using idle = await Deno.connect({ ...client.address, transport: "tcp" });
    using slow = await Deno.connect({ ...client.address, transport: "tcp" });
    const drip = setInterval(() => slow.write(bytesOf("G")).catch(() => {}), 10);
    assert.ok(await isClosed(idle));
    assert.ok(await isClosed(slow));
    clearInterval(drip);
  }, { limits: { ...httpLimits, headMs: 50 } }));

Deno.test("a head without end is dropped", () =>
  withStage(async (client) => {
    using connection = await Deno.connect({ ...client.address, transport: "tcp" });
    const closed = isClosed(connection);
    await write(connection, bytesOf(`GET / HTTP/1.1\r\na: ${"x".repeat(1_000_000)}`)).catch(() => {});
    assert.ok(await closed);
  }));

Deno.test("anything but HTTP/1.1 with a known length is dropped", () =>
  withStage(async (client) => {
    const head = await client.head("PUT", `/${client.bucket}/t-1/a`);
    for (
      const text of [
        "\0\x01\x02\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n",
        head.replace("\r\n", "\r\ntransfer-encoding: chunked\r\n"),
        ...["-1", "1e9", "0x10", "5, 5", "9".repeat(400)].map((n) =>
          head.replace("\r\n", `\r\ncontent-length: ${n}\r\n`)
        ),
      ]
    ) {
      using connection = await Deno.connect({ ...client.address, transport: "tcp" });
      await connection.write(bytesOf(text));
      assert.equal((await readAnswer(connection)).status || 0, 0, text);
    }
    assert.equal((await client.put("t-1/a", "rows")).status, 200);
  }));

Deno.test("a connection takes one request, and the answer says so", () =>
  withStage(async (client) => {
    const target = `/${client.bucket}/t-1/a`;
    const put = await client.head("PUT", target, {
      body: bytesOf("rows"),
      headers: { "x-amz-content-sha256": sha256Of("rows") },
    });
    using connection = await Deno.connect({ ...client.address, transport: "tcp" });
    const kept = put.replace("connection: close", "connection: keep-alive");
    await connection.write(bytesOf(`${kept}rows${await client.head("GET", target)}`));
    const answer = await readAnswer(connection);
    assert.deepEqual([answer.status, answer.headers.get("connection"), answer.text], [200, "close", ""]);
  }));

Deno.test("too many connections end the ones that have waited longest, never a transfer", () =>
  withStage(async (client, _stage, parent) => {
    using upload = await startUpload(client, "t-1/a", bytesOf("rows"));
    await begun(parent, 1);
    const idle = await Promise.all(
      Array.from({ length: 40 }, () => Deno.connect({ ...client.address, transport: "tcp" })),
    );
    assert.equal((await client.put("t-1/b", "more")).status, 200);
    assert.ok(await isClosed(idle[0]!));
    await write(upload, bytesOf("ws"));
    assert.equal((await readAnswer(upload)).status, 200);
    for (const connection of idle) connection.close();
  }, { limits: { ...httpLimits, connections: 4 } }));

Deno.test("a repeated PUT replaces the file, also while the first one still runs", () =>
  withStage(async (client, stage, parent) => {
    using slow = await startUpload(client, "t-1/a", bytesOf("first!"));
    await begun(parent, 1);
    assert.equal((await client.put("t-1/a", "second")).status, 200);
    assert.equal((await client.put("t-1/a", "third")).status, 200);
    assert.equal(await stage.bytes("t-1"), 5);
    await write(slow, bytesOf("st!"));
    assert.equal((await readAnswer(slow)).status, 200);
    assert.equal((await client.get("/t-1/a")).text, "first!");
    assert.deepEqual([await stage.bytes("t-1"), filesIn(parent).length], [6, 1]);
  }));

Deno.test("remove() deletes a directory's files and refuses what its export still sends", () =>
  withStage(async (client, stage, parent) => {
    stage.source.url("t-10");
    await client.put("t-1/a", "rows");
    await client.put("t-10/a", "rows");
    using slow = await startUpload(client, "t-1/b", bytesOf("late"));
    await begun(parent, 3);
    await stage.remove("t-1");
    assert.deepEqual([await stage.bytes("t-1"), await stage.bytes("t-10")], [0, 4]);
    await write(slow, bytesOf("te"));
    assert.equal((await readAnswer(slow)).status, 403);
    assert.equal((await client.put("t-1/c", "later")).status, 403);
    assert.equal(filesIn(parent).length, 1);
    assert.equal(stage.problem(), undefined);
  }));

Deno.test("the rate limits all uploads together", () =>
  withStage(async (client) => {
    const startMs = performance.now();
    const answers = await Promise.all(
      ["a", "b", "c"].map((name) => client.put(`t-1/${name}`, new Uint8Array(200_000))),
    );
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
    assert.ok(performance.now() - startMs >= 590, `${performance.now() - startMs} ms`);
  }, { bytesPerSecond: 1_000_000 }));

Deno.test("the rate does not save up idle time, and close() ends all waiting", () =>
  withStage(async (client, stage, parent) => {
    await new Promise((done) => setTimeout(done, 200));
    const startMs = performance.now();
    await client.put("t-1/a", new Uint8Array(200));
    assert.ok(performance.now() - startMs >= 190, `${performance.now() - startMs} ms`);
    using _slow = await startUpload(client, "t-1/b", new Uint8Array(60_000)); // half a minute
    await begun(parent, 2);
    await stage.close();
    assert.ok(performance.now() - startMs < 15_000);
  }, { bytesPerSecond: 1000 }));

Deno.test("close() cuts all connections and removes all files", () =>
  withStage(async (client, stage, parent) => {
    await client.put("t-1/a", new Uint8Array(8_000_000));
    using _upload = await startUpload(client, "t-1/b", new Uint8Array(8_000_000));
    await begun(parent, 2);
    using download = await client.start("GET", `/${client.bucket}/t-1/a`);
    await download.read(new Uint8Array(100)); // under way, and too large for the socket's buffers
    using _idle = await Deno.connect(client.address);
    await stage.close();
    assert.deepEqual([...Deno.readDirSync(parent)], []);
    await assert.rejects(() => client.get("/t-1/a"), Deno.errors.ConnectionRefused);
  }));

Deno.test("close() does not wait for a transfer that uses up all connections", () =>
  withStage(async (client, stage, parent) => {
    using _upload = await startUpload(client, "t-1/a", bytesOf("rows"));
    await begun(parent, 1);
    using _waiting = await Deno.connect(client.address);
    await stage.close();
    assert.deepEqual([...Deno.readDirSync(parent)], []);
  }, { limits: { ...httpLimits, connections: 1 } }));

Deno.test("clients that disconnect while they are answered leave no file open", {
  ignore: Deno.build.os !== "linux",
}, () =>
  withStage(async (client, _stage, parent) => {
    await client.put("t-1/a", new Uint8Array(16_000_000));
    // of this stage: other tests of the same process have theirs
    const openFiles = () =>
      [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
        try {
          return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith(parent);
        } catch {
          return false; // the one by which this is read
        }
      }).length;
    const before = openFiles();
    for (let tries = 0; tries < 40; tries++) {
      using connection = await client.start("GET", `/${client.bucket}/t-1/a`);
      if (tries % 2) await connection.read(new Uint8Array(1000));
    }
    await eventually(() => openFiles() <= before);
  }));
