/** Which statement runs next, and what a refusal means. */
import { NoAnswer } from "../../../lib/cnosdb/http.ts";
import { Gate, type GateOptions, type Kind } from "../../../lib/copy/gate.ts";
import { troubleOf } from "../../../lib/copy/side.ts";
import { SqlError } from "../../../lib/cnosdb/sql.ts";
import { describeBytes, fit, textTable } from "../../../lib/copy/copy_progress.ts";
import { assertEquals } from "../../helpers/deps.ts";

/** A gate, and statements that run until they are told to end. */
function gateWith(options: Partial<GateOptions>) {
  const gate = new Gate({
    ...{ jobs: 100, exportJobs: 100, importJobs: 100, aheadBytes: Infinity },
    left: () => 0,
    overloaded: (error) => error === "overload",
    ...options,
  });
  const running: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const begin = (kind: Kind, database: string, name: string, bytes = 0) => {
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    return gate.run(kind, database, bytes, async () => {
      running.push(name);
      try {
        await end.promise;
      } finally {
        running.splice(running.indexOf(name), 1);
      }
    }).catch((error) => error);
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  const end = async (name: string, error?: unknown) => {
    if (error === undefined) ends.get(name)?.resolve();
    else ends.get(name)?.reject(error);
    await settle();
  };
  return { gate, running, begin, end, settle };
}

Deno.test("one import a database runs, of the database with the most left first", async () => {
  const left: Record<string, number> = { small: 1, large: 9 };
  const { begin, end, running, settle } = gateWith({
    importJobs: 1,
    left: (database) => left[database] ?? 0,
  });
  begin("import", "small", "first");
  begin("import", "small", "s");
  begin("import", "large", "l1");
  begin("import", "large", "l2");
  await settle();
  assertEquals(running, ["first"]);
  await end("first");
  assertEquals(running, ["l1"]);
  const wide = gateWith({});
  for (const name of ["a1", "a2", "b1"]) wide.begin("import", name[0]!, name);
  await wide.settle();
  assertEquals(wide.running, ["a1", "b1"]);
});

Deno.test("what ends a table goes before what begins one, and each side has its own limit", async () => {
  const { begin, end, running, settle } = gateWith({ jobs: 3, exportJobs: 1 });
  begin("export", "a", "e1");
  begin("export", "b", "e2");
  begin("prepare", "c", "p");
  begin("import", "c", "i");
  begin("import", "d", "j");
  begin("verify", "d", "v");
  await settle();
  assertEquals(running, ["e1", "i", "j"]);
  await end("j");
  assertEquals(running, ["e1", "i", "v"]);
});

Deno.test("an export waits for room in the stage, unless nothing is staged", async () => {
  const { gate, begin, end, running, settle } = gateWith({ aheadBytes: 100 });
  begin("export", "a", "huge", 500);
  begin("export", "b", "small", 10);
  await settle();
  assertEquals(running, ["huge"]);
  await end("huge");
  assertEquals(running, ["small"]);
  gate.staged(95);
  await end("small");
  begin("export", "c", "next", 10);
  await settle();
  assertEquals(running, []);
  gate.staged(-95);
  await settle();
  assertEquals(running, ["next"]);
});

Deno.test("overload halves a side's limit once for all that ran together, and good ones bring it back", async () => {
  const { begin, end, running, settle } = gateWith({ importJobs: 8 });
  for (let i = 0; i < 30; i++) begin("import", `d${i}`, `i${i}`);
  await settle();
  assertEquals(running.length, 8);
  for (let i = 0; i < 8; i++) await end(`i${i}`, "overload");
  assertEquals(running.length, 4);
  for (let i = 8; i < 24; i++) await end(`i${i}`);
  assertEquals(running.length, 6);
});

Deno.test("a gate that is stopped lets nothing through, and what runs goes on", async () => {
  const { gate, begin, running, settle } = gateWith({ jobs: 1 });
  begin("export", "a", "runs");
  const waiting = begin("export", "a", "waits");
  await settle();
  gate.stop("stopped");
  assertEquals([await waiting, running], ["stopped", ["runs"]]);
  assertEquals(await begin("verify", "a", "late"), "stopped");
});

Deno.test("troubleOf() tells what a failure asks for", () => {
  const refused = (message: string, status = 422) => new SqlError(message, status, "", message);
  const cases: [unknown, string][] = [
    [new NoAnswer("cannot connect", false), "wait"],
    [new NoAnswer("cut", true), "unknown"],
    [refused("Meta request error: CoordDataIn reached limit"), "wait"],
    [refused("Meta request error: TTL reached limit, max is 30 days"), "refused"],
    [refused("Memory Exhausted Retry Later"), "wait"],
    [refused("Concurrent query request limit exceeded"), "wait"],
    [refused("Generic S3 error: response error, status: 507 Insufficient Storage"), "wait"],
    [refused("ObjectStore: No space left on device (os error 28)"), "wait"],
    [refused("Generic S3 error: error trying to connect: tcp connect error"), "unknown"],
    [refused("Meta request error: Operation not support: create expired bucket"), "expired"],
    [refused("write expired time data not permit"), "expired"],
    [refused("Writing expired timestamp 1 which is less than 2 to database 'x'"), "expired"],
    [refused("", 500), "unknown"],
    [refused("", 503), "wait"],
    [refused("Table not found"), "refused"],
    [new TypeError("a bug"), "refused"],
  ];
  for (const [error, trouble] of cases) assertEquals(troubleOf(error), trouble, String(error));
});

Deno.test("texts fit a terminal, Chinese taking two columns a character", () => {
  assertEquals(fit("abcdef", 6), "abcdef");
  assertEquals(fit("abcdef", 5), "abcd…");
  assertEquals(fit("温度计", 6), "温度计");
  assertEquals(fit("温度计", 5), "温度…");
  assertEquals([0, 999, 1500, 337_000, 2_100_000_000].map(describeBytes), [
    "0 B",
    "999 B",
    "1.5 kB",
    "337 kB",
    "2.1 GB",
  ]);
  assertEquals(textTable([["name", "n"], ["a", 100]]), "name    n\na     100");
});
