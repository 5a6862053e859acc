/** Drift in words. Pure. */

import type { ColumnDrift } from "../../shared/requestsApi";

export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** The population stability index with what the number means; a dash where there is none. */
export function indexTold(psi: number | null): string {
  if (psi === null) return "–";
  return `${psi.toFixed(2)}, ${psi < 0.1 ? "little" : psi <= 0.25 ? "some" : "much"}`;
}

export const rangeTold = (least: number | null, most: number | null): string => (least === null || most === null ? "–" : `${short(least)} to ${short(most)}`);

const short = (value: number): string => value.toLocaleString(undefined, { maximumSignificantDigits: 4 });

/** The share of each bin, with the example's. */
export const sharesTold = ({ bins, shares, baseline_shares: baseline }: ColumnDrift): string =>
  bins.map((bin, index) => `${bin}: ${percent(shares[index] ?? 0)}${baseline ? `, example ${percent(baseline[index] ?? 0)}` : ""}`).join("; ");
