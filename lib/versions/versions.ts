/**
 * The versions of CnosDB in their order. To add one, write a module beside this one and add its step to
 * `chain`: sources, targets, what a version reads and how a dump's version is recognized follow from the steps.
 */
import { UsageError } from "../cli/errors.ts";
import type { Json } from "../dump/json.ts";
import type { Key } from "../dump/key.ts";
import { partOf } from "./entry.ts";
import type { VersionStep } from "./step.ts";
import { v2_3_0 } from "./v2_3_0.ts";
import { v2_3_2 } from "./v2_3_2.ts";
import { v2_3_4 } from "./v2_3_4.ts";
import { v2_4_0 } from "./v2_4_0.ts";
import { v2_4_1 } from "./v2_4_1.ts";
import { v2_4_2 } from "./v2_4_2.ts";
import { v2_4_3 } from "./v2_4_3.ts";

const chain: readonly VersionStep[] = [v2_3_0, v2_3_2, v2_3_4, v2_4_0, v2_4_1, v2_4_2, v2_4_3];

/** A form that values have, by the first release that has it, such as 2.4.2. */
export type Format = string;

/** The forms that can be restored, the earliest first: 2.3 has no /restore. */
export const targetFormats: readonly Format[] = chain.map(({ releases }) => releases[0])
  .filter((form) => !form.startsWith("2.3"));

/** The releases that a dump can be converted for. */
export const targets: readonly string[] = chain.flatMap(({ releases }) =>
  targetFormats.includes(releases[0]) ? releases : []
);

/** The releases that a dump can come from; "2.3" is 2.3.2 or later. */
export const sources: readonly string[] = ["2.3", ...chain.flatMap(({ releases }) => releases)];

/** @param version a release such as 2.4.2.1 @throws {UsageError} if no dump can be converted for it */
export function targetFormat(version: string): Format {
  const step = chain.find(({ releases }) => releases.includes(version));
  if (step && targets.includes(version)) return step.releases[0];
  const like = targets.filter((known) => known.startsWith(`${version}.`));
  throw new UsageError(
    `target ${JSON.stringify(version)}: ${
      like.length ? "ambiguous" : "not a version that can be converted for"
    }`,
    `one of ${(like.length ? like : targets).join(", ")}.`,
  );
}

/** The first and the last form that something may have, as positions in the chain. */
export interface Range {
  readonly first: number;
  readonly last: number;
}

/** All forms. */
export const anyFormat: Range = { first: 0, last: chain.length - 1 };

/** The position of a release's form. @param release as in `targets` */
export function positionOf(release: string): number {
  return chain.findIndex(({ releases }) => releases.includes(release));
}

/** The forms that a dump of a release may have. @param release as in `sources` */
export function rangeOfSource(release: string): Range {
  if (release === "2.3") {
    return {
      first: chain.findLastIndex(({ onlyBySource }) => onlyBySource),
      last: positionOf(targetFormats[0]!) - 1,
    };
  }
  return { first: positionOf(release), last: positionOf(release) };
}

/** The forms that are in both ranges; undefined if there are none. */
export function overlap(a: Range, b: Range): Range | undefined {
  const both = { first: Math.max(a.first, b.first), last: Math.min(a.last, b.last) };
  return both.first <= both.last ? both : undefined;
}

/** A range for messages: `2.3.x`, `2.4.0`, `2.4.0 to 2.4.3`. */
export function describeRange(range: Range): string {
  const [first, last] = [range.first, range.last].map((at) =>
    chain[at]?.releases[0].replace(/^2\.3\..*/, "2.3.x")
  );
  return first === last ? `${first}` : `${first} to ${last}`;
}

/** The forms that an entry's value may have, as far as the steps recognize. @throws {InvalidValue} if it has none */
export function formatsOf(key: Key, value: Json): Range {
  const read = partOf(key, value);
  if (!read) return anyFormat;
  const seen = chain.map(({ recognizes }) => recognizes?.[read.kind]?.(read.part));
  const earlier = seen.indexOf(false);
  return {
    first: Math.max(0, seen.lastIndexOf(true)),
    last: earlier < 0 ? anyFormat.last : Math.max(0, earlier - 1),
  };
}

/**
 * Checks that a server can read an entry: what it cannot read makes it panic, or lose the tenant, at its next
 * restart.
 * @param form a form, or its position in the chain
 * @throws {InvalidValue} saying which field, what is expected and what is there
 */
export function assertReadable(key: Key, value: Json, form: Format | number): void {
  const read = partOf(key, value);
  if (!read) return;
  const position = typeof form === "number" ? form : positionOf(form);
  const step = chain.slice(0, position + 1).findLast(({ reads }) => reads[read.kind]);
  step?.reads[read.kind]?.(read.part, read.member);
}

/** What CREATE DATABASE of a version with this form writes; 0 for forms without it. */
export function walMaxFileSizeBytesOf(form: Format): number {
  const known = chain.slice(0, positionOf(form) + 1).map((step) => step.walMaxFileSizeBytes);
  return known.findLast((bytes) => bytes !== undefined) ?? 0;
}

/**
 * The steps from one form to another. A range counts as its earliest form, since a step leaves alone what has
 * its form already; a step that is `onlyBySource` is left out unless the range is one form.
 */
export function stepsBetween({ first, last }: Range, target: Format): VersionStep[] {
  const leftOut = chain.findLastIndex(({ onlyBySource }, at) => onlyBySource && at <= last);
  const from = first === last ? first : Math.max(first, leftOut);
  return chain.slice(from + 1, positionOf(target) + 1);
}
