/** Both ledgers by the same tests, then what only one of them does. */
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { Failure } from "../../../lib/cli/errors.ts";
import {
  LeaseLost,
  type Ledger,
  type LedgerTable,
  openLedger,
  type TableName,
} from "../../../lib/copy/ledger.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../../helpers/deps.ts";
import { run, story, tell, ttl } from "./ledger_child.ts";
import { TestPostgres } from "./postgres.ts";
import { randomOf } from "../../helpers/random.ts";

let directory: string;
let server: TestPostgres;

Deno.test.beforeAll(async () => {
  directory = await Deno.makeTempDir({ prefix: "cnosdb-migrate-ledger-" });
  server = await TestPostgres.start();
});
Deno.test.afterAll(async () => {
  await server.stop();
  await Deno.remove(directory, { recursive: true });
});

type Row = Record<string, unknown>;

interface Kind {
  name: string;
  /** where a ledger can be made that is not there yet */
  fresh(): Promise<string>;
  /** runs SQL behind the ledger's back */
  sql(where: string, text: string): Promise<Row[]>;
  /** lets the lease of every worker end now */
  expire(where: string): Promise<unknown>;
  /** how many workers it can have */
  workers: number;
}

const sqlite: Kind = {
  name: "SQLite",
  fresh: () => Promise.resolve(join(directory, `${crypto.randomUUID()}.sqlite`)),
  sql: (where, text) => {
    const database = new DatabaseSync(where);
    try {
      return Promise.resolve(database.prepare(text).all() as Row[]);
    } finally {
      database.close();
    }
  },
  expire: () => Promise.resolve(),
  workers: 1,
};

const postgres: Kind = {
  name: "PostgreSQL",
  fresh: () => server.newDatabase(),
  sql: async (where, text) => {
    const sql = (await import("../../../lib/cli/deps.ts")).loadPostgres();
    const client = (await sql).default(where, { max: 1, fetch_types: false });
    try {
      return [...await client.unsafe(text)];
    } finally {
      await client.end();
    }
  },
  expire: (where) =>
    postgres.sql(where, "UPDATE cnosdb_migrate_worker SET expires = clock_timestamp() - interval '1 second'"),
  workers: 4,
};

/** A test of both. */
function both(name: string, test: (kind: Kind) => Promise<void>): void {
  for (const kind of [sqlite, postgres]) Deno.test(`${kind.name} ledger ${name}`, () => test(kind));
}

const named = (database: string, count: number, tenant = "cnosdb"): TableName[] =>
  Array.from({ length: count }, (_, i) => ({ tenant, database, table: `t${i}` }));

const textOf = (t: TableName) => `${t.tenant}.${t.database}.${t.table}`;

async function listOf(ledger: Ledger, ...steps: LedgerTable["step"][]): Promise<LedgerTable[]> {
  return await Array.fromAsync(ledger.tables(steps.length ? steps : undefined));
}

/** Opens a ledger with these tables in it. */
async function planned(where: string, ...tables: TableName[]): Promise<Ledger> {
  const ledger = await openLedger(where, run);
  await ledger.plan(tables);
  return ledger;
}

/** The counters of the databases are those that counting gives. */
async function assertCounted(kind: Kind, where: string): Promise<void> {
  const counted = await kind.sql(
    where,
    `SELECT d.name, d.waiting, d.working,
      (SELECT count(*) FROM cnosdb_migrate_table t WHERE t.database_id = d.id AND t.worker IS NULL
        AND t.step NOT IN ('verified', 'failed', 'source-changed')) AS free,
      (SELECT count(*) FROM cnosdb_migrate_table t WHERE t.database_id = d.id AND t.worker IS NOT NULL) AS held
      FROM cnosdb_migrate_database d`,
  );
  for (const row of counted) {
    assertEquals(`${row.name}: ${row.waiting} ${row.working}`, `${row.name}: ${row.free} ${row.held}`);
  }
}

both("keeps the tables of a plan once, in its order, whatever they are called", async (kind) => {
  const where = await kind.fresh();
  const odd = [
    { tenant: "te'nant", database: 'd"b', table: "x; --" },
    { tenant: "cnosdb", database: "数据库", table: "表 1" },
    { tenant: "te", database: "nant.db", table: "$1" },
    { tenant: "te.nant", database: "db", table: "$1" },
  ];
  const tables = [...named("a", 1200), ...odd, ...named("b", 1200)];
  const ledger = await planned(where, ...tables);
  await ledger.plan(tables.toReversed());
  assertEquals((await listOf(ledger)).map(textOf), tables.map(textOf));
  assertEquals(await ledger.pending(), { waiting: 2404, working: 0 });
  assertEquals((await ledger.counts()).map((c) => c.tables).sort((a, b) => a - b), [1, 1, 1, 1, 1200, 1200]);
  await ledger.close();
  const again = await planned(where, ...tables, { tenant: "cnosdb", database: "a", table: "new" });
  assertEquals((await listOf(again)).at(-1)?.table, "new");
  assertEquals(await again.pending(), { waiting: 2405, working: 0 });
  await again.close();
});

