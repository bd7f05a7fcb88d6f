import assert from "node:assert/strict";
import process from "node:process";
import { parse } from "../../../lib/cli/command.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import { openStage } from "../../../lib/stage/open.ts";
import { assertDirectory, connectionClause, freshDirectory } from "../../../lib/stage/stage.ts";
import { connectionOptions, parseStage, storageStage } from "../../../lib/stage/storage.ts";
import { command } from "../../../scripts/copy_tables.ts";
import { Client } from "./client.ts";

/** The stage of a command line. */
const open = (...flags: string[]) => openStage(parse(command, flags), { from: [], to: [], say: () => {} });

Deno.test("every export gets a directory of its own, in characters that servers find again", () => {
  const name = { tenant: "cnosdb", database: "my db", table: "é.'/../\0".repeat(30) };
  const one = freshDirectory(name);
  assert.match(one, /^cnosdb-my_db-_+-[0-9a-f]{8}$/);
  assert.notEqual(one, freshDirectory(name));
  assertDirectory(one);
});

Deno.test("a directory is one part of a path", async () => {
  const parent = await Deno.makeTempDir();
  await Deno.mkdir(`${parent}/stage`);
  await Deno.mkdir(`${parent}/victim`);
  const stage = storageStage(parseStage("--stage", `file://${parent}/stage`));
  for (const name of ["../victim", "..", ".", "", "a/b", "a b", "a\n", "ä", "x".repeat(200)]) {
    for (const use of [stage.bytes, stage.remove, stage.source.url, stage.target.url]) {
      await assert.rejects(async () => await use(name), /is no directory of a stage/, name);
    }
  }
  assert.equal([...Deno.readDirSync(parent)].length, 2);
  await Deno.remove(parent, { recursive: true });
});

Deno.test("what was imported is removed from a local directory, and what stays is reported", async () => {
  const parent = await Deno.makeTempDir();
  const stage = storageStage(parseStage("--stage", `file://${parent}`));
  assert.equal(stage.source.url("t-1"), `file://${parent}/t-1`);
  await Deno.mkdir(`${parent}/t-1/inner`, { recursive: true });
  await Deno.writeTextFile(`${parent}/t-1/a`, "rows");
  await Deno.writeTextFile(`${parent}/t-1/inner/b`, "rows");
  assert.equal(await stage.bytes("t-1"), 8);
  assert.match(await stage.close() ?? "", /1 directory left in file:.* such as t-1/);
  await stage.remove("t-1");
  assert.deepEqual([...Deno.readDirSync(parent)], []);
  stage.source.url("t-2"); // an empty table makes no directory
  await stage.remove("t-2");
  assert.equal(await stage.close(), undefined);
  await Deno.remove(parent);
});

Deno.test("a directory on the server's machine is reported, also if its parent exists here", async () => {
  const parent = await Deno.makeTempDir();
  for (const place of [parent, `${parent}/not/here`]) {
    const stage = storageStage(parseStage("--stage", `file://${place}`));
    stage.source.url("t-1");
    await stage.remove("t-1");
    assert.match(await stage.close() ?? "", /1 directory left in file:.* such as t-1/);
  }
  await Deno.remove(parent);
});

Deno.test("the target may see the files under another path", async () => {
  const parent = await Deno.makeTempDir();
  await Deno.mkdir(`${parent}/t-1`);
  const stage = storageStage(new URL("file:///not/here"), new URL(`file://${parent}`));
  assert.equal(stage.source.url("t-1"), "file:///not/here/t-1");
  assert.equal(stage.target.url("t-1"), `file://${parent}/t-1`);
  assert.equal(await stage.bytes("t-1"), 0);
  await stage.remove("t-1");
  assert.deepEqual([...Deno.readDirSync(parent)], []);
  await Deno.remove(parent);
});

Deno.test("directories in other storages are kept, and counted", async () => {
  const stage = storageStage(parseStage("--stage", "s3://bucket/copy/"), undefined, { region: "r" });
  assert.equal(stage.target.url("t-1"), "s3://bucket/copy/t-1");
  assert.equal(stage.target.connection, "CONNECTION = (region = 'r') ");
  await stage.remove("t-1");
  assert.equal(await stage.bytes("t-1"), undefined);
  assert.match(await stage.close() ?? "", /1 directory left in s3:\/\/bucket\/copy/);
});

Deno.test("a CONNECTION quotes all values but switches", () => {
  assert.equal(connectionClause({}), "");
  assert.equal(
    connectionClause({ secret_key: "it's", virtual_hosted_style: "false" }),
    "CONNECTION = (secret_key = 'it''s', virtual_hosted_style = false) ",
  );
});

