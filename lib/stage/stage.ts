/**
 * Where the files of a copy lie between export and import: served by this process, or at file://, s3://, gcs://, azblob://. Every
 * attempt gets a directory of its own, as an export into one that is used adds its rows a second time.
 */
import { lookup } from "node:dns/promises";
import { closestString } from "../cli/deps.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { counted } from "../cli/progress.ts";
import { quoteText } from "../cnosdb/sql.ts";
import { addressTowards, serveStage } from "./stage_server.ts";

/** A stage, as the copying of a table needs it. */
export interface Stage {
  /** `served`, or its URL */
  readonly name: string;
  /** whether a later run finds again what was exported */
  readonly durable: boolean;
  /** the directory that this run's directories lie in, with a slash; or nothing */
  readonly prefix: string;
  /** `CONNECTION = (…)` and a blank, or nothing */
  readonly exportConnection: string;
  readonly importConnection: string;
  /** Where the old cluster writes, and where the new one reads, without a slash at the end. */
  exportUrl(directory: string): string;
  importUrl(directory: string): string;
  /** Told that an export has filled a directory: brings it to where it is imported from, if that is elsewhere. */
  filled(directory: string): Promise<void>;
  /** Bytes of a directory's files; undefined where they cannot be seen from here. */
  bytes(directory: string): Promise<number | undefined>;
  /** Bytes that came in and went out so far, of a served stage. */
  traffic?(): { inBytes: number; outBytes: number };
  /** Why the stage itself refused something last, for the operator. */
  problem(): string | undefined;
  /** Lets go of a directory that is not needed any more; what lies on a disk or in a storage is kept, unless `always`. */
  remove(directory: string, always?: boolean): Promise<void>;
  /** Ends the stage; gives what an operator should know about what is left. */
  close(): Promise<string | undefined>;
}

/** A name of `[A-Za-z0-9_-]` alone: with a space in a path an export works and its import finds nothing, and says 200. */
export function directoryName({ tenant, database, table }: TableName, ...parts: (string | number)[]): string {
  const safe = (name: string) => name.replace(/[^A-Za-z0-9_-]/gu, "_").slice(0, 40);
  return [safe(tenant), safe(database), safe(table), ...parts].join("-");
}

const connectionKeys: Record<string, string[]> = {
  "s3:": ["endpoint_url", "region", "access_key_id", "secret_key", "token", "virtual_hosted_style"],
  "gcs:": ["gcs_base_url", "disable_oauth", "client_email", "private_key"],
  "azblob:": ["account", "access_key", "bearer_token", "use_emulator"],
  "file:": [],
};

/** COPY INTO's CONNECTION and a blank; switches are bare words, as every version refuses them in quotes. Nothing for no options. */
export function connectionClause(options: Record<string, string>): string {
  const list = Object.entries(options).map(([key, value]) =>
    `${key} = ${/^(virtual_hosted_style|disable_oauth|use_emulator)$/.test(key) ? value : quoteText(value)}`
  );
  return list.length ? `CONNECTION = (${list.join(", ")}) ` : "";
}

/**
 * The options of a CONNECTION from `KEY=VALUE` texts. For an S3 that is not Amazon's the two settings are added without
 * which its first directory would be taken for the bucket, or its region be missing.
 * @throws {UsageError} for an option that this kind of stage does not have
 */
export function connectionOptions(stage: URL, pairs: string[]): Record<string, string> {
  const keys = connectionKeys[stage.protocol] ?? [];
  const options: Record<string, string> = {};
  for (const pair of pairs) {
    const [, key = "", value = ""] = /^\s*(\w+)\s*=(.*)$/s.exec(pair) ?? [];
    if (!keys.includes(key)) {
      const known = keys.length ? `it takes ${keys.join(", ")}.` : "it takes none.";
      const nearest = keys.length && key ? `did you mean ${closestString(key, keys)}? ` : "";
      throw new UsageError(
        `--connection ${key || "without ="}: no option of ${stage.protocol}//`,
        nearest + known,
      );
    }
    options[key] = value;
  }
  const { endpoint_url: endpoint } = options;
  if (endpoint !== undefined && !/\.amazonaws\.com(:\d+)?\/?$/.test(endpoint)) {
    options.region ??= "us-east-1";
    const bucketInIt = endpoint.replace(/\/+$/, "").endsWith(`/${stage.hostname}`);
    if (!bucketInIt) options.virtual_hosted_style ??= "false";
  }
  return options;
}

