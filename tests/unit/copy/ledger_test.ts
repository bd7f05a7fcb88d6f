/** Both ledgers by the same tests, then what only one of them does. */
import { join } from "node:path";
import { Failure, UsageError } from "../../../lib/cli/errors.ts";
import type { TableName } from "../../../lib/cnosdb/names.ts";
import { type Ledger, openLedger } from "../../../lib/copy/ledger.ts";
import type { Status, TableResult } from "../../../lib/copy/result.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../../helpers/deps.ts";
import { proof } from "./ledger_child.ts";
import { type Kind, kinds, named, postgres, sqlite } from "./ledgers.ts";

/** A test of both. */
function both(name: string, test: (kind: Kind) => Promise<void>): void {
  for (const kind of kinds) Deno.test(`${kind.name} ledger ${name}`, () => test(kind));
}

/** Opens a ledger and enters the list of these tables. */
async function started(where: string, names: TableName[], leaseMs = 30_000, of = proof): Promise<Ledger> {
  const ledger = await openLedger(where, { leaseMs });
  await ledger.start(of, names);
  return ledger;
}

const ended = (name: TableName, status: Status = "equal"): TableResult => ({ ...name, status });

const statuses = async (ledger: Ledger) =>
  (await Array.fromAsync(ledger.rows())).map(({ table, status }) => `${table} ${status}`);

/** How many tables of the list are to be done, are held, and are equal. */
async function counts(ledger: Ledger): Promise<[open: number, held: number, equal: number]> {
  const rows = await Array.fromAsync(ledger.rows());
  const count = (is: (row: typeof rows[0]) => boolean) => rows.filter(is).length;
  return [
    count(({ status }) => status === ""),
    count(({ holder }) => holder !== null),
    count(({ status }) => status === "equal"),
  ];
}

/** Claims and finishes all that is free. */
async function finishAll(ledger: Ledger, status: Status = "equal", most = 5): Promise<TableName[]> {
  const all: TableName[] = [];
  for (let names = await ledger.claim(most); names.length; names = await ledger.claim(most)) {
    await ledger.finish(names.map((name) => ended(name, status)));
    all.push(...names);
  }
  return all;
}

both("keeps each table once, whatever it is called, and gives what was written of it", async (kind) => {
  const odd = [
    { tenant: "te'nant", database: 'd"b', table: "x; --" },
    { tenant: "cnosdb", database: "数据库", table: "表 1" },
    { tenant: "te.nant", database: "db", table: "$1" },
  ];
  const where = await kind.fresh();
  const ledger = await started(where, [...odd, ...odd, ...named("a", 4500)]);
  assertEquals(await counts(ledger), [4503, 0, 0]);
  assertEquals((await finishAll(ledger, "equal", 1000)).length, 4503);
  const rows = await Array.fromAsync(ledger.rows());
  assertEquals(rows.length, 4503);
  for (const { tenant, database, table, result } of rows) {
    assertEquals(JSON.parse(result!), { tenant, database, table, status: "equal" });
  }
  assertEquals(
    rows.filter((row) => odd.some((o) => o.table === row.table && o.tenant === row.tenant)).length,
    3,
  );
  await ledger.close();
});

both(
  "claims from the database with the fewest in progress, then the one with the most left",
  async (kind) => {
    const where = await kind.fresh();
    const names = [...named("a", 2), ...named("b", 5), ...named("c", 1)];
    const [ledger, other] = [await started(where, names), await started(where, names)];
    const order: string[] = [];
    const claim = async (by: Ledger) => {
      const [name] = await by.claim(1);
      order.push(name?.database ?? "none");
      return name!;
    };
    for (let i = 0; i < 3; i++) await claim(ledger);
    const mine = await claim(ledger);
    await claim(other);
    await ledger.finish([ended(mine)]);
    for (let i = 0; i < 4; i++) await claim(other);
    assertEquals(order, ["b", "a", "c", "b", "a", "b", "b", "b", "none"]);
    await other.close();
    await ledger.close();
  },
);

