/** The list of tables: whole, each table once, or not taken at all. */
import { Failure } from "../../../lib/cli/errors.ts";
import type { TableName } from "../../../lib/cnosdb/names.ts";
import { handOut, readTables } from "../../../lib/copy/tables.ts";
import { writeDump } from "../../../lib/dump/text.ts";
import { assertEquals, assertRejects } from "../../helpers/deps.ts";

const bytes = (text: string) => ReadableStream.from([new TextEncoder().encode(text)]);
const read = (text: string, wanted: (name: TableName) => boolean = () => true) =>
  readTables(bytes(text), "stdin", wanted);
const line = (table: string, more = {}) =>
  JSON.stringify({ tenant: "cnosdb", database: "db", table, ...more }) + "\n";
const run = JSON.stringify({ run: { script: "copy_tables" } }) + "\n";
const end = (tables: number) => JSON.stringify({ end: { tables } }) + "\n";
const names = (list: { names: readonly TableName[] }) => list.names.map(({ table }) => table);

async function dump(): Promise<string> {
  const schema = (kind: string, db: string, name: string) => ({
    key: `/c/tenants/cnosdb/dbs/${db}/schemas/${name}`,
    value: JSON.stringify({ [`${kind}TableSchema`]: { tenant: "cnosdb", db, name } }),
    line: 0,
  });
  const entries = [
    schema("TsKv", "db", "a: b"),
    schema("TsKv", "usage_schema", "sql_data_in"),
    schema("Stream", "db", "s"),
    schema("External", "db", "e"),
    { key: "/c/users/x", value: '{"TsKvTableSchema":1}', line: 0 },
  ];
  let text = "";
  await writeDump(entries, (bytes) => Promise.resolve(void (text += new TextDecoder().decode(bytes))));
  return text;
}

Deno.test("a dump names its tables, and its stream and external tables as definitions; the server's own are left out", async () => {
  const list = await read(await dump());
  assertEquals(names(list), ["a: b"]);
  assertEquals(list.definitions.map(({ table }) => table), ["s", "e"]);
});

Deno.test("a list larger than one read of stdin is taken whole, though each read has the same buffer", async () => {
  const all = new TextEncoder().encode(Array.from({ length: 100 }, (_, i) => line(`t${i}`)).join(""));
  const buffer = new Uint8Array(64);
  async function* reads() {
    for (let at = 0; at < all.length; at += buffer.length) {
      const part = all.subarray(at, at + buffer.length);
      buffer.set(part);
      yield buffer.subarray(0, part.length);
      await Promise.resolve();
    }
  }
  assertEquals((await readTables(reads(), "stdin", () => true)).names.length, 100);
});

Deno.test("a dump that was cut is not taken", async () => {
  const text = await dump();
  for (
    const cut of [text.slice(0, -20), text.replace(/# end.*\n/, ""), text.split("\n").slice(1).join("\n")]
  ) {
    await assertRejects(() => read(cut), Failure);
  }
});

Deno.test("lines name tables, each once, those alone that are wanted", async () => {
  assertEquals(names(await read(line("a") + "\n" + line("b") + line("a"))), ["a", "b"]);
  assertEquals(names(await read(line("a") + line("b"), ({ table }) => table === "b")), ["b"]);
  assertEquals((await read("")).names, []);
});

Deno.test("what a run of ours printed is taken from its first line to its last, and not where it was cut", async () => {
  const exported = line("a", { status: "exported", windows: [{ source: { rows: 3 }, directory: "d" }] });
  const list = await read(run + exported + line("s", { status: "definition" }) + end(2));
  assertEquals([names(list), list.definitions.length], [["a"], 1]);
  assertEquals([...list.exported.values()][0]?.windows, [{ source: { rows: 3 }, directory: "d" }]);
  assertEquals(names(await read(run + exported + end(1) + run + line("b") + end(1))), ["a", "b"]);
  // `| head -3`, then again with `>>`: the tables that were cut off are in neither.
  for (
    const cut of [
      run + exported,
      run + exported + run + exported + end(1),
      run + exported + end(2),
      exported + end(1),
    ]
  ) {
    await assertRejects(() => read(cut), Failure);
  }
});

Deno.test("two exports of one table are refused, as only one would be imported, unless they are the same", async () => {
  const exported = (directory: string) =>
    line("a", { status: "exported", windows: [{ source: { rows: 3 }, directory }] });
  assertEquals((await read(exported("d") + exported("d"))).exported.size, 1);
  const twice = exported("morning") + exported("evening");
  await assertRejects(() => read(twice), Failure, "cnosdb.db.a was exported twice");
});

Deno.test("lines that are cut or name no table are refused with their number", async () => {
  const cases: [string, string][] = [
    [line("a") + line("b").trim(), "line 2 is cut"],
    [line("a") + '{"tenant":"cnosdb"}\n', "line 2: "],
    [line("a") + "db.air\n", "line 2: "],
    [line("a") + "null\n", 'line 2: "null": tenant, database or table is missing'],
  ];
  for (const [text, told] of cases) await assertRejects(() => read(text), Failure, told);
});

Deno.test("a list that nobody shares hands out tables of one database at a time, of another each time", async () => {
  const of = (database: string, n: number) =>
    Array.from({ length: n }, (_, i) => ({ tenant: "t", database, table: `${i}` }));
  const claim = handOut([...of("a", 5), ...of("b", 2)]);
  const claims = [];
  for (let names = await claim(3); names.length; names = await claim(3)) {
    claims.push(names.map(({ database }) => database).join(""));
  }
  assertEquals(claims, ["aaa", "bb", "aa"]);
});
