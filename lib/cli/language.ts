/** The operator's language: English, or Chinese if LC_ALL, LC_MESSAGES or LANG is `zh…`. */
import chinese from "./chinese.json" with { type: "json" };

/**
 * Whether the locale is Chinese: the first variable that is set decides.
 * @param read reads a variable; if that is not permitted, the answer is no
 */
export function isChinese(read: (name: string) => string | undefined): boolean {
  try {
    return ["LC_ALL", "LC_MESSAGES", "LANG"].map(read).find(Boolean)?.startsWith("zh") ?? false;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}

/**
 * @param catalogue Chinese texts by English ones. Each `{}` in the English stands for any text, and `{1}`,
 * `{2}` … in the Chinese for what they matched
 * @returns a function that translates the texts in the catalogue and returns others unchanged
 */
export function translator(catalogue: Readonly<Record<string, string>>): (text: string) => string {
  const patterns = Object.entries(catalogue).filter(([english]) => english.includes("{}")).map(
    ([english, translation]) => {
      const parts = english.split("{}").map(RegExp.escape);
      return [new RegExp(`^${parts.join("(.*)")}$`), translation] as const;
    },
  );
  return (text) => {
    if (Object.hasOwn(catalogue, text)) return catalogue[text]!;
    for (const [pattern, translation] of patterns) {
      const found = pattern.exec(text);
      if (found) return translation.replace(/\{(\d)\}/g, (_, n) => found[Number(n)] ?? "");
    }
    return text;
  };
}

/** Translates a text into the operator's language. */
export const translate: (text: string) => string = isChinese(Deno.env.get)
  ? translator(chinese)
  : (text) => text;
