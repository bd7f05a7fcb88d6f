import { Failure } from "../../../lib/cli/errors.ts";
import { shorten, SqlClient, SqlError } from "../../../lib/cnosdb/sql.ts";
import { assert, assertEquals, assertRejects } from "../../helpers/deps.ts";

/** Asks a server that answers each statement in the same way. */
async function ask<T>(body: BodyInit, status: number, action: (client: SqlClient) => Promise<T>): Promise<T> {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response(body, { status }),
  );
  const endpoint = { url: `http://127.0.0.1:${server.addr.port}`, user: "root", password: "hunter2222" };
  return await action(new SqlClient(endpoint, new AbortController().signal));
}

const query = (client: SqlClient) => client.query("SELECT 1", { tenant: "cnosdb" });

Deno.test("an answer that is no rows is a failure, not a bug", async () => {
  for (const body of ["null", "[null]", "{}", "[[1]]", "<html>", "1"]) {
    await assertRejects(() => ask(body, 200, query), Failure, "holds no rows as JSON", body);
  }
  assertEquals(await ask("", 200, query), []);
  assertEquals(await ask('[{"n":1},{"n":2}]', 200, query), [{ n: 1 }, { n: 2 }]);
});

Deno.test("a server that echoes what it was sent reveals no password", async () => {
  const echo = `bad header ${btoa("root:hunter2222")}, hunter2222`;
  const error = await assertRejects(
    () => ask(JSON.stringify({ error_code: "1", error_message: echo }), 422, query),
    SqlError,
  );
  assert(!/hunter|cm9vd/.test(error.message), error.message);
});

Deno.test("an endless answer is cut off and reported", async () => {
  const endless = () =>
    new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1 << 20).fill(0x20)) });
  const error = await assertRejects(() => ask(endless(), 500, query), SqlError);
  assert(error.message.length < 1000);
  await assertRejects(
    () => ask(endless(), 200, (client) => client.version()),
    Failure,
    "more than 1048576 bytes",
  );
});

Deno.test("a statement in a message is cut before keys and passwords, whatever its names are", () => {
  const start = 'COPY INTO "d"."t" FROM \'s3://b/d\' ';
  assertEquals(
    shorten(`${start}CONNECTION = (secret_key = 'a)b''c') FILE_FORMAT = (TYPE = 'PARQUET')`),
    `${start}…`,
  );
  assertEquals(shorten("ALTER USER u SET PASSWORD = 'x''y'"), "ALTER USER u SET …");
  const named = `COPY INTO "d"."CONNECTION=(${"'".repeat(80)}" CONNECTION=(secret_key = 'K')`;
  assertEquals(shorten(named), 'COPY INTO "d"."…');
});
