import { UsageError } from "../../../lib/cli/errors.ts";
import { basicAuthorization, parseEndpoint } from "../../../lib/cnosdb/endpoint.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/deps.ts";

Deno.test("an address may lack its scheme, and is shown without credentials", () => {
  assertEquals(parseEndpoint("old:8999", 8902).url, "http://old:8999");
  assertEquals(parseEndpoint("https://root:p%40ss@[::1]:8902/", 8902), {
    url: "https://[::1]:8902",
    user: "root",
    password: "p@ss",
  });
});

Deno.test("a host alone gets CnosDB's port, a URL keeps its own", () => {
  assertEquals(parseEndpoint("old", 8901).url, "http://old:8901");
  assertEquals(parseEndpoint("old:80", 8901).url, "http://old");
  assertEquals(parseEndpoint("old:8999/", 8901).url, "http://old:8999");
  assertEquals(parseEndpoint("old:80/meta", 8901).url, "http://old/meta");
  assertEquals(parseEndpoint("root:99@old/", 8901).url, "http://old:8901");
  assertEquals(parseEndpoint("root:x@[::1]", 8902), {
    url: "http://[::1]:8902",
    user: "root",
    password: "x",
  });
  assertEquals(parseEndpoint("https://old/meta", 8901).url, "https://old/meta");
});

Deno.test("no password in a malformed address is shown", () => {
  const malformed = [
    "http://root:S3CRET/x@old:8902",
    "http://root:123S3CRET/x@old",
    "http://root:12/S3CRET@old:8902",
    "http://root:1#S3CRET@old:8902",
    "http://root:1?S3CRET@old:8902",
    "http://root#S3CRET@old:8902",
    "root:S3CRET@old:8902x",
    "root:S3CRET@old:99999",
    "http://root:S3CRET%@old:8902",
    "http://ro%ot:S3CRET@old:8902",
    "http://root:S3 CRET@old:8902",
    "http//root:S3CRET@old:8902",
    "http:/root:S3CRET@old:8902 ",
    "ftp://root:S3CRET@old",
    "root:S3CRET",
    "http://root:S3CRET",
    "http://:S3CRET@",
    "@S3CRET@ old",
    "",
    "http://",
    "8901",
  ];
  for (const text of malformed) {
    const { message, hint } = assertThrows(() => parseEndpoint(text, 8902), UsageError, "", text);
    assert(!/S3|CRET/.test(`${message} ${hint}`), `${text}: ${message}`);
  }
});

Deno.test("basicAuthorization() takes the endpoint's user, else root", () => {
  assertEquals(basicAuthorization({ url: "" }), `Basic ${btoa("root:")}`);
  assertEquals(basicAuthorization({ url: "", user: "u", password: "p" }), `Basic ${btoa("u:p")}`);
});
