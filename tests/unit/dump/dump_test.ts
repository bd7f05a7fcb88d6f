import { DumpReader, DumpWriter } from "../../../lib/dump/dump.ts";
import { Failure } from "../../../lib/cli/errors.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../helpers/deps.ts";

const encoder = new TextEncoder();

/** A dump in pieces of `size` bytes, which may cut characters and line ends. */
async function* pieces(dump: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < dump.length; at += size) yield await Promise.resolve(dump.slice(at, at + size));
}

async function read(dump: string | Uint8Array, size = 7) {
  const reader = new DumpReader("test");
  const bytes = typeof dump === "string" ? encoder.encode(dump) : dump;
  let text = "";
  const lines: number[] = [];
  for await (const block of reader.blocks(pieces(bytes, size))) {
    text += block.bytes;
    lines.push(block.line);
  }
  const decoded = new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  return { text: decoded, lines, framed: reader.framed, marked: reader.marked, entries: reader.entries };
}

async function written(lines: string): Promise<string> {
  const pieces: string[] = [];
  const writer = new DumpWriter((bytes) => {
    pieces.push(new TextDecoder().decode(bytes));
    return Promise.resolve();
  }, 10);
  for (const line of lines.split(/(?<=\n)/)) {
    await writer.write(String.fromCharCode(...encoder.encode(line)), 1);
  }
  await writer.end();
  return pieces.join("");
}

const plain = "/c/users/温度: {}\n/data_version: 63\n";

Deno.test("a dump is the same in pieces of any size", async () => {
  for (const size of [1, 2, 3, 5, 1000]) assertEquals((await read(plain, size)).text, plain);
});

Deno.test("a frame, CR, a byte order mark, blank lines and comments are taken off", async () => {
  const frame = ["******-----******", "* /c/a: 1", "* /c/b: 2", "****** ---- ******"].join("\r\n");
  const framed = await read(`${frame}\r\n`);
  assertEquals([framed.text, framed.framed, framed.entries], ["/c/a: 1\n/c/b: 2\n", true, 2]);
  const odd = await read("\uFEFF# note\n\n/c/a: 1\r\n\n/c/b: 2\n");
  assertEquals([odd.text, odd.lines.at(0), odd.lines.at(-1)], ["/c/a: 1\n/c/b: 2\n", 3, 5]);
});

Deno.test("what was written with a mark is read with it, in pieces of any size", async () => {
  const dump = await written(plain);
  for (const size of [1, 2, 3, 5, 1000]) {
    const { text, marked, entries } = await read(dump, size);
    assertEquals([text, marked, entries], [plain, true, 2]);
  }
});

Deno.test("the mark covers a byte order mark and CR as they are in the file", async () => {
  const body = encoder.encode("\uFEFF/c/a: 1\r\n/c/b: 2\n");
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", body)).toHex();
  const marked = await read(
    new Uint8Array([...body, ...encoder.encode(`# end entries=2 sha256=${sum}\n`)]),
    1000,
  );
  assertEquals(marked.marked, true);
});

Deno.test("a marked dump that lost, gained or changed anything is refused", async () => {
  const dump = await written(plain);
  const lines = dump.split(/(?<=\n)/);
  for (
    const [changed, includes] of [
      [lines.slice(1).join(""), "promises 2 entries, 1"],
      [dump.replace("63", "64"), "another sha256"],
      [dump + "/c/x: 1\n", "the dump ended before this line"],
      [dump.slice(0, -1), "cut in the middle"],
      [lines[0] + "# end entries=1\n", "expected a line that starts with a key"],
    ] as const
  ) {
    for (const size of [3, 1000]) {
      const error = await assertRejects(() => read(changed, size), Failure);
      assertStringIncludes(error.message, includes);
    }
  }
});

Deno.test("bytes that are no UTF-8 are refused, with their line", async () => {
  const bytes = encoder.encode("/c/a: 1\n/c/b: x\n");
  bytes[14] = 0xff;
  const error = await assertRejects(() => read(bytes, 1000), Failure);
  assertStringIncludes(error.message, "line 2: its bytes are no UTF-8");
});

Deno.test("a message shows a line's key, never its value", async () => {
  const error = await assertRejects(() => read('/c/a: 1\n/c/users/x: {"password":"secret"'), Failure);
  assertEquals(error.message.includes("secret"), false);
});
