/** How the charts look. */

import uPlot from "uplot";
import type { Mark } from "../../shared/history";
import type { Chart } from "./charts";

const HEIGHT = 160;
const COLOURS = 8;
/** A shape for each line: colour alone does not tell lines apart. */
export const DASHES: number[][] = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
/** Drags that are shorter are clicks, in pixels. */
const SHORTEST_DRAG = 6;

interface Drawn {
  chart: Chart;
  marks: Mark[];
  zoom: (from: number, to: number) => void;
}

/** uPlot's options. `drawn` says what is shown at the moment of drawing; `setAt` hears where the cursor is. */
export function optionsFor(box: HTMLElement, drawn: () => Drawn, setAt: (at: number | null) => void): uPlot.Options {
  const style = getComputedStyle(box);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  // Asked for at each drawing: the theme may change, and a page that is being put together has no colours yet.
  const axis: uPlot.Axis = {
    stroke: () => colour("muted"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: () => colour("line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: Math.max(200, box.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: "mlflow-serving" }, y: false, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
    scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, space: 70, size: 28, values: (_plot, times, _axis, _space, step) => clock(times, step) },
      { ...axis, size: 64, values: (_plot, values) => values.map((value) => drawn().chart.show(value)) },
    ],
    series: [
      {},
      ...drawn().chart.lines.map((line, index) => ({
        label: line.label,
        stroke: () => colour(`line-${index % COLOURS}`),
        dash: DASHES[index % DASHES.length] ?? [],
        width: 1.75,
        spanGaps: false,
        points: { show: true, size: 5, filter: (plot: uPlot, at: number) => alone(plot.data[at] ?? []) },
      })),
    ],
    hooks: {
      draw: [(plot) => drawMarks(plot, drawn().marks, colour("warn"))],
      setCursor: [(plot) => setAt((plot.cursor.left ?? -1) < 0 ? null : (plot.cursor.idx ?? null))],
      setSelect: [(plot) => select(plot, drawn().zoom)],
    },
  };
}

/** Values without a neighbour, which no line leads to. */
const alone = (values: ArrayLike<number | null | undefined>): number[] =>
  Array.from(values).flatMap((value, at) => (value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []));

const DAY_S = 86_400;

/** Times of the reader's clock, or dates where they are days apart; the date in place of a time where another day begins. */
function clock(times: number[], step: number): string[] {
  let day = "";
  return times.map((time) => {
    const at = new Date(time * 1000);
    const date = at.toLocaleDateString(undefined, { day: "numeric", month: "short" });
    if (step >= DAY_S) return date;
    const shown = at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", ...(step < 60 ? { second: "2-digit" } : {}), hourCycle: "h23" });
    const another = day !== "" && day !== date;
    day = date;
    return another ? date : shown;
  });
}

function select(plot: uPlot, zoom: Drawn["zoom"]): void {
  const { left, width } = plot.select;
  if (width < SHORTEST_DRAG) return;
  zoom(plot.posToVal(left, "x") * 1000, plot.posToVal(left + width, "x") * 1000);
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

/** A dashed line with a triangle at its top for each event. */
function drawMarks(plot: uPlot, marks: Mark[], colour: string): void {
  const { ctx, bbox } = plot;
  const size = 4 * uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.fillStyle = colour;
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash([2 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
  for (const mark of marks) {
    const x = plot.valToPos(mark.time / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - size, bbox.top);
    ctx.lineTo(x + size, bbox.top);
    ctx.lineTo(x, bbox.top + 1.5 * size);
    ctx.fill();
  }
  ctx.restore();
}
