/** What a page tells of requests: differences between two polls. Pure but for the hook. */

import { useState } from "react";
import type { Overview } from "./api";

const WINDOW_MS = 60_000;

/** What the server has counted of one version or endpoint; these numbers only grow. */
export interface Counted {
  requests: number;
  /** Of those, the requests answered with a status from 500 on. */
  errors: number;
  /** Requests by how long they took: one number for each bound and one for longer ones; empty without any. */
  durations: number[];
}

export interface Recent {
  /** Requests a second. */
  rate: number;
  /** Errors, as a share of the requests; null without requests. */
  errors: number | null;
  /** 95 of 100 requests took less, in milliseconds; null without requests. */
  p95: number | null;
}

export interface Sample {
  /** Milliseconds since 1970. */
  at: number;
  counted: Record<string, Counted>;
}

/** The samples with one more, without those that no window needs any more. */
export function withSample(samples: readonly Sample[], sample: Sample): Sample[] {
  if (samples.at(-1)?.at === sample.at) return [...samples];
  const kept = samples.filter((one) => sample.at - one.at <= WINDOW_MS && sample.at > one.at);
  return [...kept, sample];
}

/** What happened between the first and the last sample; null where nothing can be said. */
export function recent(samples: readonly Sample[], key: string, bounds: readonly number[]): Recent | null {
  const last = samples.at(-1);
  const first = samples.find((one) => one.counted[key]);
  const [before, after] = [first?.counted[key], last?.counted[key]];
  if (!first || !last || !before || !after || first === last || after.requests < before.requests) return null;
  const requests = after.requests - before.requests;
  const durations = after.durations.map((count, index) => count - (before.durations[index] ?? 0));
  return {
    rate: requests / ((last.at - first.at) / 1000),
    errors: requests ? (after.errors - before.errors) / requests : null,
    p95: quantile(durations, bounds, 0.95),
  };
}

/** The length below which a share of the requests took, in milliseconds; evenly spread between two bounds. */
export function quantile(counts: readonly number[], bounds: readonly number[], share: number): number | null {
  const wanted = counts.reduce((sum, count) => sum + count, 0) * share;
  if (!wanted) return null;
  let passed = 0;
  for (const [index, count] of counts.entries()) {
    const lower = bounds[index - 1] ?? 0;
    const upper = bounds[index];
    // Longer than the last bound: nothing but that is known.
    if (upper === undefined) return lower * 1000;
    if (passed + count >= wanted) return (lower + (upper - lower) * ((wanted - passed) / count)) * 1000;
    passed += count;
  }
  return null;
}

const sum = (numbers: number[]): number => numbers.reduce((total, one) => total + one, 0);

/** All versions of an endpoint together. */
export const together = ({ versions }: Overview): Counted => ({
  requests: sum(versions.map((one) => one.requests)),
  errors: sum(versions.map((one) => one.errors)),
  durations: versions.reduce<number[]>(
    (total, one) => (one.durations.length ? one.durations.map((count, index) => count + (total[index] ?? 0)) : total),
    [],
  ),
});

/** What happened in the last minute, or since the page shows the figures. `at`: when the server was asked. */
export function useRecent(
  at: number,
  counted: Record<string, Counted>,
  bounds: readonly number[],
): (key: string) => Recent | null {
  const [samples, setSamples] = useState<Sample[]>([]);
  if (at && samples.at(-1)?.at !== at) setSamples(withSample(samples, { at, counted }));
  return (key) => recent(samples, key, bounds);
}
