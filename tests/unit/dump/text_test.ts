import { type Dump, readDump, writeDump } from "../../../lib/dump/text.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../helpers/deps.ts";

const encoder = new TextEncoder();

/** A dump in pieces of `size` bytes, which may cut characters and line ends. */
async function* pieces(dump: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < dump.length; at += size) yield await Promise.resolve(dump.slice(at, at + size));
}

function read(dump: string | Uint8Array, size = 7, unmarked = true): Promise<Dump> {
  const bytes = typeof dump === "string" ? encoder.encode(dump) : dump;
  return readDump(pieces(bytes, size), "test", { unmarked });
}

async function refused(dump: string | Uint8Array, message: string, size = 7, unmarked = true): Promise<void> {
  const error = await assertRejects(() => read(dump, size, unmarked), Failure);
  assertStringIncludes(error.message, message);
}

/** Lines with the mark that writeDump puts behind them. */
async function written(lines: string): Promise<string> {
  const { entries } = await read(lines, 1 << 16);
  let text = "";
  await writeDump(entries, (bytes) => {
    text += new TextDecoder().decode(bytes);
    return Promise.resolve();
  });
  return text;
}

const lines = ["/c/users/温度: {}", "/data_version: 63"];
const plain = lines.join("\n") + "\n";
const entries = [
  { key: "/c/users/温度", value: "{}", line: 1 },
  { key: "/data_version", value: "63", line: 2 },
];

Deno.test("a dump is the same in pieces of any size", async () => {
  for (const size of [1, 2, 3, 5, 1000]) assertEquals((await read(plain, size)).entries, entries);
});

Deno.test("a frame, CR, a byte order mark, blank lines and comments are passed over", async () => {
  const frame = ["******-----******", "* /c/a: 1", "* /c/b: 2", "****** ---- ******"].join("\r\n");
  for (const text of [frame, `${frame}\r\n`, `${frame}\r\n\r\n`]) {
    const { entries, framed, marked } = await read(text, 7, false);
    assertEquals([entries.map(({ key }) => key), framed, marked], [["/c/a", "/c/b"], true, false]);
  }
  const odd = await read("\uFEFF# note\n\n/c/a: 1\r\n\n/c/b: 温\n");
  assertEquals(odd.entries, [{ key: "/c/a", value: "1", line: 3 }, { key: "/c/b", value: "温", line: 5 }]);
});

Deno.test("a key with line breaks is one key, plain, framed and with an end mark", async () => {
  const key = "/c/tenants/t/dbs/d/schemas/n510 n906=0u\n\n# x\nn510";
  const value = '{"TsKvTableSchema":{"name":"n510 n906=0u\\n\\n# x\\nn510"}}';
  const text = `/c/a: 1\n${key}: ${value}\n/c/z: 2\n`;
  const frame = `******-----******\n* ${text.trimEnd().replaceAll("\n/", "\n* /")}\n****** ---- ******\n`;
  for (const dump of [text, frame, await written(text)]) {
    for (const size of [1, 7, 1000]) {
      const { entries } = await read(dump, size);
      assertEquals(entries[1], { key, value, line: dump === frame ? 3 : 2 });
      assertEquals(entries.map(({ key }) => key), ["/c/a", key, "/c/z"]);
    }
  }
});

Deno.test("what was written with a mark is read with it, in pieces of any size", async () => {
  const dump = await written(plain);
  for (const size of [1, 2, 3, 5, 1000]) {
    const { entries: read_, marked } = await read(dump, size, false);
    assertEquals([read_, marked], [entries, true]);
  }
});

Deno.test("the mark of a small and of a large dump is the sha256 of all bytes before it", async () => {
  for (const entries of [2, 3_000]) {
    const dump = await written(`/c/users/温度: {"a":"${"x".repeat(1_000)}"}\n`.repeat(entries));
    const body = dump.slice(0, dump.lastIndexOf("# end "));
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(body))).toHex();
    assertEquals(dump.slice(body.length), `# end entries=${entries} sha256=${sum}\n`);
    assertEquals((await read(dump, 70_000, false)).entries.length, entries);
    await refused(dump.replace("xx", "xy"), "another sha256", 70_000);
  }
});

