/** What the tests of copy_tables share: two stand-ins with tables, runs in this process and of the real one. */
import { parseEndpoint } from "../../../lib/cnosdb/endpoint.ts";
import type { TableName } from "../../../lib/cnosdb/names.ts";
import { Cluster } from "../../../lib/copy/cluster.ts";
import { openLedger } from "../../../lib/copy/ledger.ts";
import type { Status, TableResult } from "../../../lib/copy/result.ts";
import { RunOutput } from "../../../lib/copy/output.ts";
import type { RunPlan } from "../../../lib/copy/command.ts";
import { proofOf, runOptions, work } from "../../../lib/copy/runs.ts";
import type { Step } from "../../../lib/copy/schedule.ts";
import { servedStage } from "../../../lib/stage/served.ts";
import { storageStage } from "../../../lib/stage/storage.ts";
import {
  rowsKey,
  type StandIn,
  type StandInOptions,
  startStandIn,
  type Version,
} from "../../standin/standin.ts";
import type { Row } from "../../standin/rows.ts";

const root = new URL("../../../", import.meta.url);

/** A database's tables and how many rows each has on the old cluster. */
export interface DatabasePlan {
  ttl?: string;
  /** what the rows' times begin at, by default three minutes ago */
  startMs?: number;
  /** between two rows */
  stepMs?: number;
  tables: Record<string, number>;
}

export interface PairOptions {
  oldVersion?: Version;
  version?: Version;
  databases?: Record<string, DatabasePlan>;
  old?: Partial<StandInOptions>;
  young?: Partial<StandInOptions>;
}

/** Two clusters with the same tables, the old one's filled, and a directory that is gone with them. */
export class Pair implements AsyncDisposable {
  private constructor(readonly old: StandIn, readonly young: StandIn, readonly directory: string) {}

  static async start(options: PairOptions = {}): Promise<Pair> {
    const { databases = { db: { tables: { air: 10 } } } } = options;
    const old = await startStandIn({ version: options.oldVersion ?? "2.3.5", ...options.old });
    const young = await startStandIn({ version: options.version ?? "2.4.2", ...options.young });
    const pair = new Pair(old, young, await Deno.makeTempDir({ prefix: "cnosdb-copy-test-" }));
    for (const [database, plan] of Object.entries(databases)) await pair.make(database, plan);
    old.requests.length = young.requests.length = 0;
    return pair;
  }

  async make(database: string, { ttl, tables, startMs = Date.now() - 180_000, stepMs = 1 }: DatabasePlan) {
    const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;
    for (const cluster of [this.old, this.young]) {
      await sql(cluster, `CREATE DATABASE ${quote(database)}${ttl ? ` WITH TTL '${ttl}'` : ""}`);
      for (const table of Object.keys(tables)) {
        const columns = "(v DOUBLE, n BIGINT, u BIGINT UNSIGNED, b BOOLEAN, s STRING, TAGS(station))";
        await sql(cluster, `CREATE TABLE ${quote(database)}.${quote(table)} ${columns}`);
      }
    }
    for (const [table, rows] of Object.entries(tables)) {
      const key = rowsKey("cnosdb", database, table);
      this.old.rows.set(key, Array.from({ length: rows }, (_, i) => row(i, startMs + i * stepMs)));
    }
  }

  rows(cluster: "old" | "young", database: string, table: string): Row[] {
    return this[cluster].rows.get(rowsKey("cnosdb", database, table)) ?? [];
  }

  /** Tables whose rows are not the same on both sides. */
  differences(): string[] {
    return [...this.old.rows].flatMap(([key, rows]) => {
      const young = this.young.rows.get(key) ?? [];
      return canonical(rows) === canonical(young) ? [] : [`${key}: ${rows.length} rows, ${young.length}`];
    });
  }

  /** Runs the script as a process. */
  async script(args: string[], options: ScriptOptions = {}): Promise<Ran> {
    const { child, done } = this.start(args, options);
    await options.whileRunning?.(child);
    return await done;
  }

