import { useVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState } from "react";
import { ago, bytes, dateTime, middle, sentence } from "../../shared/format";
import { FIGURES, FigureCells, SPARK_TITLE } from "../../shared/ui/Figures";
import { Status, useNow } from "../../shared/ui/Status";
import { type Column, type Order, type Row, clicked } from "./order";

const LONGEST_NAME = 60;
const ROW_PX = 37;
/** Shorter lists are drawn whole, so that the browser's own search finds everything. */
const DRAWN_WHOLE = 100;

interface Props {
  rows: Row[];
  address: (name: string) => string;
  order: Order;
  setOrder: (order: Order) => void;
}

/** One row for each endpoint; the heads of the columns sort. Of a long list only what is in view is drawn. */
export function Rows({ rows, address, order, setOrder }: Props) {
  const now = useNow();
  const table = useRef<HTMLTableElement>(null);
  const { shown, before, after, measure } = useShown(table, rows.length);
  return (
    <table className="overview" aria-label="Served models" aria-rowcount={rows.length + 1} ref={table}>
      <Heads order={order} setOrder={setOrder} />
      <tbody>
        <Gap height={before} />
        {shown.map((index) => {
          const row = rows[index];
          return (
            row && (
              <tr key={row.overview.registered_model_name} aria-rowindex={index + 2} data-index={index} ref={measure}>
                <Cells row={row} address={address} now={now} />
              </tr>
            )
          );
        })}
        <Gap height={after} />
      </tbody>
    </table>
  );
}

const Gap = ({ height }: { height: number }) => (height > 0 ? <tr aria-hidden="true" className="gap" style={{ height }} /> : null);

/** The indices of the rows to draw, and the height in pixels of those before and after. */
function useShown(table: { current: HTMLTableElement | null }, count: number) {
  const [place, setPlace] = useState<{ box: Element | null; top: number }>({ box: null, top: 0 });
  useLayoutEffect(() => {
    const box = scrolling(table.current);
    if (box && table.current) setPlace({ box, top: table.current.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop });
  }, [table]);
  // eslint-disable-next-line react-hooks/incompatible-library -- no component takes the virtualizer's functions as props
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => place.box,
    estimateSize: () => ROW_PX,
    scrollMargin: place.top,
    overscan: 12,
    enabled: count > DRAWN_WHOLE,
  });
  if (count <= DRAWN_WHOLE) return { shown: Array.from({ length: count }, (_, index) => index), before: 0, after: 0, measure: null };
  const items = virtual.getVirtualItems();
  return {
    shown: items.map((one) => one.index),
    before: (items[0]?.start ?? place.top) - place.top,
    after: virtual.getTotalSize() - ((items.at(-1)?.end ?? place.top) - place.top),
    measure: virtual.measureElement,
  };
}

/** The element that scrolls the page, which is one of MLflow's own around ours. */
function scrolling(from: Element | null): Element | null {
  let one: Element | null = from;
  while (one) {
    if (/auto|scroll/.test(getComputedStyle(one).overflowY)) return one;
    const root: Node = one.getRootNode();
    one = one.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
  }
  return document.scrollingElement;
}

function Heads({ order, setOrder }: Pick<Props, "order" | "setOrder">) {
  const head = (column: Column, label: string, className: string, title?: string) => (
    <th
      key={column}
      scope="col"
      className={className}
      title={title}
      aria-sort={order.column !== column ? undefined : order.descending ? "descending" : "ascending"}
    >
      <button type="button" className="sort" onClick={() => setOrder(clicked(order, column))}>
        {label}
        <span aria-hidden="true">{order.column !== column ? "" : order.descending ? " ▾" : " ▴"}</span>
      </button>
    </th>
  );
  return (
    <thead>
      <tr>
        {head("name", "Model", "name")}
        {head("state", "Status", "state")}
        {head("versions", "Versions ready", "count wide")}
        {head("replicas", "Replicas ready", "count wide")}
        {head("requests", "Requests", "count", "Since the server's start")}
        {FIGURES.map(({ key, label, title }) => head(key, label, "figure", title))}
        <th scope="col" className="figure line-cell" title={SPARK_TITLE}>
          Trend
        </th>
        {head("memory", "Memory", "use", "Of the workers on this host, with their share of what several workers share")}
        {head("asked", "Last request", "use ago", "Since the server's start")}
        {head("changed", "Changed", "changed wide")}
        <th scope="col">Details</th>
      </tr>
    </thead>
  );
}

function Cells({ row, address, now }: { row: Row; address: Props["address"]; now: number }) {
  const { registered_model_name: name, versions, state_message, latest_message } = row.overview;
  const { memory_bytes: memory, last_request: asked } = row.overview;
  const details = state_message && latest_message ? `${sentence(state_message)} ${latest_message}` : state_message || latest_message;
  return (
    <>
      <td className="name">
        <a href={address(name)} title={name}>
          {middle(name, LONGEST_NAME)}
        </a>
      </td>
      <td className="state">
        <Status of={row.overview} />
      </td>
      <td className="count wide">
        {row.versions} of {versions.length}
      </td>
      <td className="count wide">
        {row.replicas} of {versions.reduce((sum, one) => sum + one.replicas, 0)}
      </td>
      <td className="count">{row.requests.toLocaleString()}</td>
      <FigureCells of={row.overview.figures} />
      <td className="use">{memory ? bytes(memory) : "–"}</td>
      <Ago of={asked} now={now} className="use ago" />
      <Ago of={row.changed} now={now} className="changed wide" />
      <td className="cut" title={details}>
        {details}
      </td>
    </>
  );
}

function Ago({ of, now, className }: { of: number | null; now: number; className: string }) {
  return (
    <td className={`${className} nowrap`} title={of === null ? undefined : dateTime(of)}>
      {of === null ? "–" : ago(now - of)}
    </td>
  );
}
