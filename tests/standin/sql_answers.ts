/** The forms in which results are answered: JSON, CSV, TSV and a drawn table. */
import { print, type Result, Time, type Value } from "./sql_values.ts";

function json(value: Value): string {
  if (value instanceof Time || typeof value === "string") return JSON.stringify(String(value));
  return print(value);
}

const FORMATS: Record<string, (result: Result) => string> = {
  json: (result) => `[${FORMATS["nd-json"]!(result).trimEnd().replaceAll("\n", ",")}]`,
  "nd-json": ({ columns, rows }) => {
    const order = columns.map(({ name }, i) => ({ name, i })).sort((a, b) => a.name < b.name ? -1 : 1);
    return rows.map((row) => {
      const fields = order.filter(({ i }) => row[i] !== null);
      return `{${fields.map(({ name, i }) => `${JSON.stringify(name)}:${json(row[i]!)}`).join(",")}}\n`;
    }).join("");
  },
  csv: (result) => separated(result, ","),
  tsv: (result) => separated(result, "\t"),
  table: ({ columns, rows }) => {
    const lines = [
      columns.map(({ name }) => name),
      ...rows.map((row) => row.map((v) => v === null ? "" : print(v))),
    ];
    const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
    const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
    const [head, ...body] = lines.map((line) =>
      `|${line.map((cell, i) => ` ${cell.padEnd(widths[i]!)} `).join("|")}|`
    );
    return [rule, head, rule, ...body, rule].join("\n");
  },
};

function separated({ columns, rows }: Result, comma: string): string {
  const quote = (text: string) =>
    text.includes(comma) || /["\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = [
    columns.map(({ name }) => name),
    ...rows.map((row) => row.map((v) => v === null ? "" : print(v))),
  ];
  return lines.map((line) => line.map(quote).join(comma) + "\n").join("");
}

/** A result as `json`, `nd-json`, `csv`, `tsv` or `table`; no rows are an empty body. */
export function format(result: Result, as: string): string {
  return result.rows.length === 0 ? "" : FORMATS[as]!(result);
}

/** The formats that there are. */
export const FORMAT_NAMES = Object.keys(FORMATS);
