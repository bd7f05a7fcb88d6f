/** Writes texts, numbers and times for people. */

/** Characters that take two columns of a terminal: Chinese, Japanese, Korean, emoji. */
const wide = "\\u1100-\\u115f\\u2e80-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\uff60\\uffe0-\\uffe6" +
  "\\u{20000}-\\u{3fffd}\\p{Emoji_Presentation}";
const wideCharacter = new RegExp(`[${wide}]`, "gu");
/** what lines are cut between: words, blanks, single wide characters with the punctuation after them */
const pieces = new RegExp(`\\s+|[${wide}][、。，；：！？）”]*|[^\\s${wide}]+[、。，；：！？）”]*`, "gu");

/** The width of a text in columns of a terminal. */
export function widthOf(text: string): number {
  return [...text].length + (text.match(wideCharacter)?.length ?? 0);
}

/** A text, cut to at most `columns` of a terminal. */
export function fit(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let fitted = "";
  for (const char of text) {
    if (widthOf(fitted + char) > columns - 1) break;
    fitted += char;
  }
  return `${fitted}…`;
}

/** Breaks a text between words into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const piece of text.match(pieces) ?? []) {
    if (line && widthOf(line + piece.trim()) > width) {
      lines.push(line.trimEnd());
      line = piece.trimStart();
    } else line += line ? piece.replace(/\s+/, " ") : piece.trimStart();
  }
  return [...lines, line.trimEnd()];
}

/** The start of a text, short enough for a message. */
export function preview(text: string, length = 60): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

/** The first of many texts, and how many more there are. */
export function someOf(texts: readonly string[], most: number, separator = ", "): string {
  const more = texts.length - most;
  return texts.slice(0, most).join(separator) + (more > 0 ? `${separator}… and ${more} more` : "");
}

/** `1 table`, `2 tables`. */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** `1h 20m`, `3m 5s`, `8s`: rounded to seconds, from an hour on to minutes. */
export function describeSeconds(seconds: number): string {
  const smallestUnit = seconds < 3600 ? "second" : "minute";
  const duration = Temporal.Duration.from({ seconds: Math.round(seconds) });
  const rounded = duration.round({ largestUnit: "day", smallestUnit });
  return rounded.toLocaleString("en", { style: "narrow" }) || "0s";
}

/** `1.2 GB`. */
export function describeBytes(bytes: number): string {
  const unit = Math.min(4, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  const number = bytes / 1000 ** unit;
  return `${number < 10 && unit ? number.toFixed(1) : Math.round(number)} ${
    ["B", "kB", "MB", "GB", "TB"][unit]
  }`;
}
