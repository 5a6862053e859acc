import { useState } from "react";
import type { Overview, Tone } from "../../shared/api";
import { type Recent, together, useRecent } from "../../shared/figures";
import { middle } from "../../shared/format";
import { useOverviews } from "../../shared/queries";
import { FigureCells, FigureHeads } from "../../shared/ui/Figures";
import { Loaded } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";

/** What needs a person comes first. */
const ORDER: readonly Tone[] = ["failed", "degraded", "busy", "ready", "idle"];
const LONGEST_NAME = 60;

/** Every endpoint that the user may read. `address` makes the address of a model's own page. */
export function OverviewTable({ address }: { address: (name: string) => string }) {
  const overviews = useOverviews();
  return (
    <Loaded of={overviews}>
      {(reply) =>
        reply.overviews.length === 0 ? (
          <section className="empty">
            <h3>No model is served</h3>
            <p>
              Open a <a href="#/models">registered model</a> and enable serving on its Serving tab.
            </p>
          </section>
        ) : (
          <Found
            overviews={reply.overviews}
            address={address}
            at={overviews.dataUpdatedAt}
            bounds={reply.duration_bounds_s}
          />
        )
      }
    </Loaded>
  );
}

interface Props {
  overviews: Overview[];
  address: (name: string) => string;
}

function Found({ overviews, address, at, bounds }: Props & { at: number; bounds: number[] }) {
  const counted = Object.fromEntries(overviews.map((one) => [one.registered_model_name, together(one)]));
  const figures = useRecent(at, counted, bounds);
  const [search, setSearch] = useState("");
  const [label, setLabel] = useState("");
  const labels = [...new Set(inOrder(overviews).map((one) => one.label))];
  const wanted = search.trim().toLowerCase();
  const found = inOrder(overviews).filter(
    (one) => (!label || one.label === label) && one.registered_model_name.toLowerCase().includes(wanted),
  );
  return (
    <>
      <div className="filters">
        <label>
          Search
          <input type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
        </label>
        <div role="group" aria-label="State" className="line">
          {["", ...labels].map((one) => (
            <button
              key={one}
              type="button"
              className="chip"
              aria-pressed={label === one}
              onClick={() => setLabel(one)}
            >
              {one || "All"} {one ? overviews.filter((each) => each.label === one).length : overviews.length}
            </button>
          ))}
        </div>
      </div>
      {found.length === 0 ? <p className="muted">No served model matches.</p> : <Rows overviews={found} address={address} figures={figures} />}
    </>
  );
}

const inOrder = (overviews: Overview[]): Overview[] =>
  [...overviews].sort((a, b) => ORDER.indexOf(a.tone) - ORDER.indexOf(b.tone));

function Rows({ overviews, address, figures }: Props & { figures: (name: string) => Recent | null }) {
  return (
    <table className="overview">
      <thead>
        <tr>
          <th scope="col" className="name">Model</th>
          <th scope="col" className="state">Status</th>
          <th scope="col" className="count wide">Versions ready</th>
          <th scope="col" className="count wide">Replicas ready</th>
          <th scope="col" className="count">Requests</th>
          <FigureHeads />
          <th scope="col">Details</th>
        </tr>
      </thead>
      <tbody>
        {overviews.map((overview) => (
          <tr key={overview.registered_model_name}>
            <td className="name">
              <a href={address(overview.registered_model_name)} title={overview.registered_model_name}>
                {middle(overview.registered_model_name, LONGEST_NAME)}
              </a>
            </td>
            <td className="state">
              <Status of={overview} />
            </td>
            <td className="count wide">
              {overview.versions.filter((one) => one.ready_replicas > 0).length} of {overview.versions.length}
            </td>
            <td className="count wide">
              {sum(overview.versions.map((one) => one.ready_replicas))} of{" "}
              {sum(overview.versions.map((one) => one.replicas))}
            </td>
            <td className="count">{sum(overview.versions.map((one) => one.requests)).toLocaleString()}</td>
            <FigureCells of={figures(overview.registered_model_name)} />
            <td className="cut" title={details(overview)}>
              {details(overview)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const details = (overview: Overview): string => [overview.state_message, overview.latest_message].filter(Boolean).join(" ");

const sum = (numbers: number[]): number => numbers.reduce((total, one) => total + one, 0);