both("claims a batch of one database, and no more than is asked for", async (kind) => {
  const ledger = await started(await kind.fresh(), [...named("a", 10), ...named("b", 3)]);
  assertEquals((await ledger.claim(4)).map((n) => n.database + n.table).sort(), [
    "at00000",
    "at00001",
    "at00002",
    "at00003",
  ]);
  assertEquals((await ledger.claim(4)).length, 3);
  assertEquals(await counts(ledger), [13, 7, 0]);
  await ledger.close();
});

both("shares one list between workers: no table is claimed twice", async (kind) => {
  const where = await kind.fresh();
  const names = ["a", "b", "c"].flatMap((database) => named(database, 60));
  const workers = await Promise.all([0, 1, 2, 3].map(() => started(where, names)));
  const taken = (await Promise.all(workers.map((ledger) => finishAll(ledger, "equal", 3)))).flat();
  assertEquals(taken.length, 180);
  assertEquals(new Set(taken.map((n) => JSON.stringify(n))).size, 180);
  await Promise.all(workers.map((ledger) => ledger.close()));
});

both(
  "gives the tables of a worker that was suspended past its lease to others, and ignores what it writes then",
  async (kind) => {
    const where = await kind.fresh();
    const [suspended, heir] = [await started(where, named("a", 2)), await started(where, named("a", 2))];
    const mine = await suspended.claim(2);
    assertEquals([await heir.claim(2), await heir.others()], [[], 2]);
    await kind.sql(where, "UPDATE cnosdb_migrate_table_3 SET until = 1");
    assertEquals([(await heir.claim(2)).length, await heir.others()], [2, 0]);
    await suspended.finish(mine.map((name) => ended(name, "failed")));
    assertEquals(await statuses(heir), ["t00000 ", "t00001 "]);
    await suspended.close();
    assertEquals(await counts(heir), [2, 2, 0]);
    await heir.finish(mine.map((name) => ended(name)));
    assertEquals(await statuses(heir), ["t00000 equal", "t00001 equal"]);
    await heir.close();
  },
);

both("gives a worker no table that it is working on, though the lease ran out meanwhile", async (kind) => {
  const where = await kind.fresh();
  const ledger = await started(where, named("a", 2));
  await ledger.claim(1);
  await kind.sql(where, "UPDATE cnosdb_migrate_table_3 SET until = 1");
  assertEquals((await ledger.claim(2)).map(({ table }) => table), ["t00001"]);
  assertEquals(await ledger.claim(2), []);
  await ledger.close();
});

both("takes an error that was cut in the middle of a character", async (kind) => {
  const ledger = await started(await kind.fresh(), named("a", 1));
  const [name] = await ledger.claim(1);
  const error = new Failure(`SELECT '${"😀".slice(0, 1)}… answered 422`).message;
  await ledger.finish([{ ...name!, status: "failed", error }]);
  assertEquals(await statuses(ledger), ["t00000 failed"]);
  await ledger.close();
});

both("takes what a worker wrote late, where nobody has taken its tables over", async (kind) => {
  const where = await kind.fresh();
  const ledger = await started(where, named("a", 1));
  const mine = await ledger.claim(1);
  await kind.sql(where, "UPDATE cnosdb_migrate_table_3 SET until = 1");
  await ledger.finish(mine.map((name) => ended(name)));
  assertEquals(await statuses(ledger), ["t00000 equal"]);
  await ledger.close();
});

