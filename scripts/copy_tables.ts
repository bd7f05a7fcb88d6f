#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env=CNOSDB_*,PG*,NODE_USE_SYSTEM_CA --allow-sys --allow-run=sh
/**
 * Copies the rows of all TSKV tables from a CnosDB 2.3 or 2.4 cluster to a 2.4 one by COPY INTO, and proves them equal.
 *
 *     restore_meta.ts NEW < new.dump | copy_tables.ts --from OLD --to NEW > results
 *
 * Exit codes: 0 all tables verified, 1 some failed, 2 usage, 3 reading back found a difference, 130 interrupted.
 */
import { type Args, type Command, main, type Say, version } from "../lib/cli/cli.ts";
import { compareTable, tellComparison } from "../lib/copy/compare_tables.ts";
import { Copy, type CopyTotals } from "../lib/copy/copy.ts";
import { checkStage, checkTwoClusters } from "../lib/copy/copy_checks.ts";
import { CopyProgress, describeBytes, textTable } from "../lib/copy/copy_progress.ts";
import type { CopySettings } from "../lib/copy/copy_table.ts";
import { Difference, Failure, Interrupted, ReaderGone, UsageError } from "../lib/cli/errors.ts";
import { HtmlReport, reported } from "../lib/report/html_report.ts";
import { printLine, readText, type Source, stdinSource } from "../lib/cli/io.ts";
import { displayName } from "../lib/dump/key.ts";
import {
  defaultLedger,
  type Ledger,
  openLedger,
  type RunIdentity,
  type TableName,
} from "../lib/copy/ledger.ts";
import { counted, describeSeconds } from "../lib/cli/progress.ts";
import { Side } from "../lib/copy/side.ts";
import { sqlEndpoint } from "../lib/cnosdb/sql.ts";
import { servedStage } from "../lib/stage/served.ts";
import { freshDirectory, type Stage } from "../lib/stage/stage.ts";
import { connectionOptions, parseStage, StorageStage } from "../lib/stage/storage.ts";
import { exportSql, importSql, summarySql } from "../lib/copy/table.ts";
import { listAll, type ListedTable, readList } from "../lib/copy/table_list.ts";
import { formatTime, parseDuration, parseTime } from "../lib/cnosdb/time.ts";
import { setTtlSql, Ttls } from "../lib/copy/ttl.ts";