both("hands out tables over the databases, the one with the most left first", async (kind) => {
  const ledger = await planned(await kind.fresh(), ...named("a", 2), ...named("b", 4), ...named("c", 1));
  const order: string[] = [];
  const took: LedgerTable[] = [];
  for (let table = await ledger.claim(); table; table = await ledger.claim()) {
    took.push(table);
    order.push(table.database);
    if (took.length === 4) await ledger.update(took[3]!.id, { step: "verified" });
  }
  assertEquals(order, ["b", "a", "c", "b", "b", "a", "b"]);
  assertEquals(took.map((t) => t.attempts), took.map(() => 1));
  assertEquals(await ledger.pending(), { waiting: 0, working: 6 });
  await ledger.close();
});

both("keeps what was written of a table, and what was not given stays", async (kind) => {
  const ledger = await planned(await kind.fresh(), ...named("a", 1));
  const { id } = (await ledger.claim())!;
  const source = { rows: 2 ** 40, min: "2023-11-14T22:13:20", max: "2023-11-14T22:20:00.000000001" };
  await ledger.update(id, { step: "exported", rowsExported: 2 ** 40, source });
  await ledger.update(id, { error: "422 'create expired bucket'" });
  await ledger.update(id, { step: "imported", rowsImported: 2 ** 40, seconds: 0.25, target: { rows: 0 } });
  const expected: LedgerTable = {
    ...{ id, tenant: "cnosdb", database: "a", table: "t0", step: "imported", attempts: 1 },
    ...{ rowsExported: 2 ** 40, rowsImported: 2 ** 40, source, target: { rows: 0 }, seconds: 0.25 },
    error: "422 'create expired bucket'",
  };
  assertEquals(await listOf(ledger, "imported"), [expected]);
  await ledger.update(id, { step: "verified" });
  const { error: _, ...rest } = expected;
  assertEquals(await listOf(ledger), [{ ...rest, step: "verified" }]);
  const count = { tenant: "cnosdb", database: "a", step: "verified" as const };
  assertEquals(await ledger.counts(), [{ ...count, tables: 1, rows: 2 ** 40, seconds: 0.25 }]);
  await ledger.close();
});

both("lets go of tables that are done", async (kind) => {
  const ledger = await planned(await kind.fresh(), ...named("a", 3));
  for (const step of ["verified", "failed", "source-changed"] as const) {
    const { id } = (await ledger.claim())!;
    await ledger.update(id, { step, error: "why" });
    await assertRejects(() => ledger.update(id, { step }), TypeError);
    await assertRejects(() => ledger.updatePiece(id, 0, { step }), TypeError);
  }
  assertEquals(await ledger.pending(), { waiting: 0, working: 0 });
  await ledger.close();
});

both("retries failed and source-changed tables, with their attempts counted on", async (kind) => {
  const where = await kind.fresh();
  const ledger = await planned(where, ...named("a", 1100), ...named("b", 1));
  const steps = ["failed", "source-changed", "verified"] as const;
  for (let i = 0; i < 1101; i++) {
    const table = (await ledger.claim())!;
    await ledger.update(table.id, { step: steps[table.database === "b" ? 2 : i % 2]! });
  }
  assertEquals(await ledger.claim(), undefined);
  assertEquals(await ledger.retryFailed(), 1100);
  assertEquals(await ledger.retryFailed(), 0);
  assertEquals((await ledger.claim())?.attempts, 2);
  assertEquals((await listOf(ledger, "verified")).length, 1);
  await ledger.close();
  await assertCounted(kind, where);
});

both("puts a table back for others", async (kind) => {
  const ledger = await planned(await kind.fresh(), ...named("a", 1));
  const { id } = (await ledger.claim())!;
  await ledger.update(id, { step: "importing" });
  await ledger.release(id);
  await ledger.release(id);
  assertEquals(await ledger.pending(), { waiting: 1, working: 0 });
  const again = (await ledger.claim())!;
  assertEquals([again.id, again.step, again.attempts], [id, "planned", 2]);
  await ledger.close();
});

