/** The whole migration between two stand-ins: the four scripts as real processes in a shell pipe. */
import { canonical } from "../helpers/json.ts";
import { type Rows, seedRows, type StandIn, startStandIn, type Version } from "../standin/standin.ts";

const root = new URL("../../", import.meta.url);

/** A real dump of a 2.3 cluster, and the kind of server that it is of. */
export interface Origin {
  dump: string;
  mode: "single" | "separate";
}

export const origins: Record<string, Origin> = {
  "a single 2.3.5.4": { dump: "dumps/2.3.5.4-single.debug", mode: "single" },
  "a 2.3.5.4 with a meta service of its own": { dump: "dumps/2.3.5.4-cluster.dump", mode: "separate" },
};

/** An old cluster that holds a real dump and rows for its tables, and a fresh new one. */
export class Clusters implements AsyncDisposable {
  private constructor(readonly old: StandIn, readonly young: StandIn, readonly directory: string) {}

  static async start({ dump, mode }: Origin, version: Version, metaNodes: 1 | 3 = 1): Promise<Clusters> {
    const text = await Deno.readTextFile(new URL(`fixtures/${dump}`, root));
    const old = await startStandIn({ version: "2.3.5", mode, dump: text, rows: seedRows(text) });
    return await Clusters.of(old, await startStandIn({ version, metaNodes }));
  }

  /** These two, which are closed with it. */
  static async of(old: StandIn, young: StandIn): Promise<Clusters> {
    return new Clusters(old, young, await Deno.makeTempDir({ prefix: "cnosdb-migrate-" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.old.close(), this.young.close()]);
    await Deno.remove(this.directory, { recursive: true });
  }

  /**
   * Runs the pipe in bash, with pipefail, in the directory.
   * @param script how a script is run, from its name
   * @param stderr whether what the scripts say goes to the terminal
   */
  async migrate(
    target: string,
    {
      script = (name: string) => `deno run -A --quiet ${new URL(`scripts/${name}.ts`, root).pathname}`,
      stderr = "piped",
    }: {
      script?: (name: string) => string;
      stderr?: "piped" | "inherit";
    } = {},
  ): Promise<{ code: number; stdout: string; stderr: string; tables: TableLine[] }> {
    const line = [
      `${script("dump_meta")} ${this.old.metaUrl}`,
      `${script("filter_meta")} --target ${target}`,
      `${script("restore_meta")} ${[...this.young.followerUrls, this.young.metaUrl].join(" ")}`,
      `${script("copy_tables")} --from ${this.old.sqlUrl} --to ${this.young.sqlUrl}`,
    ].join(" | ");
    const path = `${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH")}`;
    const output = await new Deno.Command("bash", {
      args: ["-o", "pipefail", "-c", line],
      cwd: this.directory,
      stdout: "piped",
      stderr,
      env: { PATH: path, NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(output.stdout).trim();
    return {
      code: output.code,
      stdout: text,
      stderr: stderr === "piped" ? new TextDecoder().decode(output.stderr) : "",
      tables: tableLines(text),
    };
  }

  /** Runs copy_tables with --follow until no row has been new for two seconds. What it says goes to the terminal. */
  async follow(): Promise<{ code: number; tables: TableLine[] }> {
    const script = new URL("scripts/copy_tables.ts", root).pathname;
    const sides = ["--from", this.old.sqlUrl, "--to", this.young.sqlUrl];
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", script, ...sides, "--all", "--follow", "--quiet-for", "2s"],
      ...{ cwd: this.directory, stdin: "null", stdout: "piped", stderr: "inherit", env: { NO_COLOR: "1" } },
    }).output();
    return { code, tables: tableLines(new TextDecoder().decode(stdout)) };
  }

  /** What differs between the clusters' rows, a line a difference. */
  differingRows(): string[] {
    const keys = new Set([...this.old.rows.keys(), ...this.young.rows.keys()]);
    return [...keys].filter((key) => !/^cnosdb\/(usage|cluster)_schema\//.test(key))
      .filter((key) => rowsText(this.old.rows, key) !== rowsText(this.young.rows, key));
  }
}

/** The permission flags in a script's shebang. */
export function permissions(script: string): string {
  const [first = ""] = Deno.readTextFileSync(new URL(`scripts/${script}.ts`, root)).split("\n");
  return /^#!\/usr\/bin\/env -S deno run (?:--v8-flags=\S+ )?(.*)$/.exec(first)?.[1] ?? "no shebang";
}

/** What copy_tables prints of a table. */
export interface TableLine {
  tenant: string;
  database: string;
  table: string;
  status: string;
  earlier?: true;
  copied?: { rows: number };
  seconds?: number;
  error?: string;
}

/** The lines of tables among what a run printed. */
export function tableLines(stdout: string): TableLine[] {
  return stdout.split("\n").filter((line) => line.includes('"table":')).map((line) => JSON.parse(line));
}

function rowsText(rows: Rows, key: string): string {
  const text = (rows.get(key) ?? []).map((row) =>
    JSON.stringify(
      Object.entries(row).filter(([, value]) => value !== null).sort(([a], [b]) => a < b ? -1 : 1)
        .map(([name, value]) => [name, typeof value === "bigint" ? String(value) : value]),
    )
  );
  return text.sort().join("\n");
}

/** Entries of a dump: key → value, its members sorted. */
export function entries(dump: string): Map<string, string> {
  return new Map(
    dump.split("\n").filter((line) => line.startsWith("/")).map((line) => {
      const at = line.indexOf(": ");
      return [line.slice(0, at), canonical(line.slice(at + 2))];
    }),
  );
}