Deno.test("a plain dump without an end mark is refused unless it is said that it has none", async () => {
  await refused(plain, "test: no end mark after its 2 entries", 7, false);
  assertEquals((await read(plain)).marked, false);
});

Deno.test("the mark covers a byte order mark and CR as they are in the file", async () => {
  const body = encoder.encode("\uFEFF/c/a: 1\r\n/c/b: 2\n");
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", body)).toHex();
  const marked = new Uint8Array([...body, ...encoder.encode(`# end entries=2 sha256=${sum}\n`)]);
  for (const size of [1, 1000]) assertEquals((await read(marked, size)).marked, true);
});

Deno.test("a marked dump that lost, gained or changed anything is refused", async () => {
  const dump = await written(plain);
  const [first, ...rest] = dump.split(/(?<=\n)/);
  for (
    const [changed, includes] of [
      [rest.join(""), "promises 2 entries, 1"],
      [dump.replace("63", "64"), "another sha256"],
      [dump + "/c/x: 1\n", "the dump ended before this line"],
      [dump.slice(0, -1), "cut in the middle"],
      [first + "# end entries=1\n", "expected a line that starts with a key"],
    ] as const
  ) {
    for (const size of [3, 1000]) await refused(changed, includes, size);
  }
});

Deno.test("the sum is checked however the mark arrives and whatever follows it", async () => {
  const changed = encoder.encode((await written(plain)).replace("63", "64"));
  const newlines = encoder.encode("\n".repeat(300));
  await refused(new Uint8Array([...changed, ...newlines]), "another sha256", 1000);
  const byteByByte = async function* () {
    yield changed.slice(0, -60);
    for (const byte of changed.slice(-60)) yield await Promise.resolve(new Uint8Array([byte]));
  };
  const error = await assertRejects(() => readDump(byteByByte(), "test"), Failure);
  assertStringIncludes(error.message, "another sha256");
});

Deno.test("a dump that was cut says where", async () => {
  await refused("/c/a: 1\n/c/b", "cut in the middle of line 2");
  await refused("******-----******\n* /c/a: 1\n", "the frame's last line is missing", 7, false);
  await refused("******-----******\n* /c/a: 1\nno\n", "starts with '* '");
  await refused("\n\n", "empty: not one entry");
  await refused("/c/a\n", 'line 1: no ": " in it');
  await refused("/c/a\n/c/b: 1\n", 'line 1: no ": " in it');
  await refused("/c/a\nx\n\n/c/b: 1\n", 'line 1: no ": " in it');
  await refused("******-----******\n* /c/a\n* /c/b: 1\n****** ---- ******\n", 'line 2: no ": " in it');
  await refused("******-----******\n* /c/a\n****** ---- ******\n", 'line 2: no ": " in it');
  await refused("<html>\n", "expected a line that starts with a key");
});

Deno.test("a line that does not end is refused before it fills the memory", async () => {
  const endless = async function* () {
    for (;;) yield await Promise.resolve(new Uint8Array(1 << 20).fill(97));
  };
  const error = await assertRejects(() => readDump(endless(), "test"), Failure);
  assertStringIncludes(error.message, "line 1 is longer than 16 MiB");
});

Deno.test("bytes that are no UTF-8 are refused, with their line", async () => {
  const bytes = encoder.encode("/c/a: 1\n/c/b: x\n");
  bytes[14] = 0xff;
  await refused(bytes, "line 2: its bytes are no UTF-8", 1000);
});

Deno.test("a message shows a line's key, never its value", async () => {
  const error = await assertRejects(() => read('/c/a: 1\n/c/users/x: {"password":"secret"'), Failure);
  assertEquals(error.message.includes("secret"), false);
});
