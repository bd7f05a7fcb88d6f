/** Requests at the served stage that no cluster would send. */
import { httpLimits } from "../../lib/stage/http.ts";
import {
  type Answer,
  bytesOf,
  Client,
  filesIn,
  readAnswer,
  sha256Of,
  withStage,
  write,
} from "../unit/stage/client.ts";
import type { Part } from "./fuzz.ts";

interface Input {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** what is done to the bytes of the signed request: at each place so many bytes go and these come */
  readonly edits: readonly { at: number; gone: number; come: string }[];
}

const pieces = [
  ...[
    "BUCKET",
    "t-1",
    "a",
    "/",
    "..",
    ".",
    "%2e%2e",
    "%00",
    "%",
    "?list-type=2",
    "&prefix=",
    "=",
    "&",
    "#",
    " ",
    "\\",
  ],
  ...[
    "\r\n",
    "ä",
    "\0",
    "x".repeat(300),
    "//",
    "lock",
    "?uploads",
    ";",
    "'",
    '"',
    "<",
    "&prefix=t-1%2F",
    "http://x/",
  ],
];
const headers: readonly (readonly [string, readonly string[]])[] = [
  ["range", ["bytes=0-", "bytes=-1", "bytes=5-1", "bytes=0-99999999999999999999", "bytes=0-0,1-1", "x", ""]],
  ["content-length", ["0", "-1", "1", "99999999999", "1e3", "0x4", " 4", "4 ", "+4"]],
  ["transfer-encoding", ["chunked", "identity", "gzip, chunked"]],
  ["x-amz-content-sha256", ["UNSIGNED-PAYLOAD", "", "x", sha256Of("rows").toUpperCase()]],
  ["x-amz-copy-source", ["/BUCKET/t-1/there"]],
  ["expect", ["100-continue"]],
  ["connection", ["keep-alive", "upgrade"]],
  ["x-amz-date", ["", "20200101T000000Z", "x"]],
];

export const requests: Part<Input> = {
  make(random) {
    const chosen = Array.from({ length: random.below(3) }, () => random.of(headers));
    return {
      method: random.of(["GET", "PUT", "PUT", "HEAD", "POST", "DELETE", "get", "PRI", ""]),
      path: random.below(2)
        ? "/BUCKET/t-1/a"
        : `/${Array.from({ length: random.below(7) }, () => random.of(pieces)).join("")}`,
      headers: Object.fromEntries(chosen.map(([name, values]) => [name, random.of(values)])),
      body: random.of(["", "rows", "r", "x".repeat(100_000), "GET / HTTP/1.1\r\n\r\n"]),
      edits: Array.from({ length: random.below(3) }, () => ({
        at: random.number(),
        gone: random.below(20),
        come: random.of(["", "\r\n", "\r\n\r\n", "\0", ":", " ", "ÿ", "a".repeat(20_000), "\n"]),
      })),
    };
  },
  async check(input) {
    let told: string | undefined;
    await withStage(async (client, stage, parent) => {
      await client.put("t-1/there", "here");
      const answer = await send(client, input);
      if (answer?.status === 500) told = `500: ${answer.text}`;
      const there = await client.get("/t-1/there");
      if (there.text !== "here") told ??= `the stage answers ${there.status} afterwards`;
      if ((await client.put("t-1/next", "next")).status !== 200) told ??= "it takes no file afterwards";
      const listed = [...(await client.list("t-1")).text.matchAll(/<Key>/g)].length;
      if (filesIn(parent).length !== listed) told ??= `${filesIn(parent)} lie there, ${listed} are listed`;
      if ([...Deno.readDirSync(parent)].length !== 1) told ??= "something was written outside of the stage";
      await stage.close();
    }, { limits: { ...httpLimits, headMs: 200, stallMs: 200 } });
    return told;
  },
  *smaller(input) {
    for (const at of input.edits.keys()) yield { ...input, edits: input.edits.toSpliced(at, 1) };
    for (const name of Object.keys(input.headers)) {
      const { [name]: _, ...left } = input.headers;
      yield { ...input, headers: left };
    }
    if (input.body) yield { ...input, body: "" };
    if (input.path.length > 1) yield { ...input, path: input.path.slice(0, -1) };
  },
  show: (input) => JSON.stringify(input),
};

async function send(
  client: Client,
  { method, path, headers, body, edits }: Input,
): Promise<Answer | undefined> {
  const named = (text: string) => text.replaceAll("BUCKET", client.bucket);
  let head: string;
  try {
    head = await client.head(method, named(path), {
      headers: {
        "x-amz-content-sha256": sha256Of(body),
        ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, named(value)])),
      },
      body: bytesOf(body),
    });
  } catch {
    head = `${method} ${named(path)} HTTP/1.1\r\nhost: x\r\n\r\n`; // what a client of ours would not send
  }
  for (const { at, gone, come } of edits) {
    const place = Math.floor(at * head.length);
    head = head.slice(0, place) + come + head.slice(place + gone);
  }
  using connection = await Deno.connect({ ...client.address, transport: "tcp" });
  await write(connection, bytesOf(head + body)).catch(() => {});
  await connection.closeWrite().catch(() => {});
  return await readAnswer(connection).catch(() => undefined);
}