export const command: Command = {
  name: "copy_tables",
  summary: "copy every row from one CnosDB cluster to another, and prove that it arrived",
  usage: ["--from URL --to URL [FLAGS] < dump or table list > results", "--status [--ledger LEDGER]"],
  flags: [
    { name: "from", value: "URL", help: "a data node of the old cluster (host:8902); or CNOSDB_FROM" },
    { name: "to", value: "URL", help: "a data node of the new cluster (host:8902); or CNOSDB_TO" },
    { name: "all", help: "all tables of the old cluster, instead of a list on stdin" },
    {
      name: "jobs",
      short: "j",
      value: "N",
      help: "tables at once (default 4); more pay where databases are many",
    },
    { name: "export-jobs", value: "N", help: "exports at once (default --jobs)" },
    { name: "import-jobs", value: "N", help: "imports at once (default --jobs), one a database" },
    {
      name: "ahead",
      value: "BYTES",
      help:
        "how much exports may run ahead of imports (default 2GiB);\na table larger than that is staged all the same",
    },
    {
      name: "stage",
      value: "URL",
      help:
        "where files pass through: file://, s3://, gcs:// or azblob://, reached\nby both clusters. Without it this script serves the stage itself",
    },
    {
      name: "serve-address",
      value: "HOST:PORT",
      help: "what the clusters are told to reach the served stage by",
    },
    {
      name: "connection",
      value: "KEY=VALUE",
      many: true,
      help:
        "an option of COPY INTO's CONNECTION for the stage, such as region;\nor all of them as JSON in CNOSDB_STAGE_CONNECTION, unseen by ps",
    },
    { name: "import-stage", value: "URL", help: "where the new cluster sees the same files" },
    {
      name: "only",
      value: "HALF",
      help: "export, import (of what export printed), or verify: compare, change\nnothing",
    },
    {
      name: "verify",
      value: "HOW",
      help: "count (default): rows, first and last time; full: every column\ntoo; none",
    },
    {
      name: "expired",
      value: "HOW",
      help: "rows older than the TTL: raise it meanwhile (default), or skip them",
    },
    {
      name: "split",
      value: "DURATION",
      help: "copy tables in pieces, such as 1d, so that a stop costs one piece",
    },
    {
      name: "since",
      value: "TIME",
      help:
        "a second pass: copy rows from then on into tables that hold rows;\nthe whole tables are compared. Takes a ledger of its own",
    },
    { name: "into-existing", help: "copy into tables that hold rows which this ledger did not write" },
    { name: "attempts", value: "N", help: "how often a statement is sent that got no answer (default 3)" },
    { name: "fail-fast", help: "stop at the first table that fails" },
    {
      name: "ledger",
      value: "LEDGER",
      help: `a file (default ${defaultLedger}), or postgres://… for several workers`,
    },
    { name: "status", help: "print what the ledger says, also while it is being worked on" },
    { name: "dry-run", help: "print the SQL, run nothing" },
    { name: "html", value: "FILE", help: "at the end, write a page of what was carried over, to be signed" },
    {
      name: "progress-seconds",
      value: "N",
      help: "a line of progress so often without a terminal (default 10)",
    },
    { name: "ask-password", help: "ask for the passwords on the terminal" },
    { name: "ca", value: "FILE", help: "PEM of a certificate authority to trust, for https" },
  ],
  notes: [
    `On stdin: a dump with its end mark, as restore_meta passes it on, or lines {"tenant":…,"database":…,"table":…}.
Nothing is copied before it has ended well. On stdout: a JSON line for each table as it ends. Run again, it goes on
where it stopped and retries what failed. Ctrl-C lets running statements end; a second one does not.

Credentials: in the URLs, or CNOSDB_USER and CNOSDB_PASSWORD; without a user, root.`,
  ],
  examples: [
    "# after a restore, in its pipe",
    "restore_meta.ts new:8901 < new.dump | copy_tables.ts --from old:8902 --to new:8902 > results",
    "# everything, eight tables at once, verified column by column",
    "copy_tables.ts --from old:8902 --to new:8902 --all --jobs 8 --verify full > results",
    "# how far is it?",
    "copy_tables.ts --status",
    "# are two clusters equal?",
    "copy_tables.ts --from old:8902 --to new:8902 --all --only verify --verify full",
  ],
};

/** What the command line asks for. */
interface Plan {
  settings: CopySettings;
  from: Side | undefined;
  to: Side | undefined;
  /** undefined: served */
  stage: { url: URL; importUrl: URL | undefined; connection: Record<string, string> } | undefined;
  identity: RunIdentity;
}

async function readPlan(args: Args): Promise<Plan> {
  const only = args.value("only") === undefined
    ? undefined
    : args.choice("only", ["export", "import", "verify"], "export");
  const caFile = args.value("ca");
  const ca = caFile === undefined ? undefined : await readText(caFile);
  const side = async (role: "old" | "new", flag: string, variable: string) => {
    const endpoint = sqlEndpoint(flag, args.value(flag.slice(2)), variable);
    const password = args.on("ask-password")
      ? { password: await askPassword(`password for ${endpoint.url}: `) }
      : {};
    return new Side(role, { ...endpoint, ...password }, ca);
  };
  // A half has nothing to do with the other side, and may not reach it.
  const from = only === "import" ? undefined : await side("old", "--from", "CNOSDB_FROM");
  const to = only === "export" ? undefined : await side("new", "--to", "CNOSDB_TO");
  const jobs = args.integer("jobs", 1, 1000) ?? 4;
  const split = args.value("split");
  const splitSeconds = split === undefined ? 0 : parseDuration(split);
  if (splitSeconds === undefined || (split !== undefined && splitSeconds < 1)) {
    throw new UsageError(`--split ${JSON.stringify(split)}: expected a duration such as 1d or 12h`);
  }
  const since = args.value("since");
  const sinceNanos = since === undefined ? undefined : parseTime(since);
  if (since !== undefined && sinceNanos === undefined) {
    throw new UsageError(`--since ${JSON.stringify(since)}: expected a time such as 2026-11-22T10:00:00Z`);
  }
  const settings: CopySettings = {
    jobs,
    exportJobs: args.integer("export-jobs", 1, 1000) ?? jobs,
    importJobs: args.integer("import-jobs", 1, 1000) ?? jobs,
    aheadBytes: readBytes("ahead", args.value("ahead") ?? "2GiB"),
    attempts: args.integer("attempts", 1, 100) ?? 3,
    splitSeconds,
    ...(sinceNanos === undefined ? {} : { since: formatTime(sinceNanos) }),
    expired: args.choice("expired", ["raise", "skip"], "raise"),
    verify: args.choice("verify", ["count", "full", "none"], "count"),
    ...(only === "export" || only === "import" ? { only } : {}),
    intoExisting: args.on("into-existing"),
    failFast: args.on("fail-fast"),
  };
  const stage = readStage(args);
  if (!stage && settings.only) {
    throw new UsageError(
      `--only ${settings.only} needs a --stage: what this script serves is gone at its end`,
      "give --stage file:///directory or s3://bucket/directory.",
    );
  }
  const identity: RunIdentity = {
    from: from?.url ?? "",
    to: to?.url ?? "",
    stage: stage?.url.href ?? "served",
    options: {
      split: splitSeconds ? `${splitSeconds}s` : "no",
      since: settings.since ?? "no",
      expired: settings.expired,
      verify: settings.verify,
      only: settings.only ?? "no",
    },
  };
  return { settings, from, to, stage, identity };
}

