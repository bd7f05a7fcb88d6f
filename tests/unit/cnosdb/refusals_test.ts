import { NoAnswer } from "../../../lib/cnosdb/http.ts";
import { type Meaning, meaningOf } from "../../../lib/cnosdb/refusals.ts";
import { SqlError } from "../../../lib/cnosdb/sql.ts";
import { assertEquals } from "../../helpers/deps.ts";

const answered = (text: string, code = "", status = 422) => new SqlError(text, status, code, text);

/** Code and text of an answer with status 422, and what it means. */
const answers: [code: string, text: string, meaning: Meaning][] = [
  ["050001", "Meta request error: Valid node is not enough, need: 1, but found: 0", "transient"],
  ["030053", "Valid node is not enough, need: 3, but found: 0", "transient"],
  ["030053", "Valid node is not enough, need: 3, but found: 1", "transient"],
  ["050026", "The Operation Can only Exec in Leader ReplicationSet { id: 51 }", "unknown"],
  ["050027", "Write to Raft Node Wrong (write to replica: 51, id: 53)", "unknown"],
  [
    "050019",
    "grpc client request error: Write to Raft Node Wrong (write to replica: 51, id: 53, failed: has to forward request to: None, None)",
    "unknown",
  ],
  ["050016", 'pre-execution failed: status: Unknown, message: "request timed out"', "unknown"],
  ["050017", "Request timeout: 7", "unknown"],
  ["050099", "something that a later version says", "unknown"],
  ["", "request timed out", "unknown"],
  ["030025", "An error occurred while processing the data: x. Please try again", "unknown"],
  ["010014", "The query has been canceled", "unknown"],
  [
    "010001",
    "Datafusion: Object Store error: Generic S3 error: error trying to connect: tcp connect error",
    "unknown",
  ],
  ["050001", "Meta request error: CoordDataIn reached limit", "overloaded"],
  ["", "Meta request error: TTL reached limit, max is 30 days", "refused"],
  ["020005", "Memory Exhausted Retry Later", "overloaded"],
  ["010001", "Datafusion: Resources exhausted: Failed to allocate additional 1 bytes", "overloaded"],
  ["010012", "Concurrent query request limit exceeded", "overloaded"],
  ["010047", "ObjectStore: No space left on device (os error 28)", "overloaded"],
  ["", "Generic S3 error: response error, status: 507 Insufficient Storage", "overloaded"],
  ["050001", "Meta request error: Operation not support: create expired bucket", "expired"],
  ["030034", "Operation not support: create expired bucket", "expired"],
  ["050014", "write expired time data not permit", "expired"],
  ["050025", "Writing expired timestamp 1 which is less than 2 to database 'x'", "expired"],
  ["010016", "Auth error: The user nobody not found", "cluster"],
  [
    "010016",
    "Auth error: Access denied for user 'u' (using password) incorrect password attempt.",
    "cluster",
  ],
  ["010004", "Insufficient privileges, expected [change password]", "cluster"],
  ["010004", "Insufficient privileges, expected [read on the database]", "refused"],
  ["010016", "Auth error: The tenant no_such_tenant not found", "refused"],
  ["030010", "The tenant no_such_tenant not found", "refused"],
  ["010009", "sql parser error: Expected an SQL statement, found: SELEC", "refused"],
  ["010003", "Semantic error: delimiter and with_header fields are specific to CSV", "refused"],
  ["010047", "object store error: Generic LocalFileSystem error: Unable to create dir /proc/x", "refused"],
  ["020002", "Fields can't be empty", "refused"],
  ["050034", "Fields can't be empty", "refused"],
  ["040005", "Invalid header: invalid variant: json, text/plain, */*", "refused"],
];

Deno.test("meaningOf() knows what real servers say", () => {
  for (const [code, text, meaning] of answers) assertEquals(meaningOf(answered(text, code)), meaning, text);
});

Deno.test("meaningOf() is not misled by the name of a table", () => {
  for (
    const name of [
      "leader",
      "password",
      "request timed out",
      "expired bucket",
      "reached limit",
      "user x not found",
    ]
  ) {
    for (
      const [code, text] of [
        [
          "010001",
          `Datafusion: Error during planning: Table not found, tenant: cnosdb db: public, table: ${name}`,
        ],
        ["030019", `Table not found: "cnosdb.public.${name}"`],
      ] as const
    ) assertEquals(meaningOf(answered(text, code)), "refused", text);
  }
});

Deno.test("meaningOf() uses the status if there is no text, and whether a request was sent", () => {
  const statuses: [number, Meaning][] = [
    [500, "unknown"],
    [502, "unknown"],
    [503, "overloaded"],
    [429, "overloaded"],
    [507, "overloaded"],
    [401, "cluster"],
    [404, "refused"],
  ];
  for (const [status, meaning] of statuses) assertEquals(meaningOf(answered("", "", status)), meaning);
  assertEquals(meaningOf(new NoAnswer("cannot connect", false)), "transient");
  assertEquals(meaningOf(new NoAnswer("cut", true)), "unknown");
  assertEquals(meaningOf(new TypeError("a bug")), "refused");
});

Deno.test("every recorded error has the right meaning", async () => {
  const directory = new URL("../../../fixtures/recorded/", import.meta.url);
  for (const { name } of Deno.readDirSync(directory)) {
    for (const line of (await Deno.readTextFile(new URL(name, directory))).split("\n")) {
      const body = line ? String(JSON.parse(line).response?.body ?? "") : "";
      if (!body.startsWith('{"error_code"')) continue;
      const { error_code, error_message } = JSON.parse(body) as { error_code: string; error_message: string };
      const expected = /expired/.test(error_message)
        ? "expired"
        : /The user/.test(error_message)
        ? "cluster"
        : "refused";
      assertEquals(meaningOf(answered(error_message, error_code)), expected, error_message);
    }
  }
});
