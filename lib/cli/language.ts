/** Messages and help in the operator's language: English, or Chinese where the locale says so (`LC_ALL`, `LC_MESSAGES` or `LANG` is `zh…`). */
import chinese from "./chinese.json" with { type: "json" };

/** The variables that name the language, the first that is set decides; a shebang allows to read them. */
const variables = ["LC_ALL", "LC_MESSAGES", "LANG"];

/** Whether a locale asks for Chinese. @param read gives a variable's value; one that may not be read counts as not set */
export function isChinese(read: (name: string) => string | undefined): boolean {
  for (const name of variables) {
    try {
      const value = read(name);
      if (value) return value.startsWith("zh");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
    }
  }
  return false;
}

/**
 * @param catalogue Chinese by English. `{}` in the English stands for any text of a line, which comes back in place of `{1}`, `{2}`, …
 * @returns what translates a text, or leaves it as it is where the catalogue does not have it
 */
export function translator(catalogue: Readonly<Record<string, string>>): (text: string) => string {
  const patterns = Object.entries(catalogue).filter(([english]) => english.includes("{}")).map((
    [english, translation],
  ) => [new RegExp(`^${english.split("{}").map(RegExp.escape).join("(.*)")}$`), translation] as const);
  const known = new Map(Object.entries(catalogue));
  return (text) => {
    const whole = known.get(text);
    if (whole !== undefined) return whole;
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