both("cuts a table once, and keeps its pieces' states for the next run", async (kind) => {
  const where = await kind.fresh();
  const ledger = await planned(where, ...named("a", 2));
  const [one, two] = [(await ledger.claim())!, (await ledger.claim())!];
  const bounds = [{ to: "2024" }, { from: "2024", to: "2025" }, { from: "2025" }];
  const pieces = bounds.map((bound, index) => ({ index, ...bound, step: "planned" as const }));
  assertEquals(await ledger.cut(one.id, bounds), pieces);
  assertEquals(await ledger.cut(one.id, [{}]), pieces);
  assertEquals(await ledger.cut(two.id, [{}]), [{ index: 0, step: "planned" }]);
  await ledger.update(one.id, { step: "exporting" });
  await ledger.updatePiece(one.id, 1, { step: "exporting", directory: "run/x" });
  await ledger.updatePiece(one.id, 1, { step: "exported", rowsExported: 5 });
  await ledger.updatePiece(one.id, 2, { rowsImported: 0 });
  await ledger.close();
  const next = await openLedger(where, run);
  const again = (await next.claim())!;
  assertEquals([again.id, again.step, again.attempts], [one.id, "exporting", 2]);
  assertEquals(await next.cut(one.id, [{}]), [
    pieces[0]!,
    { ...pieces[1]!, step: "exported", directory: "run/x", rowsExported: 5 },
    { ...pieces[2]!, rowsImported: 0 },
  ]);
  await next.close();
});

both("remembers the TTL that a database had before it was first raised", async (kind) => {
  const where = await kind.fresh();
  const ledger = await planned(where, ...named("public", 1), ...named("b", 1));
  await ledger.raiseTtl(ttl);
  await ledger.raiseTtl({ ...ttl, former: "100000d" });
  await ledger.close();
  const next = await openLedger(where, run);
  assertEquals(await next.ttlsRaised(), [ttl]);
  assertEquals(await next.ttlReset(ttl, () => Promise.resolve()), true);
  assertEquals(await next.ttlsRaised(), []);
  await next.raiseTtl({ ...ttl, former: "INF" });
  assertEquals(await next.ttlsRaised(), [{ ...ttl, former: "INF" }]);
  await next.close();
});

both("sets no TTL back while a table of its database is being worked on", async (kind) => {
  const where = await kind.fresh();
  const ledger = await planned(where, ...named("public", 2), ...named("b", 1));
  const public0 = (await ledger.claim())!;
  const b = (await ledger.claim())!;
  assertEquals([public0.database, b.database], ["public", "b"]);
  await ledger.raiseTtl(ttl);
  const calls: string[] = [];
  const setBack = (what: string) => async () => {
    calls.push(what);
    assertEquals(await ledger.claim(), undefined);
    assertEquals(await ledger.ttlReset(ttl, () => Promise.reject("twice at once")), false);
    assertEquals((await ledger.pending()).waiting, 1);
  };
  assertEquals(await ledger.ttlReset(ttl, setBack("too early")), false);
  await ledger.update(public0.id, { step: "verified" });
  const refusal = new Failure("ALTER DATABASE: 500");
  assertEquals(await ledger.ttlReset(ttl, () => Promise.reject(refusal)).catch((error) => error), refusal);
  assertEquals(await ledger.ttlsRaised(), [ttl]);
  assertEquals(await ledger.ttlReset(ttl, setBack("now")), true);
  assertEquals(await ledger.ttlReset(ttl, setBack("not again")), true);
  assertEquals(calls, ["now"]);
  assertEquals((await ledger.claim())?.database, "public");
  await ledger.close();
});

both("refuses another run and names each difference", async (kind) => {
  const where = await kind.fresh();
  await (await openLedger(where, run)).close();
  const other = { ...run, stage: "s3://bucket/dir", options: { since: "2024-01-01", split: "2d" } };
  const { message } = await assertRejects(() => openLedger(where, other), Failure);
  assertStringIncludes(message, "--stage: the ledger has served, this run has s3://bucket/dir");
  assertStringIncludes(message, "--split: the ledger has 1d, this run has 2d");
  assertStringIncludes(message, "--since: the ledger has none, this run has 2024-01-01");
  assert(!message.includes("--from"), message);
  await (await openLedger(where, { ...run, options: { ...run.options } })).close();
});

both("can be looked at while another works on it", async (kind) => {
  const where = await kind.fresh();
  const ledger = await planned(where, ...named("a", 3));
  const { id } = (await ledger.claim())!;
  await ledger.update(id, { step: "importing", rowsExported: 5 });
  const status = await openLedger(where, undefined, { readOnly: true });
  assertEquals(status.run, run);
  const count = { tenant: "cnosdb", database: "a" };
  assertEquals(await status.counts(), [
    { ...count, step: "importing", tables: 1, rows: 5, seconds: 0 },
    { ...count, step: "planned", tables: 2, rows: 0, seconds: 0 },
  ]);
  await ledger.update(id, { step: "verified" });
  assertEquals((await listOf(status, "verified")).length, 1);
  await assertRejects(() => status.plan(named("b", 1)), Failure, "read");
  await status.close();
  assertEquals(await ledger.pending(), { waiting: 2, working: 0 });
  await ledger.close();
});

