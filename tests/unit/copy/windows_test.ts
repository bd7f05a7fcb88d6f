/** Windows of time: which differ, how wide they are, how they are joined. */
import {
  addUp,
  chooseSeconds,
  differs,
  finerRows,
  joinForCopying,
  noRows,
  overlap,
  pairBins,
  type Part,
  sameSummary,
  type Summary,
  tellWindow,
  windowOf,
} from "../../../lib/copy/windows.ts";
import { assertEquals } from "../../helpers/deps.ts";
import { randomOf } from "../../helpers/random.ts";

const day = (n: number) => `2023-11-${String(n).padStart(2, "0")}T00:00:00`;
const held = (rows: number, first = 1, last = first, digest?: string): Summary =>
  rows ? { rows, first: day(first), last: day(last), ...(digest ? { digest } : {}) } : noRows;
const part = (from: number, to: number, source: number, target = 0): Part => ({
  ...{ from: day(from), to: day(to), source: held(source, from), target: held(target, from) },
});

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

Deno.test("bins are as wide as rows that are spread evenly ask for, whole seconds, and none where one is enough", () => {
  const month = { rows: 30_000_000, first: "2023-11-01T00:00:00", last: "2023-11-30T23:59:59.5" };
  assertEquals(chooseSeconds(month, 5_000_000), 432_000);
  assertEquals(chooseSeconds({ ...month, rows: 5_000_000 }, 5_000_000), undefined);
  assertEquals(chooseSeconds({ ...month, last: "2023-11-01T00:00:00.9" }, 5_000_000), undefined);
  assertEquals(chooseSeconds({ ...month, rows: 1e12, last: "2023-11-01T00:00:03" }, 5_000_000), 1);
  assertEquals(chooseSeconds(noRows, 5_000_000), undefined);
});

Deno.test("bins of both sides become parts without a gap, from the outer window's beginning to its end", () => {
  const bin = (n: number, rows: number) => ({ start: day(n), ...held(rows, n) });
  const parts = pairBins([bin(3, 5), bin(9, 1)], [bin(3, 5), bin(5, 2)], {});
  assertEquals(parts, [
    { to: day(5), source: held(5, 3), target: held(5, 3) },
    { from: day(5), to: day(9), source: noRows, target: held(2, 5) },
    { from: day(9), source: held(1, 9), target: noRows },
  ]);
  assertEquals(parts.map(differs), [false, true, true]);
  const bounded = pairBins([bin(3, 5), bin(9, 1)], [], { from: day(2), to: day(20) });
  assertEquals(bounded.map(({ from, to }) => [from, to]), [[day(2), day(9)], [day(9), day(20)]]);
  assertEquals(pairBins([], [], {}), []);
});

Deno.test("windows that touch are joined up to what is copied at once, what is larger stays alone", () => {
  const parts = [
    part(1, 2, 40),
    part(2, 3, 40),
    part(3, 4, 40),
    part(6, 7, 10),
    part(7, 8, 500),
    part(8, 9, 1),
  ];
  assertEquals(joinForCopying(parts, 100).map(({ from, to, source }) => [from, to, source.rows]), [
    [day(1), day(3), 80],
    [day(3), day(4), 40],
    [day(6), day(7), 10],
    [day(7), day(8), 500],
    [day(8), day(9), 1],
  ]);
});

Deno.test("it is looked closer where a window is too large, or the target has most of it", () => {
  assertEquals(finerRows(part(1, 2, 16_000_000), 5_000_000), 5_000_000);
  assertEquals(finerRows(part(1, 2, 7_000_000), 5_000_000), undefined);
  assertEquals(finerRows(part(1, 2, 4_000_000, 3_900_000), 5_000_000), 400_000);
  assertEquals(finerRows(part(1, 2, 4_000_000, 100), 5_000_000), undefined);
  assertEquals(finerRows(part(1, 2, 1000, 999), 5_000_000), undefined);
});

Deno.test("windows overlap where both are, and are told as an operator reads them", () => {
  assertEquals(overlap({ from: day(2) }, { from: day(1), to: day(9) }), { from: day(2), to: day(9) });
  assertEquals(overlap({}, {}), {});
  assertEquals(windowOf(held(3, 1, 2)), { from: day(1), to: "2023-11-02T00:00:00.000000001" });
  assertEquals(windowOf(noRows), {});
  assertEquals([{}, { from: day(1) }, { to: day(2) }, { from: day(1), to: day(2) }].map(tellWindow), [
    "all its time",
    `from ${day(1)}`,
    `before ${day(2)}`,
    `from ${day(1)} to before ${day(2)}`,
  ]);
});
