/** The stage that copy_tables itself serves to both clusters while it runs. */
import { setTimeout as delay } from "node:timers/promises";
import { loadSigner } from "../cli/deps.ts";
import { Failure, messageOf, UsageError } from "../cli/errors.ts";
import { keepSecret } from "../cli/presentable.ts";
import { makeDirectory } from "./directory.ts";
import { type httpLimits, serveHttp } from "./http.ts";
import { S3Bucket } from "./s3.ts";
import { assertDirectory, connectionClause, type Stage, type StageSide } from "./stage.ts";

export interface ServedOptions {
  /** SQL URLs of each side's nodes, which must reach the stage */
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** HOST:PORT at which the clusters reach the stage, if not at the address that we would find */
  readonly address?: string | undefined;
  /** how fast it takes uploads, all together */
  readonly bytesPerSecond?: number | undefined;
  /** where to make its directory, instead of where temporary files go */
  readonly parent?: string;
  readonly limits?: typeof httpLimits;
  readonly say: (message: string) => void;
}

/**
 * Serves a stage, with a bucket and a key of its own.
 * @throws {Failure} if its directory cannot be made, or nothing can listen on its address
 */
export async function servedStage(options: ServedOptions): Promise<Stage> {
  const { hosts, port } = await whereToListen(options);
  const listeners = hosts.map((host) => listen(host, port, options.say));
  const directory = await makeDirectory(options.parent).catch((error) => {
    for (const listener of listeners) listener.close();
    throw error;
  });
  await loadSigner(); // now: it needs descriptors, and later there may be none
  const stop = new AbortController();
  let problem: string | undefined;
  const report = (message: string) => {
    problem = message;
  };
  const admit = rateLimit(stop.signal, options.bytesPerSecond);
  const bucket = new S3Bucket(directory.path, admit, report);
  const serving = listeners.map((listener) =>
    serveHttp(listener, bucket.answer, report, stop.signal, options.limits)
  );
  const { region, accessKeyId, secretAccessKey } = bucket.key;
  keepSecret(accessKeyId);
  keepSecret(secretAccessKey);
  const sides = hosts.map((host, i): StageSide => {
    const address = `${bracketed(host)}:${listeners[i]!.addr.port}`;
    return {
      address,
      connection: connectionClause({
        endpoint_url: `http://${address}`,
        region,
        access_key_id: accessKeyId,
        secret_key: secretAccessKey,
        virtual_hosted_style: "false",
      }),
      url(directory) {
        assertDirectory(directory);
        bucket.open(directory);
        return `s3://${bucket.name}/${directory}`;
      },
    };
  });
  return {
    source: sides[0]!,
    target: sides.at(-1)!,
    bytes: (directory) => Promise.resolve(bucket.bytes(directory)),
    lastReadMs: (directory) => bucket.lastReadMs.get(directory) ?? 0,
    problem: () => problem,
    remove: (directory) => bucket.remove(directory),
    async close() {
      if (stop.signal.aborted) return undefined;
      stop.abort();
      await Promise.all(serving);
      const left = (error: unknown) =>
        `cannot remove the stage's directory ${directory.path}: ${messageOf(error)}`;
      return await directory.remove().then(() => undefined, left);
    },
  };
}

/**
 * Limits the rate of all connections together. A connection that waits is not read from, so TCP holds its
 * sender back.
 */
function rateLimit(signal: AbortSignal, bytesPerSecond = Infinity): (bytes: number) => Promise<void> {
  let busyUntilMs = 0;
  return async (bytes) => {
    const nowMs = performance.now();
    busyUntilMs = Math.max(nowMs, busyUntilMs) + bytes / bytesPerSecond * 1000;
    if (busyUntilMs > nowMs) await delay(busyUntilMs - nowMs, undefined, { signal, ref: false });
  };
}

const isLoopback = (address: string) => /^127\.|^::1$/.test(address);
const unbracketed = (hostname: string) => hostname.replace(/^\[|\]$/g, "");
const bracketed = (address: string) => address.includes(":") ? `[${address}]` : address;

/** The address at which each side reaches us, or one for both. */
async function whereToListen(options: ServedOptions): Promise<{ hosts: string[]; port: number }> {
  const { address, from, to } = options;
  if (address !== undefined) {
    const url = /^[^@/?#]+:\d+$/.test(address) ? URL.parse(`http://${address}`) : null;
    if (!url) throw new UsageError("--serve-address: expected HOST:PORT, or [IPV6]:PORT");
    return { hosts: [unbracketed(url.hostname)], port: Number(/\d+$/.exec(address)) };
  }
  const own = await Promise.all([addressTowards(from), addressTowards(to)]);
  // A cluster on this machine, perhaps in a container, can use the address that the other one needs.
  const outer = own.filter((address) => !isLoopback(address));
  return { hosts: [...new Set(outer.length ? outer : own)], port: 0 };
}

/**
 * The address from which this machine connects to a cluster, at which the cluster most likely reaches it. One
 * that is used towards other machines, if the cluster has nodes there.
 * @param urls SQL URLs of its nodes
 * @param timeoutMs how long to wait for a node that a firewall hides; the system would wait two minutes
 * @throws {Failure} if none accepts connections
 */
export async function addressTowards(urls: readonly string[], timeoutMs = 5_000): Promise<string> {
  const reached = await Promise.allSettled(urls.map(async (url) => {
    const { protocol, hostname, port } = new URL(url);
    using connection = await Deno.connect({
      hostname: unbracketed(hostname),
      port: Number(port) || (protocol === "https:" ? 443 : 80),
      signal: AbortSignal.timeout(timeoutMs),
    });
    return connection.localAddr.hostname;
  }));
  const found = reached.flatMap((one) => one.status === "fulfilled" ? one.value : []);
  const best = found.find((address) => !isLoopback(address)) ?? found[0];
  if (best !== undefined) return best;
  const [{ reason }] = reached as [PromiseRejectedResult];
  throw new Failure(`cannot connect to ${urls.map((url) => new URL(url).host)}: ${messageOf(reason)}`);
}

/** Listens on an address, or on all if this machine does not have it. @throws {Failure} */
function listen(hostname: string, port: number, say: (message: string) => void): Deno.TcpListener {
  const all = hostname.includes(":") ? "::" : "0.0.0.0";
  try {
    return Deno.listen({ hostname, port });
  } catch (error) {
    if (hostname !== all && error instanceof Deno.errors.AddrNotAvailable) {
      say(`${hostname} is no address of this machine: the stage listens on all of them, port ${port}`);
      return listen(all, port, say);
    }
    throw new Failure(`cannot serve the stage on ${bracketed(hostname)}:${port}: ${messageOf(error)}`);
  }
}