/** @throws {UsageError} where a stage's URL is none, or has a path that the servers would not find again */
export function parseStage(flag: string, text: string): URL {
  const url = /^(file|s3|gcs|azblob):\/\//.test(text) ? URL.parse(text) : null;
  if (
    !url || (url.protocol === "file:" ? url.pathname.length < 2 || url.hostname !== "" : url.hostname === "")
  ) {
    throw new UsageError(
      `${flag} ${JSON.stringify(text)} is no stage`,
      "expected file:///directory, s3://bucket/directory, gcs://… or azblob://…; or leave it out: then the script is the stage.",
    );
  }
  if (url.username || url.search || url.hash || !/^[\w./-]*$/.test(url.pathname)) {
    throw new UsageError(
      `${flag} ${text.replace(/\/\/[^@/]*@/, "//")}: only letters, digits, . _ - and / are safe in its path`,
      "with anything else the new cluster imports 0 rows and says nothing. Keys go into --connection.",
    );
  }
  return url;
}

/** A storage that is not ours. */
export interface StorageOptions {
  url: URL;
  /** where the new cluster sees the same files */
  importUrl?: URL | undefined;
  connection: Record<string, string>;
  /** a command with {from} and {to} that brings files from the one to the other */
  transfer?: string | undefined;
  /** whether what this run made is removed again, where it is a local directory */
  clean: boolean;
}

/** A stage at a URL that both clusters can reach, or one each. */
export class StorageStage implements Stage {
  readonly name: string;
  readonly durable = true;
  readonly exportConnection: string;
  readonly importConnection: string;
  /** no other run's directories are met there */
  readonly prefix = `copy-${new Date().toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-")}-${
    crypto.randomUUID().slice(0, 4)
  }/`;
  readonly #left = new Set<string>();

  constructor(private readonly options: StorageOptions) {
    this.name = trimmed(options.url);
    this.exportConnection = this.importConnection = connectionClause(options.connection);
  }

  exportUrl = (directory: string) => `${this.name}/${directory}`;
  importUrl = (directory: string) => `${trimmed(this.options.importUrl ?? this.options.url)}/${directory}`;
  problem = () => undefined;

  async filled(directory: string): Promise<void> {
    this.#left.add(directory);
    const { transfer } = this.options;
    if (transfer === undefined) return;
    const path = (url: string) => `'${url.replace(/^file:\/\//, "")}'`;
    const command = transfer.replaceAll("{from}", path(this.exportUrl(directory)))
      .replaceAll("{to}", path(this.importUrl(directory)));
    const { success, code, stderr } = await new Deno.Command("sh", {
      args: ["-c", command],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (success) return;
    const told = new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "";
    throw new Failure(`--transfer ended with ${code}: ${command}: ${told.slice(0, 200)}`);
  }

  async bytes(directory: string): Promise<number | undefined> {
    const path = this.#local(directory);
    return path === undefined ? undefined : await sizeOf(path).catch(() => undefined);
  }

  async remove(directory: string, always = false): Promise<void> {
    const path = this.#local(directory);
    if (!(this.options.clean || always) || path === undefined) return;
    try {
      await Deno.remove(path, { recursive: true });
      this.#left.delete(directory);
    } catch { /* it belongs to the server's user, or is gone: told at the end */ }
  }

  async close(): Promise<string | undefined> {
    const path = this.#local(this.prefix);
    if (this.options.clean && path !== undefined) await Deno.remove(path).catch(() => {});
    if (this.#left.size === 0) return undefined;
    const how = this.name.startsWith("file:")
      ? this.options.clean ? "of tables that are not done, or not ours to remove" : "--clean removes them"
      : "remove them with the storage's own tools";
    return `${counted(this.#left.size, "directory", "directories")} left in ${
      this.exportUrl(this.prefix)
    }: ${how}.`;
  }

  #local(directory: string): string | undefined {
    return this.options.url.protocol === "file:" ? `${this.options.url.pathname}/${directory}` : undefined;
  }
}

const trimmed = (url: URL) => url.href.replace(/\/+$/, "");

async function sizeOf(path: string): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    const inner = `${path}/${name}`;
    bytes += isDirectory ? await sizeOf(inner) : (await Deno.stat(inner)).size;
  }
  return bytes;
}

