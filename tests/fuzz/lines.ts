/** Mutated lines of results and reports, as copy_tables and report.ts read them. */
import { Failure } from "../../lib/cli/errors.ts";
import { readTables } from "../../lib/copy/tables.ts";
import { page } from "../../lib/report/page.ts";
import { ReportReader } from "../../lib/report/read.ts";
import { change, tokens } from "./dumps.ts";
import type { Part } from "./fuzz.ts";

interface Input {
  readonly reader: "tables" | "report";
  readonly lines: readonly string[];
}

const window = { from: "2026-11-01T00:00:00", to: "2026-11-02T00:00:00" };
const rows = { rows: 5, first: "2026-11-01T00:00:00", last: "2026-11-01T01:00:00.5", digest: "1-2" };
const table = {
  tenant: "cnosdb",
  database: "public",
  verify: "full",
  source: rows,
  target: rows,
  seconds: 1,
};
const results = [
  {
    run: {
      script: "copy_tables",
      version: "1",
      from: { url: "http://old:8902" },
      to: { url: "http://new:8902" },
      verify: "full",
    },
  },
  {
    ...table,
    table: "a",
    status: "equal",
    earlier: true,
    copied: { rows: 5, bytes: 9, windows: 1 },
    windows: [],
  },
  {
    ...table,
    table: "b",
    status: "differs",
    windows: [{ ...window, source: rows, target: rows, columns: ["x"] }],
    error: "e",
    hint: "h",
  },
  {
    ...table,
    table: "c",
    status: "exported",
    windows: [{ ...window, source: rows, directory: "cnosdb-public-c-1a2b3c4d" }],
  },
  {
    end: {
      tables: 3,
      equal: 1,
      differs: 1,
      exported: 1,
      rows: 15,
      bytes: 9,
      seconds: 3,
      exit: 3,
      ended: "2026-11-02T00:00:00Z",
    },
  },
];
const entries = [
  { run: { script: "filter_meta", source: "2.3.x", target: "2.4.2" } },
  {
    line: 1,
    key: "/c/tenants/cnosdb/dbs/public",
    kind: "database",
    action: "converted",
    rules: ["2.4.2"],
    ttl: "30d",
    changes: [],
  },
  { line: 2, key: "/c/data_version", kind: "internal", action: "dropped", rules: ["internal"], changes: [] },
  { end: { entries: 2, exit: 0 } },
];
const odd = ["null", "[]", "1", '"x"', "{}", '{"run":null}', '{"end":{}}', '{"end":null}', "", "{"];

export const lines: Part<Input> = {
  make(random) {
    const reader = random.of(["tables", "report"] as const);
    const lines = [...results, ...(reader === "report" ? entries : [])].map((line) => JSON.stringify(line));
    for (let left = 1 + random.below(3); left > 0 && lines.length; left--) {
      const at = random.below(lines.length);
      if (random.below(4) === 0) {
        lines.splice(at, random.below(2), ...(random.below(2) ? [random.of(odd)] : []));
      } else change(lines, random, /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|null|true|false|[[\]{},:]/g, tokens);
    }
    return { reader, lines };
  },
  async check({ reader, lines }) {
    const text = `${lines.join("\n")}\n`;
    try {
      if (reader === "tables") {
        await readTables(ReadableStream.from([new TextEncoder().encode(text)]), "stdin", () => true);
      } else {
        const report = new ReportReader();
        await report.add("file", text);
        await page(report.report(), { tool: "fuzz", at: "2026-11-02T00:00:00Z" });
      }
    } catch (error) {
      if (!(error instanceof Failure)) return `${(error as Error).stack ?? error}`;
    }
  },
  *smaller({ reader, lines }) {
    for (const at of lines.keys()) yield { reader, lines: lines.toSpliced(at, 1) };
  },
  show: ({ reader, lines }) => `${reader}\n${lines.join("\n")}`,
};