both("that is not there yet is not made by looking at it", async (kind) => {
  const where = await kind.fresh();
  for (let i = 0; i < 2; i++) {
    const { hint } = await assertRejects(() => openLedger(where, undefined, { readOnly: true }), Failure);
    assertStringIncludes(hint!, "it is made when tables are copied");
  }
});

both("of another version is refused", async (kind) => {
  const where = await kind.fresh();
  await (await openLedger(where, run)).close();
  await kind.sql(where, "UPDATE cnosdb_migrate_run SET version = 2");
  await assertRejects(() => openLedger(where, run), Failure, "is of version 2, these scripts know version 1");
});

both("loses nothing when its process is killed, at any step", async (kind) => {
  for (let steps = 0; steps <= story.length; steps++) {
    const [where, expected] = [await kind.fresh(), await sqlite.fresh()];
    for (const each of [where, expected]) await (await planned(each, ...named("public", 2))).close();
    const child = await deno("tests/unit/copy/ledger_child.ts", where, `${steps}`);
    assertEquals(child.signal, "SIGKILL", child.text);
    await kind.expire(where);
    const whole = await openLedger(expected, run);
    await tell(whole, steps);
    await whole.close();
    assertEquals(await contentsOf(where), await contentsOf(expected), `killed after step ${steps}`);
    await assertCounted(kind, where);
  }
});

/** All that a new worker finds, its first table being the one that was begun, if that is not done. */
async function contentsOf(where: string): Promise<unknown> {
  const ledger = await openLedger(where, run);
  const [ttls, tables, table] = [await ledger.ttlsRaised(), await listOf(ledger), await ledger.claim()];
  const pieces = await ledger.cut(table!.id, []);
  await ledger.close();
  return { ttls, tables, table, pieces };
}

both("goes on after kills at random moments", async (kind) => {
  const where = await kind.fresh();
  await (await planned(where, ...named("a", 200), ...named("b", 100))).close();
  const dice = randomOf(6);
  const verified = new Set<string>();
  for (let round = 0; round < 6; round++) {
    const child = await deno("tests/unit/copy/ledger_child.ts", where, {
      killAfter: Math.floor(dice() * 45),
    });
    for (const name of child.text.trim().split("\n")) verified.add(name);
    await kind.expire(where);
    const ledger = await openLedger(where, run);
    const inLedger = new Set((await listOf(ledger, "verified")).map((t) => t.table));
    assertEquals([...verified].filter((name) => !inLedger.has(name)), []);
    await ledger.close();
    await assertCounted(kind, where);
  }
  assertEquals((await deno("tests/unit/copy/ledger_child.ts", where)).signal, null);
  const ledger = await openLedger(where, run);
  assertEquals((await listOf(ledger, "verified")).length, 300);
  await ledger.close();
});

/** Runs a script until it ends, or until it has printed so many lines. */
async function deno(script: string, where: string, last?: string | { killAfter: number }) {
  const args = ["run", "-A", "--no-check", script, where, ...(typeof last === "string" ? [last] : [])];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "piped" }).spawn();
  const stderr = new Response(child.stderr).text();
  let text = "";
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (typeof last === "object" && text.split("\n").length > last.killAfter) child.kill("SIGKILL");
  }
  const { signal, success } = await child.status;
  return {
    text: text.slice(0, text.lastIndexOf("\n") + 1) || await stderr,
    signal,
    success,
    stderr: await stderr,
  };
}