both("renews its leases by itself", async (kind) => {
  const where = await kind.fresh();
  const ledger = await started(where, named("a", 1), 300);
  await ledger.claim(1);
  const until = async () => (await kind.sql(where, "SELECT until FROM cnosdb_migrate_table_3"))[0]!.until;
  const first = String(await until());
  for (let tries = 0; String(await until()) === first; tries++) {
    assert(tries < 100);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  await ledger.close();
});

both("opens again what is not proven at the next start, and keeps its result until then", async (kind) => {
  const where = await kind.fresh();
  const ledger = await started(where, named("a", 3));
  const [one, two, three] = await ledger.claim(3);
  await ledger.finish([ended(one!), ended(two!, "failed"), ended(three!, "differs")]);
  assertEquals(await statuses(ledger), ["t00000 equal", "t00001 failed", "t00002 differs"]);
  assertEquals(await ledger.claim(3), []);
  await ledger.close();
  const next = await started(where, named("a", 3));
  assertEquals((await next.claim(9)).map((n) => n.table).sort(), ["t00001", "t00002"]);
  assertEquals(JSON.parse((await Array.fromAsync(next.rows()))[1]!.result!).status, "failed");
  await next.reopen([one!]);
  assertEquals((await next.claim(9)).map((n) => n.table), ["t00000"]);
  await next.close();
});

both("does a table again for another proof, and takes over what another list has proven", async (kind) => {
  const where = await kind.fresh();
  const first = await started(where, named("a", 3));
  await first.finish((await first.claim(2)).map((name) => ended(name)));
  await first.close();
  const other = await started(where, named("a", 4));
  assertEquals(await statuses(other), ["t00000 equal", "t00001 equal", "t00002 ", "t00003 "]);
  await other.close();
  const full = await started(where, named("a", 4), 30_000, "verify full");
  assertEquals((await full.claim(9)).length, 4);
  await full.close();
});

both("copies no leftovers of another list", async (kind) => {
  const where = await kind.fresh();
  await (await started(where, named("old", 20))).close();
  const ledger = await started(where, named("new", 1));
  assertEquals((await finishAll(ledger)).map((n) => n.database), ["new"]);
  assertEquals((await Array.fromAsync(ledger.rows())).length, 1);
  await ledger.close();
});

both(
  "goes on with the newest list where none is given, but never with one that was not added whole",
  async (kind) => {
    const where = await kind.fresh();
    const ledger = await openLedger(where);
    assertEquals([await ledger.start(), await ledger.start(proof)], [undefined, undefined]);
    const later = () => new Promise((resolve) => setTimeout(resolve, 3));
    await ledger.start(proof, [...named("a", 1), ...named("b", 1)]);
    await later();
    await ledger.start("another", named("c", 3));
    await later();
    await ledger.start(proof, named("b", 2));
    assertEquals([await ledger.start(proof), await statuses(ledger)], [2, ["t00000 ", "t00001 "]]);
    assertEquals([await ledger.start("another"), await ledger.start("none")], [3, undefined]);
    // a process that is killed while it adds a list leaves nothing of it
    if (kind === sqlite) {
      await kind.sql(
        where,
        `CREATE TRIGGER killed BEFORE INSERT ON cnosdb_migrate_table_3 WHEN new."table" = 't00007' BEGIN SELECT raise(ABORT, 'killed'); END`,
      );
      await assertRejects(() => ledger.start(proof, named("b", 9)), Failure, "killed");
    }
    await later();
    await ledger.start("another");
    assertEquals([await ledger.start(), ledger.proof], [3, "another"]);
    assertEquals(await ledger.start(proof), 2);
    await ledger.close();
  },
);

both("can be looked at while another works on it, and is not changed by that", async (kind) => {
  const where = await kind.fresh();
  const ledger = await started(where, named("a", 3));
  await ledger.claim(1);
  const status = await openLedger(where, { readOnly: true });
  assertEquals(await status.start(), 3);
  assertEquals(status.proof, proof);
  assertEquals(await counts(status), [3, 1, 0]);
  assertEquals((await Array.fromAsync(status.rows()))[0]!.holder, ledger.worker);
  await assertRejects(() => status.reopen([]), Failure, "read");
  await status.close();
  await ledger.close();
});

both("that is not there yet is not made by looking at it", async (kind) => {
  const where = await kind.fresh();
  for (let i = 0; i < 2; i++) await assertRejects(() => openLedger(where, { readOnly: true }), Failure);
});

both("of a newer or an older version is refused before anything is written", async (kind) => {
  for (const version of [2, 4]) {
    const other = await kind.fresh();
    await kind.sql(other, `CREATE TABLE cnosdb_migrate_table_${version} (x INTEGER)`);
    for (const readOnly of [true, false]) {
      await assertRejects(
        () => openLedger(other, { readOnly }),
        Failure,
        "of another version of these scripts",
      );
    }
    await assertRejects(() => kind.sql(other, "SELECT * FROM cnosdb_migrate_table_3"));
  }
});

both("that was left half made by a killed process is made whole", async (kind) => {
  const where = await kind.fresh();
  await (await openLedger(where)).close();
  await kind.sql(where, "DROP TABLE cnosdb_migrate_ttl_3");
  const ledger = await started(where, named("a", 2));
  assertEquals([await counts(ledger), await ledger.ttls()], [[2, 0, 0], []]);
  await ledger.close();
});

both("loses nothing when its process is killed at any moment", async (kind) => {
  const where = await kind.fresh();
  await (await started(where, [...named("a", 30), ...named("b", 15)])).close();
  const told = new Set<string>();
  for (const after of [0, 3, 12, 20]) {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "tests/unit/copy/ledger_child.ts", where, `${after}`],
      stdout: "piped",
    }).spawn();
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      for (const line of text.trim().split("\n")) line === "stopped" ? child.kill("SIGKILL") : told.add(line);
    }
    await child.status;
    if (kind === postgres) {
      await kind.sql(where, "UPDATE cnosdb_migrate_table_3 SET until = 1 WHERE until > 1");
    }
  }
  const ledger = await openLedger(where);
  assertEquals(await ledger.start(proof), 45);
  const rows = await Array.fromAsync(ledger.rows());
  const equal = new Set(
    rows.filter((row) => row.status === "equal").map(({ database, table }) => `${database}.${table}`),
  );
  assertEquals([...told].filter((name) => !equal.has(name)), []);
  assertEquals((await finishAll(ledger)).length, 45 - equal.size);
  await ledger.close();
});

