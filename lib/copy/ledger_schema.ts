/** The tables of a ledger, and the run that it belongs to. */
import { Failure } from "../cli/errors.ts";
import type { RunIdentity } from "./ledger.ts";
import type { Query, Store } from "./ledger_store.ts";

const version = 1;

/** What a table must be to be claimed: an index has this very condition. */
export const free = "worker IS NULL AND step NOT IN ('verified', 'failed', 'source-changed')";

const schema = (serial: string) => [
  `CREATE TABLE cnosdb_migrate_run (id ${serial}, version INTEGER NOT NULL, source TEXT NOT NULL,
    target TEXT NOT NULL, stage TEXT NOT NULL, options TEXT NOT NULL, UNIQUE (source, target))`,
  `CREATE TABLE cnosdb_migrate_worker (id ${serial}, run BIGINT NOT NULL, expires TIMESTAMPTZ NOT NULL)`,
  `CREATE TABLE cnosdb_migrate_database (id ${serial}, run BIGINT NOT NULL, tenant TEXT NOT NULL,
    name TEXT NOT NULL, waiting BIGINT NOT NULL DEFAULT 0, working BIGINT NOT NULL DEFAULT 0,
    former_ttl TEXT, resetting BIGINT, UNIQUE (run, tenant, name))`,
  `CREATE INDEX cnosdb_migrate_next_database ON cnosdb_migrate_database (run, working, waiting DESC, id)
    WHERE waiting > 0 AND resetting IS NULL`,
  `CREATE TABLE cnosdb_migrate_table (id ${serial}, database_id BIGINT NOT NULL, name TEXT NOT NULL,
    step TEXT NOT NULL DEFAULT 'planned', worker BIGINT, attempts INTEGER NOT NULL DEFAULT 0,
    rows_exported BIGINT, rows_imported BIGINT, source TEXT, target TEXT, error TEXT,
    seconds DOUBLE PRECISION, UNIQUE (database_id, name))`,
  `CREATE INDEX cnosdb_migrate_next_table ON cnosdb_migrate_table (database_id, id) WHERE ${free}`,
  `CREATE INDEX cnosdb_migrate_held ON cnosdb_migrate_table (worker) WHERE worker IS NOT NULL`,
  `CREATE TABLE cnosdb_migrate_piece (table_id BIGINT NOT NULL, number INTEGER NOT NULL, since TEXT,
    before TEXT, step TEXT NOT NULL DEFAULT 'planned', directory TEXT, rows_exported BIGINT,
    rows_imported BIGINT, PRIMARY KEY (table_id, number))`,
];

/**
 * Finds the run in a ledger; makes both where they are not there, unless it is only read.
 * @param run none takes the only one that is there
 * @throws {Failure} where it is not there, or is another one, or of another version
 */
export async function openRun(
  store: Store,
  run: RunIdentity | undefined,
  readOnly: boolean,
): Promise<{ id: number; run: RunIdentity }> {
  if (run && !readOnly) await store.transaction((query) => make(query, store, run));
  else if (!(await store.query(store.dialect.exists)).length) {
    throw new Failure(`ledger ${store.name}: there is none yet`, "it is made when tables are copied.");
  }
  return findRun(await readRuns(store), store, run);
}

async function make(query: Query, { dialect, oneRun }: Store, run: RunIdentity): Promise<void> {
  await query(dialect.lock);
  const isThere = (await query(dialect.exists)).length > 0;
  if (isThere && oneRun) return;
  if (!isThere) { for (const statement of schema(dialect.serial)) await query(statement); }
  await query(
    `INSERT INTO cnosdb_migrate_run (version, source, target, stage, options) VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT DO NOTHING`,
    [version, run.from, run.to, run.stage, JSON.stringify(run.options)],
  );
}

interface Run {
  id: number;
  run: RunIdentity;
}

async function readRuns({ name, query }: Store): Promise<Run[]> {
  const rows = await query("SELECT * FROM cnosdb_migrate_run ORDER BY id");
  if (rows[0]?.version !== version) {
    throw new Failure(
      `ledger ${name}: is of version ${rows[0]?.version}, these scripts know version ${version}`,
      "go on with the scripts that began it.",
    );
  }
  return rows.map((row) => ({
    id: row.id as number,
    run: {
      from: row.source as string,
      to: row.target as string,
      stage: row.stage as string,
      options: JSON.parse(row.options as string) as Record<string, string>,
    },
  }));
}

function findRun(runs: Run[], { name, oneRun }: Store, run: RunIdentity | undefined): Run {
  const [found, another] = run && !oneRun
    ? runs.filter((r) => r.run.from === run.from && r.run.to === run.to)
    : runs;
  if (!found) throw new Failure(`ledger ${name}: nothing was copied yet from ${run?.from} to ${run?.to}`);
  if (another) {
    const list = runs.map((r) => `from ${r.run.from} to ${r.run.to}`).join("; ");
    throw new Failure(`ledger ${name}: holds several runs: ${list}`, "say which one with --from and --to.");
  }
  const differing = run ? differences(found.run, run) : [];
  if (!differing.length) return found;
  throw new Failure(
    `ledger ${name}: belongs to another run: ${differing.join("; ")}`,
    "give what it was begun with, or name another with --ledger" +
      (oneRun ? "." : ": another database, or ?search_path=SCHEMA."),
  );
}

function differences(ledger: RunIdentity, run: RunIdentity): string[] {
  const fields = ({ from, to, stage, options }: RunIdentity): Record<string, string> => ({
    "--from": from,
    "--to": to,
    "--stage": stage,
    ...Object.fromEntries(
      Object.entries(options).map(([key, value]) => [key.replace(/^(--)?/, "--"), value]),
    ),
  });
  const [theirs, ours] = [fields(ledger), fields(run)];
  return Object.keys({ ...theirs, ...ours }).filter((key) => theirs[key] !== ours[key])
    .map((key) => `${key}: the ledger has ${theirs[key] || "none"}, this run has ${ours[key] || "none"}`);
}
