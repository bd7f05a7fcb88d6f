/** A client of the served stage that signs as object_store does, and sends byte for byte. */
import { createHash } from "node:crypto";
import { AwsV4Signer } from "npm:aws4fetch@1.0.20";
import { type ServedOptions, servedStage } from "../../../lib/stage/served.ts";
import type { Stage } from "../../../lib/stage/stage.ts";

export const sha256Of = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex");
export const bytesOf = (text: string) => new TextEncoder().encode(text);

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly text: string;
  /** S3's error code */
  readonly code: string | undefined;
}

/** What is sent; all but the method and the target can be left to the client. */
export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  /** without a signature */
  readonly unsigned?: boolean;
}

/** One stage as a client sees it. */
export class Client {
  readonly options: Readonly<Record<string, string>>;
  readonly bucket: string;

  constructor(connection: string, url: string) {
    this.options = Object.fromEntries(
      [...connection.matchAll(/(\w+) = '([^']*)'/g)].map(([, key, value]) => [key, value]),
    );
    this.bucket = new URL(url).hostname;
  }

  get address(): Deno.ConnectOptions {
    const { hostname, port } = new URL(this.options.endpoint_url!);
    return { hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port) };
  }

  put(key: string, body: Uint8Array | string, sent: Sent = {}): Promise<Answer> {
    const content = typeof body === "string" ? bytesOf(body) : body;
    return this.send("PUT", `/${this.bucket}/${key}`, {
      ...sent,
      body: content,
      headers: { "x-amz-content-sha256": sha256Of(content), ...sent.headers },
    });
  }

  get(pathAndQuery: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.send("GET", `/${this.bucket}${pathAndQuery}`, { headers });
  }

  list(directory: string): Promise<Answer> {
    return this.get(`?list-type=2&prefix=${directory}%2F`);
  }

  /** Sends a request and reads the answer to its end. */
  async send(method: string, target: string, sent: Sent = {}): Promise<Answer> {
    using connection = await this.start(method, target, sent);
    return await readAnswer(connection);
  }

  /** Sends a request, with as much of its body as there is. */
  async start(method: string, target: string, sent: Sent = {}): Promise<Deno.TcpConn> {
    const head = await this.head(method, target, sent);
    const connection = await Deno.connect({ ...this.address, transport: "tcp" });
    await write(connection, bytesOf(head));
    if (sent.body) await write(connection, sent.body);
    return connection;
  }

  async head(
    method: string,
    target: string,
    { headers, body, unsigned, ...key }: Sent = {},
  ): Promise<string> {
    const { endpoint_url, access_key_id, secret_key, region } = this.options;
    const signed = await new AwsV4Signer({
      method,
      url: `${endpoint_url}${target}`,
      region: region!,
      service: "s3",
      allHeaders: true,
      accessKeyId: access_key_id!,
      secretAccessKey: secret_key!,
      ...key,
      headers: { "x-amz-content-sha256": sha256Of(""), ...headers },
    }).sign();
    const all = new Headers(unsigned ? headers : signed.headers);
    if (body) all.set("content-length", all.get("content-length") ?? `${body.length}`);
    const lines = [`host: ${new URL(endpoint_url!).host}`, "connection: close"];
    all.forEach((value, name) => lines.push(`${name}: ${value}`));
    return `${method} ${target} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
  }
}

export async function write(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

export async function readAnswer(connection: Deno.TcpConn): Promise<Answer> {
  const bytes = new Uint8Array(await new Response(connection.readable).arrayBuffer());
  const latin = new TextDecoder("latin1").decode(bytes);
  const end = latin.indexOf("\r\n\r\n");
  const [first = "", ...lines] = latin.slice(0, Math.max(end, 0)).split("\r\n");
  const body = bytes.subarray(end + 4);
  const text = new TextDecoder().decode(body);
  return {
    status: Number(first.split(" ")[1]),
    headers: new Headers(lines.map((line) => line.split(/: ?(.*)/).slice(0, 2) as [string, string])),
    body,
    text,
    code: /<Code>(.*)<\/Code>/.exec(text)?.[1],
  };
}

/** A stage in a directory of the test's own, with the directory `t-1` open. */
export async function withStage(
  test: (client: Client, stage: Stage, parent: string) => Promise<void>,
  options: Partial<ServedOptions> = {},
): Promise<void> {
  const parent = await Deno.makeTempDir();
  const stage = await servedStage({
    from: [],
    to: [],
    address: "127.0.0.1:0",
    parent,
    say: () => {},
    ...options,
  });
  try {
    await test(new Client(stage.source.connection, stage.source.url("t-1")), stage, parent);
  } finally {
    await stage.close();
    await Deno.remove(parent, { recursive: true });
  }
}

/** The paths of the files that lie in the stage's directory. */
export function filesIn(parent: string): string[] {
  return [...Deno.readDirSync(parent)].flatMap(({ name }) =>
    [...Deno.readDirSync(`${parent}/${name}`)].filter((entry) => entry.name !== "lock")
      .map((entry) => `${parent}/${name}/${entry.name}`)
  );
}

/** Looks again and again, at most some seconds: for what the stage does when no client is there to be answered. */
export async function eventually(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2000 && !condition(); tries++) await new Promise((done) => setTimeout(done, 5));
  if (!condition()) throw new Error(`it never came true: ${condition}`);
}
