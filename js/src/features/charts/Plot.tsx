import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import uPlot from "uplot";
import type { Mark } from "../../shared/history";
import { dateTime } from "../../shared/format";
import type { Chart } from "./charts";
import { DASHES, optionsFor } from "./plotOptions";
import { TableOf } from "./TableOf";

interface Props {
  chart: Chart;
  /** Milliseconds since 1970. */
  times: number[];
  marks: Mark[];
  /** Shows the time between two times, in milliseconds since 1970. */
  zoom: (from: number, to: number) => void;
}

/** One chart with its legend, whose values are those under the cursor, and a table of the same values. */
export function Plot({ chart, times, marks, zoom }: Props) {
  const id = useId();
  const [at, setAt] = useState<number | null>(null);
  const plot = usePlot({ chart, times, marks, zoom }, setAt);
  const { box } = plot;
  const last = times.length - 1;
  const shown = at !== null && at <= last ? at : null;
  const told = shown === null ? "The latest values" : dateTime(times[shown] ?? 0);
  const value = (values: (number | null)[]) => {
    const found = shown === null ? (values.findLast((one) => one !== null) ?? null) : values[shown];
    return found == null ? "–" : chart.show(found);
  };
  const move = (event: KeyboardEvent) => {
    const from = shown ?? last;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 10, PageDown: from + 10, Home: 0, End: last }[event.key];
    if (event.key === "Escape") plot.point(null);
    if (to === undefined) return;
    event.preventDefault();
    plot.point(Math.max(0, Math.min(last, to)));
  };
  return (
    <figure className="chart" id={`chart-${chart.key}`} aria-labelledby={id}>
      <figcaption>
        <h4 id={id}>
          {chart.title} <span className="muted">{chart.unit}</span>
        </h4>
        <span className="muted small">{told}</span>
      </figcaption>
      <div
        ref={box}
        className="plot"
        role="slider"
        tabIndex={0}
        aria-label={`${chart.title} over time`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, last)}
        aria-valuenow={shown ?? Math.max(0, last)}
        aria-valuetext={`${told}: ${chart.lines.map((line) => `${line.label} ${value(line.values)}`).join(", ")}`}
        onKeyDown={move}
      />
      <ul className="legend">
        {chart.lines.map((line, index) => (
          <li key={line.label}>
            <svg width="22" height="8" aria-hidden="true">
              <line x1="0" y1="4" x2="22" y2="4" className={`line-${index % 8}`} strokeDasharray={DASHES[index % DASHES.length]?.join(" ")} />
            </svg>
            {line.label} <strong>{value(line.values)}</strong>
          </li>
        ))}
      </ul>
      <TableOf chart={chart} times={times} />
    </figure>
  );
}

/** Keeps a drawing in a box. `point`: moves the cursor to an index, or away. */
function usePlot(props: Props, setAt: (at: number | null) => void) {
  const box = useRef<HTMLDivElement>(null);
  const drawing = useRef<uPlot | null>(null);
  const latest = useRef(props);
  useTheme(box, () => drawing.current?.redraw());
  const data = dataOf(props);
  const labels = props.chart.lines.map((line) => line.label).join("\n");
  useEffect(() => {
    latest.current = props;
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const plot = new uPlot(optionsFor(element, () => latest.current, setAt), dataOf(latest.current), element);
    drawing.current = plot;
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: plot.height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
      drawing.current = null;
    };
  }, [labels, setAt]);
  useEffect(() => {
    drawing.current?.setData(data);
  });
  const point = (index: number | null) => {
    const plot = drawing.current;
    const time = index === null ? undefined : plot?.data[0][index];
    plot?.setCursor(time === undefined ? { left: -10, top: -10 } : { left: plot.valToPos(time, "x"), top: 10 });
  };
  return { box, point };
}

const dataOf = ({ chart, times }: Props): uPlot.AlignedData => [
  times.map((time) => time / 1000),
  ...chart.lines.map((line) => line.values),
];

/** Calls back when the page gets another theme: what is drawn does not follow by itself. */
function useTheme(box: { current: HTMLElement | null }, changed: () => void): void {
  const latest = useRef(changed);
  useEffect(() => {
    latest.current = changed;
  });
  useEffect(() => {
    const root = box.current?.getRootNode();
    if (!(root instanceof ShadowRoot)) return;
    const observer = new MutationObserver(() => latest.current());
    observer.observe(root.host, { attributes: true, attributeFilter: ["data-theme"] });
    return () => observer.disconnect();
  }, [box]);
}
