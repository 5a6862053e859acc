import type { RateLimit } from "../../shared/servingApi";

const KEYS = [
  { key: "endpoint", label: "Calls a minute, all callers together" },
  { key: "user", label: "Calls a minute of each user" },
] as const;

/** The limits as texts of their fields; empty: no limit. */
export type Limits = Partial<Record<RateLimit["key"], string>>;

export const toLimits = (limits: readonly RateLimit[]): Limits => Object.fromEntries(limits.map(({ key, calls }) => [key, String(calls)]));

/** The limits for the API. */
export const fromLimits = (limits: Limits): RateLimit[] =>
  KEYS.flatMap(({ key }) => (limits[key] ? [{ key, calls: Number(limits[key]), renewal_period: "minute" as const }] : []));

export const problemOfLimits = (limits: Limits): string | null =>
  Object.values(limits).every((text) => text === "" || /^\d{1,10}$/.test(text)) ? null : "A limit is a whole number.";

export const sameLimits = (one: Limits, other: Limits): boolean => KEYS.every(({ key }) => (one[key] ?? "") === (other[key] ?? ""));

/** The fields of the limits on calls a minute. */
export function LimitFields({ limits, change }: { limits: Limits; change: (limits: Limits) => void }) {
  return (
    <>
      <h4>Rate limits</h4>
      <p className="muted small">Further calls get 429 until the minute is over. Empty: no limit. Without authentication all callers count as one user.</p>
      <div className="line">
        {KEYS.map(({ key, label }) => (
          <label key={key}>
            {label}
            <input
              className="short"
              inputMode="numeric"
              value={limits[key] ?? ""}
              placeholder="none"
              onChange={(event) => change({ ...limits, [key]: event.target.value.trim() })}
            />
          </label>
        ))}
      </div>
    </>
  );
}
