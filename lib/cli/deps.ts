/**
 * All third-party code that the scripts use. Versions are in the specifiers, as a script that is run by URL
 * reads no import map. `deno-std` is Deno's standard library on npm, without types: they are added here. What
 * only some runs need is imported when it is needed. (deno-std 1.4.0's cli/unicode_width lacks a data file.)
 */
import { abortable as untypedAbortable } from "npm:deno-std@1.4.0/async/abortable.js";
import { pooledMap as untypedPooledMap } from "npm:deno-std@1.4.0/async/pool.js";
import { closestString as untypedClosestString } from "npm:deno-std@1.4.0/text/closest_string.js";

/** The candidate that is most like `word` (@std/text). Throws if there are none. */
export const closestString = untypedClosestString as (word: string, candidates: readonly string[]) => string;

/** The same promise, but rejected as soon as the signal is aborted, with its reason (@std/async). */
export const abortable = untypedAbortable as <T>(promise: Promise<T>, signal: AbortSignal) => Promise<T>;

const pooledMap = untypedPooledMap as <T>(
  limit: number,
  items: Iterable<T>,
  action: (item: T) => Promise<void>,
) => AsyncIterable<void>;

/**
 * Runs `action` for each item, `jobs` at once (@std/async). After a failure it starts no more, waits for those
 * that run, and throws the first failure.
 */
export async function atOnce<T>(
  jobs: number,
  items: Iterable<T>,
  action: (item: T) => Promise<void>,
): Promise<void> {
  try {
    for await (const _ of pooledMap(jobs, items, action));
  } catch (error) {
    throw error instanceof AggregateError && error.errors.length ? error.errors[0] : error;
  }
}

/** bcrypt in JavaScript, only for the plain-text passwords of 2.3.0 to 2.3.3. */
export const loadBcrypt = () => import("npm:bcryptjs@3.0.3");

/** @std/yaml, only for `--rules`. */
export async function loadYaml(): Promise<{ parse: (text: string) => unknown }> {
  return await import("npm:deno-std@1.4.0/yaml/parse.js");
}

/** A PostgreSQL client, only for `--ledger postgres://…`. */
export const loadPostgres = () => import("npm:postgres@3.4.9");

/** AWS Signature Version 4, for the stage that copy_tables serves. */
export const loadSigner = () => import("npm:aws4fetch@1.0.20");
