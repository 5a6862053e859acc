/** Which time the charts show. Pure. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Ranges that end now. */
export const RANGES = [
  { key: "15m", label: "15 minutes", length: 15 * MINUTE_MS },
  { key: "1h", label: "1 hour", length: HOUR_MS },
  { key: "6h", label: "6 hours", length: 6 * HOUR_MS },
  { key: "24h", label: "24 hours", length: 24 * HOUR_MS },
  { key: "7d", label: "7 days", length: 7 * 24 * HOUR_MS },
  { key: "30d", label: "30 days", length: 30 * 24 * HOUR_MS },
] as const;

const FIXED = /^(\d{10,15})-(\d{10,15})$/;
const DEFAULT = RANGES[1];

export interface Range {
  /** A key of `RANGES`, or "from-to" in milliseconds since 1970. */
  key: string;
  /** Milliseconds. */
  length: number;
  /** Where a range that does not end now begins and ends, in milliseconds since 1970. */
  fixed: { from: number; to: number } | null;
}

/** The range of a text in the address; the last hour for any other text. */
export function rangeOf(text: string | undefined): Range {
  const fixed = FIXED.exec(text ?? "");
  const [from, to] = [Number(fixed?.[1]), Number(fixed?.[2])];
  if (text && to > from) return { key: text, length: to - from, fixed: { from, to } };
  const { key, length } = RANGES.find((one) => one.key === text) ?? DEFAULT;
  return { key, length, fixed: null };
}

/** The text of a range between two times in milliseconds since 1970. */
export const between = (from: number, to: number): string => `${Math.round(from)}-${Math.round(to)}`;

/** The parameters of a request for a range. The last hour is the server's own choice, by the server's clock. */
export function boundsOf(range: Range, now: number): { from?: number; to?: number } {
  if (range.fixed) return range.fixed;
  return range.key === DEFAULT.key ? {} : { from: now - range.length, to: now };
}

/** The range as long before (-1) or after (1); ending now, when that is later than now. */
export function beside(range: Range, direction: -1 | 1, now: number): string {
  const { from, to } = range.fixed ?? { from: now - range.length, to: now };
  const moved = { from: from + direction * range.length, to: to + direction * range.length };
  if (moved.to < now) return between(moved.from, moved.to);
  return RANGES.find((one) => one.length >= range.length)?.key ?? DEFAULT.key;
}
