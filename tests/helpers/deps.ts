/** What the tests use of others' code; `deno-std` has no types, so the functions get theirs here. */
import * as untypedAssert from "npm:deno-std@1.4.0/assert/mod.js";
import { parse as untypedParseYaml } from "npm:deno-std@1.4.0/yaml/parse.js";
import { stringify as untypedStringifyYaml } from "npm:deno-std@1.4.0/yaml/stringify.js";

interface Assert {
  assert(condition: unknown, message?: string): asserts condition;
  assertEquals<T>(actual: T, expected: T, message?: string): void;
  assertNotEquals<T>(actual: T, expected: T, message?: string): void;
  assertStringIncludes(actual: string, expected: string, message?: string): void;
  assertMatch(actual: string, expected: RegExp, message?: string): void;
  assertThrows<E extends Error>(
    action: () => unknown,
    type?: new (...args: never[]) => E,
    includes?: string,
    message?: string,
  ): E;
  assertRejects<E extends Error>(
    action: () => Promise<unknown>,
    type?: new (...args: never[]) => E,
    includes?: string,
    message?: string,
  ): Promise<E>;
  fail(message?: string): never;
}

const typed = untypedAssert as unknown as Assert;
export const assert: Assert["assert"] = typed.assert;
export const {
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
  fail,
} = typed;
export const parseYaml = untypedParseYaml as (text: string) => unknown;
export const stringifyYaml = untypedStringifyYaml as (
  value: unknown,
  options?: { lineWidth?: number; quoteStyle?: '"' | "'" },
) => string;
