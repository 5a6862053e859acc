import { useMemo, useState } from "react";
import type { Overview } from "../../shared/api";
import { useOverviews } from "../../shared/queries";
import { Loaded } from "../../shared/ui/Loaded";
import { FIRST, type Row, inOrder, rowOf } from "./order";
import { Rows } from "./Rows";

interface Props {
  address: (name: string) => string;
  /** What a person looks for, in lower case. */
  wanted: string;
}

/** Every registered model with serving enabled that the user may read. `address` makes the address of its page. */
export function OverviewTable({ address, wanted }: Props) {
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
          <Found overviews={reply.overviews} address={address} wanted={wanted} />
        )
      }
    </Loaded>
  );
}

/** A filter of the rows; "" lets all pass. `ASLEEP` is not a state of an endpoint: its versions sleep. */
const ASLEEP = "With versions asleep";

const passes = (filter: string, { overview }: Row): boolean =>
  !filter || (filter === ASLEEP ? overview.versions.some((one) => one.asleep) : overview.label === filter);

function Found({ overviews, address, wanted }: Props & { overviews: Overview[] }) {
  const [order, setOrder] = useState(FIRST);
  const [filter, setFilter] = useState("");
  const rows = useMemo(() => overviews.map(rowOf), [overviews]);
  const filters = useMemo(() => filtersOf(rows, filter), [rows, filter]);
  const found = useMemo(
    () =>
      inOrder(
        rows.filter((row) => passes(filter, row) && row.overview.registered_model_name.toLowerCase().includes(wanted)),
        order,
      ),
    [rows, filter, wanted, order],
  );
  return (
    <>
      <div role="group" aria-label="State" className="line filters">
        {filters.map(({ label, count }) => (
          <button key={label} type="button" className="chip" aria-pressed={filter === label} onClick={() => setFilter(label)}>
            {label || "All"} {count.toLocaleString()}
          </button>
        ))}
      </div>
      {found.length === 0 ? (
        <p className="muted">No served model matches.</p>
      ) : (
        <Rows rows={found} address={address} order={order} setOrder={setOrder} />
      )}
    </>
  );
}

/** The filters with their counts, what needs a person first. The chosen filter stays, also when no row passes it any more. */
function filtersOf(rows: Row[], chosen: string): { label: string; count: number }[] {
  const labels = [...new Set(inOrder(rows, FIRST).map((row) => row.overview.label))];
  const all = ["", ...labels, ...(rows.some((row) => passes(ASLEEP, row)) ? [ASLEEP] : [])];
  if (!all.includes(chosen)) all.push(chosen);
  return all.map((label) => ({ label, count: rows.filter((row) => passes(label, row)).length }));
}
