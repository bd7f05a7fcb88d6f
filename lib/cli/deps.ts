/**
 * Every third-party function that the scripts use, with its version in the specifier: a script that is run by
 * URL reads no import map. `deno-std` is Deno's standard library for npm, without types: they are added here.
 * What only some runs need is loaded when needed. (Its cli/unicode_width lacks a data file in 1.4.0.)
 */
import { abortable as untypedAbortable } from "npm:deno-std@1.4.0/async/abortable.js";
import { pooledMap as untypedPooledMap } from "npm:deno-std@1.4.0/async/pool.js";
import { closestString as untypedClosestString } from "npm:deno-std@1.4.0/text/closest_string.js";

/** The candidate that is most like `word`; see @std/text. Throws if there are no candidates. */
export const closestString = untypedClosestString as (word: string, candidates: readonly string[]) => string;

/** A promise that is rejected with the signal's reason as soon as it is aborted; see @std/async. */
export const abortable = untypedAbortable as <T>(promise: Promise<T>, signal: AbortSignal) => Promise<T>;

const pooledMap = untypedPooledMap as <T>(
  limit: number,
  items: Iterable<T>,
  action: (item: T) => Promise<void>,
) => AsyncIterable<void>;

/**
 * Runs `action` for each item, `jobs` at once; see @std/async. After a failure no further item is begun,
 * those under way are awaited, and the first failure is thrown.
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

/** bcrypt in plain JavaScript, for the plain-text passwords of 2.3.0 to 2.3.3 alone. */
export const loadBcrypt = () => import("npm:bcryptjs@3.0.3");

/** @std/yaml, for `--rules` alone. */
export async function loadYaml(): Promise<{ parse: (text: string) => unknown }> {
  return await import("npm:deno-std@1.4.0/yaml/parse.js");
}

/** The PostgreSQL client, for `--ledger postgres://…` alone. */
export const loadPostgres = () => import("npm:postgres@3.4.9");

/** AWS Signature Version 4, for the stage that copy_tables serves. */
export const loadSigner = () => import("npm:aws4fetch@1.0.20");
