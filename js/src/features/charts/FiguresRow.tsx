import { type Target, figuresOf } from "../../shared/history";
import type { Lately } from "../../shared/figures";
import { bytes, milliseconds } from "../../shared/format";
import { useHistory } from "../../shared/queries";
import type { Range } from "../../shared/ranges";
import { Spark } from "../../shared/ui/Spark";
import { perSecond, share } from "../../shared/ui/Figures";
import { RangeSelect } from "./RangePicker";

interface Props {
  target: Target;
  range: Range;
  /** When the server last said that the endpoint is served, in milliseconds since 1970. */
  at: number;
  setRange: (key: string) => void;
  /** Workers that are ready, and workers that there should be. */
  replicas?: { ready: number; wanted: number };
  memory?: number;
  /** What the server says of the last minute; else that follows from the history. */
  lately?: Lately | null | undefined;
  /** Opens the charts at one of them. */
  open: (chart: string) => void;
}

const LATELY = "In the last minute; the line shows the time range";

/** The numbers of an endpoint, each with its line over the time range. A dash where nothing was measured. */
export function FiguresRow({ target, range, at, setRange, replicas, memory, lately, open }: Props) {
  const history = useHistory(target, range, at).data;
  const figures = history && figuresOf(history);
  const now = lately
    ? { rate: lately.requests_per_second, p95: lately.p95_ms, errors: lately.error_share }
    : { rate: figures?.rate.now, p95: figures?.p95.now, errors: figures?.errors.now };
  const tiles = [
    { key: "requests", label: "Requests", value: perSecond(now.rate), spark: figures?.rate.spark, title: LATELY },
    { key: "latency", label: "p95", value: now.p95 == null ? "–" : milliseconds(now.p95), spark: figures?.p95.spark, title: LATELY },
    { key: "errors", label: "Errors", value: share(now.errors), spark: figures?.errors.spark, title: `${LATELY}. Answers with a status from 500 on` },
    ...(replicas ? [{ key: "replicas", label: "Replicas", value: `${replicas.ready} of ${replicas.wanted}`, title: "Workers that are ready" }] : []),
    ...(memory === undefined ? [] : [{ key: "memory", label: "Memory", value: memory ? bytes(memory) : "–", title: "Of the workers on this host" }]),
  ];
  return (
    <section className="figures" aria-label="Figures">
      {tiles.map((tile) => (
        <button key={tile.key} type="button" className="tile" title={tile.title} onClick={() => open(tile.key)}>
          <span className="muted small">{tile.label}</span>
          <span className="value">{tile.value}</span>
          {"spark" in tile && <Spark of={tile.spark} />}
        </button>
      ))}
      <RangeSelect range={range} setRange={setRange} />
    </section>
  );
}