both("counts right through whatever its workers do", async (kind) => {
  const where = await kind.fresh();
  const dice = randomOf(42);
  const pick = <T>(list: T[]): T | undefined => list[Math.floor(dice() * list.length)];
  const ledgers = await Promise.all(Array.from({ length: kind.workers }, () => openLedger(where, run)));
  const held = new Map<Ledger, number[]>(ledgers.map((ledger) => [ledger, []]));
  const inHand = () => [...held.values()].flat();
  const actions: Record<string, (ledger: Ledger, mine: number[]) => Promise<unknown>> = {
    plan: (ledger) => ledger.plan(named(`d${Math.floor(dice() * 4)}`, Math.floor(dice() * 20))),
    claim: async (ledger, mine) => {
      const table = await ledger.claim();
      if (table) assert(!inHand().includes(table.id), `${table.id} was handed out twice`);
      if (table) mine.push(table.id);
    },
    finish: async (ledger, mine) => {
      const id = mine.shift();
      const step = pick(["verified", "failed", "source-changed"] as const)!;
      if (id !== undefined) await ledger.update(id, { step });
    },
    release: async (ledger, mine) => {
      const id = mine.shift();
      if (id !== undefined) await ledger.release(id);
    },
    retry: (ledger) => dice() < 0.1 ? ledger.retryFailed() : Promise.resolve(),
    ttlReset: (ledger) => ledger.ttlReset({ ...ttl, database: `d${Math.floor(dice() * 4)}` }),
  };
  const names = Object.keys(actions).concat("claim", "claim", "finish");
  for (let i = 0; i < 150; i++) {
    // all workers at once, each with something of its own
    await Promise.all(ledgers.map((ledger) => actions[pick(names)!]!(ledger, held.get(ledger)!)));
    assertEquals((await ledgers[0]!.pending()).working, inHand().length);
  }
  await assertCounted(kind, where);
  await Promise.all(ledgers.map((ledger) => ledger.close()));
  await assertCounted(kind, where);
});

Deno.test("SQLite ledger is for one process at a time, which a refusal names", async () => {
  const where = await sqlite.fresh();
  const ledger = await openLedger(where, run);
  const refused = await deno("tests/unit/copy/ledger_child.ts", where, "0");
  assert(!refused.success);
  assertStringIncludes(refused.stderr, `locked by process ${Deno.pid}`);
  await assertRejects(() => openLedger(where, run), Failure, `locked by process ${Deno.pid}`);
  await ledger.close();
  await (await openLedger(where, run)).close();
});

Deno.test("SQLite ledger is its owner's alone", async () => {
  const where = await sqlite.fresh();
  const ledger = await planned(where, ...named("a", 1));
  for (const file of [where, `${where}-lock`, `${where}-wal`, `${where}-shm`]) {
    assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600, file);
  }
  await ledger.close();
});

Deno.test("SQLite ledger that is none, or damaged, is refused with what to do, and left as it is", async () => {
  const good = await sqlite.fresh();
  await (await planned(good, ...named("a", 5000))).close();
  const bytes = await Deno.readFile(good);
  const foreign = await sqlite.fresh();
  await sqlite.sql(foreign, "CREATE TABLE other (x)");
  const overwritten = bytes.slice();
  overwritten.fill(0xff, 100, 4096);
  const cases: [Uint8Array, RegExp][] = [
    [new TextEncoder().encode("tenant,database,table\n".repeat(500)), /not a database/],
    [await Deno.readFile(foreign), /a SQLite file, but no ledger/],
    [bytes.slice(0, 8192), /malformed/],
    [overwritten, /malformed|not a database/],
  ];
  for (const [content, expected] of cases) {
    const where = await sqlite.fresh();
    await Deno.writeFile(where, content);
    for (const readOnly of [false, true]) {
      const failure = await assertRejects(
        () => openLedger(where, readOnly ? undefined : run, { readOnly }),
        Failure,
      );
      assertMatch(failure.message, expected);
      assertStringIncludes(failure.message, where);
      assert(failure.hint);
    }
    assertEquals(await Deno.readFile(where), content);
  }
});

Deno.test("SQLite ledger that is damaged in the middle fails when that is reached", async () => {
  const where = await sqlite.fresh();
  await (await planned(where, ...named("a", 5000))).close();
  const bytes = await Deno.readFile(where);
  bytes.fill(0xff, 16 * 4096);
  await Deno.writeFile(where, bytes);
  const work = async () => {
    const ledger = await openLedger(where, run);
    try {
      await listOf(ledger);
    } finally {
      await ledger.close();
    }
  };
  const failure = await assertRejects(work, Failure, "malformed");
  assertStringIncludes(failure.hint!, "damaged");
});

Deno.test("SQLite ledger where none can be written says so", async () => {
  const file = await sqlite.fresh();
  await Deno.writeTextFile(file, "");
  for (const where of [join(directory, "none", "l.sqlite"), directory, join(file, "l.sqlite")]) {
    const failure = await assertRejects(
      () => openLedger(where, run),
      Failure,
      "cannot be opened for writing",
    );
    assertStringIncludes(failure.hint!, "--ledger FILE");
  }
});

