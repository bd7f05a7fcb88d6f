/** Points in time and stretches of it, as CnosDB writes and takes them. */

/** Units and their seconds, as humantime 2 names them (2.4.2+); a year is 365.25 days, a month a twelfth of that. */
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
 * A stretch of time in seconds: `30d`, `1h 30m`, and as `information_schema.databases` prints it, `30 Days` (2.3, 2.4.0, 2.4.1)
 * or `99years 11months 5days` (2.4.2+). Undefined where it is none.
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
 * Nanoseconds since 1970 of a time as CnosDB answers it (`2023-11-14T22:13:20.5`) or an operator writes it: a day alone, a blank
 * in place of the T, an offset or Z (UTC without). Undefined where it is none.
 */
export function parseTime(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(
    text.trim(),
  );
  if (!match) return undefined;
  const [, day, minutes = "00:00", seconds = "00", fraction = "", offset = "Z"] = match;
  const millis = Date.parse(`${day}T${minutes}:${seconds}${offset}`);
  return Number.isNaN(millis) ? undefined : BigInt(millis) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** A time in UTC as CnosDB takes it in a comparison, with as many digits as it needs. @param nanos since 1970 */
export function formatTime(nanos: bigint): string {
  const fraction = ((nanos % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const whole = new Date(Number((nanos - fraction) / 1_000_000n)).toISOString().slice(0, 19);
  return fraction ? `${whole}.${String(fraction).padStart(9, "0").replace(/0+$/, "")}` : whole;
}
