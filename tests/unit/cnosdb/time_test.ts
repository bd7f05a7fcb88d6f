import { formatTime, parseDuration, parseTime } from "../../../lib/cnosdb/time.ts";
import { assertEquals } from "../../helpers/deps.ts";

Deno.test("times are read as CnosDB and operators write them, and written with no more digits than needed", () => {
  for (
    const [text, written] of [
      ["2023-11-14T22:13:20.5", "2023-11-14T22:13:20.5"],
      ["2023-11-14 22:13:20", "2023-11-14T22:13:20"],
      ["2023-11-14T22:13:20.123456789Z", "2023-11-14T22:13:20.123456789"],
      ["2023-11-14T22:13+08:00", "2023-11-14T14:13:00"],
      ["2023-11-14T22:13:20+0800", "2023-11-14T14:13:20"],
      ["2023-11-14 22:13:20-08", "2023-11-15T06:13:20"],
      [" 2023-11-14", "2023-11-14T00:00:00"],
      ["1969-12-31T23:59:59.999999999", "1969-12-31T23:59:59.999999999"],
      ["1677-09-21T00:12:43.145224192", "1677-09-21T00:12:43.145224192"],
    ] as const
  ) assertEquals(formatTime(parseTime(text)!), written);
  assertEquals(parseTime("1970-01-01T00:00:00.000000001"), 1n);
});

Deno.test("other texts are neither times nor durations", () => {
  for (
    const text of [
      "",
      "now",
      "1d",
      "22:13",
      "2023-13-14",
      "2023-11",
      "1700000000",
      "9999-12-31",
      "0001-01-01",
      "2023-11-14T22:13[Asia/Shanghai]",
    ]
  ) {
    assertEquals(parseTime(text), undefined, text);
  }
  for (const text of ["", "7", "d", "INF", "1 fortnight"]) assertEquals(parseDuration(text), undefined, text);
});

Deno.test("durations are read as every version prints them", () => {
  const seconds = {
    "90m": 5_400,
    "30 Days": 2_592_000,
    "720 Hours": 2_592_000,
    "90 Minutes": 5_400,
    "1h 30m": 5_400,
    "45s": 45,
    "99years 11months 5days 9h 50m 24s": 36_500 * 86_400,
  };
  for (const [text, expected] of Object.entries(seconds)) assertEquals(parseDuration(text), expected, text);
});
