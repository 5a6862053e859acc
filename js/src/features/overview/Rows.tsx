import { type Row, type Column, type Order, clicked } from "./order";
import { bytes, dateTime, duration, middle, sentence } from "../../shared/format";
import { FIGURES, FigureCells } from "../../shared/ui/Figures";
import { Status, useNow } from "../../shared/ui/Status";

const LONGEST_NAME = 60;

interface Props {
  rows: Row[];
  address: (name: string) => string;
  order: Order;
  setOrder: (order: Order) => void;
}

/** One row for each endpoint; the heads of the columns sort. */
export function Rows({ rows, address, order, setOrder }: Props) {
  const now = useNow();
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
    <table className="overview">
      <thead>
        <tr>
          {head("name", "Model", "name")}
          {head("state", "Status", "state")}
          <th scope="col" className="count wide">Versions ready</th>
          <th scope="col" className="count wide">Replicas ready</th>
          {head("requests", "Requests", "count")}
          {FIGURES.map(({ key, label, title }) => head(key, label, "figure", title))}
          {head("memory", "Memory", "use", "Of the workers on this host, with their share of what several workers share")}
          {head("asked", "Last request", "use ago", "Since the server's start")}
          {head("changed", "Changed", "changed wide")}
          <th scope="col">Details</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.overview.registered_model_name}>
            <Cells row={row} address={address} now={now} />
          </tr>
        ))}
      </tbody>
    </table>
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
        {versions.filter((one) => one.ready_replicas > 0).length} of {versions.length}
      </td>
      <td className="count wide">
        {sum(versions.map((one) => one.ready_replicas))} of {sum(versions.map((one) => one.replicas))}
      </td>
      <td className="count">{row.requests.toLocaleString()}</td>
      <FigureCells of={row.recent} />
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
      {of === null ? "–" : `${duration(now - of)} ago`}
    </td>
  );
}

const sum = (numbers: number[]): number => numbers.reduce((total, one) => total + one, 0);