Deno.test("SQLite ledger on a full disk fails with what to do, and goes on when there is room", async () => {
  const where = await sqlite.fresh();
  await (await planned(where, ...named("a", 2000))).close();
  // a limit on the size of files stands in for a disk that is full
  const script =
    `trap "" XFSZ; ulimit -f 800; exec "$0" run -A --no-check tests/unit/copy/ledger_child.ts "$1"`;
  const full = await new Deno.Command("sh", { args: ["-c", script, Deno.execPath(), where] }).output();
  assert(!full.success);
  const stderr = new TextDecoder().decode(full.stderr);
  assertMatch(stderr, /ledger .*: (disk I\/O error|database or disk is full)/);
  const done = new TextDecoder().decode(full.stdout).trim().split("\n").length;
  const ledger = await openLedger(where, run);
  assert((await listOf(ledger, "verified")).length >= done && done > 1);
  assert(await ledger.claim());
  await ledger.close();
  await assertCounted(sqlite, where);
});

Deno.test("ledger with the URL of something else is a usage error", async () => {
  const failure = await assertRejects(() => openLedger("mysql://root:secret@host/db", run), Failure);
  assertEquals(failure.exitCode, 2);
  assert(!failure.message.includes("secret"));
});

Deno.test("PostgreSQL ledger hands each of 200 tables to one of four workers that begin at once", async () => {
  const where = await postgres.fresh();
  const tables = Array.from({ length: 8 }, (_, i) => named(`d${i}`, 25)).flat();
  const workers = await Promise.all([0, 1, 2, 3].map(() => openLedger(where, run)));
  await Promise.all(workers.map((ledger) => ledger.plan(tables)));
  const took = await Promise.all(workers.map(async (ledger) => {
    const ids: number[] = [];
    for (let table = await ledger.claim(); table; table = await ledger.claim()) {
      ids.push(table.id);
      await ledger.update(table.id, { step: "importing" });
      await ledger.update(table.id, { step: "verified" });
    }
    return ids;
  }));
  assertEquals(took.flat().length, 200);
  assertEquals(new Set(took.flat()).size, 200);
  assertEquals(await workers[0]!.pending(), { waiting: 0, working: 0 });
  await Promise.all(workers.map((ledger) => ledger.close()));
});

Deno.test("PostgreSQL ledger spreads its workers over databases", async () => {
  const where = await postgres.fresh();
  const workers = await Promise.all([0, 1, 2, 3].map(() => openLedger(where, run)));
  await workers[0]!.plan(["a", "b", "c", "d"].flatMap((name) => named(name, 5)));
  // One after another: of two that claim at the same moment, one may see the counters as they were before the other.
  const first: (string | undefined)[] = [];
  for (const ledger of workers) first.push((await ledger.claim())?.database);
  assertEquals(first.sort(), ["a", "b", "c", "d"]);
  await Promise.all(workers.map((ledger) => ledger.close()));
});

Deno.test("PostgreSQL ledger gives a dead worker's tables to others, and stops it where it comes back", async () => {
  const where = await postgres.fresh();
  const dead = await planned(where, ...named("public", 1));
  const heir = await openLedger(where, run);
  const { id } = (await dead.claim())!;
  await dead.cut(id, [{}]);
  await dead.update(id, { step: "importing" });
  assertEquals(await heir.claim(), undefined);
  assertEquals(await heir.othersAtWork("cnosdb", "public"), true);
  assertEquals(await dead.othersAtWork("cnosdb", "public"), false);
  await postgres.sql(
    where,
    "UPDATE cnosdb_migrate_worker SET expires = now() - interval '1 second' WHERE id = 1",
  );
  const table = (await heir.claim())!;
  assertEquals([table.id, table.step, table.attempts], [id, "importing", 2]);
  assertEquals(await heir.othersAtWork("cnosdb", "public"), false);
  await assertRejects(() => dead.updatePiece(id, 0, { step: "imported" }), LeaseLost);
  assert(dead.lost.aborted);
  await assertRejects(() => dead.update(id, { step: "verified" }), LeaseLost);
  await assertRejects(() => dead.raiseTtl(ttl), LeaseLost);
  await assertRejects(() => dead.claim(), LeaseLost);
  await dead.release(id);
  await dead.close();
  await heir.update(id, { step: "verified" });
  await heir.close();
  await assertCounted(postgres, where);
});

Deno.test("PostgreSQL ledger gives a worker that was buried no table, before it has noticed", async () => {
  const where = await postgres.fresh();
  const [dead, heir] = [await planned(where, ...named("a", 2)), await openLedger(where, run)];
  await postgres.sql(
    where,
    "UPDATE cnosdb_migrate_worker SET expires = now() - interval '1 second' WHERE id = 1",
  );
  assertEquals(await heir.othersAtWork("cnosdb", "a"), false);
  await assertRejects(() => dead.claim(), LeaseLost);
  await Promise.all([dead.close(), heir.close()]);
});

