import type { Lately } from "../figures";
import { milliseconds } from "../format";
import { Spark } from "./Spark";

const WHEN = "In the last minutes";

/** The columns with what happened lately. */
export const FIGURES = [
  { key: "rate", label: "Rate", title: `${WHEN}: requests a second` },
  { key: "p95", label: "p95", title: `${WHEN}: 95 of 100 requests took less` },
  { key: "errors", label: "Errors", title: `${WHEN}: requests answered with a status from 500 on` },
] as const;

/** A number of requests a second; a dash where nothing was measured. */
export const perSecond = (value: number | null | undefined): string =>
  value == null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString()} /s`;

/** A share in percent; a dash where nothing was measured. */
export const share = (value: number | null | undefined): string => (value == null ? "–" : `${(value * 100).toFixed(1)} %`);

/** The cells of these columns, and one with a line over the last hour. A dash where nothing was measured. */
export function FigureCells({ of: lately }: { of: Lately | null | undefined }) {
  return (
    <>
      <td className="figure nowrap">{perSecond(lately?.requests_per_second)}</td>
      <td className="figure nowrap">{lately?.p95_ms == null ? "–" : milliseconds(lately.p95_ms)}</td>
      <td className={lately?.error_share ? "figure nowrap problem" : "figure nowrap"}>{share(lately?.error_share)}</td>
      <td className="figure line-cell">
        <Spark of={lately?.spark} />
      </td>
    </>
  );
}

/** The head of the column with the line. */
export const SPARK_TITLE = "Requests of the last hour";
