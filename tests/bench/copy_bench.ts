/**
 * What the scheduler costs. Against stand-ins that take 150 ms a statement and let imports into one database wait for each other: how
 * near to the best that this wait allows, and what spreading imports over databases gains. Then a list of 100 000 empty tables.
 * `deno task bench` fails where a bound is missed.
 */
import { startChild } from "../faults/copy_child.ts";
import { Pair } from "../unit/copy/copying.ts";
import type { RecordedRequest } from "../standin/standin.ts";

/** 64 tables in 8 databases of unequal size. */
const sizes = [22, 14, 10, 7, 5, 3, 2, 1];

interface Times {
  statementMs: number;
  importMs: number;
}

interface Measured {
  ms: number;
  /** the least that the statements took by the servers' clocks allow */
  bestMs: number;
}

/** Copies between clusters that take their time; `apart`: one database after another, as a plain loop would. */
async function copying(sizes: number[], jobs: number, times: Times, apart = false): Promise<Measured> {
  const databases = Object.fromEntries(sizes.map((size, d) => [
    `d${d}`,
    { tables: Object.fromEntries(Array.from({ length: size }, (_, t) => [`t${t}`, 1])) },
  ]));
  await using filled = await Pair.start({ databases });
  const dumpOf = (store: Map<string, string>) =>
    [...store].map(([key, value]) => `${key}: ${value}\n`).join("");
  await using pair = await Pair.start({
    databases: {},
    old: { dump: dumpOf(filled.old.store), rows: filled.old.rows, latency: times },
    young: { dump: dumpOf(filled.young.store), latency: times },
  });
  const tables = [...filled.old.rows.keys()].map((key) => key.split("/"))
    .map(([tenant = "", database = "", table = ""]) => ({ tenant, database, table }));
  const parts = apart ? Object.values(Object.groupBy(tables, ({ database }) => database)) : [tables];
  let ms = 0;
  for (const part of parts) {
    // In a process of its own, so that the servers' work is not taken for its own.
    const { output } = await startChild({
      place: pair.place,
      settings: { jobs },
      options: { tables: part ?? [] },
    })
      .done;
    ms += Number(/"ms":([\d.]+)\}$/m.exec(output)?.[1]);
  }
  if (pair.differences().length || !ms) throw new Error(`${pair.differences()}`);
  return { ms, bestMs: bestOf([...pair.old.requests, ...pair.young.requests], jobs) };
}

/**
 * So many statements at once, and imports of one database one after another, after its first profile and export and before the last
 * look: that is what nobody can beat.
 */
function bestOf(requests: RecordedRequest[], jobs: number): number {
  const took = ({ startMs, endMs = 0 }: RecordedRequest) => endMs - startMs;
  const sum = (part: RecordedRequest[]) => part.reduce((ms, request) => ms + took(request), 0);
  const statements = requests.filter(({ body }) => body !== "");
  const imports = Map.groupBy(
    statements.filter(({ body }) => body.startsWith('COPY INTO "')),
    ({ body }) => /"(\w+)"/.exec(body)![1],
  );
  const around = 4 * Math.min(...statements.map(took)); // columns, profile, export, the last look
  return Math.max(sum(statements) / jobs, ...[...imports.values()].map((part) => sum(part) + around));
}

function report(name: string, { ms, bestMs }: Measured, mostPercent: number): void {
  const percent = (ms / bestMs - 1) * 100;
  console.log(
    `  ${name}: ${(ms / 1000).toFixed(2)} s, best ${(bestMs / 1000).toFixed(2)} s, +${percent.toFixed(1)} %`,
  );
  if (percent > mostPercent) throw new Error(`${name}: more than ${mostPercent} % above the best`);
}

const once = { n: 1, warmup: 0 };
const equal = { statementMs: 150, importMs: 150 };
const real = { statementMs: 50, importMs: 250 };

