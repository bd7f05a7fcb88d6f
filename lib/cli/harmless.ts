/** Texts of others in our output: names, servers' messages. */

/**
 * A text that does nothing to a terminal, a page or a line of SQL: control characters (C0, C1, line breaks) and those that change the
 * direction of writing appear as `\u001b`. In JSON the result means the same as before.
 */
export function harmless(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same for a text of several lines, which stay lines. */
export function harmlessLines(text: string): string {
  return text.split("\n").map(harmless).join("\n");
}