/**
 * A stage that this process serves to both clusters over HTTP until it ends.
 * @param from the old cluster's URL @param to the new one's
 * @param address HOST:PORT that the clusters are told, where the one we would take is not what they can reach
 * @throws {Failure} where it cannot be served
 */
export async function servedStage(
  from: string,
  to: string,
  address: string | undefined,
  say: (message: string) => void,
): Promise<Stage> {
  const { listen, advertise } = await addresses(from, to, address, say);
  const server = await serveStage({ listen, advertise: advertise[0] });
  const port = new URL(server.connection.endpoint_url ?? "").port;
  const clause = (hostPort: string) =>
    connectionClause({ ...server.connection, endpoint_url: `http://${hostPort.replace(/:0$/, `:${port}`)}` });
  return {
    name: "served",
    durable: false,
    prefix: "",
    exportConnection: clause(advertise[0]),
    importConnection: clause(advertise[1]),
    exportUrl: (directory) => server.url(directory),
    importUrl: (directory) => server.url(directory),
    filled: () => Promise.resolve(),
    bytes: (directory) => Promise.resolve(server.size(directory)),
    traffic: () => ({ inBytes: server.bytesIn(), outBytes: server.bytesOut() }),
    problem: () => server.lastError(),
    remove: (directory) => server.remove(directory),
    close: () => server.close().then(() => undefined),
  };
}

const isLoopback = (address: string) => /^127\.|^::1$/.test(address);
const hostPort = (address: string, port: number | string) =>
  `${address.includes(":") ? `[${address}]` : address}:${port}`;

/** Where to listen, and what the old and the new cluster are told. */
async function addresses(
  from: string,
  to: string,
  given: string | undefined,
  say: (message: string) => void,
): Promise<{ listen: { hostname: string; port: number }; advertise: [string, string] }> {
  if (given !== undefined) {
    const url = URL.parse(`http://${given}`);
    if (!url || !/:\d+$/.test(given)) throw new UsageError(`--serve-address ${given}: expected HOST:PORT`);
    const port = Number(/\d+$/.exec(given)?.[0]);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const { address } = await lookup(host).catch((error) => {
      throw new Failure(`--serve-address ${given}: ${messageOf(error)}`);
    });
    const ours = isLoopback(address) || Deno.networkInterfaces().some((own) => own.address === address);
    if (!ours) say(`${host} is no address of this machine: the stage listens on all of them, port ${port}`);
    return { listen: { hostname: ours ? address : "0.0.0.0", port }, advertise: [given, given] };
  }
  const [old, young] = [await addressTowards(from), await addressTowards(to)];
  // A cluster on this machine reaches it by the address that the other one needs, too.
  const one = old === young || isLoopback(young) ? old : isLoopback(old) ? young : undefined;
  const told: [string, string] = [hostPort(one ?? old, 0), hostPort(one ?? young, 0)];
  return { listen: { hostname: one ?? "0.0.0.0", port: 0 }, advertise: told };
}
