/**
 * The whole migration between two real clusters with all that proves it, told like a test: a line a check.
 *
 *     OLD_META=old:8901 OLD_SQL=old:8902 NEW_META=new1:8901,new2:8901 NEW_SQL=new1:8902 deno task live [FLAGS of filter_meta]
 *
 * STAGE is where files pass through (--stage of copy_tables, which else serves it). Credentials: in the SQL URLs, or CNOSDB_USER
 * and CNOSDB_PASSWORD; the new cluster's are those that the old one's users have, once they are restored. The old cluster is
 * only read, and a new one that is not empty is refused. What the scripts say goes to stderr, the checks to stdout.
 *
 * Exit codes: 0 all is well, 1 a check failed, 2 a variable is missing.
 */
import { writeDump } from "../../lib/dump/text.ts";
import { parseEndpoint } from "../../lib/cnosdb/endpoint.ts";
import { permissions, type TableLine, tableLines } from "./pipe.ts";

const root = new URL("../../", import.meta.url);
const stage = Deno.env.get("STAGE");
const [oldMeta, newMeta] = [nodes("OLD_META"), nodes("NEW_META")];
const [oldSql, newSql] = [variable("OLD_SQL"), variable("NEW_SQL")];
const { url: newUrl, user, password } = parseEndpoint(newSql, 8902);
/** Credentials are in no command line; those of the new cluster are not the old one's. */
const environment: Record<string, Record<string, string>> = {
  restore_meta: {
    ...(user === undefined ? {} : { CNOSDB_USER: user }),
    ...(password === undefined ? {} : { CNOSDB_PASSWORD: password }),
  },
  copy_tables: { CNOSDB_FROM: oldSql, CNOSDB_TO: newSql },
  compare_tables: { CNOSDB_FROM: oldSql, CNOSDB_TO: newSql },
};
const directory = await Deno.makeTempDir({ prefix: "cnosdb-migrate-live-" });
const file = (name: string) => `${directory}/${name}`;
const copy = [...(stage ? ["--stage", stage] : []), "--verify", "full", "--ledger", file("ledger.sqlite")];

function variable(name: string): string {
  const value = Deno.env.get(name);
  if (value) return value;
  console.error(
    `live: ${name} is missing; OLD_META, OLD_SQL, NEW_META and NEW_SQL say where the clusters are`,
  );
  Deno.exit(2);
}

function nodes(name: string): string[] {
  return variable(name).trim().split(/[\s,]+/);
}

/** Runs a script. @returns stdout @throws {Error} with its last words where it ends in another code than 0 or `also` */
async function run(script: string, args: string[], { input, also }: { input?: string; also?: number } = {}) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...permissions(script).split(" "), `scripts/${script}.ts`, ...args],
    ...{ cwd: root, env: environment[script] ?? {} },
    ...{ stdin: input === undefined ? "null" : "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  const fed = input === undefined
    ? undefined
    : Deno.open(file(input)).then(({ readable }) => readable.pipeTo(child.stdin)).catch(() => {}); // it says itself why
  let said = "";
  const listening = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        // where a difference is an answer, it is for the check to tell
        if (also === undefined) Deno.stderr.writeSync(new TextEncoder().encode(text));
        said = (said + text).slice(-4_000);
      },
    }),
  );
  const [{ code }, stdout] = await Promise.all([
    child.status,
    new Response(child.stdout).text(),
    fed,
    listening,
  ]);
  if (code === 0 || code === also) return { stdout, lastLine: said.trimEnd().split("\n").at(-1) ?? "" };
  throw new Error(`exit code ${code}\n${said.trimEnd()}`);
}

const checks = { ok: 0, failed: 0 };

/** Runs a check, which gives what is worth knowing, and tells how it went. @returns whether it went well */
async function check(name: string, action: () => Promise<string>): Promise<boolean> {
  const started = performance.now();
  const tell = (how: string, detail: string, more: string[] = []) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log([`${how}  ${name} (${detail}${detail && ", "}${seconds} s)`, ...more].join("\n        "));
  };
  try {
    tell("ok    ", await action());
    checks.ok++;
    return true;
  } catch (error) {
    tell("FAILED", "", (error as Error).message.split("\n"));
    checks.failed++;
    return false;
  }
}