  /** Starts the script as a process. */
  start(args: string[], options: ScriptOptions = {}) {
    const { stdin, stdinFrom, env = {}, urls = true, name = "copy_tables" } = options;
    const sides = urls ? ["--from", this.old.sqlUrl, "--to", this.young.sqlUrl] : [];
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", new URL(`scripts/${name}.ts`, root).pathname, ...sides, ...args],
      cwd: this.directory,
      env: { ...env, NO_COLOR: "1" },
      stdin: stdin === undefined && !stdinFrom ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    if (stdin !== undefined || stdinFrom) {
      const text = stdinFrom?.() ?? [stdin ?? ""];
      ReadableStream.from(text).pipeThrough(new TextEncoderStream()).pipeTo(child.stdin).catch(() => {});
    }
    const done = () =>
      child.output().then(({ code, signal, stdout, stderr }): Ran => {
        const text = new TextDecoder().decode(stdout);
        const lines = text.split("\n").filter((line) => line.startsWith("{"));
        return {
          code,
          signal,
          stdout: text,
          stderr: new TextDecoder().decode(stderr),
          results: lines.map((line) => JSON.parse(line)).filter((line) => line.table !== undefined),
        };
      });
    // Not before it is asked for: it takes the streams.
    return {
      child,
      get done() {
        return done();
      },
    };
  }

  /** Copies in this process, by default all tables that have rows on the old cluster. */
  copy(plan: Settings = {}, options: RunOptions = {}): Promise<CopyRan> {
    const keys = [...this.old.rows.keys()].map((key) => key.split("/"));
    const tables = keys.map(([tenant = "", database = "", table = ""]) => ({ tenant, database, table }));
    return copyTables(this.place, plan, { tables, ...options });
  }

  /** What a process is told that copies between these. */
  get place(): Place {
    return { from: this.old.sqlUrl, to: this.young.sqlUrl, directory: this.directory };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.old.close();
    await this.young.close();
    await Deno.remove(this.directory, { recursive: true });
  }
}

export interface ScriptOptions {
  stdin?: string;
  stdinFrom?: () => AsyncIterable<string>;
  env?: Record<string, string>;
  /** which script, copy_tables unless told */
  name?: string;
  /** whether --from and --to are given */
  urls?: boolean;
  whileRunning?: (child: Deno.ChildProcess) => Promise<void>;
}

export interface Ran {
  code: number;
  signal: Deno.Signal | null;
  stdout: string;
  stderr: string;
  // deno-lint-ignore no-explicit-any
  results: any[];
}

export interface RunOptions {
  tables?: TableName[];
  ledger?: string;
  /** files on a disk, instead of the served stage */
  files?: boolean;
  stop?: AbortSignal;
  leaseMs?: number;
  patienceMs?: number;
  onStep?: (name: TableName, step: Step, end?: true) => void;
}

/** Between which clusters, and where its ledger and files are. */
export interface Place {
  from: string;
  to: string;
  directory: string;
}

/** What of a run is not as usual. */
export interface Settings extends Partial<RunPlan> {
  rowsPerWindow?: number;
}

