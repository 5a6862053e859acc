import { useState } from "react";
import type { Target } from "../../shared/history";
import { useDrift } from "../../shared/queries";
import type { Range } from "../../shared/ranges";
import type { ColumnDrift, DriftReply } from "../../shared/requestsApi";
import { Loaded } from "../../shared/ui/Loaded";
import { indexTold, percent, rangeTold, sharesTold } from "./inputs";
import type { Line } from "./SendAgain";

interface Props {
  target: Target;
  lines: Line[];
  range: Range;
}

/** How the logged inputs of a version differ from the version's input example: asked for when somebody opens the table. */
export function Drift({ target, lines, range }: Props) {
  const [open, setOpen] = useState(false);
  const [chosen, setChosen] = useState("");
  const line = lines.find((one) => one.name === chosen) ?? lines[0];
  if (!line) return null;
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Drift of the inputs</summary>
      {open && (
        <>
          <label>
            Inputs of
            <select value={line.name} onChange={(event) => setChosen(event.target.value)}>
              {lines.map((one) => (
                <option key={one.name} value={one.name}>
                  {one.label}
                </option>
              ))}
            </select>
          </label>
          <Columns target={target} name={line.name} range={range} />
        </>
      )}
    </details>
  );
}

function Columns({ target, name, range }: { target: Target; name: string; range: Range }) {
  const drift = useDrift(target, name, range);
  return <Loaded of={drift}>{(found) => (found.rows === 0 ? <p className="muted">No logged request in this time has a table that the model answered.</p> : <Table of={found} />)}</Loaded>;
}

function Table({ of: { rows, baseline, columns } }: { of: DriftReply }) {
  return (
    <>
      <p className="muted small">
        {rows.toLocaleString()} rows{baseline ? ", beside the model's input example" : "; the model has no input example to compare with"}. PSI is the population
        stability index: below 0.1 little differs, above 0.25 much. PSI needs 20 rows of both.
      </p>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- long ones scroll */}
      <div className="scroll tall" tabIndex={0} role="region" aria-label="Drift">
        <table aria-label="Drift of the inputs">
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">PSI</th>
              <th scope="col">Nulls</th>
              <th scope="col">Range</th>
              <th scope="col">Shares</th>
            </tr>
          </thead>
          <tbody>
            {columns.map((column) => (
              <Row key={column.name} of={column} />
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Row({ of: column }: { of: ColumnDrift }) {
  const much = (column.psi ?? 0) > 0.25;
  return (
    <tr>
      <th scope="row" className="name" title={column.type}>
        {column.name}
      </th>
      <td className={much ? "problem" : undefined}>{indexTold(column.psi)}</td>
      <td>
        {percent(column.null_share)}
        {column.baseline_null_share !== null && <span className="muted small by">example {percent(column.baseline_null_share)}</span>}
      </td>
      <td>
        {rangeTold(column.minimum, column.maximum)}
        {column.baseline_minimum !== null && <span className="muted small by">example {rangeTold(column.baseline_minimum, column.baseline_maximum)}</span>}
      </td>
      <td>
        <Bars of={column} />
      </td>
    </tr>
  );
}

const HEIGHT = 28;
const BIN = 14;

/** A bar for each bin, and the example's share as a line across. */
function Bars({ of: column }: { of: ColumnDrift }) {
  const { shares, baseline_shares: baseline } = column;
  if (shares.length === 0) return "–";
  const top = Math.max(...shares, ...(baseline ?? []), 0.01);
  const y = (share: number) => HEIGHT - (share / top) * (HEIGHT - 2);
  const told = sharesTold(column);
  return (
    <svg className="bars" width={shares.length * BIN} height={HEIGHT} role="img" aria-label={told}>
      <title>{told}</title>
      {shares.map((share, index) => (
        <rect key={index} x={index * BIN + 1} y={y(share)} width={BIN - 2} height={HEIGHT - y(share)} />
      ))}
      {baseline?.map((share, index) => <line key={index} x1={index * BIN} x2={(index + 1) * BIN} y1={y(share)} y2={y(share)} />)}
    </svg>
  );
}