Deno.test("PostgreSQL ledger renews its lease in the background, and notices there that it is lost", async () => {
  const where = await postgres.fresh();
  const ledger = await openLedger(where, run, { leaseMs: 300 });
  const expires = async () =>
    (await postgres.sql(where, "SELECT expires FROM cnosdb_migrate_worker"))[0]?.expires;
  const first = String(await expires());
  while (String(await expires()) === first);
  const lost = new Promise((resolve) => ledger.lost.addEventListener("abort", resolve));
  await postgres.sql(where, "DELETE FROM cnosdb_migrate_worker");
  await lost;
  assert(ledger.lost.reason instanceof LeaseLost);
  await ledger.close();
});

Deno.test("PostgreSQL ledger frees a TTL that a dead worker was setting back", async () => {
  const where = await postgres.fresh();
  const [dead, heir] = [await planned(where, ...named("public", 1)), await openLedger(where, run)];
  await dead.raiseTtl(ttl);
  const dying = Promise.withResolvers<void>();
  const resetting = dead.ttlReset(ttl, async () => {
    await postgres.sql(
      where,
      "UPDATE cnosdb_migrate_worker SET expires = now() - interval '1 second' WHERE id = 1",
    );
    assertEquals(await heir.ttlReset(ttl, () => Promise.resolve(dying.resolve())), true);
    throw new Error("dead");
  });
  await dying.promise;
  await assertRejects(() => resetting, Error, "dead");
  assertEquals(await heir.ttlsRaised(), []);
  assertEquals((await heir.claim())?.database, "public");
  await Promise.all([dead.close(), heir.close()]);
});

Deno.test("PostgreSQL ledger holds several runs, each by itself, and asks which one to look at", async () => {
  const where = await postgres.fresh();
  const ledger = await planned(where, ...named("a", 1));
  const other = await openLedger(where, { ...run, to: "http://another:8902" });
  await other.plan(named("a", 3));
  assertEquals([await ledger.pending(), await other.pending()].map((p) => p.waiting), [1, 3]);
  assertEquals([(await listOf(ledger)).length, (await listOf(other)).length], [1, 3]);
  const { message } = await assertRejects(() => openLedger(where, undefined, { readOnly: true }), Failure);
  assertStringIncludes(message, "holds several runs: from http://old:8902 to http://new:8902; from");
  const status = await openLedger(where, run, { readOnly: true });
  assertEquals((await status.pending()).waiting, 1);
  await Promise.all([ledger.close(), other.close(), status.close()]);
});

Deno.test("PostgreSQL ledger is made once by workers that begin at once", async () => {
  const where = await postgres.fresh();
  const workers = await Promise.all(Array.from({ length: 6 }, () => openLedger(where, run)));
  await Promise.all(workers.map((ledger) => ledger.close()));
  assertEquals((await postgres.sql(where, "SELECT id FROM cnosdb_migrate_run")).length, 1);
});

