/** Patterns for names and keys: `*` and `?` as in a shell, everything else as it stands. */

/**
 * @param pattern `*` stands for any run of characters, `?` for one; with `separator` neither crosses it, and `**` does
 * @returns a test for whole texts; its time grows with the square of the text's length at most, so that no pattern hangs it
 */
export function glob(pattern: string, separator = ""): (text: string) => boolean {
  const parts: string[] = pattern.match(separator ? /\*\*|[^]/g : /[^]/g) ?? [];
  const literals = pattern.split(/[*?]+/).filter((literal) => literal);
  return (text) => {
    if (!literals.every((literal) => text.includes(literal))) return false;
    let at = 0, part = 0;
    /** where the last `*` and the last `**` stand in the pattern, and how far in the text they reach */
    let star = -1, starEnd = 0, deep = -1, deepEnd = 0;
    for (;;) {
      const wanted = parts[part];
      if (wanted === "**") [deep, deepEnd, star] = [part++, at, -1];
      else if (wanted === "*") [star, starEnd] = [part++, at];
      else if (at === text.length && wanted === undefined) return true;
      else if (at < text.length && (wanted === text[at] || (wanted === "?" && text[at] !== separator))) {
        // Beyond the first 65536 characters one takes two places.
        at += wanted === "?" && text.codePointAt(at)! > 0xffff ? 2 : 1;
        part++;
      } else if (star >= 0 && starEnd < text.length && text[starEnd] !== separator) {
        [at, part] = [++starEnd, star + 1];
      } else if (deep >= 0 && deepEnd < text.length) {
        // On to where what follows the `**` may begin.
        const next = parts[deep + 1] ?? "";
        deepEnd = /^[*?]/.test(next) ? deepEnd + 1 : text.indexOf(next, deepEnd + 1);
        if (deepEnd < 0) return false;
        [at, part, star] = [deepEnd, deep + 1, -1];
      } else return false;
    }
  };
}

/**
 * Cuts `tenant.database.table` at its dots; a part that holds dots is written in double quotes, as in SQL.
 * @throws {RangeError} for an empty part or a quote that does not end
 */
export function splitName(text: string): string[] {
  const parts = [...text.matchAll(/"((?:[^"]|"")*)"(?=\.|$)|([^".][^.]*)(?=\.|$)/gsu)];
  const names = parts.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "");
  const length = parts.reduce((sum, part) => sum + part[0].length, parts.length - 1);
  if (length !== text.length || names.some((name) => name === "")) {
    throw new RangeError(
      "expected names with dots between them; a name with a dot in it goes in double quotes",
    );
  }
  return names;
}
