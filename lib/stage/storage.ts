/** A stage in a storage that is not ours: file://, s3://, gcs://, azblob://. */
import { readdir, rm } from "node:fs/promises";
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

/**
 * A stage at a URL that both clusters can reach, or one each.
 * @param importUrl where the new cluster sees the same files
 */
export function storageStage(
  exportUrl: URL,
  importUrl: URL = exportUrl,
  connection: Readonly<Record<string, string>> = {},
): Stage {
  const [exportBase, importBase] = [trimmed(exportUrl), trimmed(importUrl)];
  const clause = connectionClause(connection);
  /** used by this run, and not removed */
  const left = new Set<string>();
  const used = (base: string, directory: string) => {
    assertDirectory(directory);
    left.add(directory);
    return `${base}/${directory}`;
  };
  /** where a directory lies, if it lies on this machine */
  const pathsOf = (directory: string) => {
    assertDirectory(directory);
    const local = [exportBase, importBase].filter((base) => base.startsWith("file:"));
    return [...new Set(local)].map((base) => `${new URL(base).pathname}/${directory}`);
  };
  return {
    exportConnection: clause,
    importConnection: clause,
    exportUrl: (directory) => used(exportBase, directory),
    importUrl: (directory) => used(importBase, directory),
    async bytes(directory) {
      for (const path of pathsOf(directory)) {
        try {
          const entries = await readdir(path, { recursive: true });
          const sizes = await Promise.all(entries.map((name) => Deno.stat(`${path}/${name}`)));
          return sizes.reduce((sum, { isFile, size }) => sum + (isFile ? size : 0), 0);
        } catch { /* not here */ }
      }
      return undefined;
    },
    problem: () => undefined,
    async remove(directory) {
      for (const path of pathsOf(directory)) {
        try {
          await Deno.stat(dirname(path));
          await rm(path, { recursive: true, force: true }); // an empty table makes none
          left.delete(directory);
        } catch { /* it lies on the server's machine, or belongs to the server's user: told at the end */ }
      }
    },
    close() {
      const [some] = left;
      const told = `${counted(left.size, "directory", "directories")} left in ${exportBase}, such as ${some}`;
      return Promise.resolve(some === undefined ? undefined : told);
    },
  };
}

const trimmed = (url: URL) => url.href.replace(/\/+$/, "");
