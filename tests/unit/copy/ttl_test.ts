/** TTLs as every version prints and takes them; raised and set back, with whatever may come between. */
import { Failure } from "../../../lib/cli/errors.ts";
import { parseEndpoint } from "../../../lib/cnosdb/endpoint.ts";
import { SqlClient } from "../../../lib/cnosdb/sql.ts";
import { Cluster } from "../../../lib/copy/cluster.ts";
import { type Ledger, openLedger } from "../../../lib/copy/ledger.ts";
import { describeTtl, formatTtl, parseTtl, Ttls, type TtlTarget } from "../../../lib/copy/ttl.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "../../helpers/deps.ts";
import { type StandIn, startStandIn, VERSIONS } from "../../standin/standin.ts";
import { type Kind, kinds, named } from "./ledgers.ts";

Deno.test("parseTtl() reads what information_schema.databases prints on every version", () => {
  const printed: [string, number][] = [
    ["30 Days", 2_592_000],
    ["720 Hours", 2_592_000],
    ["90 Minutes", 5_400],
    ["INF", Infinity],
    ["30days", 2_592_000],
    ["1h 30m", 5_400],
    ["99years 11months 5days 9h 50m 24s", 36_500 * 86_400],
    ["1day", 86_400],
    ["1month", 2_630_016],
    ["1year", 31_557_600],
    ["0s", 0],
  ];
  for (const [text, seconds] of printed) assertEquals(parseTtl(text), seconds, text);
  for (const text of ["", "soon", "30", "5 fortnights", "-1d"]) assertThrows(() => parseTtl(text), Failure);
});

Deno.test("formatTtl() writes one number of the largest unit that fits, as every version takes it", () => {
  assertEquals([2_592_000, 7_200, 5_400].map(formatTtl), ["30d", "2h", "90m"]);
  assertEquals(formatTtl(90), "90s");
});

const day = 86_400;
/** by how many days a TTL is raised */
const addedDays = 60_000 + 17 / 1440;
const raisedDays = 30 + addedDays;

/** A stand-in with a database `db` of 30 days, seen by workers that share a ledger. */
class Scene implements AsyncDisposable {
  readonly #ledgers: Ledger[] = [];
  private constructor(readonly standIn: StandIn, readonly where: string, readonly kind: Kind) {}

  static async make(kind: Kind, version: (typeof VERSIONS)[number] = "2.4.2"): Promise<Scene> {
    const standIn = await startStandIn({ version });
    const scene = new Scene(standIn, await kind.fresh(), kind);
    await scene.run("CREATE DATABASE db WITH TTL '30d'");
    return scene;
  }

  run(sql: string): Promise<Record<string, unknown>[]> {
    const client = new SqlClient(parseEndpoint(this.standIn.sqlUrl, 8902), new AbortController().signal);
    return client.query(sql, { tenant: "cnosdb" });
  }

  async days(): Promise<number> {
    const [row] = await this.run("SELECT ttl FROM information_schema.databases WHERE database_name = 'db'");
    return parseTtl(String(row!.ttl)) / day;
  }

