import { useEffect, useRef, useState } from "react";
import { type History, type Target, lineName } from "../../shared/history";
import { dateTime, words } from "../../shared/format";
import { useHistory } from "../../shared/queries";
import { type Range, between } from "../../shared/ranges";
import { Loaded } from "../../shared/ui/Loaded";
import { busiest, chartsOf, measured } from "./charts";
import { Plot } from "./Plot";
import { RangePicker } from "./RangePicker";

interface Props {
  target: Target;
  range: Range;
  /** When the server last said that the endpoint is served, in milliseconds since 1970. */
  at: number;
  setRange: (key: string) => void;
  /** The chart that is looked for. */
  first?: string | undefined;
}

/** What was measured of an endpoint, as lines over time: one for each version, so that versions are compared. */
export function Charts({ target, range, at, setRange, first }: Props) {
  const history = useHistory(target, range, at);
  return (
    <>
      <div className="filters">
        <RangePicker range={range} setRange={setRange} />
        <span className="muted small">Drag across a chart to look closer. The arrow keys move the cursor.</span>
      </div>
      <Loaded of={history}>
        {(reply) => <Drawn history={reply} zoom={(from, to) => setRange(between(from, to))} first={first} />}
      </Loaded>
    </>
  );
}

function Drawn({ history, zoom, first }: { history: History; zoom: (from: number, to: number) => void; first: string | undefined }) {
  const [picked, setPicked] = useState<string[] | null>(null);
  const names = history.series.map(lineName);
  const chosen = picked?.filter((one) => names.includes(one)) ?? busiest(history);
  const toggle = (name: string) => setPicked(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (first) box.current?.querySelector(`#chart-${first}`)?.scrollIntoView({ block: "center" });
  }, [first]);
  const charts = chartsOf(history, chosen);
  if (!charts.some(measured)) {
    return (
      <section className="empty">
        <h3>Nothing was measured in this time</h3>
        <p>The server measures every 10 seconds while it runs. Charts begin with the first of these.</p>
      </section>
    );
  }
  return (
    <>
      {names.length > 1 && (
        <div role="group" aria-label="Lines" className="line filters">
          {names.map((name) => (
            <button key={name} type="button" className="chip" aria-pressed={chosen.includes(name)} onClick={() => toggle(name)}>
              {name}
            </button>
          ))}
        </div>
      )}
      <div className="charts" ref={box}>
        {charts.map((chart) => (
          <Plot key={chart.key} chart={chart} times={history.times} marks={history.marks} zoom={zoom} />
        ))}
      </div>
      <Marks history={history} />
    </>
  );
}

/** The events that the charts mark. */
function Marks({ history: { marks } }: { history: History }) {
  if (marks.length === 0) return null;
  return (
    <details>
      <summary>
        {marks.length} {marks.length === 1 ? "event" : "events"} in this time, marked ▾ in the charts
      </summary>
      <ul className="marks">
        {[...marks].reverse().map((mark, index) => (
          <li key={index}>
            <span className="muted nowrap">{dateTime(mark.time)}</span> {words(mark.event_type)}
            {mark.endpoint_version_name && `, version ${mark.endpoint_version_name}`}: {mark.message}
          </li>
        ))}
      </ul>
    </details>
  );
}
