/** The stage that copy_tables serves to both clusters itself, until it ends. */
import { setTimeout as delay } from "node:timers/promises";
import { loadSigner } from "../cli/deps.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { keepSecret } from "../cli/presentable.ts";
import { StageFiles } from "./files.ts";
import { type httpLimits, HttpServer } from "./http.ts";
import { S3Bucket } from "./s3.ts";
import { assertDirectory, connectionClause, type Stage } from "./stage.ts";

/** What can be chosen of a served stage. */
export interface ServedOptions {
  /** SQL URLs of each side's nodes: who is to reach the stage */
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** HOST:PORT that the clusters are told, where the one we would take is not what they can reach */
  readonly address?: string | undefined;
  /** how fast it takes in */
  readonly bytesPerSecond?: number | undefined;
  /** where its directory is made, instead of where temporary files go */
  readonly parent?: string;
  readonly limits?: typeof httpLimits;
  readonly say: (message: string) => void;
}

/**
 * Serves a stage, with a bucket and a key of its own.
 * @throws {Failure} where its directory cannot be made or its address not be listened on
 */
export async function servedStage(options: ServedOptions): Promise<Stage> {
  const { from, to, address, say } = options;
  const { hostname, port } = address === undefined ? { port: 0 } : parseAddress(address);
  const hosts = hostname === undefined ? await ownAddresses(from, to) : [hostname];
  await loadSigner(); // now, as it takes descriptors, which may be rare later
  const files = await StageFiles.make(options.parent);
  const stop = new AbortController();
  const bucket = new S3Bucket(files, intake(stop.signal, options.bytesPerSecond));
  const { region, accessKeyId, secretAccessKey } = bucket.key;
  keepSecret(accessKeyId);
  keepSecret(secretAccessKey);
  const server = new HttpServer(bucket.answer, options.limits);
  const close = async (): Promise<undefined> => {
    if (stop.signal.aborted) return;
    stop.abort();
    await server.close();
    await files.close();
  };
  const reached: string[] = [];
  for (const host of hosts) {
    const told = host.includes(":") ? `[${host}]` : host;
    try {
      reached.push(`${told}:${listen(server, host, port, say)}`);
    } catch (error) {
      await close();
      throw new Failure(`cannot serve the stage on ${told}:${port}: ${messageOf(error)}`);
    }
  }
  const [exportAddress = "", importAddress = exportAddress] = reached;
  const connection = (address: string) =>
    connectionClause({
      endpoint_url: `http://${address}`,
      region,
      access_key_id: accessKeyId,
      secret_key: secretAccessKey,
      virtual_hosted_style: "false",
    });
  const url = (directory: string) => {
    assertDirectory(directory);
    files.open(directory);
    return `s3://${bucket.name}/${directory}`;
  };
  return {
    exportAddress,
    importAddress,
    exportConnection: connection(exportAddress),
    importConnection: connection(importAddress),
    exportUrl: url,
    importUrl: url,
    bytes: (directory) => Promise.resolve(files.bytes(directory)),
    problem: () => server.problem ?? bucket.problem,
    remove: (directory) => files.remove(directory),
    close,
  };
}

/** Lets bytes in at a rate, of all connections together. Who has to wait does not read on, and TCP holds the sender back. */
function intake(signal: AbortSignal, bytesPerSecond = Infinity): (bytes: number) => Promise<void> {
  let busyUntilMs = 0;
  return async (bytes) => {
    const nowMs = performance.now();
    busyUntilMs = Math.max(nowMs, busyUntilMs) + bytes / bytesPerSecond * 1000;
    if (busyUntilMs > nowMs) await delay(busyUntilMs - nowMs, undefined, { signal, ref: false });
  };
}

const isLoopback = (address: string) => /^127\.|^::1$/.test(address);
const unbracketed = (hostname: string) => hostname.replace(/^\[|\]$/g, "");

function parseAddress(text: string): { hostname: string; port: number } {
  const url = /^[^@/?#]+:\d+$/.test(text) ? URL.parse(`http://${text}`) : null;
  if (!url) throw new UsageError("--serve-address: expected HOST:PORT, or [IPV6]:PORT");
  return { hostname: unbracketed(url.hostname), port: Number(text.slice(text.lastIndexOf(":") + 1)) };
}

/** Listens on one address, or where it is none of this machine, on all. @returns the port */
function listen(server: HttpServer, hostname: string, port: number, say: (message: string) => void): number {
  try {
    return server.listen(hostname, port);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrNotAvailable)) throw error;
    say(`${hostname} is no address of this machine: the stage listens on all of them, port ${port}`);
    return server.listen(hostname.includes(":") ? "::" : "0.0.0.0", port);
  }
}

/** The address that each side reaches, or one for both. */
async function ownAddresses(from: readonly string[], to: readonly string[]): Promise<string[]> {
  const own = [await addressTowards(from), await addressTowards(to)].flatMap((address) => address ?? []);
  // A cluster on this machine, perhaps in a container, reaches it by the address that the other one needs, too.
  const outer = own.filter((address) => !isLoopback(address));
  return [...new Set(outer.length ? outer : own)];
}

/**
 * The address by which this machine reaches a cluster, and so most likely is reached by it: of its nodes elsewhere, if it has any.
 * @param urls SQL URLs of its nodes
 * @throws {Failure} if none accepts connections
 */
export async function addressTowards(urls: readonly string[]): Promise<string | undefined> {
  const towards = await Promise.allSettled(urls.map(async (url) => {
    const { protocol, hostname, port, host } = new URL(url);
    try {
      using connection = await Deno.connect({
        hostname: unbracketed(hostname),
        port: Number(port) || (protocol === "https:" ? 443 : 80),
      });
      return connection.localAddr.hostname;
    } catch (error) {
      throw new Failure(`cannot connect to ${host}: ${messageOf(error)}`);
    }
  }));
  const found = towards.flatMap((one) => one.status === "fulfilled" ? one.value : []);
  if (!found.length && towards[0]?.status === "rejected") throw towards[0].reason;
  return found.find((address) => !isLoopback(address)) ?? found[0];
}
