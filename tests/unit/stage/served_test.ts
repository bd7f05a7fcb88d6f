import assert from "node:assert/strict";
import { Failure } from "../../../lib/cli/errors.ts";
import { addressTowards, servedStage } from "../../../lib/stage/served.ts";
import { Client, withStage } from "./client.ts";

const say = () => {};
const serve = (parent: string) => servedStage({ from: [], to: [], address: "127.0.0.1:0", parent, say });

Deno.test("each run has a bucket and a key of its own, in a directory that only its user can enter", () =>
  withStage((one, _, parent) =>
    withStage(async (two, _, otherParent) => {
      for (const name of ["access_key_id", "secret_key"]) {
        assert.notEqual(one.options[name], two.options[name]);
      }
      assert.notEqual(one.bucket, two.bucket);
      for (const directory of [parent, otherParent]) {
        const [own] = [...Deno.readDirSync(directory)];
        assert.equal(Deno.statSync(`${directory}/${own?.name}`).mode! & 0o777, 0o700);
      }
      await Promise.resolve();
    })
  ));

Deno.test("a cluster by IPv4 and one by IPv6 each get an address that they reach", async () => {
  using four = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using six = Deno.listen({ hostname: "::1", port: 0 });
  const parent = await Deno.makeTempDir();
  const stage = await servedStage({
    from: [`http://127.0.0.1:${four.addr.port}`],
    to: [`http://[::1]:${six.addr.port}`],
    parent,
    say,
  });
  try {
    assert.match(stage.source.address ?? "", /^127\.0\.0\.1:\d+$/);
    assert.match(stage.target.address ?? "", /^\[::1\]:\d+$/);
    const url = stage.source.url("t-1");
    assert.equal((await new Client(stage.source.connection, url).put("t-1/a", "rows")).status, 200);
    assert.equal((await new Client(stage.target.connection, url).get("/t-1/a")).text, "rows");
  } finally {
    await stage.close();
    await Deno.remove(parent);
  }
});

Deno.test("a server that echoes a statement shows no key of the served stage", () =>
  withStage(({ options }, stage) => {
    const { message } = new Failure(`cannot parse: ${stage.source.connection}`);
    assert.ok(!message.includes(options.secret_key!) && !message.includes(options.access_key_id!), message);
    return Promise.resolve();
  }));

Deno.test("the clusters get the address that the operator gave", () =>
  withStage((client, stage) => {
    assert.equal(stage.source.address, `localhost:${client.address.port}`);
    assert.equal(stage.target.address, stage.source.address);
    assert.match(
      stage.source.connection,
      /^CONNECTION = \(endpoint_url = 'http:\/\/localhost:\d+', .*virtual_hosted_style = false\) $/,
    );
    return Promise.resolve();
  }, { address: "localhost:0" }));

Deno.test("an invalid address is refused without being shown", async () => {
  for (const address of ["root:secret@here:1", "here", "http://here:1", "here:1/secret"]) {
    await assert.rejects(
      () => servedStage({ from: [], to: [], address, say }),
      (error: Error) => error.name === "UsageError" && !/secret|here/.test(error.message),
    );
  }
});

Deno.test("a stage that cannot listen or write says where, and leaves nothing", async () => {
  const parent = await Deno.makeTempDir();
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${taken.addr.port}`;
  await assert.rejects(
    () => servedStage({ from: [], to: [], address, parent, say }),
    new RegExp(`cannot serve the stage on ${address}: .*in use`),
  );
  assert.deepEqual([...Deno.readDirSync(parent)], []);
  await assert.rejects(
    () => serve(`${parent}/missing`),
    /cannot make the stage's directory in .*missing: No such file/,
  );
  await Deno.remove(parent);
});

Deno.test("a directory that cannot be removed at the end is reported, and fails no run", async () => {
  const parent = await Deno.makeTempDir();
  const stage = await serve(parent);
  await Deno.remove(parent, { recursive: true });
  assert.match(
    await stage.close() ?? "",
    /cannot remove the stage's directory .*cnosdb-stage-.*: No such file/,
  );
});

Deno.test("addressTowards() returns the local end of a connection to a node that is up", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://root:secret@127.0.0.1:${listener.addr.port}/?db=public`;
  assert.equal(await addressTowards([url]), "127.0.0.1");
  assert.equal(await addressTowards(["http://127.0.0.1:1", url]), "127.0.0.1");
  listener.close();
  await assert.rejects(
    () => addressTowards([url]),
    (error: Error) =>
      /cannot connect to 127\.0\.0\.1:\d+: .*refused/.test(error.message) &&
      !error.message.includes("secret"),
  );
});