  /** @param before is called before each ALTER, @param after after it */
  async worker(before = async () => {}, after = async () => {}, where = this.where) {
    const ledger = await openLedger(where);
    this.#ledgers.push(ledger);
    await ledger.start("proof", named("db", 2));
    const client = new SqlClient(parseEndpoint(this.standIn.sqlUrl, 8902), new AbortController().signal);
    const target: TtlTarget = {
      url: this.standIn.sqlUrl,
      run: async (sql, options) => {
        if (sql.startsWith("ALTER")) await before();
        const rows = await client.query(sql, options);
        if (sql.startsWith("ALTER")) await after();
        return rows;
      },
    };
    return { ledger, ttls: new Ttls(target, ledger) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const ledger of this.#ledgers) await ledger.close().catch(() => {});
    await this.standIn.close();
  }
}

async function finish(ledger: Ledger): Promise<void> {
  const names = await ledger.claim(9);
  await ledger.finish(names.map((name) => ({ ...name, status: "equal" as const })));
}

/** What kills a worker where it is called, for its ledger's rows are all that others see of it then. */
class Killed extends Error {}
const kill = () => Promise.reject(new Killed());

function both(name: string, test: (kind: Kind) => Promise<void>): void {
  for (const kind of kinds) Deno.test(`a TTL ${name} (${kind.name})`, () => test(kind));
}

Deno.test("a TTL that is raised and set back reads as before on every version", async () => {
  for (const version of VERSIONS.filter((version) => version.startsWith("2.4"))) {
    await using scene = await Scene.make(kinds[0]!, version);
    const { ledger, ttls } = await scene.worker();
    for (const ttl of ["1d", "36h", "90m", "400d", "36500d", ...version >= "2.4.2" ? ["90s"] : []]) {
      await scene.run(`ALTER DATABASE db SET TTL '${ttl}'`);
      const before = await scene.days();
      await ttls.raise("cnosdb", "db");
      assertEquals(Math.round((await scene.days() - before) * 1440), addedDays * 1440);
      await finish(ledger);
      assertEquals(await ttls.restore(), []);
      assertEquals(await scene.days(), before, `${version} ${ttl}`);
    }
    assertEquals(await ledger.ttls(), []);
  }
});

Deno.test("a TTL is tried to be raised and set back for a minute, and the last answer is what is told", async () => {
  await using scene = await Scene.make(kinds[0]!);
  const { ledger } = await scene.worker();
  const cluster = new Cluster("target", [parseEndpoint(scene.standIn.sqlUrl, 8902)], { pauseMs: 1 });
  const target: TtlTarget = {
    url: cluster.url,
    run: (sql, options, trying) => {
      assertEquals(trying.patienceMs, 60_000);
      return cluster.run(sql, options, { ...trying, patienceMs: 20 });
    },
  };
  const ttls = new Ttls(target, ledger);
  await ttls.raise("cnosdb", "db");
  await finish(ledger);
  const error_message = "Valid node is not enough, need: 1, but found: 0";
  const body = JSON.stringify({ error_code: "030053", error_message });
  scene.standIn.fault = ({ body: sql }) => sql ? { kind: "answer", status: 422, body } : undefined;
  await assertRejects(() => ttls.raise("cnosdb", "db"), Failure, error_message);
  const [failure] = await ttls.restore();
  assertStringIncludes(failure!.message, error_message);
});

both(
  "is raised once however often it is asked for, and set back when its database's tables are done",
  async (kind) => {
    await using scene = await Scene.make(kind);
    const [a, b] = [await scene.worker(), await scene.worker()];
    await Promise.all([a, a, b, b].map(({ ttls }) => ttls.raise("cnosdb", "db")));
    assertEquals(await scene.days(), raisedDays);
    assertEquals(await a.ttls.restore(), []);
    assertEquals(await scene.days(), raisedDays, "tables are still to be done");
    const [one, two] = [await a.ledger.claim(1), await b.ledger.claim(1)];
    for (const [{ ledger }, names] of [[a, one], [b, two]] as const) {
      assertEquals(await scene.days(), raisedDays);
      await ledger.finish(names.map((name) => ({ ...name, status: "equal" as const })));
      await b.ttls.restore();
    }
    assertEquals(await scene.days(), 30);
    assertEquals(await a.ledger.ttls(), []);
  },
);

both("that the operator changed meanwhile is left as it is", async (kind) => {
  await using scene = await Scene.make(kind);
  const { ledger, ttls } = await scene.worker();
  await ttls.raise("cnosdb", "db");
  await scene.run("ALTER DATABASE db SET TTL '365d'");
  await ledger.close();
  const next = await scene.worker();
  await finish(next.ledger);
  assertEquals(await next.ttls.restore(), []);
  assertEquals([await scene.days(), await next.ledger.ttls()], [365, []]);
});

both("of a run that was killed before, in or after its ALTER is set back by the next one", async (kind) => {
  for (const [before, after, days] of [[kill, undefined, 30], [undefined, kill, raisedDays]] as const) {
    await using scene = await Scene.make(kind);
    const dead = await scene.worker(before, after);
    await assertRejects(() => dead.ttls.raise("cnosdb", "db"), Killed);
    await dead.ledger.close();
    assertEquals(await scene.days(), days);
    const next = await scene.worker();
    assertEquals((await next.ledger.ttls()).length, 1);
    assertEquals((await next.ttls.find(["cnosdb"])).length, days === 30 ? 0 : 1);
    await finish(next.ledger);
    assertEquals(await next.ttls.restore(), []);
    assertEquals(await scene.days(), 30);
  }
});

both("that a suspended worker raises after others have set it back is known to the ledger", async (kind) => {
  // it wakes between its row in the ledger and its ALTER, when all is done
  await using scene = await Scene.make(kind);
  const other = await scene.worker();
  const suspended = await scene.worker(async () => {
    await other.ttls.raise("cnosdb", "db");
    await finish(other.ledger);
    assertEquals(await other.ttls.restore(), []);
    assertEquals(await scene.days(), 30);
  });
  await suspended.ttls.raise("cnosdb", "db");
  assertEquals(await scene.days(), raisedDays);
  assertEquals((await other.ledger.ttls()).length, 1);
  await other.ttls.restore();
  assertEquals([await scene.days(), await other.ledger.ttls()], [30, []]);
});

both(
  "that a suspended worker raises is set back by the next run if it is killed right after its ALTER",
  async (kind) => {
    await using scene = await Scene.make(kind);
    const other = await scene.worker();
    const suspended = await scene.worker(async () => {
      await finish(other.ledger);
      assertEquals(await other.ttls.restore(), []);
    }, kill);
    await assertRejects(() => suspended.ttls.raise("cnosdb", "db"), Killed);
    assertEquals(await scene.days(), raisedDays);
    const next = await scene.worker();
    assertEquals((await next.ttls.find(["cnosdb"])).length, 1);
    await next.ttls.restore();
    assertEquals([await scene.days(), await other.ledger.ttls()], [30, []]);
  },
);

both(
  "that was set back between a suspended worker's ALTER and its confirmation is not taken for raised",
  async (kind) => {
    await using scene = await Scene.make(kind);
    const other = await scene.worker();
    const suspended = await scene.worker(undefined, async () => {
      await finish(other.ledger);
      await other.ttls.restore();
      await scene.run("ALTER DATABASE db SET TTL '365d'");
    });
    await suspended.ttls.raise("cnosdb", "db");
    await other.ttls.restore();
    assertEquals([await scene.days(), await other.ledger.ttls()], [365, []]);
  },
);

both(
  "that is raised in no ledger is named, and set back when its database's tables are done",
  async (kind) => {
    await using scene = await Scene.make(kind);
    await (await scene.worker()).ttls.raise("cnosdb", "db");
    const { ledger, ttls } = await scene.worker(undefined, undefined, await kind.fresh());
    const sentence = "the TTL of cnosdb.db is raised from 30d, until its tables are done";
    assertEquals((await ttls.find(["cnosdb"])).map(describeTtl), [sentence]);
    assertEquals((await ttls.noted()).map(describeTtl), [sentence]);
    await ttls.raise("cnosdb", "db");
    assertEquals(await scene.days(), raisedDays);
    await finish(ledger);
    assertEquals(await ttls.restore(), []);
    assertEquals(await scene.days(), 30);
  },
);

both("that an operator has chosen is not taken for raised, however long it is", async (kind) => {
  await using scene = await Scene.make(kind);
  const { ledger, ttls } = await scene.worker();
  await finish(ledger);
  for (const ttl of ["36500d", "60030d", "73000d", "99999d", "100000d", "INF"]) {
    await scene.run(`ALTER DATABASE db SET TTL '${ttl}'`);
    const days = await scene.days();
    assertEquals(await ttls.find(["cnosdb"]), []);
    await ledger.writeTtl({
      cluster: scene.standIn.sqlUrl,
      tenant: "cnosdb",
      database: "db",
      formerSeconds: 30 * day,
    });
    assertEquals([await ttls.restore(), await scene.days(), await ledger.ttls()], [[], days, []], ttl);
  }
});

both("that cannot be set back is told with the statement to run, and stays in the ledger", async (kind) => {
  await using scene = await Scene.make(kind);
  let refuse = false;
  const { ledger, ttls } = await scene.worker(() =>
    refuse ? Promise.reject(new Error("no")) : Promise.resolve()
  );
  await ttls.raise("cnosdb", "db");
  await finish(ledger);
  refuse = true;
  const [failure] = await ttls.restore();
  assertStringIncludes(failure!.message, "the TTL of cnosdb.db is still raised: no");
  assertStringIncludes(failure!.hint!, `in tenant cnosdb: ALTER DATABASE "db" SET TTL '30d'`);
  assertEquals((await ledger.ttls()).length, 1);
  refuse = false;
  assertEquals(await ttls.restore(), []);
  assert(await scene.days() === 30);
});
