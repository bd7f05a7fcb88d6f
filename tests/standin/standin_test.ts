/** The stand-in's treacheries that no recording shows. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { AwsV4Signer } from "npm:aws4fetch@1.0.20";
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "../helpers/deps.ts";
import {
  type Fault,
  rowsKey,
  seedRows,
  type StandIn,
  type StandInOptions,
  startStandIn,
  VERSIONS,
} from "./standin.ts";

const fixture = (name: string) => Deno.readTextFileSync(new URL(`../../fixtures/${name}`, import.meta.url));
const OLD = fixture("dumps/2.3.5.4-cluster.dump");
const DAY = 86400;

interface Asked {
  tenant?: string;
  db?: string;
  user?: string;
  password?: string;
  signal?: AbortSignal;
}

/** One statement: its status and the rows, or the error. */
async function sql(standIn: StandIn, statement: string, asked: Asked = {}) {
  const { tenant = "cnosdb", db = "public", user = "root", password = "" } = asked;
  const response = await fetch(`${standIn.sqlUrl}/api/v1/sql?tenant=${tenant}&db=${db}`, {
    method: "POST",
    body: statement,
    headers: {
      accept: "application/json",
      "accept-encoding": "identity",
      authorization: `Basic ${btoa(`${user}:${password}`)}`,
    },
    ...(asked.signal === undefined ? {} : { signal: asked.signal }),
  });
  const body = await response.text();
  return { status: response.status, body, rows: body.startsWith("[") ? JSON.parse(body) : [] };
}

async function post(url: string, body: string): Promise<string> {
  const response = await fetch(url, {
    method: "POST",
    body,
    headers: { "content-type": "application/json" },
  });
  return await response.text();
}

/** A test of a stand-in and a directory, both gone afterwards. */
function standInTest(
  name: string,
  options: StandInOptions,
  test: (standIn: StandIn, stage: string) => Promise<void>,
): void {
  Deno.test(name, async () => {
    const stage = await Deno.makeTempDir();
    const standIn = await startStandIn(options);
    try {
      await test(standIn, stage);
    } finally {
      await standIn.close();
      await Deno.remove(stage, { recursive: true });
    }
  });
}

const withRows = (options: StandInOptions): StandInOptions => ({
  dump: OLD,
  rows: seedRows(options.dump ?? OLD, 500),
  ...options,
});
const EXPORT = (stage: string, table = "air") =>
  `COPY INTO 'file://${stage}/x' FROM "${table}" FILE_FORMAT = (TYPE = 'PARQUET')`;
const IMPORT = (stage: string, table = "air") =>
  `COPY INTO "${table}" FROM 'file://${stage}/x/' FILE_FORMAT = (TYPE = 'PARQUET')`;
const air = rowsKey("cnosdb", "public", "air");

for (const version of VERSIONS) {
  const panics = ["2.4.1", "2.4.2", "2.4.3"].includes(version);
  standInTest(
    `A ${version} that was given 2.3's users ${panics ? "panics at its next start" : "starts again"}`,
    { version },
    async (standIn) => {
      const users = OLD.split("\n").filter((line) => line.includes("/users/")).join("\n");
      assertEquals(await post(`${standIn.metaUrl}/restore`, users), "Restore Data Success, Total: 4 ");
      assertEquals((await sql(standIn, "SELECT 1")).status, panics ? 422 : 200);
      if (!panics) return await standIn.restart();
      await assertRejects(() => standIn.restart(), Error, "missing field `is_root_admin`");
      await assertRejects(() => sql(standIn, "SELECT 1"), TypeError);
      // The meta service is still there to be mended.
      const mended = users.replaceAll("is_admin", "is_root_admin").replaceAll(
        '"password"',
        '"hash_password"',
      );
      await post(`${standIn.metaUrl}/restore`, mended);
      await standIn.restart();
      assertEquals((await sql(standIn, "SELECT 1")).rows, [{ "Int64(1)": 1 }]);
    },
  );
}