/** @throws {Error} where a table is not equal on both sides */
function allEqual(stdout: string, isRight: (table: TableLine) => boolean = () => true): string {
  const tables = tableLines(stdout).filter(({ status }) => status !== "definition");
  const others = tables.filter((table) => table.status !== "equal" || !isRight(table));
  if (others.length) throw new Error(others.map((table) => JSON.stringify(table)).join("\n"));
  const rows = tables.reduce((sum, { copied }) => sum + (copied?.rows ?? 0), 0);
  return `${tables.length} tables${rows ? `, ${rows} rows` : ""}`;
}

/** @throws {Error} where something of a dump is not in the cluster as it is in the dump; a cluster may hold more, and make buckets */
async function assertHolds(meta: string[], dump: string): Promise<string> {
  const { stdout } = await run("dump_meta", [...meta, "--compare", file(dump)], { also: 3 });
  const differences = stdout.split("\n").filter((line) =>
    line !== "" && !line.startsWith("only in the cluster") && !/\/buckets\/\d+( {2}|$)/.test(line)
  );
  if (differences.length) throw new Error(differences.join("\n"));
  return "";
}

/** @throws {Error} where the new cluster holds something: restore_meta refuses it, whatever is to be restored, as here a part of its own */
async function assertEmpty(): Promise<string> {
  await run("dump_meta", [...newMeta, "--output", file("before.dump")]);
  const before = await Deno.readTextFile(file("before.dump"));
  const [, key, value] = /^(\/[^/]+\/tenants\/cnosdb): (.*)$/m.exec(before) ?? [];
  if (key === undefined || value === undefined) {
    throw new Error("it has no tenant cnosdb: was it ever started?");
  }
  const out = await Deno.open(file("own.dump"), { createNew: true, write: true, mode: 0o600 });
  await writeDump([{ key, value }], async (bytes) => void await out.write(bytes));
  out.close();
  await run("restore_meta", [...newMeta, "--sql", newUrl, "--dry-run"], { input: "own.dump" });
  return "";
}

const migrated = await check("the old cluster is dumped", async () => {
  return (await run("dump_meta", [...oldMeta, "--output", file("old.dump")])).lastLine.replace(/^\w+: /, "");
}) && await check("the new cluster is empty", assertEmpty) &&
  await check("the dump is converted for the new cluster", async () => {
    const { stdout } = await run("filter_meta", ["--target", newUrl, ...Deno.args], { input: "old.dump" });
    await Deno.writeTextFile(file("new.dump"), stdout, { mode: 0o600 });
    return `${stdout.split("\n").length - 2} entries`;
  }) && await check("nothing speaks against restoring it", async () => {
    await run("restore_meta", [...newMeta, "--sql", newUrl, "--dry-run"], { input: "new.dump" });
    return "";
  }) && await check("it is restored, and read back", async () => {
    await run("restore_meta", [...newMeta, "--sql", newUrl], { input: "new.dump" });
    return "";
  }) && await check("every table is copied, and verified", async () => {
    return allEqual((await run("copy_tables", copy, { input: "new.dump" })).stdout);
  });
if (migrated) {
  await check("a second run finds nothing to copy", async () => {
    const { stdout } = await run("copy_tables", copy, { input: "new.dump" });
    return allEqual(stdout, ({ earlier }) => earlier === true).replace(/,.*/, "");
  });
  await check("it is followed until nothing is new, and ends equal", async () => {
    const following = [...copy, "--follow", "--quiet-for", "3s"];
    return allEqual((await run("copy_tables", following, { input: "new.dump" })).stdout);
  });
  await check("both clusters hold the same rows", async () => {
    const compared = await run("compare_tables", ["--verify", "full"], { input: "new.dump", also: 3 });
    return allEqual(compared.stdout);
  });
  await check("the new cluster's meta store holds what was restored", () => assertHolds(newMeta, "new.dump"));
  await check("the old cluster's meta store is as it was", () => assertHolds(oldMeta, "old.dump"));
}

console.log(`\n${checks.failed ? "FAILED" : "ok"}: ${checks.ok} checks passed, ${checks.failed} failed`);
if (checks.failed) console.log(`dumps, which hold password hashes, and the ledger are in ${directory}`);
else await Deno.remove(directory, { recursive: true });
Deno.exitCode = checks.failed ? 1 : 0;
