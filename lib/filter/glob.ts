/** Patterns for names and keys: `*` and `?` as in a shell, everything else as it stands. */

/**
 * @param pattern `*` stands for any run of characters, `?` for one; with `separator` neither crosses it, and `**` does
 * @returns a test for whole names
 */
export function glob(pattern: string, separator = ""): RegExp {
  const one = separator ? `[^${separator}]` : ".";
  const source = pattern.replaceAll(/\*\*|[*?]|[.+^${}()|[\]\\/]/g, (found) => {
    if (found === "**") return ".*";
    if (found === "*") return `${one}*`;
    return found === "?" ? one : `\\${found}`;
  });
  return new RegExp(`^${source}$`, "su");
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
