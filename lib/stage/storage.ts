/** A stage in a storage that is not ours: file://, s3://, gcs://, azblob://. */
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { closestString } from "../cli/deps.ts";
import { UsageError } from "../cli/errors.ts";
import { keepSecret } from "../cli/presentable.ts";
import { counted } from "../cli/text.ts";
import { assertDirectory, connectionClause, type Stage } from "./stage.ts";

const connectionKeys: Readonly<Record<string, readonly string[]>> = {
  "s3:": ["endpoint_url", "region", "access_key_id", "secret_key", "token", "virtual_hosted_style"],
  "gcs:": ["gcs_base_url", "disable_oauth", "client_email", "private_key"],
  "azblob:": ["account", "access_key", "bearer_token", "use_emulator"],
  "file:": [],
};

/**
 * The options of a CONNECTION from `KEY=VALUE` texts. For an S3 that is not Amazon's the two settings are added without
 * which its first directory would be taken for the bucket, or its region be missing.
 * @throws {UsageError} for an option that this kind of stage does not have; without its text, which may be a key
 */
export function connectionOptions(stage: URL, pairs: readonly string[]): Record<string, string> {
  const keys = connectionKeys[stage.protocol] ?? [];
  const options: Record<string, string> = {};
  for (const pair of pairs) {
    const [, key = "", value = ""] = /^\s*(\w+)\s*=(.*)$/s.exec(pair) ?? [];
    if (!keys.includes(key)) {
      const known = keys.length ? `it takes ${keys.join(", ")}.` : "it takes none.";
      const nearest = keys.length && key ? `did you mean ${closestString(key, [...keys])}? ` : "";
      throw new UsageError(
        `--connection: ${key ? "" : "no KEY=VALUE, or "}no option of ${stage.protocol}//`,
        nearest + known,
      );
    }
    if (/key|token|email/.test(key)) keepSecret(value);
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

/** @throws {UsageError} where a stage's URL is none, or has a path that the servers would not find again; without its text, which may hold keys */
export function parseStage(flag: string, text: string): URL {
  const url = /^(file|s3|gcs|azblob):\/\//.test(text) ? URL.parse(text) : null;
  if (
    !url || (url.protocol === "file:" ? url.pathname.length < 2 || url.hostname !== "" : url.hostname === "")
  ) {
    throw new UsageError(
      `${flag} is no stage`,
      "expected file:///directory, s3://bucket/directory, gcs://… or azblob://…; or leave it out: then the script is the stage.",
    );
  }
  if (
    url.username || url.password || url.port || url.search || url.hash ||
    !/^[\w./-]*$/.test(url.hostname + url.pathname)
  ) {
    throw new UsageError(
      `${flag}: only letters, digits, . _ - and / are safe in its path`,
      "with anything else the new cluster imports 0 rows and says nothing. Keys go into --connection.",
    );
  }
  return url;
}

/** A stage at a URL that both clusters can reach, or one each. */
export class StorageStage implements Stage {
  readonly name: string;
  readonly durable = true;
  readonly exportConnection: string;
  readonly importConnection: string;
  readonly #importName: string;
  /** used by this run, and not removed */
  readonly #left = new Set<string>();

  /** @param importUrl where the new cluster sees the same files */
  constructor(url: URL, importUrl: URL = url, connection: Readonly<Record<string, string>> = {}) {
    this.name = trimmed(url);
    this.#importName = trimmed(importUrl);
    this.exportConnection = this.importConnection = connectionClause(connection);
  }

  exportUrl(directory: string): string {
    return this.#used(this.name, directory);
  }

  importUrl(directory: string): string {
    return this.#used(this.#importName, directory);
  }

  #used(base: string, directory: string): string {
    assertDirectory(directory);
    this.#left.add(directory);
    return `${base}/${directory}`;
  }

  async bytes(directory: string): Promise<number | undefined> {
    for (const path of this.#paths(directory)) {
      try {
        const entries = await readdir(path, { recursive: true });
        const sizes = await Promise.all(entries.map((name) => Deno.stat(`${path}/${name}`)));
        return sizes.reduce((sum, { isFile, size }) => sum + (isFile ? size : 0), 0);
      } catch { /* not here */ }
    }
    return undefined;
  }

  problem(): undefined {}

  async remove(directory: string): Promise<void> {
    for (const path of this.#paths(directory)) {
      try {
        await Deno.remove(path, { recursive: true });
        this.#left.delete(directory);
      } catch (error) {
        // An empty table makes none. Else it belongs to the server's user, or lies on its machine: told at the end.
        if (error instanceof Deno.errors.NotFound && await isHere(dirname(path))) {
          this.#left.delete(directory);
        }
      }
    }
  }

  close(): Promise<string | undefined> {
    const [some] = this.#left;
    const told = `${
      counted(this.#left.size, "directory", "directories")
    } left in ${this.name}, such as ${some}`;
    return Promise.resolve(some === undefined ? undefined : told);
  }

  /** Where a directory lies, if it lies on this machine. */
  #paths(directory: string): string[] {
    assertDirectory(directory);
    const urls = new Set([this.name, this.#importName].filter((name) => name.startsWith("file:")));
    return [...urls].map((url) => `${new URL(url).pathname}/${directory}`);
  }
}

const trimmed = (url: URL) => url.href.replace(/\/+$/, "");

const isHere = (path: string) => Deno.stat(path).then(() => true, () => false);
