/** A stage in a storage of the operator's: file://, s3://, gcs://, azblob://. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
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
 * The options of a CONNECTION from `KEY=VALUE` texts. An S3 that is not Amazon's gets two more, unless they
 * are given: a region, and that the bucket is not in the host's name (its first directory would be taken for
 * the bucket).
 * @throws {UsageError} for an option that this kind of stage does not have, without its text: that may be a
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

/** @throws {UsageError} for a text that is no URL of a stage, or whose path the servers would not find again; without the text, which may hold keys */
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
 * A stage at a URL, or at one for each cluster.
 * @param importUrl where the target sees the same files
 */
export function storageStage(
  exportUrl: URL,
  importUrl: URL = exportUrl,
  connection: Readonly<Record<string, string>> = {},
): Stage {
  /** those that may be on this machine */
  const local = new Set([exportUrl, importUrl].filter(({ protocol }) => protocol === "file:"));
  const pathsOf = (directory: string) => {
    assertDirectory(directory);
    return [...local].map(({ pathname }) => join(pathname, directory));
  };
  /** directories that this run used and did not remove */
  const left = new Set<string>();
  /** whether a directory was found here: then one that is missing was not made, as of an empty table */
  let isHere = false;
  const side = ({ href }: URL): StageSide => ({
    connection: connectionClause(connection),
    storage: href,
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
          await Deno.remove(path, { recursive: true });
          isHere = true;
          left.delete(directory);
        } catch (error) {
          // Otherwise it is on the server's machine, or its user's: close() reports it.
          if (isHere && error instanceof Deno.errors.NotFound) left.delete(directory);
        }
      }
    },
    close() {
      const [some] = left;
      const count = counted(left.size, "directory", "directories");
      return Promise.resolve(some && `${count} left in ${exportUrl}, such as ${some}`);
    },
  };
}
