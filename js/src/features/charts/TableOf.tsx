import { useState } from "react";
import { dateTime } from "../../shared/format";
import type { Chart } from "./charts";

/** The values of a chart as a table, newest first, without the times at which nothing was measured. */
export function TableOf({ chart, times }: { chart: Chart; times: number[] }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Table of {chart.title.toLowerCase()}</summary>
      {open && (
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls
        <div className="scroll tall" tabIndex={0} role="region" aria-label={`Table of ${chart.title.toLowerCase()}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                {chart.lines.map((line) => (
                  <th scope="col" key={line.label}>
                    {line.label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>{rowsOf(chart, times)}</tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function rowsOf(chart: Chart, times: number[]) {
  const indices = times.map((_, index) => index).filter((index) => chart.lines.some((line) => line.values[index] != null));
  return indices.reverse().map((index) => (
    <tr key={index}>
      <td className="nowrap">{dateTime(times[index] ?? 0)}</td>
      {chart.lines.map((line) => {
        const value = line.values[index];
        return <td key={line.label}>{value == null ? "–" : chart.show(value)}</td>;
      })}
    </tr>
  ));
}