function readStage(args: Args): Plan["stage"] {
  const [stage, importStage] = [args.value("stage"), args.value("import-stage")];
  if (stage === undefined) {
    if (importStage !== undefined) throw new UsageError("--import-stage needs a --stage");
    if (args.values("connection").length) throw new UsageError("--connection needs a --stage");
    return undefined;
  }
  if (args.value("serve-address") !== undefined) {
    throw new UsageError("--serve-address goes with the stage that this script serves, not with --stage");
  }
  const url = parseStage("--stage", stage);
  return {
    url,
    importUrl: importStage === undefined ? undefined : parseStage("--import-stage", importStage),
    connection: connectionOptions(url, [...connectionFromEnvironment(), ...args.values("connection")]),
  };
}

function connectionFromEnvironment(): string[] {
  const text = Deno.env.get("CNOSDB_STAGE_CONNECTION");
  if (!text) return [];
  try {
    return Object.entries(JSON.parse(text) as Record<string, unknown>).map(([key, value]) =>
      `${key}=${value}`
    );
  } catch {
    throw new UsageError("CNOSDB_STAGE_CONNECTION is no JSON", 'expected {"region":"…","access_key_id":"…"}');
  }
}

/** Bytes of `2GiB`, `500MB`, `1000`. */
function readBytes(flag: string, text: string): number {
  const [, number, unit = ""] = /^(\d+)\s*([kmgt]i?b?|b?)$/i.exec(text) ?? [];
  if (number === undefined) {
    throw new UsageError(`--${flag} ${JSON.stringify(text)}: expected a size such as 2GiB`);
  }
  const power = "bkmgt".indexOf(unit[0]?.toLowerCase() ?? "b");
  return Number(number) * (/i/i.test(unit) ? 1024 : 1000) ** power;
}

/** Reads a line from the terminal, which stdin need not be, without showing it. */
async function askPassword(prompt: string): Promise<string> {
  const tty = await Deno.open("/dev/tty", { read: true, write: true }).catch(() => {
    throw new UsageError("--ask-password needs a terminal", "without one: CNOSDB_PASSWORD.");
  });
  const echo = (state: string) =>
    new Deno.Command("sh", { args: ["-c", `stty ${state} < /dev/tty`] }).output();
  await tty.write(new TextEncoder().encode(prompt));
  await echo("-echo");
  try {
    const buffer = new Uint8Array(1024);
    const bytes = await tty.read(buffer) ?? 0;
    return new TextDecoder().decode(buffer.subarray(0, bytes)).replace(/\r?\n$/, "");
  } finally {
    await echo("echo");
    await tty.write(new TextEncoder().encode("\n"));
    tty.close();
  }
}

/** The tables to copy: read twice, first to see that the list is whole. Undefined where there is none. */
async function openList(
  args: Args,
  from: Side | undefined,
  signal: AbortSignal,
): Promise<(() => AsyncGenerator<ListedTable>) | undefined> {
  if (args.on("all")) {
    if (!from) throw new UsageError("--all asks the old cluster: give --from");
    return () => listAll(from, signal);
  }
  if (Deno.stdin.isTerminal()) return undefined;
  const source: Source = await stdinSource();
  let tables = 0;
  for await (const _ of readList(source)) tables++;
  return tables ? () => readList(source) : undefined;
}

