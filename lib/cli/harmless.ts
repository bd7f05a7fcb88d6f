/** Texts of others in our output: names, servers' messages. */

/**
 * A text that does nothing to a terminal, a page or a line of SQL: control characters (C0, C1, line breaks of Unicode) and
 * characters that change the direction of writing appear as `\u{1b}`.
 */
export function harmless(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex
    /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