both("takes 100 000 tables in seconds", async (kind) => {
  const names = Array.from({ length: 100 }, (_, i) => named(`d${i}`, 1000)).flat();
  const begun = performance.now();
  const ledger = await started(await kind.fresh(), names);
  assertEquals((await finishAll(ledger, "equal", 16)).length, 100_000);
  let rows = 0;
  for await (const _ of ledger.rows()) rows++;
  await ledger.close();
  assertEquals(rows, 100_000);
  const seconds = (performance.now() - begun) / 1000;
  assert(seconds < 120, `${seconds} s`);
});

Deno.test("a ledger is a file's path or a PostgreSQL's URL, and nothing else", async () => {
  for (const where of [":memory:", "", "mysql://root:secret@host/db", "file:x?mode=memory"]) {
    const failure = await assertRejects(() => openLedger(where), UsageError, "cannot be used");
    assert(!failure.message.includes("secret"));
  }
});

Deno.test("SQLite ledger is its owner's alone, and follows no symbolic link", async () => {
  const where = await sqlite.fresh();
  const ledger = await started(where, named("a", 1));
  for (const file of [where, `${where}-lock`, `${where}-wal`, `${where}-shm`]) {
    assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600, file);
  }
  await ledger.close();
  for (const suffix of ["", "-lock", "-wal"]) {
    const link = await sqlite.fresh();
    const victim = `${link}-victim`;
    await Deno.symlink(victim, link + suffix);
    await assertRejects(() => openLedger(link), Failure, "is a symbolic link");
    await assertRejects(() => Deno.stat(victim), Deno.errors.NotFound);
  }
});

