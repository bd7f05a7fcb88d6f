import { redacted } from "../../../lib/dump/redact.ts";
import { assertEquals } from "../../helpers/deps.ts";

const redact = (key: string, value: string) => redacted([{ key, value, line: 1 }])[0]?.value;

Deno.test("what a stream reads from and where an external table's file is are not shown", () => {
  const external = '{"ExternalTableSchema":{"name":"x","location":"s3://bucket/secret","delimiter":44}}';
  assertEquals(
    redact("/c/tenants/t/dbs/d/schemas/x", external),
    '{"ExternalTableSchema":{"name":"x","location":"redacted","delimiter":44}}',
  );
  const stream = '{"StreamTableSchema":{"name":"x","extra_options":{"url":"http://u:p@h","empty":""}}}';
  assertEquals(
    redact("/c/tenants/t/dbs/d/schemas/x", stream),
    '{"StreamTableSchema":{"name":"x","extra_options":{"url":"redacted","empty":""}}}',
  );
});

Deno.test("a user's hash, key and comment are replaced, a missing password stays missing", () => {
  const user =
    '{"id":97516372427273501448793474162317844843,"name":"u","options":{"hash_password":"$2b$12$abc",' +
    '"comment":"c","rsa_public_key":null,"must_change_password":true}}';
  assertEquals(
    redact("/c/users/u", user),
    `{"id":97516372427273501448793474162317844843,"name":"u","options":{"hash_password":"$2b$12$${
      "x".repeat(53)
    }",` +
      '"comment":"redacted","rsa_public_key":null,"must_change_password":true}}',
  );
  assertEquals(redact("/c/users/u", '{"options":{"password":null}}'), '{"options":{"password":null}}');
});

Deno.test("running queries, unknown keys and values that are no JSON are left out", () => {
  assertEquals(redact("/c/queries/7", '{"query":"ALTER USER u SET PASSWORD"}'), undefined);
  assertEquals(redact("/c/rec_test", "1"), undefined);
  assertEquals(redact("/c/users/u", '{"options":'), undefined);
});