Deno.bench("64 tables in 8 databases, --jobs 8", once, async () => {
  report("--jobs 8", await copying(sizes, 8, equal), 15);
  const spread = await copying(sizes, 8, real);
  report("--jobs 8, imports five times as long", spread, 15);
  const plain = await copying(sizes, 8, real, true);
  const [seconds, times] = [plain.ms / 1000, plain.ms / spread.ms].map((n) => n.toFixed(2));
  console.log(`  one database after another: ${seconds} s, ${times} times as long`);
});

Deno.bench("16 tables in 4 databases, --jobs 1", once, async () => {
  report("--jobs 1", await copying([8, 4, 3, 1], 1, equal), 5);
});

/** A cluster that has 100 000 empty tables and answers at once, so that what is measured is the script. */
function emptyTables(version: string): Deno.HttpServer<Deno.NetAddr> {
  const perDatabase = 12_500;
  const rowsOf = (row: (table: string) => string) =>
    Array.from({ length: perDatabase }, (_, i) => row(`table_${i}`));
  const kinds = [
    '"column_name":"time","column_type":"TIME","data_type":"TIMESTAMP(NANOSECOND)"',
    '"column_name":"v","column_type":"FIELD","data_type":"DOUBLE"',
  ];
  const columns = `[${rowsOf((table) => kinds.map((kind) => `{${kind},"table_name":"${table}"}`).join())}]`;
  const names = Array.from(
    { length: 8 },
    (_, d) => rowsOf((table) => `{"table_database":"d${d}","table_name":"${table}","table_engine":"TSKV"}`),
  );
  return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    if (request.url.endsWith("/ping")) {
      return Response.json({ version: `${version}, revision x`, status: "healthy" });
    }
    if (request.method === "GET") return new Response("", { status: 404 });
    const sql = await request.text();
    if (sql.includes("cluster_schema.tenants")) return new Response('[{"tenant_name":"cnosdb"}]');
    if (sql.includes("information_schema.tables")) return new Response(`[${names.flat()}]`);
    if (sql.includes("information_schema.columns")) return new Response(columns);
    if (sql.startsWith("COPY")) return new Response('[{"rows":1}]');
    const labels = [...sql.matchAll(/SELECT '(\d+)' AS t/g)].map(([, label]) => `{"n":0,"t":"${label}"}`);
    return new Response(labels.length ? `[${labels}]` : "");
  });
}

Deno.bench("100 000 empty tables in 8 databases", once, async () => {
  await using old = emptyTables("2.3.5");
  await using young = emptyTables("2.4.2");
  const directory = await Deno.makeTempDir();
  const url = (server: Deno.HttpServer<Deno.NetAddr>) => `http://127.0.0.1:${server.addr.port}`;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      // as in its shebang: else the heap is let grow to four times what lives, and the same run takes 310 to 430 MiB
      "--v8-flags=--optimize-for-size",
      "-A",
      new URL("../../scripts/copy_tables.ts", import.meta.url).pathname,
      "--all",
      "--jobs",
      "8",
      "--quiet",
    ],
    env: { CNOSDB_FROM: url(old), CNOSDB_TO: url(young) },
    ...{ cwd: directory, stdin: "null", stdout: "null", stderr: "inherit" },
  }).spawn();
  let mebibytes = 0;
  const timer = setInterval(() => {
    // it is gone when the process has just ended
    const status = Deno.readTextFile(`/proc/${child.pid}/status`).catch(() => "");
    status.then((text) => {
      mebibytes = Math.max(mebibytes, Math.round(Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024));
    });
  }, 50);
  const startMs = performance.now();
  const { code } = await child.status.finally(() => clearInterval(timer));
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`  ${seconds} s, at most ${mebibytes} MiB`);
  await Deno.remove(directory, { recursive: true });
  if (code !== 0 || mebibytes > 300) throw new Error(`${mebibytes} MiB, exit ${code}`);
});