Deno.test("SQLite ledger that is foreign or damaged is named and left as it is", async () => {
  const good = await sqlite.fresh();
  await (await started(good, named("a", 5000))).close();
  const bytes = await Deno.readFile(good);
  const foreign = await sqlite.fresh();
  await sqlite.sql(foreign, "CREATE TABLE other (x)");
  const overwritten = bytes.slice();
  overwritten.fill(0xff, 100, 4096);
  const cases: [Uint8Array, RegExp][] = [
    [new TextEncoder().encode("tenant,database,table\n".repeat(500)), /not a database/],
    [await Deno.readFile(foreign), /is of something else/],
    [bytes.slice(0, 8192), /malformed/],
    [overwritten, /malformed|not a database/],
  ];
  for (const [content, expected] of cases) {
    const where = await sqlite.fresh();
    await Deno.writeFile(where, content);
    for (const readOnly of [false, true]) {
      const failure = await assertRejects(() => openLedger(where, { readOnly }), Failure);
      assertMatch(failure.message, expected);
      assertStringIncludes(failure.message, where);
      assert(failure.hint);
    }
    assertEquals(await Deno.readFile(where), content);
  }
});

Deno.test("SQLite ledger where none can be made says so", async () => {
  const file = await sqlite.fresh();
  await Deno.writeTextFile(file, "not empty");
  for (const where of [join(file, "l.sqlite"), `${file}.d/l.sqlite`, "/proc"]) {
    const failure = await assertRejects(() => openLedger(where), Failure, where);
    assert(failure.hint);
  }
});

Deno.test("SQLite ledger can be looked at in a directory where nothing may be written", async () => {
  const where = await sqlite.fresh();
  const directory = `${where}.d`;
  await Deno.mkdir(directory);
  const ledger = await started(join(directory, "l?#%.sqlite"), named("a", 3));
  await ledger.finish((await ledger.claim(1)).map((name) => ended(name)));
  await ledger.close();
  for await (const { name } of Deno.readDir(directory)) await Deno.chmod(join(directory, name), 0o444);
  await Deno.chmod(directory, 0o555);
  await Deno.chmod(sqlite.directory, 0o755);
  const script = `import { openLedger } from ${
    JSON.stringify(import.meta.resolve("../../../lib/copy/ledger.ts"))
  };
    const ledger = await openLedger(Deno.args[0], { readOnly: true });
    await ledger.start();
    for await (const { table, status } of ledger.rows()) console.log(table, status);
    await ledger.close();`;
  const path = `${where}.ts`;
  await Deno.writeTextFile(path, script);
  const bundled = `${where}.js`;
  const bundle = await new Deno.Command(Deno.execPath(), { args: ["bundle", "--quiet", "-o", bundled, path] })
    .output();
  assert(bundle.success, new TextDecoder().decode(bundle.stderr));
  // root may write anywhere
  const user = Deno.uid() === 0 ? { uid: 65534, gid: 65534 } : {};
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    ...{ args: ["run", "-A", "--no-config", bundled, join(directory, "l?#%.sqlite")], cwd: "/", ...user },
    env: { DENO_DIR: "/tmp/deno-of-nobody", HOME: "/tmp" },
  }).output();
  await Deno.chmod(directory, 0o755);
  assertEquals(
    new TextDecoder().decode(stdout).trim(),
    "t00000 equal\nt00001 \nt00002",
    new TextDecoder().decode(stderr),
  );
});

Deno.test("SQLite ledger is made and looked at with the permissions of the script alone", async () => {
  const script = new URL("../../../scripts/copy_tables.ts", import.meta.url).pathname;
  const [, permissions = ""] = /^#!.* deno run (.*)\n/.exec(await Deno.readTextFile(script)) ?? [];
  const where = await sqlite.fresh();
  const path = `${where}.ts`;
  await Deno.writeTextFile(
    path,
    `import { openLedger } from ${JSON.stringify(import.meta.resolve("../../../lib/copy/ledger.ts"))};
    for (const readOnly of [false, true]) await (await openLedger(Deno.args[0], { readOnly })).close();`,
  );
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...permissions.split(" "), path, where],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
});