Deno.test("addressTowards() does not wait for a node that is behind a firewall", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using full = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const waiting = [1, 2].map(() => Deno.connect({ hostname: "127.0.0.1", port: full.addr.port }));
  const urls = [full, listener].map(({ addr }) => `http://127.0.0.1:${addr.port}`);
  assert.equal(await addressTowards(urls, 100), "127.0.0.1");
  await assert.rejects(
    () => addressTowards(urls.slice(0, 1), 100),
    /cannot connect to 127\.0\.0\.1:\d+: .*time/,
  );
  for (const connection of waiting) (await connection).close();
});

const module = new URL("../../../lib/stage/served.ts", import.meta.url).href;

/** Serves a stage in a process of its own, under a limit of open files, until its stdin ends. */
async function spawnStage(
  parent: string,
  openFiles = 1024,
): Promise<{ process: Deno.ChildProcess; client: Client }> {
  const code = `import { servedStage } from ${JSON.stringify(module)};
    const stage = await servedStage({ from: [], to: [], address: "127.0.0.1:0", say() {}, parent: ${
    JSON.stringify(parent)
  } });
    console.log(JSON.stringify([stage.source.connection, stage.source.url("t-1")]));
    await new Response(Deno.stdin.readable).text();
    await stage.close();`;
  const process = new Deno.Command("sh", {
    args: ["-c", `ulimit -n ${openFiles}; exec "$0" eval --quiet "$1"`, Deno.execPath(), code],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  let line = "";
  for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.endsWith("\n")) break;
  }
  const [connection, url] = JSON.parse(line);
  return { process, client: new Client(connection, url) };
}

async function end(process: Deno.ChildProcess): Promise<void> {
  await process.stdin.close();
  assert.equal((await process.status).code, 0);
}

for (const openFiles of [64, 256]) {
  Deno.test(`300 idle connections do no harm where ${openFiles} files may be open`, async () => {
    const parent = await Deno.makeTempDir();
    const { process, client } = await spawnStage(parent, openFiles);
    await using _endedEvenIfThisFails = process;
    const idle: Deno.Conn[] = [];
    for (let i = 0; i < 300; i++) idle.push(await Deno.connect(client.address));
    assert.equal((await client.put("t-1/a", "rows")).status, 200);
    assert.equal((await client.get("/t-1/a")).text, "rows");
    for (const connection of idle) connection.close();
    await end(process);
    await Deno.remove(parent);
  });
}

Deno.test("a run removes what killed runs left, but nothing of live ones", async () => {
  const parent = await Deno.makeTempDir();
  const { process, client } = await spawnStage(parent);
  await using _endedEvenIfThisFails = process;
  assert.equal((await client.put("t-1/a", "rows")).status, 200);
  const [own] = [...Deno.readDirSync(parent)];
  await (await serve(parent)).close();
  assert.deepEqual([...Deno.readDirSync(`${parent}/${own?.name}`)].map(({ name }) => name).sort(), [
    "1",
    "lock",
  ]);
  await Deno.mkdir(`${parent}/cnosdb-stage-being-made`);
  await Deno.mkdir(`${parent}/someone-elses`);
  process.kill("SIGKILL");
  await process.status;
  await process.stdin.close().catch(() => {});
  await (await serve(parent)).close();
  assert.deepEqual([...Deno.readDirSync(parent)].map(({ name }) => name).sort(), [
    "cnosdb-stage-being-made",
    "someone-elses",
  ]);
  await Deno.remove(parent, { recursive: true });
});

Deno.test("eight files of 64 MB at once are not held in memory", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  const parent = await Deno.makeTempDir();
  const { process, client } = await spawnStage(parent);
  await using _endedEvenIfThisFails = process;
  const content = new Uint8Array(64_000_000);
  const peakBytes = () => {
    const status = Deno.readTextFileSync(`/proc/${process.pid}/status`);
    return Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1]) * 1024;
  };
  await client.put("t-1/warm", "up");
  const before = peakBytes();
  const names = Array.from({ length: 8 }, (_, number) => `part-${number}.parquet`);
  await Promise.all(
    names.map(async (name) => assert.equal((await client.put(`t-1/${name}`, content)).status, 200)),
  );
  await Promise.all(names.map(async (name) => {
    using connection = await client.start("GET", `/${client.bucket}/t-1/${name}`);
    let bytes = 0;
    for await (const chunk of connection.readable) bytes += chunk.length;
    assert.ok(bytes > 64_000_000, `${bytes}`);
  }));
  assert.ok(peakBytes() - before < 150_000_000, `grew by ${peakBytes() - before} bytes for 512000000`);
  await end(process);
  assert.deepEqual([...Deno.readDirSync(parent)], []);
  await Deno.remove(parent);
});