/** Copies in this process. */
export async function copyTables(
  place: Place,
  { rowsPerWindow = 5_000_000, ...plan }: Settings,
  options: RunOptions,
): Promise<CopyRan> {
  const times = { patienceMs: options.patienceMs ?? 5_000, pauseMs: 2 };
  const cluster = (role: "source" | "target", urls: string) =>
    new Cluster(role, urls.split(",").map((url) => parseEndpoint(url, 8902)), times);
  const [from, to] = [cluster("source", place.from), cluster("target", place.to)];
  const { signal } = new AbortController();
  await Promise.all([from.open(signal), to.open(signal)]);
  const stage = options.files
    ? storageStage(new URL(`file://${place.directory}/stage`))
    : await servedStage({ from: from.url.split(","), to: to.url.split(","), say: () => {} });
  const { ledger: where = `${place.directory}/ledger.sqlite`, leaseMs } = options;
  const ledger = await openLedger(where, leaseMs === undefined ? {} : { leaseMs });
  const [results, said, shown]: [TableResult[], string[], string[]] = [[], [], []];
  try {
    const list = { names: options.tables ?? [], definitions: [], exported: new Map() };
    const whole: RunPlan = {
      ...{
        task: "copy",
        from,
        to,
        list,
        range: {},
        verify: "count",
        jobs: 4,
        stage,
        ledger,
        expired: "raise",
        intoExisting: false,
        aheadBytes: 2 ** 31,
        hours: undefined,
        follow: undefined,
      },
      ...plan,
    };
    await ledger.start(proofOf(whole), list.names);
    const print = (line: unknown) => Promise.resolve(void (isResult(line) && results.push(line)));
    const output = new RunOutput("copy_tables", (text) => void said.push(text), print);
    output.step = options.onStep ?? output.step;
    const stop = options.stop ?? signal;
    const quick = {
      ...runOptions(whole, output, stop),
      rowsPerWindow,
      lookAgainMs: 1,
      show: (text: string) => void shown.push(text),
    };
    const startMs = performance.now();
    const stopped = await work(whole, quick, stop).then(() => undefined, (error) => error);
    const ms = performance.now() - startMs;
    const statuses = new Map(
      [...Map.groupBy(results, ({ status }) => status)].map(([status, { length }]) => [status, length]),
    );
    const exit = await output.end(stopped, false).catch(({ exitCode }) => exitCode);
    return {
      totals: { statuses, rows: output.standing.rowsCopied, stopped, exit },
      ms,
      results,
      said: said.slice(0, -1),
      shown,
    };
  } finally {
    await ledger.close();
    await stage.close();
  }
}

const isResult = (line: unknown): line is TableResult => (line as Partial<TableResult>).table !== undefined;

export interface CopyRan {
  totals: {
    statuses: Map<Status, number>;
    rows: number;
    /** why it ended before all was done */
    stopped?: unknown;
    exit: number;
  };
  /** from the first claim to the last table */
  ms: number;
  results: TableResult[];
  /** what was told to the operator */
  said: string[];
  /** how far behind it was, round by round */
  shown: string[];
}

/** Row `i` of a table made by `Pair`. */
export function row(i: number, timeMs: number): Row {
  return {
    time: BigInt(timeMs) * 1_000_000n,
    station: `s${i % 3}`,
    v: i / 8,
    n: BigInt(i) * 9_007_199_254_741n,
    u: BigInt(i),
    b: i % 3 === 0 ? null : i % 2 === 0,
    s: `值 ${i}`,
  };
}

function canonical(rows: Row[]): string {
  const line = (row: Row) =>
    Object.keys(row).filter((key) => (row[key] ?? null) !== null).sort().map((key) => `${key}=${row[key]}`)
      .join(",");
  return rows.map(line).sort().join("\n");
}

/** Runs a statement on a stand-in. */
export async function sql(cluster: StandIn, statement: string, tenant = "cnosdb"): Promise<string> {
  const response = await fetch(`${cluster.sqlUrl}/api/v1/sql?tenant=${tenant}`, {
    method: "POST",
    headers: {
      authorization: `Basic ${btoa("root:")}`,
      accept: "application/json",
      "accept-encoding": "identity",
    },
    body: statement,
  });
  const body = await response.text();
  if (response.status !== 200) throw new Error(`${statement}: ${response.status} ${body}`);
  return body;
}

/** The TTL of a database on the new cluster, as it prints it. */
export async function ttlOf(cluster: StandIn, database: string): Promise<string> {
  const found = await sql(
    cluster,
    `SELECT ttl FROM information_schema.databases WHERE database_name = '${database}'`,
  );
  return (JSON.parse(found) as { ttl: string }[])[0]?.ttl ?? "";
}

/** Waits until something is true, looking often. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let left = 2000; !condition(); left--) {
    if (left === 0) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