Deno.test("an S3 that is not Amazon's gets the two options without which nothing is imported", () => {
  const minio = ["endpoint_url=http://minio:9000", "access_key_id=ID", "secret_key=KEY=="];
  assert.deepEqual(connectionOptions(new URL("s3://b/dir"), minio), {
    endpoint_url: "http://minio:9000",
    access_key_id: "ID",
    secret_key: "KEY==",
    region: "us-east-1",
    virtual_hosted_style: "false",
  });
  const inIt = connectionOptions(new URL("s3://b/dir"), ["endpoint_url=http://minio:9000/b"]);
  assert.equal(inIt.virtual_hosted_style, undefined);
  const amazon = ["endpoint_url=https://s3.eu-west-1.amazonaws.com", "region=eu-west-1"];
  assert.equal(Object.keys(connectionOptions(new URL("s3://b/dir"), amazon)).length, 2);
});

Deno.test("a text that may hold a key is never shown", async () => {
  const urls = [
    "http://ID:hush@minio/b",
    "s3://ID:hush@minio/b",
    "s3:/ID:hush@minio/b",
    "ID:hush@minio",
    "s3://b/hush?x",
    "s3://b/hush#x",
    "s3://b/hush x",
    "s3://b:99/hush",
    "file://hush/x",
    "file:///",
    "s3://%/hush",
    "gcs://b/hush%20",
  ];
  for (const stage of urls) assert.throws(() => parseStage("--stage", stage), isQuietUsageError, stage);
  for (const pair of ["hush", "hush=", "secret_key:hush", "=hush", "secretkey=hush", "hush=hush"]) {
    assert.throws(() => connectionOptions(new URL("s3://b/d"), [pair]), isQuietUsageError, pair);
  }
  assert.throws(() => connectionOptions(new URL("file:///d"), ["region=x"]), /no option of file/);
  assert.throws(
    () => connectionOptions(new URL("s3://b"), ["regoin=x"]),
    (e: { hint: string }) => /did you mean region/.test(e.hint),
  );
  Deno.env.set("CNOSDB_STAGE_CONNECTION", '{"secret_key":"hush"');
  try {
    await assert.rejects(() => open("--stage", "s3://b/d"), isQuietUsageError);
    Deno.env.set("CNOSDB_STAGE_CONNECTION", '{"secret_key":"hush","region":"a"}');
    const stage = await open("--stage", "s3://b/d", "--connection", "region=b");
    assert.equal(stage.source.connection, "CONNECTION = (secret_key = 'hush', region = 'b') ");
    assert.equal(stage.source.url("t-1"), "s3://b/d/t-1");
  } finally {
    Deno.env.delete("CNOSDB_STAGE_CONNECTION");
  }
});

function isQuietUsageError(error: Error): boolean {
  const told = `${error.message} ${(error as { hint?: string }).hint}`;
  return error.name === "UsageError" && !/hush/.test(told);
}

Deno.test("a server that echoes a statement shows no key of the stage", () => {
  connectionOptions(new URL("s3://b/d"), [
    "access_key_id=AKIAXYZ",
    "secret_key=qwertz/uiop+",
    "token=asdf1234",
  ]);
  const { message } = new Failure("422 near 'AKIAXYZ', secret_key = 'qwertz/uiop+', token = 'asdf1234'");
  assert.equal(message, "422 near '…', secret_key = '…', token = '…'");
});

Deno.test("flags that contradict each other are refused", async () => {
  for (
    const [told, ...flags] of [
      [/need a --stage/, "--import-stage", "file:///x"],
      [/need a --stage/, "--connection", "region=x"],
      [/--serve-address and --rate go with/, "--stage", "file:///x", "--serve-address", "a:1"],
      [/--serve-address and --rate go with/, "--stage", "file:///x", "--rate", "1"],
      [/--import-stage is no stage/, "--stage", "file:///x", "--import-stage", "file://"],
    ] as const
  ) await assert.rejects(() => open(...flags), told);
});

Deno.test("--rate 0 is no limit", async () => {
  const warnings: Error[] = [];
  const note = (warning: Error) => void warnings.push(warning);
  process.on("warning", note);
  const stage = await open("--rate", "0", "--serve-address", "127.0.0.1:0");
  try {
    const client = new Client(stage.source.connection, stage.source.url("t-1"));
    assert.equal((await client.put("t-1/a", "rows")).status, 200);
    assert.deepEqual(warnings, []);
  } finally {
    process.off("warning", note);
    await stage.close();
  }
});