Deno.test("PostgreSQL ledger that cannot be used says why, without the password", async () => {
  const url = await postgres.fresh();
  const secret = new URL(url).password;
  await server.sql.unsafe("CREATE ROLE guest LOGIN PASSWORD 'guest'");
  const cases: [string, RegExp, RegExp][] = [
    [url.replace(secret, "wr0ng"), /password authentication failed/, /PGPASSWORD/],
    [url.replace(/[^/]*$/, "nowhere"), /database "nowhere" does not exist/, /createdb/],
    [url.replace(`postgres:${secret}`, "guest:guest"), /permission denied/, /GRANT CREATE/],
    [url.replace(/:\d+\//, ":1/"), /ECONNREFUSED/, /is it running/],
    [`postgres://postgres:${secret}@[::/x`, /is no URL/, /%25/],
  ];
  for (const [where, message, hint] of cases) {
    const failure = await assertRejects(() => openLedger(where, run), Failure);
    assertMatch(failure.message, message);
    assertMatch(failure.hint!, hint);
    assert(!`${failure.message} ${failure.hint}`.match(/wr0ng|guest:guest|s3cret/), failure.message);
  }
  assertEquals(await postgres.sql(url, "SELECT 1 FROM pg_class WHERE relname LIKE 'cnosdb%'"), []);
});

Deno.test("ledgers hold no credentials", async () => {
  const where = await postgres.fresh();
  await (await openLedger(where, run)).close();
  const rows = JSON.stringify(await postgres.sql(where, "SELECT * FROM cnosdb_migrate_run"));
  assert(!rows.includes("s3cret"), rows);
});

Deno.test("PostgreSQL ledger repeats what it cannot know to have been written", async () => {
  const where = await postgres.fresh();
  const port = Number(new URL(where).port);
  await using proxy = new AnswerEater(port);
  const ledger = await openLedger(server.url(new URL(where).pathname.slice(1), proxy.port), run);
  /** @param tag of the statement whose answer is lost */
  const eat = async <T>(tag: string, work: () => Promise<T>): Promise<T> => {
    proxy.hungryFor = `${tag}\0`;
    const result = await work();
    assertEquals(proxy.hungryFor, undefined);
    return result;
  };
  await eat("COMMIT", () => ledger.plan(named("public", 3)));
  const table = (await eat("SELECT 1", () => ledger.claim()))!;
  const first = (await ledger.claim())!;
  assertEquals([table.table, table.attempts, first.table, first.attempts], ["t1", 1, "t0", 1]);
  await eat("COMMIT", () => ledger.cut(table.id, [{}]));
  await eat("UPDATE 1", () => ledger.updatePiece(table.id, 0, { step: "exporting" }));
  await eat("UPDATE 1", () => ledger.update(table.id, { step: "exporting" }));
  await eat("COMMIT", () => ledger.raiseTtl(ttl));
  await eat("SELECT 1", () => ledger.update(table.id, { step: "failed", error: "422" }));
  await eat("SELECT 1", () => ledger.release(first.id));
  assertEquals(await eat("UPDATE 1", () => ledger.ttlReset(ttl, () => Promise.resolve())), true);
  assertEquals(await ledger.pending(), { waiting: 2, working: 0 });
  assertEquals(await eat("UPDATE 1", () => ledger.retryFailed()), 1);
  assertEquals(await ledger.pending(), { waiting: 3, working: 0 });
  await ledger.close();
  await assertCounted(postgres, where);
});

Deno.test("PostgreSQL ledger goes on, and hands out nothing twice, while its connections are cut", async () => {
  const where = await postgres.fresh();
  const workers = await Promise.all([0, 1, 2].map(() => openLedger(where, run)));
  await workers[0]!.plan(["a", "b", "c"].flatMap((name) => named(name, 60)));
  const verified: number[] = [];
  const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copy_tables'";
  const work = async (ledger: Ledger) => {
    for (let table = await ledger.claim(); table; table = await ledger.claim()) {
      await ledger.cut(table.id, [{}, {}]);
      await ledger.updatePiece(table.id, 1, { step: "exported" });
      await ledger.update(table.id, { step: "verified" });
      if (verified.push(table.id) % 12 === 0) await server.sql.unsafe(cut);
    }
  };
  await Promise.all([...workers, ...workers].map(work));
  assertEquals([verified.length, new Set(verified).size], [180, 180]);
  const attempts = (await listOf(workers[0]!)).map((table) => table.attempts);
  assertEquals(attempts, attempts.map(() => 1));
  await Promise.all(workers.map((ledger) => ledger.close()));
  await assertCounted(postgres, where);
});

/** Stands between a ledger and its server, and once cuts the connection instead of passing on the answer it is hungry for. */
class AnswerEater {
  hungryFor: string | undefined;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly port = this.#listener.addr.port;
  readonly #connections: Deno.Conn[] = [];
  readonly #serving = [this.#accept()];

  constructor(private readonly to: number) {}

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: this.to });
      this.#connections.push(client, server);
      this.#serving.push(this.#pass(client, server, false), this.#pass(server, client, true));
    }
  }

  async #pass(from: Deno.Conn, to: Deno.Conn, isAnswer: boolean): Promise<void> {
    const buffer = new Uint8Array(65536);
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        const bytes = buffer.subarray(0, n);
        const text = isAnswer && this.hungryFor ? new TextDecoder("latin1").decode(bytes) : "";
        if (this.hungryFor && text.includes(this.hungryFor)) {
          this.hungryFor = undefined;
          break;
        }
        for (let at = 0; at < n;) at += await to.write(bytes.subarray(at));
      }
    } catch { /* the other side was cut */ }
    for (const connection of [from, to]) closeOnce(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.#connections.forEach(closeOnce);
    await Promise.all(this.#serving);
  }
}

function closeOnce(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch { /* closed already */ }
}

Deno.test({
  name: "PostgreSQL ledger waits for a server that is restarted",
  // the tests' own connection is made anew
  sanitizeResources: false,
  fn: async () => {
    const where = await postgres.fresh();
    const ledger = await planned(where, ...named("a", 2));
    const { id } = (await ledger.claim())!;
    await server.crash();
    const work = Promise.all([ledger.update(id, { step: "verified" }), ledger.claim()]);
    await server.restart();
    assertEquals((await work)[1]?.table, "t1");
    assertEquals(await ledger.pending(), { waiting: 0, working: 1 });
    await ledger.close();
    await assertCounted(postgres, where);
  },
});
