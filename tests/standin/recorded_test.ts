/** The stand-in is held to the recorded answers of real servers: status, form and body of every one. */
import { assertEquals, assertMatch, fail } from "../helpers/deps.ts";
import { type Rows, seedRows, type StandIn, startStandIn, type Version } from "./standin.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url);

/** A recording, and what its server held. */
interface Recording {
  version: Version;
  /**
   * The dump of the recorded server; 2.4.3.4-cluster's was not kept, so the single instance's stands in. Without one
   * the recording begins with an empty server, right after its start.
   */
  dump?: string;
  /** Statements that were sent before the recording begins. */
  before?: string[];
  single?: boolean;
  airRows?: number;
  otherIds?: boolean;
}

/**
 * A windows or bounds recording makes what it asks about, but for the table that showed the recorder of windows when
 * the server took writes.
 */
const empty = (version: Version): Recording => ({
  version,
  single: true,
  before: ["CREATE TABLE early (v DOUBLE)"],
});

const RECORDINGS: Record<string, Recording> = {
  "2.3.3-cluster": { version: "2.3.3", dump: "2.3.3-cluster.dump", airRows: 2000 },
  "2.3.5.4-cluster": { version: "2.3.5", dump: "2.3.5.4-cluster.dump" },
  "2.3.5.4-single": { version: "2.3.5", dump: "2.3.5.4-single.debug", single: true },
  "2.4.0-cluster": { version: "2.4.0", dump: "2.4.0-cluster.dump" },
  "2.4.0-single": { version: "2.4.0", dump: "2.4.0-single.dump", single: true },
  "2.4.1-single": { version: "2.4.1", dump: "2.4.1-single.dump", single: true },
  "2.4.2.1-cluster": { version: "2.4.2", dump: "2.4.2.1-cluster.dump" },
  "2.4.2.1-single": { version: "2.4.2", dump: "2.4.2.1-single.dump", single: true },
  "2.4.3.4-cluster": { version: "2.4.3", dump: "2.4.3.4-single.dump", airRows: 2000, otherIds: true },
  "2.4.3.4-single": { version: "2.4.3", dump: "2.4.3.4-single.dump", single: true },
  "windows-2.3.3": empty("2.3.3"),
  "windows-2.3.5.4": empty("2.3.5"),
  "windows-2.4.0": empty("2.4.0"),
  "windows-2.4.1": empty("2.4.1"),
  "windows-2.4.2.1": empty("2.4.2"),
  "windows-2.4.3.4": empty("2.4.3"),
  "bounds-2.3.5.4": empty("2.3.5"),
  "bounds-2.4.0": empty("2.4.0"),
  "bounds-2.4.2.1": empty("2.4.2"),
  "bounds-2.4.3.4": empty("2.4.3"),
};

