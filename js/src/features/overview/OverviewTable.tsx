import { useState } from "react";
import type { Overview } from "../../shared/api";
import { together, useRecent } from "../../shared/figures";
import { useOverviews } from "../../shared/queries";
import { Loaded } from "../../shared/ui/Loaded";
import { FIRST, inOrder, rowOf } from "./order";
import { Rows } from "./Rows";

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
  const [order, setOrder] = useState(FIRST);
  const [search, setSearch] = useState("");
  const [label, setLabel] = useState("");
  const rows = overviews.map((one) => rowOf(one, figures(one.registered_model_name)));
  // The chosen state stays, also when no endpoint is in that state any more.
  const labels = [...new Set([...inOrder(rows, FIRST).map((row) => row.overview.label), ...(label ? [label] : [])])];
  const wanted = search.trim().toLowerCase();
  const found = rows.filter(
    ({ overview }) =>
      (!label || overview.label === label) && overview.registered_model_name.toLowerCase().includes(wanted),
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
      {found.length === 0 ? (
        <p className="muted">No served model matches.</p>
      ) : (
        <Rows rows={inOrder(found, order)} address={address} order={order} setOrder={setOrder} />
      )}
    </>
  );
}