standInTest(
  "A single instance that panics takes its meta service along",
  { version: "2.4.2", mode: "single" },
  async (standIn) => {
    standIn.store.set("/cluster_xxx/tenants/cnosdb/dbs/bad", "{}");
    await assertRejects(() => standIn.restart(), Error, "missing field `tenant`");
    await assertRejects(() => fetch(`${standIn.metaUrl}/dump`), TypeError);
  },
);

standInTest(
  "A running server goes on without what it cannot read, while /read fails",
  { version: "2.4.3" },
  async (standIn) => {
    const table = {
      tenant: "cnosdb",
      db: "public",
      name: "t",
      schema_version: 0,
      next_column_id: 0,
      columns: [],
      columns_index: {},
    };
    const key = "/cluster_xxx/tenants/cnosdb/dbs/public/schemas/t";
    await post(`${standIn.metaUrl}/restore`, `${key}: ${JSON.stringify({ TsKvTableSchema: table })}`);
    assertEquals((await sql(standIn, "SHOW TABLES")).rows, [{ table_name: "t" }]);
    const wrong = { TsKvTableSchema: { ...table, schema_id: 0 } };
    await post(`${standIn.metaUrl}/restore`, `${key}: ${JSON.stringify(wrong)}`);
    assertEquals((await sql(standIn, "SHOW TABLES")).body, "");
    const read = await post(`${standIn.metaUrl}/read`, '{"TenantMetaData":["cluster_xxx","cnosdb"]}');
    assertMatch(
      read,
      /^\{"Err":\{"SerdeMsgInvalid":\{"err":"unknown field `schema_id`, expected one of `tenant`/,
    );
    standIn.store.set("/cluster_xxx/tenants/bad/tenant", "what has a slash in its name is not looked at");
    assertStringIncludes(await post(`${standIn.metaUrl}/read`, '{"Tenants":"cluster_xxx"}'), '{"Ok":[{"id"');
  },
);

standInTest(
  "A member whose user is not there is not listed, nor a hidden tenant",
  { version: "2.4.0" },
  async (standIn) => {
    standIn.store.set("/cluster_xxx/tenants/cnosdb/members/1", '{"System":"Owner"}');
    standIn.store.set(
      "/cluster_xxx/tenants/gone",
      '{"id":1,"name":"gone","options":{"comment":null,"limiter_config":null,"tenant_is_hidden":true}}',
    );
    const read = (command: string) => post(`${standIn.metaUrl}/read`, command);
    assertEquals(await read('{"Members":["cluster_xxx","cnosdb"]}'), '{"Ok":{"root":{"System":"Owner"}}}');
    assertEquals((await read('{"Tenants":"cluster_xxx"}')).includes("gone"), false);
    assertEquals((await sql(standIn, "SELECT tenant_name FROM cluster_schema.tenants")).rows.length, 1);
  },
);

standInTest(
  "A follower says who leads and writes nothing, also when that changes",
  { version: "2.4.2", metaNodes: 3 },
  async (standIn) => {
    const urls = [standIn.metaUrl, ...standIn.followerUrls];
    const restore = (node: number) => post(`${urls[node]}/restore`, "/cluster_xxx/x: 1\n");
    const metrics = async (node: number) => await (await fetch(`${urls[node]}/metrics`)).json();
    assertMatch(
      await restore(1),
      /^has to forward request to: Some\(1\), Some\(RaftNodeInfo \{ group_id: 2222,/,
    );
    assertEquals(standIn.store.has("/cluster_xxx/x"), false);
    assertEquals((await metrics(0)).state, "Leader");
    standIn.setLeader(2);
    assertStringIncludes(await restore(0), new URL(urls[2]!).host);
    assertEquals(await restore(2), "Restore Data Success, Total: 1 ");
    assertEquals((await metrics(0)).current_leader, 3);
    standIn.setLeader(-1);
    assertEquals(await restore(2), "has to forward request to: None, None");
  },
);

for (const version of VERSIONS) {
  const dump = fixture(
    `dumps/${
      {
        "2.3.3": "2.3.3-cluster",
        "2.3.5": "2.3.5.4-cluster",
        "2.4.0": "2.4.0-single",
        "2.4.1": "2.4.1-single",
        "2.4.2": "2.4.2.1-single",
        "2.4.3": "2.4.3.4-single",
      }[version]
    }.dump`,
  );
  standInTest(
    `In ${version} a second export doubles what is imported, and the rows stay the same`,
    withRows({ version, dump }),
    async (standIn, stage) => {
      for (let i = 0; i < 2; i++) assertEquals((await sql(standIn, EXPORT(stage))).rows, [{ rows: 500 }]);
      assertEquals([...Deno.readDirSync(`${stage}/x`)].length, 2);
      assertEquals((await sql(standIn, IMPORT(stage))).rows, [{ rows: 1000 }]);
      const value = async (what: string) =>
        Object.values((await sql(standIn, `SELECT ${what} FROM air`)).rows[0])[0];
      // Only 2.4.3 counts duplicates, where a count stands alone.
      const alone = version === "2.4.3" ? 1500 : 500;
      assertEquals([await value("count(*)"), await value("count(time)")], [alone, alone]);
      assertEquals(await value("count(time), min(time), max(time)"), 500);
      assertEquals(standIn.rows.get(air)!.length, 500);
    },
  );
}

for (const version of VERSIONS) {
  standInTest(
    `A table whose column ids repeat ${
      version < "2.4.1" ? "can" : "cannot"
    } be read in ${version} once it has rows`,
    { version },
    async (standIn) => {
      await sql(standIn, "CREATE TABLE t (a BIGINT, b STRING, TAGS(k))");
      const key = "/cluster_xxx/tenants/cnosdb/dbs/public/schemas/t";
      standIn.store.set(key, standIn.store.get(key)!.replace('"id":3', '"id":2'));
      assertEquals((await sql(standIn, "SELECT * FROM t")).status, 200);
      assertEquals((await sql(standIn, "INSERT INTO t (time, k, a) VALUES (1, 'x', 5)")).rows, [{ rows: 1 }]);
      assertEquals((await sql(standIn, "SELECT * FROM t")).status, version < "2.4.1" ? 200 : 422);
    },
  );
}

standInTest(
  "Rows older than the TTL are refused until it is raised, and go when it is set back",
  withRows({ version: "2.4.2", dump: fixture("dumps/2.4.2.1-single.dump") }),
  async (standIn, stage) => {
    await sql(standIn, EXPORT(stage));
    await sql(standIn, "CREATE DATABASE d WITH TTL '1h30m' VNODE_DURATION '1d' REPLICA 1");
    const inD = { db: "d" };
    await sql(standIn, "CREATE TABLE air (pressure DOUBLE, TAGS(station))", inD);
    const ttl = async () =>
      (await sql(standIn, "SELECT ttl FROM information_schema.databases WHERE database_name = 'd'")).rows[0]
        .ttl;
    assertEquals(await ttl(), "1h 30m");
    const refused = await sql(standIn, IMPORT(stage), inD);
    assertEquals(refused.status, 422);
    assertStringIncludes(
      refused.body,
      '"030034","error_message":"Operation not support: create expired bucket"',
    );
    await sql(standIn, `ALTER DATABASE "d" SET TTL '${36500 * DAY}s'`);
    assertEquals(await ttl(), "99years 11months 5days 9h 50m 24s");
    assertEquals((await sql(standIn, IMPORT(stage), inD)).rows, [{ rows: 500 }]);
    await sql(standIn, `ALTER DATABASE "d" SET TTL '${5400}s'`);
    assertEquals((await sql(standIn, "SELECT count(pressure) AS n FROM air", inD)).rows, [{ n: 500 }]);
    standIn.dropExpired();
    assertEquals((await sql(standIn, "SELECT count(pressure) AS n FROM air", inD)).rows, [{ n: 0 }]);
  },
);

standInTest(
  "A replica above the number of data nodes fails every import until it is mended",
  withRows({ version: "2.4.2", dump: fixture("dumps/2.4.2.1-single.dump") }),
  async (standIn, stage) => {
    await sql(standIn, EXPORT(stage, "air"));
    await sql(standIn, "CREATE DATABASE r");
    await sql(standIn, "CREATE TABLE air (pressure DOUBLE, TAGS(station))", { db: "r" });
    const key = "/cluster_xxx/tenants/cnosdb/dbs/r";
    await post(
      `${standIn.metaUrl}/restore`,
      `${key}: ${standIn.store.get(key)!.replace('"replica":1', '"replica":3')}`,
    );
    assertStringIncludes(
      (await sql(standIn, IMPORT(stage), { db: "r" })).body,
      '"030053","error_message":"Valid node is not enough, need: 3, but found: 1"',
    );
    assertStringIncludes((await sql(standIn, 'ALTER DATABASE "r" SET REPLICA 2')).body, "030053");
    await sql(standIn, 'ALTER DATABASE "r" SET REPLICA 1');
    assertEquals((await sql(standIn, IMPORT(stage), { db: "r" })).rows, [{ rows: 500 }]);
  },
);

Deno.test("A limiter that is reached refuses writes until it has refilled", async () => {
  let nowMs = 1795344600000;
  const standIn = await startStandIn({ version: "2.3.5", nowMs: () => nowMs });
  standIn.limits.set("cnosdb", { rows: 1, max: 1, refillPerSecond: 1 });
  const insert = () => sql(standIn, "INSERT INTO t (time, v) VALUES (1, 1)");
  await sql(standIn, "CREATE TABLE t (v BIGINT)");
  assertEquals((await insert()).status, 200);
  assertStringIncludes((await insert()).body, "Meta request error: CoordDataIn reached limit");
  nowMs += 1000;
  assertEquals((await insert()).status, 200);
  await standIn.close();
});

standInTest(
  "Imports into one database wait for each other, and those into another do not",
  withRows({ version: "2.3.5", latency: { importMs: 150 } }),
  async (standIn, stage) => {
    await sql(standIn, EXPORT(stage));
    await sql(standIn, "CREATE TABLE other (pressure DOUBLE, TAGS(station))");
    await sql(standIn, "CREATE TABLE air (pressure DOUBLE, TAGS(station))", { db: "plain" });
    const ended: string[] = [];
    const note = (name: string) => () => void ended.push(name);
    await Promise.all([
      sql(standIn, IMPORT(stage)).then(note("first")),
      sql(standIn, IMPORT(stage, "other")).then(note("second")),
      sql(standIn, IMPORT(stage), { db: "plain" }).then(note("elsewhere")),
    ]);
    // Of the two that share a database one has to wait, and so ends after the one that waited for nobody.
    assertNotEquals(ended.at(-1), "elsewhere");
  },
);

standInTest(
  "Faults: what was done and what was answered are two things",
  withRows({ version: "2.4.2", dump: fixture("dumps/2.4.2.1-single.dump") }),
  async (standIn, stage) => {
    const faults: Fault[] = [];
    // Deno's pool sends a request again where a connection that it kept was closed: each has its own here.
    const restore = async (fault: Fault) => {
      faults.push(fault);
      standIn.fault = () => faults.shift();
      standIn.store.delete("/cluster_xxx/a");
      standIn.store.delete("/cluster_xxx/b");
      const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
      try {
        const response = await fetch(`${standIn.metaUrl}/restore`, {
          method: "POST",
          body: "/cluster_xxx/a: 1\n/cluster_xxx/b: 2\n",
          client,
        });
        return { answer: await response.text(), ...written() };
      } catch (error) {
        return { answer: (error as Error).name, ...written() };
      } finally {
        client.close();
      }
    };
    const written = () => ({
      a: standIn.store.has("/cluster_xxx/a"),
      b: standIn.store.has("/cluster_xxx/b"),
    });
    assertEquals(await restore({ kind: "close" }), { answer: "TypeError", a: false, b: false });
    assertEquals(await restore({ kind: "cut-during" }), { answer: "TypeError", a: true, b: false });
    assertEquals(await restore({ kind: "cut-after" }), { answer: "TypeError", a: true, b: true });
    assertEquals(await restore({ kind: "truncate" }), { answer: "TypeError", a: true, b: true });
    const answer = { kind: "answer", status: 500, body: "no" } as const;
    assertEquals(await restore(answer), { answer: "no", a: false, b: false });
    assertEquals(await restore({ ...answer, execute: true }), { answer: "no", a: true, b: true });
    const total = { answer: "Restore Data Success, Total: 1 ", a: true, b: true };
    assertEquals(await restore({ kind: "total", total: 1 }), total);
    const { promise, resolve } = Promise.withResolvers<void>();
    const delayed = restore({ kind: "delay", until: promise });
    resolve();
    assertEquals((await delayed).b, true);

    await sql(standIn, EXPORT(stage));
    await sql(standIn, "CREATE DATABASE half");
    await sql(standIn, "CREATE TABLE air (pressure DOUBLE, TAGS(station))", { db: "half" });
    standIn.fault = ({ body }) => body.includes("COPY") ? { kind: "cut-during" } : undefined;
    await assertRejects(() => sql(standIn, IMPORT(stage), { db: "half" }), TypeError);
    assertEquals(standIn.rows.get(rowsKey("cnosdb", "half", "air"))!.length, 250);
  },
);

standInTest(
  "An export whose client goes away stops and leaves nothing",
  withRows({ version: "2.3.5", latency: { statementMs: 60_000 } }),
  async (standIn, stage) => {
    const gone = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    standIn.fault = () => void resolve();
    const asked = sql(standIn, EXPORT(stage), { signal: gone.signal });
    await promise;
    gone.abort();
    await assertRejects(() => asked, DOMException);
    while (standIn.requests[0]!.endMs === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals([...Deno.readDirSync(stage)], []);
  },
);

standInTest(
  "With authentication on, passwords are checked, and one that must be changed stops all else",
  { version: "2.4.2", auth: true },
  async (standIn) => {
    assertMatch((await sql(standIn, "SELECT 1", { password: "wrong" })).body, /username or password invalid/);
    const must = await sql(standIn, "SELECT 1", { password: "root" });
    assertEquals(must.status, 422);
    assertStringIncludes(must.body, "Insufficient privileges, expected [change password]");
    assertEquals(
      (await sql(standIn, "ALTER USER root SET PASSWORD = 'x'", { password: "root" })).status,
      200,
    );
    assertEquals((await sql(standIn, "SELECT 1", { password: "x" })).status, 200);
  },
);

standInTest(
  "2.3.5 takes a password in plain text and hashes it at the first login",
  { version: "2.3.5", auth: true },
  async (standIn) => {
    const key = "/cluster_xxx/users/root";
    assertStringIncludes((await sql(standIn, "SELECT 1")).body, "Auth error: Password not set");
    standIn.store.set(key, standIn.store.get(key)!.replace('"password":null', '"password":"p"'));
    assertEquals((await sql(standIn, "SELECT 1", { password: "p" })).status, 200);
    assertMatch(standIn.store.get(key)!, /"password":"\$2b\$12\$/);
    assertEquals((await sql(standIn, "SELECT 1", { password: "p" })).status, 200);
  },
);

// ---- S3 ----

interface S3Request {
  method: string;
  path: string;
  headers: Record<string, string>;
  status: number;
  bytes: number;
}

/** A few lines of S3: one bucket `run-1`, signatures checked by someone else's code. */
async function withS3(
  test: (endpoint: string, requests: S3Request[], fail: { times: number }) => Promise<void>,
): Promise<void> {
  const objects = new Map<string, Uint8Array>();
  const requests: S3Request[] = [], fail = { times: 0 };
  const server = http.createServer(async (request, response) => {
    const parts: Uint8Array[] = [];
    for await (const part of request) parts.push(part as Uint8Array);
    const body = Buffer.concat(parts), url = new URL(request.url!, `http://${request.headers.host}`);
    const headers = request.headers as Record<string, string>;
    const answer = async (): Promise<[number, Uint8Array | string]> => {
      if (fail.times-- > 0) return [503, "slow down"];
      if (!await signedRight(request.method!, url, headers, body)) return [403, "SignatureDoesNotMatch"];
      if (url.pathname === "/run-1" && url.searchParams.get("list-type") === "2") {
        const prefix = url.searchParams.get("prefix")!;
        const found = [...objects].filter(([key]) => key.startsWith(prefix));
        const contents = found.map(([key, { length }]) =>
          `<Contents><Key>${key}</Key><Size>${length}</Size></Contents>`
        );
        return [
          200,
          `<ListBucketResult><IsTruncated>false</IsTruncated>${contents.join("")}</ListBucketResult>`,
        ];
      }
      if (url.pathname === "/") return [200, "<ListAllMyBucketsResult></ListAllMyBucketsResult>"];
      const key = /^\/run-1\/(.+)$/.exec(url.pathname)?.[1];
      if (key === undefined) return [404, "NoSuchBucket"];
      if (request.method === "PUT") return objects.set(key, body), [200, ""];
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "")!;
      return [206, objects.get(key)!.subarray(Number(from), Number(to) + 1)];
    };
    const [status, content] = await answer();
    const bytes = Buffer.from(content as string);
    const { method } = request as { method: string };
    requests.push({
      method,
      path: request.url!,
      headers,
      status,
      bytes: method === "PUT" ? body.length : bytes.length,
    });
    response.writeHead(status, { "content-length": String(bytes.length) });
    response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await test(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, fail);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Whether a request is signed for S3 by key `stage` and secret `secret`, and its body's hash is right. */
async function signedRight(
  method: string,
  url: URL,
  headers: Record<string, string>,
  body: Uint8Array,
): Promise<boolean> {
  const signer = new AwsV4Signer({
    method,
    url: url.href,
    headers: {
      "x-amz-content-sha256": headers["x-amz-content-sha256"]!,
      ...(headers.range === undefined ? {} : { range: headers.range }),
    },
    accessKeyId: "stage",
    secretAccessKey: "secret",
    service: "s3",
    region: "stage",
    datetime: headers["x-amz-date"]!,
    allHeaders: true,
  });
  const hash = createHash("sha256").update(body).digest("hex");
  return hash === headers["x-amz-content-sha256"] && await signer.authHeader() === headers.authorization;
}

const connection = (endpoint: string, more = ", virtual_hosted_style = false") =>
  `CONNECTION = (endpoint_url = '${endpoint}', region = 'stage', access_key_id = 'stage', secret_key = 'secret'${more})`;

for (const [version, recorded] of [["2.3.5", "t-19102"], ["2.3.3", "t-20202"]] as const) {
  standInTest(
    `A ${version} asks an S3 stage in the form that was recorded`,
    withRows({ version, dump: fixture(`dumps/${version === "2.3.3" ? "2.3.3" : "2.3.5.4"}-cluster.dump`) }),
    async (standIn) => {
      await withS3(async (endpoint, requests) => {
        const options = `${connection(endpoint)} FILE_FORMAT = (TYPE = 'PARQUET')`;
        const out = await sql(standIn, `COPY INTO 's3://run-1/${recorded}' FROM air ${options}`);
        assertEquals(out.rows, [{ rows: 500 }], out.body);
        const back = await sql(standIn, `COPY INTO air FROM 's3://run-1/${recorded}/' ${options}`);
        assertEquals(back.rows, [{ rows: 500 }], back.body);
        const lines = fixture("recorded/stage-s3.jsonl").trim().split("\n").map((line) => JSON.parse(line));
        // The real server wrote two files where it had two partitions; one of each form is enough.
        const theirs: S3Request[] = lines.filter((line) => line.path.includes(recorded));
        const shape = ({ method, path, headers, status }: S3Request) => ({
          method,
          status,
          path: path.replace(/\d{5,}/g, "N").replace(/N-\d-/, "N-0-"),
          headers: Object.keys(headers).filter((name) => name !== "connection").sort(),
          agent: headers["user-agent"],
          scope: /Credential=(.*?)\/\d+(.*),/.exec(headers.authorization!)?.slice(1),
        });
        const forms = (all: S3Request[]) => new Set(all.map((request) => JSON.stringify(shape(request))));
        assertEquals(forms(requests), forms(theirs));
        const ranges = requests.flatMap(({ headers }) => headers.range ?? []);
        const size = requests[0]!.bytes;
        assertEquals(ranges[0], `bytes=${size - 8}-${size - 1}`);
        assertMatch(ranges[1]!, new RegExp(`^bytes=\\d+-${size - 9}$`));
        assertMatch(ranges[2]!, /^bytes=4-\d+$/);
      });
    },
  );
}

standInTest(
  "Without virtual_hosted_style = false the first directory is taken for the bucket",
  withRows({ version: "2.4.0", dump: fixture("dumps/2.4.0-single.dump") }),
  async (standIn) => {
    await withS3(async (endpoint) => {
      const wrong = `${connection(endpoint, "")} FILE_FORMAT = (TYPE = 'PARQUET')`;
      const out = await sql(standIn, `COPY INTO 's3://run-1/t' FROM air ${wrong}`);
      assertEquals([out.status, /010047.*HTTP status client error \(404/.test(out.body)], [422, true]);
      assertEquals((await sql(standIn, `COPY INTO air FROM 's3://run-1/t/' ${wrong}`)).rows, [{ rows: 0 }]);
      const right = `${connection(`${endpoint}/run-1`, "")} FILE_FORMAT = (TYPE = 'PARQUET')`;
      assertEquals((await sql(standIn, `COPY INTO 's3://run-1/t' FROM air ${right}`)).rows, [{ rows: 500 }]);
      const other = right.replace("'secret'", "'guessed'");
      assertStringIncludes(
        (await sql(standIn, `COPY INTO 's3://run-1/u' FROM air ${other}`)).body,
        "403 Forbidden",
      );
    });
  },
);

standInTest(
  "S3 requests are tried again on 5xx and refused connections, ten times",
  { version: "2.4.2", latency: { s3PauseMs: 0 } },
  async (standIn) => {
    const probe = (endpoint: string) =>
      `COPY INTO 's3://run-1/probe' FROM (SELECT 1 AS x) ${
        connection(endpoint)
      } FILE_FORMAT = (TYPE = 'PARQUET')`;
    let closed = "";
    await withS3(async (endpoint, requests, fail) => {
      closed = endpoint;
      fail.times = 10;
      assertEquals((await sql(standIn, probe(endpoint))).rows, [{ rows: 1 }]);
      assertEquals(requests.length, 11);
      fail.times = 11;
      assertStringIncludes(
        (await sql(standIn, probe(endpoint))).body,
        "after 10 retries: HTTP status server error",
      );
    });
    const refused = await sql(standIn, probe(closed));
    assertEquals(refused.status, 422);
    assertMatch(refused.body, /"010047".*object store error: Generic S3 error: .*error trying to connect/);
  },
);

Deno.test("As a process it says where it listens, restarts when told, and ends with its stdin", async () => {
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      new URL("standin.ts", import.meta.url).pathname,
      "--version",
      "2.4.2",
      "--meta-nodes",
      "3",
    ],
    stdin: "piped",
    stdout: "piped",
  });
  const process = command.spawn();
  const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { metaUrl, followerUrls } = JSON.parse((await lines.read()).value!);
  assertEquals(followerUrls.length, 2);
  await post(`${metaUrl}/restore`, "/cluster_xxx/users/x: {}\n");
  const input = process.stdin.getWriter();
  await input.write(new TextEncoder().encode("restart\n"));
  assertMatch(
    (await lines.read()).value!,
    /^\{"panic":"called `Result::unwrap\(\)` on an `Err` value: SerdeMsgInvalid/,
  );
  await input.close();
  assert((await lines.read()).done);
  assertEquals((await process.status).code, 0);
});