/** What truly varies from server to server or run to run, and so is not compared: what, in place of it, why. */
const VARIES: [RegExp, string, string][] = [
  [/localhost:(\d+|\{\w+\})/g, "localhost:PORT", "a data node's ports"],
  [/("disk_free":)\d+(,"time":)\d+/g, "$1N$2N", "the machine's disk and clock"],
  [/("query_id":"?|\/queries\/)\d+/g, "$1N", "random for each query"],
  [/(resourceinfos\/[^:]+: \{"time":)\d+/g, "$1N", "when something was dropped"],
  [
    /(\/roles\/\w+: \{"id":)\d+/g,
    "$1N",
    "each meta node made its own id: a follower's differs from the leader's",
  ],
];

/** The same where the recorded server's own dump is not at hand. */
const OTHER_SERVER: [RegExp, string, string][] = [
  [/\b\d{30,39}\b/g, "1", "random ids of users, tenants and roles"],
  [/\$2b\$12\$[^"\\]+/g, "HASH", "salted hashes"],
];

/** What the stand-in does not answer as recorded: recording, name, why, and what its answer is held to instead. */
const CANNOT: [recording: string, name: string, why: string, like: RegExp][] = [
  [
    "windows-2.3.3",
    "whether there is a row",
    "which row comes first is by a hash",
    /^\[\{"time":"[^"]+"\}\]$/,
  ],
  [
    "windows-2.3.5.4",
    "whether there is a row",
    "which row comes first is by a hash",
    /^\[\{"time":"[^"]+"\}\]$/,
  ],
  [
    "windows-2.4.0",
    "whether there is a row",
    "which row comes first is by a hash",
    /^\[\{"time":"[^"]+"\}\]$/,
  ],
];

interface Line {
  name: string;
  server: "meta" | "sql" | "follower";
  request: {
    method: string;
    path: string;
    headers: Record<string, string>;
    auth: boolean;
    body: string | null;
  };
  response: { status: number; headers: Record<string, string>; body: string };
}

const CUT = /…\[(\d+) bytes in all\]$/;
const NOW_MS = 1795344600000;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * Parses JSON, keeping long numbers as strings. What breaks off in the middle is closed where it breaks off, and
 * each object and array that was still open is marked, as more may follow in it.
 */
function parse(text: string): Json {
  let at = 0;
  const ended = Symbol();
  const read = (): Json | typeof ended => {
    const token = /^\s*([{[]|"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)/.exec(text.slice(at));
    if (token === null) return ended;
    at += token[0].length;
    const [first] = token[1]!;
    if (first === '"') return JSON.parse(token[1]!);
    if (first !== "{" && first !== "[") {
      // A number at the very end may be cut.
      if (at >= text.length && /\d/.test(token[1]!)) return ended;
      return /^-?\d{16,}$/.test(token[1]!) ? token[1]! : JSON.parse(token[1]!);
    }
    const object: { [key: string]: Json } = {}, array: Json[] = [];
    const end = first === "{" ? "}" : "]";
    for (;;) {
      while (/[\s,]/.test(text[at] ?? "")) at++;
      if (text[at] === end) {
        at++;
        return first === "{" ? object : array;
      }
      const item = read();
      if (item === ended) break;
      if (first === "[") {
        array.push(item);
        continue;
      }
      if (text[at] !== ":") break;
      at++;
      const value = read();
      if (value === ended) break;
      object[item as string] = value;
    }
    if (first === "{") object["…"] = true;
    else array.push("…");
    return first === "{" ? object : array;
  };
  const value = read();
  if (value === ended) throw new SyntaxError(text);
  return value as Json;
}

/** Lists that Rust makes of a map's values, which have no order. */
const UNORDERED = ["Ok", "buckets", "privileges"];

/** A value as text, maps by their sorted keys: Rust's have no order. */
function canonical(value: Json, key = ""): string {
  if (Array.isArray(value)) {
    const items = value.map((item, i) => canonical(item, key === "Ok" && i === 0 ? key : ""));
    return `[${UNORDERED.includes(key) ? items.sort() : items}]`;
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${
    Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key]!, key)}`)
  }}`;
}

/** Whether all of a cut value is found in a whole one. */
function contains(whole: Json | undefined, cut: Json, key = ""): boolean {
  if (!canonical(cut).includes('"…"')) {
    return whole !== undefined && canonical(whole, key) === canonical(cut, key);
  }
  if (Array.isArray(cut)) {
    return Array.isArray(whole) &&
      cut.every((item) => item === "…" || whole.some((other) => contains(other, item)));
  }
  const fields = whole as { [key: string]: Json };
  return Object.entries(cut as { [key: string]: Json })
    .every(([key, value]) => key === "…" || contains(fields?.[key], value, key));
}

/** The lines of a dump: keys in order, each value that is JSON by its meaning. */
function compareDumps(actual: string, expected: string, cut: boolean): void {
  const theirs = expected.split("\n"), ours = actual.split("\n");
  const last = cut ? theirs.pop()! : undefined;
  const rest = cut ? ours.splice(theirs.length) : [];
  const key = (line: string) => /^(.*?): /.exec(line)?.[1] ?? line;
  const value = (line: string) => /^.*?: ([{[].*)$/s.exec(line)?.[1];
  const whole = (line: string) =>
    value(line) === undefined ? line : `${key(line)}: ${canonical(parse(value(line)!))}`;
  assertEquals(ours.map(key), theirs.map(key));
  assertEquals(ours.map(whole).sort(), theirs.map(whole).sort());
  if (last === undefined) return;
  if (value(last) === undefined) return assertEquals(rest[0]!.slice(0, last.length), last);
  assertEquals(key(rest[0]!), key(last));
  if (!contains(parse(value(rest[0]!)!), parse(value(last)!))) assertEquals(rest[0], last);
}

/** The rows of an answer as text: they come from a table in any order, but for those of SHOW and DESCRIBE. */
function compareRows(actual: string, expected: string): void {
  const rows = (text: string) =>
    text.startsWith("time,")
      // CSV, one row of which is over two lines.
      ? text.split(/\n(?=\d)/).map((row) => row.trimEnd()).sort()
      : text.split(/(?<=^\[|\}),?(?=[{\]])/).sort();
  assertEquals(rows(actual), rows(expected));
}

function compareBodies(actual: string, expected: string, { name, server }: Line): void {
  const cut = CUT.exec(expected);
  const start = cut === null ? expected : expected.slice(0, cut.index);
  // 2.3 answers JSON within JSON: a string that may be cut in its middle.
  const inner = (text: string) => {
    const string = /^\{"Ok":("(?:[^"\\]|\\.)*)/s.exec(text)?.[1];
    return string === undefined ? text : JSON.parse(`${string}"`) as string;
  };
  if (/^(\* |\*{6}|\/)/.test(start)) compareDumps(actual, start, cut !== null);
  else if (cut !== null) {
    if (!contains(parse(inner(actual)), parse(inner(start)))) assertEquals(actual, expected);
  } else if (start.startsWith("{") && (server !== "sql" || name === "ping")) {
    assertEquals(canonical(parse(inner(actual))), canonical(parse(inner(expected))));
  } else if (server === "sql" && !/^(show|describe)/.test(name)) compareRows(actual, expected);
  else assertEquals(actual, expected);
}

async function answer(standIn: StandIn, { name, server, request }: Line, stage: string): Promise<Response> {
  const url = { meta: standIn.metaUrl, follower: standIn.followerUrls[0], sql: standIn.sqlUrl }[server]!;
  const user = name === "unknown user" ? "nobody" : "root";
  return await fetch(url + request.path, {
    method: request.method,
    headers: {
      ...request.headers,
      "accept-encoding": "identity",
      ...(request.auth ? { authorization: `Basic ${btoa(`${user}:`)}` } : {}),
    },
    ...(request.body === null ? {} : { body: request.body.replaceAll("{stage}", stage) }),
  });
}

async function send(standIn: StandIn, statement: string): Promise<void> {
  const headers = { authorization: `Basic ${btoa("root:")}` };
  const response = await fetch(`${standIn.sqlUrl}/api/v1/sql`, { method: "POST", headers, body: statement });
  assertEquals([response.status, await response.text()], [200, ""]);
}

function normalise(text: string, { otherIds }: Recording): string {
  const rules = otherIds ? [...VARIES, ...OTHER_SERVER] : VARIES;
  return rules.reduce((text, [pattern, by]) => text.replace(pattern, by), text);
}

for (const [file, recording] of Object.entries(RECORDINGS)) {
  Deno.test(`The stand-in answers as the recorded ${file} server did`, async (t) => {
    const dump = recording.dump === undefined
      ? undefined
      : await Deno.readTextFile(new URL(`dumps/${recording.dump}`, FIXTURES));
    const rows: Rows = dump === undefined ? new Map() : seedRows(dump, recording.airRows);
    const standIn = await startStandIn({
      version: recording.version,
      mode: recording.single ? "single" : "separate",
      metaNodes: recording.single ? 1 : 3,
      ...(dump === undefined ? {} : { dump }),
      rows,
      nowMs: () => NOW_MS,
    });
    const stage = await Deno.makeTempDir();
    const leader = new URL(standIn.metaUrl).port;
    try {
      for (const statement of recording.before ?? []) await send(standIn, statement);
      const lines = (await Deno.readTextFile(new URL(`recorded/${file}.jsonl`, FIXTURES))).trim().split("\n");
      for (const line of lines.map((line) => JSON.parse(line) as Line)) {
        await t.step(line.name, async () => {
          const { status, headers, body } = line.response;
          const response = await answer(standIn, line, stage);
          const actual = await response.text();
          assertEquals(response.status, status, actual.slice(0, 500));
          for (const header of ["content-type", "content-encoding"]) {
            assertEquals(response.headers.get(header) ?? undefined, headers[header], header);
          }
          const like = CANNOT.find(([where, name]) => where === file && name === line.name)?.[3];
          if (like !== undefined) return assertMatch(actual, like);
          const expected = body.replaceAll("{stage}", stage).replaceAll(
            "127.0.0.1:{meta}",
            `127.0.0.1:${leader}`,
          );
          compareBodies(normalise(actual, recording), normalise(expected, recording), line);
          // Ids and times that vary have other lengths.
          if (!recording.otherIds && !/after it|follower/.test(line.name)) compareLengths(actual, body);
        });
      }
    } finally {
      await standIn.close();
      await Deno.remove(stage, { recursive: true });
    }
  });
}

/** A cut body tells how long the whole was, in characters. */
function compareLengths(actual: string, expected: string): void {
  const cut = CUT.exec(expected);
  if (cut !== null) assertEquals([...actual].length, Number(cut[1]), "length");
}

Deno.test("Each recording is replayed", () => {
  for (const { name } of Deno.readDirSync(new URL("recorded/", FIXTURES))) {
    // The S3 requests of a stage are held to theirs in standin_test.ts.
    if (name !== "stage-s3.jsonl" && !(name.replace(".jsonl", "") in RECORDINGS)) {
      fail(`${name} is not replayed`);
    }
  }
});
