import type { Recent } from "../figures";
import { milliseconds } from "../format";

const WHEN = "In the last minute, or since this page was opened";

/** The columns with what happened lately. */
export const FIGURES = [
  { key: "rate", label: "Rate", title: `${WHEN}: requests a second` },
  { key: "p95", label: "p95", title: `${WHEN}: 95 of 100 requests took less` },
  { key: "errors", label: "Errors", title: `${WHEN}: requests answered with a status from 500 on` },
] as const;

/** The cells of these columns. A dash where nothing was measured. */
export function FigureCells({ of: recent }: { of: Recent | null }) {
  return (
    <>
      <td className="figure nowrap">{recent?.rate ? `${rate(recent.rate)} /s` : "–"}</td>
      <td className="figure nowrap">{recent?.p95 == null ? "–" : milliseconds(recent.p95)}</td>
      <td className={recent?.errors ? "figure nowrap problem" : "figure nowrap"}>
        {recent?.errors == null ? "–" : `${(recent.errors * 100).toFixed(1)} %`}
      </td>
    </>
  );
}

const rate = (value: number): string => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString());
