/** The operator's language: English, or Chinese if LC_ALL, LC_MESSAGES or LANG is `zh…`. */
import chinese from "./chinese.json" with { type: "json" };

/**
 * Whether the locale asks for Chinese: the first variable that is set decides.
 * @param read returns a variable; if it is not allowed to (a shebang allows it), none is set
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
 * @param catalogue Chinese by English. `{}` in the English stands for any text, `{1}`, `{2}` … in the Chinese
 * for the first and the second of them
 * @returns a function that translates what the catalogue has, and leaves other texts as they are
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

/** Translates a fixed text or a message into the language of this process. */
export const translate: (text: string) => string = isChinese(Deno.env.get)
  ? translator(chinese)
  : (text) => text;
