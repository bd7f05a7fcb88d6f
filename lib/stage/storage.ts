/** A stage in a storage that is not ours: file://, s3://, gcs://, azblob://. */
import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { closestString } from "../cli/deps.ts";
import { UsageError } from "../cli/errors.ts";
import { keepSecret } from "../cli/presentable.ts";
import { counted } from "../cli/text.ts";
import { assertDirectory, connectionClause, type Stage, type StageSide } from "./stage.ts";

const connectionKeys: Readonly<Record<string, readonly string[]>> = {
  "s3:": ["endpoint_url", "region", "access_key_id", "secret_key", "token", "virtual_hosted_style"],
  "gcs:": ["gcs_base_url", "disable_oauth", "client_email", "private_key"],
  "azblob:": ["account", "access_key", "bearer_token", "use_emulator"],
  "file:": [],
};

/**
 * The options of a CONNECTION from `KEY=VALUE` texts. For an S3 that is not Amazon's the two settings are
 * added without which its first directory would be taken for the bucket, or its region be missing.
 * @throws {UsageError} for an option that this kind of stage does not have; without its text, which may be a
 * key
 */
export function connectionOptions(stage: URL, pairs: readonly string[]): Record<string, string> {
  const keys = connectionKeys[stage.protocol] ?? [];
  const options: Record<string, string> = {};
  for (const pair of pairs) {
    const [, key = "", value = ""] = /^\s*(\w+)\s*=(.*)$/s.exec(pair) ?? [];
    if (!keys.includes(key)) {
      const nearest = key && keys.length ? `did you mean ${closestString(key, keys)}? ` : "";
      throw new UsageError(
        `--connection: ${key ? "" : "no KEY=VALUE, or "}no option of ${stage.protocol}//`,
        nearest + `it takes ${keys.join(", ") || "none"}.`,
      );
    }
    if (/key|token|email/.test(key)) keepSecret(value);
    options[key] = value;
  }
  const endpoint = options.endpoint_url?.replace(/\/+$/, "");
  if (endpoint !== undefined && !/\.amazonaws\.com(:\d+)?$/.test(endpoint)) {
    options.region ??= "us-east-1";
    if (!endpoint.endsWith(`/${stage.hostname}`)) options.virtual_hosted_style ??= "false";
  }
  return options;
}

/** @throws {UsageError} where a stage's URL is none, or has a path that the servers would not find again; without its text, which may hold keys */
export function parseStage(flag: string, text: string): URL {
  if (!/^(file:\/\/\/|(s3|gcs|azblob):\/\/)[^/]/.test(text)) {
    throw new UsageError(
      `${flag} is no stage`,
      "expected file:///directory, s3://bucket/directory, gcs://… or azblob://…; or leave it out: then the script is the stage.",
    );
  }
  if (!/^\w+:[\w./-]+$/.test(text)) {
    throw new UsageError(
      `${flag}: only letters, digits, . _ - and / are safe in its path`,
      "with anything else the new cluster imports 0 rows and says nothing. Keys go into --connection.",
    );
  }
  return new URL(text);
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
  /** those that may lie on this machine */
  const local = new Set([exportUrl, importUrl].filter(({ protocol }) => protocol === "file:"));
  const pathsOf = (directory: string) => {
    assertDirectory(directory);
    return [...local].map(({ pathname }) => join(pathname, directory));
  };
  /** used by this run, and not removed */
  const left = new Set<string>();
  const side = ({ href }: URL): StageSide => ({
    connection: connectionClause(connection),
    url(directory) {
      assertDirectory(directory);
      left.add(directory);
      return `${href.replace(/\/+$/, "")}/${directory}`;
    },
  });
  return {
    source: side(exportUrl),
    target: side(importUrl),
    async bytes(directory) {
      for (const path of pathsOf(directory)) {
        try {
          const entries = await readdir(path, { recursive: true });
          const sizes = await Promise.all(entries.map((name) => Deno.stat(join(path, name))));
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
        } catch { /* on the server's machine, or of the server's user: told at the end */ }
      }
    },
    close() {
      const [some] = left;
      const told = `${counted(left.size, "directory", "directories")} left in ${exportUrl}, such as ${some}`;
      return Promise.resolve(some === undefined ? undefined : told);
    },
  };
}
