/** Windows of time: which differ, how wide they are, how they are joined. */
import {
  addUp,
  binSeconds,
  describeWindow,
  differs,
  noRows,
  overlap,
  pairBins,
  sameSummary,
  type Summary,
  windowOf,
} from "../../../lib/copy/windows.ts";
import { assertEquals } from "../../helpers/deps.ts";
import { randomOf } from "../../helpers/random.ts";

const day = (n: number) => `2023-11-${String(n).padStart(2, "0")}T00:00:00`;
const held = (rows: number, first = 1, last = first, digest?: string): Summary =>
  rows ? { rows, first: day(first), last: day(last), ...(digest ? { digest } : {}) } : noRows;

Deno.test("summaries are the same only where all that was asked is, a digest on one side alone is a difference", () => {
  assertEquals(sameSummary(held(5, 1, 2), held(5, 1, 2)), true);
  for (const other of [held(4, 1, 2), held(5, 2, 2), held(5, 1, 3), held(5, 1, 2, "0123456789abcdef")]) {
    assertEquals(sameSummary(held(5, 1, 2), other), false);
  }
});

Deno.test("addUp() is the same whichever way rows are cut into stretches", () => {
  const random = randomOf(7);
  const rows = Array.from(
    { length: 50 },
    (_, i) => held(1, 1 + i % 28, 1 + i % 28, Math.floor(random() * 2 ** 32).toString(16).padStart(16, "0")),
  );
  const whole = addUp(rows);
  for (let cut = 0; cut <= rows.length; cut += 7) {
    assertEquals(addUp([addUp(rows.slice(0, cut)), noRows, addUp(rows.slice(cut))]), whole);
  }
  assertEquals([whole.rows, whole.first, whole.last], [50, day(1), day(28)]);
  assertEquals(addUp([noRows, noRows]), noRows);
});

Deno.test("a window that is too large is cut into bins as wide as rows that are spread evenly ask for, in whole seconds", () => {
  const month = { rows: 30_000_000, first: "2023-11-01T00:00:00", last: "2023-11-30T23:59:59.5" };
  const seconds = (source: Summary, target = source) => binSeconds({ source, target }, 5_000_000);
  assertEquals(seconds(month), 432_000);
  assertEquals(seconds(noRows, month), 432_000);
  assertEquals(seconds({ ...month, rows: 7_000_000 }), undefined);
  assertEquals(seconds({ ...month, last: "2023-11-01T00:00:00.9" }), undefined);
  assertEquals(seconds({ ...month, rows: 1e12, last: "2023-11-01T00:00:03" }), 1);
  assertEquals(seconds(noRows), undefined);
});

Deno.test("a window that differs is cut where that saves copying: the target has most of it", () => {
  const hour = { first: "2023-11-01T00:00:00", last: "2023-11-01T00:59:59" };
  const seconds = (source: number, target: number) =>
    binSeconds({ source: { ...hour, rows: source }, target: { ...hour, rows: target } }, 5_000_000);
  assertEquals(seconds(4_000_000, 3_900_000), 360);
  assertEquals(seconds(4_000_000, 4_000_000), undefined);
  assertEquals(seconds(4_000_000, 100), undefined);
  assertEquals(seconds(1000, 999), undefined);
});

Deno.test("bins of both sides become parts without a gap, from the outer window's beginning to its end", () => {
  const bins = (...list: [number, number][]) => new Map(list.map(([n, rows]) => [day(n), held(rows, n)]));
  const parts = pairBins(bins([3, 5], [9, 1]), bins([3, 5], [5, 2]), {});
  assertEquals(parts, [
    { from: undefined, to: day(5), source: held(5, 3), target: held(5, 3) },
    { from: day(5), to: day(9), source: noRows, target: held(2, 5) },
    { from: day(9), to: undefined, source: held(1, 9), target: noRows },
  ]);
  assertEquals(parts.map(differs), [false, true, true]);
  const bounded = pairBins(bins([3, 5], [9, 1]), bins(), { from: day(2), to: day(20) });
  assertEquals(bounded.map(({ from, to }) => [from, to]), [[day(2), day(9)], [day(9), day(20)]]);
  const [early, old] = [held(4), { ...held(3), first: "1960-01-01T00:00:00" }];
  assertEquals(pairBins(new Map([["", old]]), new Map([["", early], ...bins([9, 1])]), {}), [
    { from: undefined, to: day(9), source: old, target: early },
    { from: day(9), to: undefined, source: noRows, target: held(1, 9) },
  ]);
  assertEquals(pairBins(bins(), bins(), { to: day(2) }), [
    { from: undefined, to: day(2), source: noRows, target: noRows },
  ]);
});

Deno.test("windows overlap where both are, and are told as an operator reads them", () => {
  assertEquals(overlap({ from: day(2) }, { from: day(1), to: day(9) }), { from: day(2), to: day(9) });
  assertEquals(overlap({}, {}), { from: undefined, to: undefined });
  assertEquals(windowOf(held(3, 1, 2), 1n), { from: day(1), to: "2023-11-02T00:00:00.000000001" });
  assertEquals(windowOf(held(3, 1, 2), 1_000_000n), { from: day(1), to: "2023-11-02T00:00:00.001" });
  assertEquals(windowOf(noRows, 1n), { from: undefined, to: undefined });
  assertEquals([{}, { from: day(1) }, { to: day(2) }, { from: day(1), to: day(2) }].map(describeWindow), [
    "all its time",
    `from ${day(1)}`,
    `before ${day(2)}`,
    `from ${day(1)} to before ${day(2)}`,
  ]);
});
