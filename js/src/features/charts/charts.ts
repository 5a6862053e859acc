/** Which charts there are, and their lines. Pure. */

import { type Column, type History, type Series, added, failures, lineName, perSecond, secondsOf, shares } from "../../shared/history";
import { bytes, milliseconds } from "../../shared/format";

export interface Line {
  label: string;
  values: Column;
}

export interface Chart {
  key: string;
  title: string;
  /** What the values are, for the head of a table. */
  unit: string;
  lines: Line[];
  show: (value: number) => string;
}

const number = (value: number): string => (value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value).toLocaleString());
const percent = (value: number): string => `${(value * 100).toFixed(1)} %`;
const QUANTILES = [
  { label: "p50", of: (one: Series) => one.p50_ms },
  { label: "p95", of: (one: Series) => one.p95_ms },
  { label: "p99", of: (one: Series) => one.p99_ms },
];

/** The charts of a history, for the chosen lines. A single line is shown in more detail. */
export function chartsOf(history: History, chosen: readonly string[]): Chart[] {
  const series = history.series.filter((one) => chosen.includes(lineName(one)));
  const seconds = secondsOf(history);
  const each = (of: (one: Series) => Column): Line[] => series.map((one) => ({ label: lineName(one), values: of(one) }));
  const single = series.length === 1 ? series[0] : undefined;
  return [
    { key: "requests", title: "Requests", unit: "per second", lines: each((one) => perSecond(one.requests, seconds)), show: number },
    {
      key: "latency",
      title: single ? "Latency" : "Latency, p95",
      unit: "milliseconds",
      lines: single ? QUANTILES.map(({ label, of }) => ({ label, values: of(single) })) : each((one) => one.p95_ms),
      show: milliseconds,
    },
    single
      ? {
          key: "errors",
          title: "Errors by status",
          unit: "per second",
          lines: Object.entries(single.errors).map(([label, values]) => ({ label, values: perSecond(values, seconds) })),
          show: number,
        }
      : { key: "errors", title: "Errors (5xx)", unit: "share of the requests", lines: each((one) => shares(failures(one), one.requests)), show: percent },
    { key: "in-hand", title: "Requests in hand", unit: "scored or waiting", lines: each((one) => one.in_hand), show: number },
    { key: "replicas", title: "Replicas", unit: "ready", lines: each((one) => one.replicas), show: number },
    { key: "memory", title: "Memory", unit: "of the workers", lines: each((one) => one.memory_bytes), show: bytes },
    { key: "cpu", title: "CPU", unit: "cores", lines: each((one) => perSecond(one.cpu_seconds, seconds)), show: (value) => value.toFixed(2) },
    ...seldom({ key: "batches", title: "Rows per batch", unit: "rows", lines: each((one) => one.batch_rows), show: number }),
    ...seldom({ key: "first-event", title: "Time to first event", unit: "milliseconds, p95", lines: each((one) => one.first_event_ms), show: milliseconds }),
  ];
}

/** A chart that only some models have. */
const seldom = (chart: Chart): Chart[] => (measured(chart) ? [chart] : []);

/** Whether a chart has anything to show. */
export const measured = ({ lines }: Chart): boolean => lines.some((line) => line.values.some((one) => one !== null));

const SHOWN = 6;

/** The lines to begin with: those with most requests, in the order of the history. */
export function busiest({ series, times }: History): string[] {
  const count = (one: Series) => added([one.requests], times.length).reduce<number>((sum, each) => sum + (each ?? 0), 0);
  const first = [...series].sort((a, b) => count(b) - count(a)).slice(0, SHOWN);
  return series.filter((one) => first.includes(one)).map(lineName);
}