const noList = () =>
  new UsageError(
    "no tables to copy: neither a dump nor a table list on stdin",
    "say --all for all tables of the old cluster; or did the command before in the pipe fail?",
  );

async function run(args: Args, signal: AbortSignal, say: Say): Promise<number> {
  if (args.positional.length) {
    throw new UsageError(`unexpected argument ${JSON.stringify(args.positional[0])}`);
  }
  if (args.on("status")) return await printStatus(args.value("ledger"));
  const plan = await readPlan(args);
  const { from, to } = plan;
  if (args.on("dry-run")) return await dryRun(args, plan, signal);
  await Promise.all([from?.checkVersion(signal), to?.checkVersion(signal)]);
  if (from && to) await checkTwoClusters(from, to);
  const list = await openList(args, from, signal);
  const report = await openReport(args, plan);
  if (args.value("only") === "verify") {
    if (!list) throw noList();
    const tables = list();
    return await reported(report, undefined, say, () => compare(tables, plan, signal, say, report));
  }
  const where = args.value("ledger") ?? defaultLedger;
  if (!list && !(/^\w+:\/\//.test(where) || await Deno.stat(where).then(() => true, () => false))) {
    throw noList();
  }
  const ledger = await openLedger(where, plan.identity);
  try {
    return await reported(report, ledger, say, () => copy(args, plan, list, ledger, signal, say, report));
  } finally {
    await ledger.close();
  }
}

async function openReport(
  args: Args,
  { from, to, stage, identity }: Plan,
): Promise<HtmlReport | undefined> {
  const path = args.value("html");
  if (path === undefined) return undefined;
  const only = args.value("only") ?? "no";
  const keys = Object.entries(stage?.connection ?? {}).filter(([name]) => /key|token/.test(name));
  return await HtmlReport.open(path, {
    from: identity.from,
    fromVersion: from?.version ?? "",
    to: identity.to,
    toVersion: to?.version ?? "",
    stage: only === "verify" ? "" : identity.stage,
    options: { ...identity.options, only },
    tool: `copy_tables ${version}`,
    secrets: [from?.endpoint.password ?? "", to?.endpoint.password ?? "", ...keys.map(([, key]) => key)],
  });
}

async function copy(
  args: Args,
  { settings, from, to, stage: storage, identity }: Plan,
  list: (() => AsyncGenerator<ListedTable>) | undefined,
  ledger: Ledger,
  signal: AbortSignal,
  say: Say,
  report: HtmlReport | undefined,
): Promise<number> {
  const exported = new Map<string, ListedTable>();
  let unexported = 0;
  const keyOf = ({ tenant, database, table }: TableName) => `${tenant}\0${database}\0${table}`;
  if (list) {
    await ledger.plan((async function* () {
      for await (const table of list()) {
        if (settings.only === "import") {
          if (table.pieces) exported.set(keyOf(table), table);
          else unexported++;
        }
        if (settings.only !== "import" || table.pieces) yield table;
      }
    })());
  }
  const again = await ledger.retryFailed();
  if (again) say(`${counted(again, "table")} that failed before: once more`);
  const counts = await ledger.counts();
  const total = counts.reduce((sum, { tables }) => sum + tables, 0);
  if (total === 0) throw noList();
  const { waiting, working } = await ledger.pending();
  if (waiting + working === 0 && (await ledger.ttlsRaised()).length === 0) {
    say(`nothing is left to copy: all ${total} tables in the ledger are done`);
    return 0;
  }
  const tenants = new Set(counts.map(({ tenant }) => tenant));
  for (const tenant of tenants) {
    await Promise.all([from?.checkTenant(tenant, signal), to?.checkTenant(tenant, signal)]);
  }
  const stage = storage
    ? new StorageStage(storage.url, storage.importUrl, storage.connection)
    : await servedStage({
      from: [identity.from],
      to: [identity.to],
      address: args.value("serve-address"),
      say,
    });
  try {
    await checkStage(stage, { from, to }, [...tenants][0] ?? "cnosdb", signal);
    const code = await copyAll(
      {
        ...{ settings, from, to, stage, ledger, report, total, left: waiting + working },
        exported: (table) => exported.get(keyOf(table)),
      },
      args,
      signal,
      say,
    );
    if (unexported) say(`error: ${unexported} tables of the list had not been exported and are not copied`);
    return unexported ? 1 : code;
  } finally {
    const left = await stage.close();
    if (left) say(left);
  }
}

interface Work {
  settings: CopySettings;
  from: Side | undefined;
  to: Side | undefined;
  stage: Stage;
  ledger: Ledger;
  report: HtmlReport | undefined;
  total: number;
  left: number;
  exported: (table: TableName) => ListedTable | undefined;
}

async function copyAll(work: Work, args: Args, signal: AbortSignal, say: Say): Promise<number> {
  const { settings, from, to, stage, ledger, report, total, left } = work;
  const startMs = Date.now();
  if (report) report.bytes = () => stage.traffic?.().inBytes;
  const quiet = args.on("quiet");
  const progress = quiet ? undefined : new CopyProgress({
    total,
    done: total - left,
    everyMs: (args.integer("progress-seconds", 1, 86_400) ?? 10) * 1000,
    terminal: Deno.stderr.isTerminal(),
    columns: Deno.stderr.isTerminal() ? Deno.consoleSize().columns : 80,
    traffic: stage.traffic,
    write: (text) => Deno.stderr.writeSync(new TextEncoder().encode(text)),
  });
  const tell = (text: string) => progress?.say(`copy_tables: ${text}`);
  let printed = Promise.resolve();
  const worker = new Copy({
    settings,
    stage,
    ledger,
    ...(from ? { from } : {}),
    ...(to ? { to, ttls: new Ttls(to, ledger) } : {}),
    ...(settings.only === "import" ? { exported: work.exported } : {}),
    onEvent: (event) => {
      progress?.event(event);
      report?.event(event);
      if (event.what !== "again") return;
      tell(
        `${
          displayName(event.table.tenant, event.table.database, event.table.table)
        }: once more: ${event.note}`,
      );
    },
    onResult: (result) => {
      progress?.ended(result.rows_imported ?? result.rows_exported ?? 0, result.error !== undefined);
      if (result.error !== undefined) {
        tell(
          `${displayName(result.tenant, result.database, result.table)}: ${result.status}: ${result.error}`,
        );
      }
      printed = printed.then(() => {
        progress?.hide();
        return printLine(JSON.stringify(result));
      });
      return printed;
    },
  });
  signal.addEventListener(
    "abort",
    () => tell("stopping: waiting for running statements; again to leave at once"),
  );
  const totals = await worker.run(signal).finally(() => progress?.close());
  await tellEnd(totals, settings, ledger, Date.now() - startMs, stage, say);
  return exitCode(totals, signal);
}

function exitCode(totals: CopyTotals, signal: AbortSignal): number {
  const { stopped, ttlFailures, failed, different, changed } = totals;
  if (stopped?.cause instanceof ReaderGone) throw stopped.cause;
  if (stopped && !(stopped instanceof Interrupted)) throw stopped;
  if (signal.aborted) {
    throw new Interrupted("interrupted", "run the same again: it goes on where it stopped.");
  }
  if (ttlFailures[0]) throw ttlFailures[0];
  if (failed > different || changed) {
    throw new Failure(
      `${counted(failed + changed, "table")} not done`,
      "their lines on stdout tell why; run the same again to try them once more.",
    );
  }
  if (failed) throw new Difference(`${failed} tables do not read back as they should`);
  return 0;
}

async function tellEnd(
  totals: CopyTotals,
  settings: CopySettings,
  ledger: Ledger,
  elapsedMs: number,
  stage: Stage,
  say: Say,
): Promise<void> {
  say(`by database:\n${(await tableByDatabase(ledger)).replaceAll(/^/gm, "  ")}`);
  const bytes = stage.traffic?.().inBytes;
  const { waiting, working } = await ledger.pending();
  const parts = [
    `${counted(totals.done, "table")} ${settings.only === "export" ? "exported" : "copied"}, ${
      counted(totals.rows, "row")
    }${bytes ? `, ${describeBytes(bytes)}` : ""}`,
    ...(settings.since === undefined ? [] : [`${totals.grown} rows that were not there before`]),
    ...(totals.failed ? [`${totals.failed} failed`] : []),
    ...(totals.changed ? [`${totals.changed} changed on the old cluster meanwhile`] : []),
    ...(waiting + working ? [`${waiting + working} left`] : []),
  ];
  say(`${parts.join(", ")}, in ${describeSeconds(elapsedMs / 1000)}`);
  for (const failure of totals.ttlFailures) say(`error: ${failure.message}; ${failure.hint}`);
}

/** The ledger's tables by database, as a table of text. */
async function tableByDatabase(ledger: Ledger): Promise<string> {
  const databases = new Map<
    string,
    { done: number; rows: number; seconds: number; failed: number; left: number }
  >();
  for (const { tenant, database, step, tables, rows, seconds } of await ledger.counts()) {
    const key = displayName(tenant, database);
    const line = databases.get(key) ?? { done: 0, rows: 0, seconds: 0, failed: 0, left: 0 };
    databases.set(key, line);
    if (step === "verified") line.done += tables;
    else if (step === "failed" || step === "source-changed") line.failed += tables;
    else line.left += tables;
    if (step === "verified") line.rows += rows;
    line.seconds += seconds;
  }
  return textTable([
    ["database", "tables", "rows", "seconds", "failed", "left"],
    ...[...databases].map(([name, { done, rows, seconds, failed, left }]) => [
      name,
      done,
      rows,
      seconds.toFixed(1),
      failed,
      left,
    ]),
  ]);
}

async function printStatus(where: string | undefined): Promise<number> {
  const ledger = await openLedger(where ?? defaultLedger, undefined, { readOnly: true });
  try {
    const { from, to, stage } = ledger.run;
    await printLine(`from ${from} to ${to} by ${stage}\n${await tableByDatabase(ledger)}`);
    for await (
      const { tenant, database, table, step, error } of ledger.tables(["failed", "source-changed"])
    ) {
      await printLine(`${displayName(tenant, database, table)}: ${step}: ${error ?? ""}`);
    }
    for (const ttl of await ledger.ttlsRaised()) {
      await printLine(
        `${displayName(ttl.tenant, ttl.database)}: its TTL is raised; to be set back by ${setTtlSql(ttl)}`,
      );
    }
    return 0;
  } finally {
    await ledger.close();
  }
}

/** Prints what would be sent, keys left out. */
async function dryRun(args: Args, plan: Plan, signal: AbortSignal): Promise<number> {
  const { settings, stage, from } = plan;
  const list = await openList(args, from, signal);
  if (!list) throw noList();
  const base = stage?.url.href.replace(/\/+$/, "") ?? "s3://stage";
  const importBase = stage?.importUrl?.href.replace(/\/+$/, "") ?? base;
  const connection = stage && !Object.keys(stage.connection).length ? "" : "CONNECTION = (…) ";
  const span = settings.since === undefined ? {} : { from: settings.since };
  for await (const table of list()) {
    const directory = freshDirectory(table);
    await printLine(
      `-- ${displayName(table.tenant, table.database, table.table)}, on ${plan.identity.from}${
        settings.splitSeconds ? `, in pieces of ${args.value("split")}` : ""
      }`,
    );
    await printLine(`${summarySql(table)};\n${exportSql(table, `${base}/${directory}`, connection, span)};`);
    await printLine(
      `-- on ${plan.identity.to}\n${importSql(table, `${importBase}/${directory}`, connection)};\n${
        summarySql(table)
      };`,
    );
  }
  return 0;
}

async function compare(
  list: AsyncGenerator<ListedTable>,
  { settings, from, to }: Plan,
  signal: AbortSignal,
  say: Say,
  report: HtmlReport | undefined,
): Promise<number> {
  if (!from || !to) throw new UsageError("--only verify needs --from and --to");
  const found = { equal: 0, different: 0, failed: 0 };
  let printed = Promise.resolve();
  const worker = async () => {
    for (let next = await list.next(); !next.done; next = await list.next()) {
      const told = report?.comparing(next.value);
      const comparison = await compareTable(from, to, next.value, settings.verify === "full", signal);
      told?.(comparison);
      found[comparison.status]++;
      for (const line of tellComparison(comparison)) say(line);
      printed = printed.then(() => printLine(JSON.stringify(comparison)));
      await printed;
      signal.throwIfAborted();
    }
  };
  await Promise.all(Array.from({ length: settings.jobs }, worker));
  say(
    `${found.equal} tables equal, ${found.different} different${
      found.failed ? `, ${found.failed} could not be compared` : ""
    }`,
  );
  return found.failed ? 1 : found.different ? 3 : 0;
}

if (import.meta.main) await main(command, run);
