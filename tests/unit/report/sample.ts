/** Files as the scripts print them, for the page's tests. */

export const hostile = [
  "</script><script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  'qu"o"te',
  "温度",
  "a_very_long_name_that_goes_on_and_on_without_a_single_blank_in_it_0123456789_0123456789",
];

const startMs = Date.parse("2026-11-22T08:00:00Z");
const lines = (list: unknown[]) => list.map((line) => JSON.stringify(line) + "\n").join("");
const end = (exit: number, after: number) => ({
  end: { exit, ended: new Date(startMs + after).toISOString() },
});

/** What filter_meta --report wrote of a small cluster. */
export function filterReport(): string {
  const entry = (line: number, key: string, kind: string, action: string, rules: string[], more = {}) => ({
    ...{ line, key, kind, action, rules, changes: [] },
    ...more,
  });
  return lines([
    { run: { script: "filter_meta", source: "2.3.5.4", target: "2.4.2", host: "ops1" } },
    entry(1, "/c/users/alice", "user", "converted", ["2.4.0"]),
    entry(2, "/c/users/root", "user", "dropped", ["root"]),
    entry(3, "/c/tenants/cnosdb", "tenant", "converted", ["2.4.0"]),
    entry(4, "/c/tenants/cnosdb/dbs/db_1", "database", "converted", ["2.4.2"], { ttl: "30d" }),
    entry(5, "/c/tenants/cnosdb/dbs/db_1/buckets/7", "bucket", "dropped", ["buckets"]),
    entry(6, "/c/tenants/cnosdb/dbs/db_1/schemas/table_1", "table", "kept", []),
    end(0, 1),
  ]);
}

/** What copy_tables printed of so many tables, all equal but those that `change` changes. */
export function copyResults(
  tables: number,
  change: (index: number) => Record<string, unknown> = () => ({}),
  exit = 0,
): string {
  const side = (host: string, version: string) => ({ url: `http://${host}.example:8902`, version });
  const results = Array.from({ length: tables }, (_, i) => {
    const rows = (i + 1) * 7919 % 100_003;
    const source = rows
      ? { rows, first: "2023-11-14T22:13:20", last: "2026-11-20T09:01:02.123456789" }
      : { rows };
    const started = new Date(startMs + i * 100).toISOString();
    const name = { tenant: i % 3 ? "cnosdb" : "气象", database: `db_${i % 8}` };
    return {
      ...{ ...name, table: hostile[i] ?? `table_${i}`, status: "equal", verify: "full" },
      ...{ source, target: source, started, seconds: 1.5 },
      ...change(i),
    };
  });
  const run = {
    ...{ script: "copy_tables", from: side("old", "2.3.5"), to: side("new", "2.4.2") },
    ...{ verify: "full", started: new Date(startMs).toISOString(), host: "ops1" },
  };
  return lines([{ run }, ...results, end(exit, 3_600_000)]);
}

/** A few tables that went wrong in all the ways there are. */
export function wrong(index: number): Record<string, unknown> {
  const window = {
    ...{ from: "2023-11-14T00:00:00", to: "2023-11-15T00:00:00" },
    source: { rows: 500, first: "2023-11-14T22:13:20", last: "2023-11-14T23:13:20" },
    ...{ target: { rows: 499, first: "2023-11-14T22:13:20", last: "2023-11-14T23:13:20" } },
    columns: ["<b>", "湿度"],
  };
  switch (index) {
    case 10:
      return { status: "differs", windows: [window] };
    case 11:
      return { status: "source-changed", windows: [window, window] };
    case 12:
      return {
        status: "failed",
        error: "http://new.example:8902 answered 422 030053: need: 3, but found: 1",
        hint: "set REPLICA 1",
      };
    case 13:
      return { status: "refused", error: "the target has 7 rows that the source has not" };
    case 14:
      return { status: "definition" };
  }
  return {};
}
