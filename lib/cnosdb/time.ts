/** Times and durations as CnosDB writes and reads them. */

/** Units in seconds, as humantime 2 names them (2.4.2+): a year is 365.25 days, a month a twelfth of it. */
const units: [RegExp, number][] = [
  [/^s(ecs?|econds?)?$/i, 1],
  [/^(m|min|mins|minutes?)$|^Minutes$/, 60],
  [/^(h|hrs?|hours?)$/i, 3600],
  [/^d(ays?)?$/i, 86_400],
  [/^w(eeks?)?$/i, 604_800],
  [/^(M|months?)$/, 2_630_016],
  [/^y(ears?)?$/i, 31_557_600],
];

/**
 * A duration in seconds: `30d`, `1h 30m`, and as `information_schema.databases` prints it, `30 Days`
 * (2.3, 2.4.0, 2.4.1) or `99years 11months 5days` (2.4.2+). Undefined for any other text.
 */
export function parseDuration(text: string): number | undefined {
  if (!/^\s*(?:\d+\s*[a-zA-Z]+\s*)+$/.test(text)) return undefined;
  let seconds = 0;
  for (const [, count, word = ""] of text.matchAll(/(\d+)\s*([a-zA-Z]+)/g)) {
    const unit = units.find(([names]) => names.test(word));
    if (!unit) return undefined;
    seconds += Number(count) * unit[1];
  }
  return seconds;
}

/**
 * Nanoseconds since 1970 of a time as CnosDB writes it (`2023-11-14T22:13:20.5`) or an operator does: perhaps
 * only a day, with a blank for the T, an offset or Z (without one it is UTC). Undefined for any other text, and
 * outside of the years 1677 to 2262, which CnosDB's 64 bits hold.
 */
export function parseTime(text: string): bigint | undefined {
  const given = text.trim();
  // PlainDateTime takes any offset or zone, and ignores it. `date +%z` writes an offset without a colon.
  const hasOffset = /[T ].*(Z|[+-]\d\d(:?\d\d)?)$/i.test(given);
  if (given.includes("[")) return undefined;
  try {
    const { epochNanoseconds } = hasOffset
      ? Temporal.Instant.from(given)
      : Temporal.PlainDateTime.from(given).toZonedDateTime("UTC");
    return BigInt.asIntN(64, epochNanoseconds) === epochNanoseconds ? epochNanoseconds : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** A time in UTC as CnosDB reads it, with no more digits than it needs. @param nanos nanoseconds since 1970 */
export function formatTime(nanos: bigint): string {
  return Temporal.Instant.fromEpochNanoseconds(nanos).toString().replace("Z", "");
}