Deno.test("SQLite ledger frees at once what a killed process held, but not while another one works", async () => {
  const where = await sqlite.fresh();
  const killed = await started(where, named("a", 4));
  await killed.claim(2);
  const second = await openLedger(where);
  await second.start(proof);
  assertEquals((await second.claim(9)).length, 2);
  await second.close();
  await killed.close();
  await sqlite.sql(where, "UPDATE cnosdb_migrate_table_3 SET holder = 'dead', until = 1e15");
  const next = await openLedger(where);
  await next.start(proof);
  assertEquals((await next.claim(9)).length, 4);
  await next.close();
});

Deno.test("SQLite ledger on a full disk fails with what to do, and goes on when there is room", async () => {
  const where = await sqlite.fresh();
  await (await started(where, named("a", 3000))).close();
  // a limit on the size of files stands in for a disk that is full
  const script =
    `trap "" XFSZ; ulimit -f 1100; exec "$0" run -A --no-check tests/unit/copy/ledger_child.ts "$1"`;
  const full = await new Deno.Command("sh", { args: ["-c", script, Deno.execPath(), where] }).output();
  assert(!full.success);
  assertMatch(new TextDecoder().decode(full.stderr), /ledger .*: (disk I\/O error|database or disk is full)/);
  const told = new TextDecoder().decode(full.stdout).trim().split("\n").length;
  const ledger = await openLedger(where);
  await ledger.start(proof);
  const [, , equal] = await counts(ledger);
  assert(equal >= told && told > 1, `${equal} ${told}`);
  assertEquals((await finishAll(ledger, "equal", 500)).length, 3000 - equal);
  await ledger.close();
});

Deno.test("PostgreSQL ledger is made once by workers that begin at once", {
  ignore: !kinds.includes(postgres),
}, async () => {
  // Who is in whose way is left to chance, so a few times.
  for (let round = 0; round < 10; round++) {
    const where = await postgres.fresh();
    const workers = await Promise.all(Array.from({ length: 6 }, () => started(where, named("a", 50))));
    assertEquals(await counts(workers[0]!), [50, 0, 0]);
    await Promise.all(workers.map((ledger) => ledger.close()));
  }
});

Deno.test("PostgreSQL ledger that cannot be used says why, without the password", {
  ignore: !kinds.includes(postgres),
}, async () => {
  const url = await postgres.fresh();
  const secret = new URL(url).password;
  const cases: [string, RegExp, RegExp][] = [
    [url.replace(secret, "wr0ng"), /password authentication failed/, /PGPASSWORD/],
    [url.replace(/[^/]*$/, "nowhere"), /database "nowhere" does not exist/, /createdb/],
    [url.replace(/:\d+\//, ":1/"), /ECONNREFUSED/, /is it running/],
    [`postgres://postgres:${secret}@[::/x`, /is no URL/, /%25/],
  ];
  for (const [where, message, hint] of cases) {
    const failure = await assertRejects(() => openLedger(where), Failure);
    assertMatch(failure.message, message);
    assertMatch(failure.hint!, hint);
    assert(!`${failure.message} ${failure.hint}`.match(/wr0ng|s3cret/), failure.message);
  }
});

Deno.test("PostgreSQL ledger goes on, and hands out nothing twice, while its connections are cut", {
  ignore: !kinds.includes(postgres),
}, async () => {
  const where = await postgres.fresh();
  const names = ["a", "b", "c"].flatMap((database) => named(database, 60));
  const workers = await Promise.all([0, 1, 2].map(() => started(where, names)));
  const finished: string[] = [];
  const work = async (ledger: Ledger) => {
    for (let claimed = await ledger.claim(2); claimed.length; claimed = await ledger.claim(2)) {
      await ledger.finish(claimed.map((name) => ended(name)));
      finished.push(...claimed.map((name) => JSON.stringify(name)));
      if (finished.length % 12 === 0) {
        await postgres.sql(
          where,
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copy_tables'",
        );
      }
    }
  };
  await Promise.all(workers.map(work));
  assertEquals(new Set(finished).size, 180);
  assertEquals(await counts(workers[0]!), [0, 0, 180]);
  await Promise.all(workers.map((ledger) => ledger.close()));
});
