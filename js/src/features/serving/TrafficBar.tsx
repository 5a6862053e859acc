import { type KeyboardEvent, type PointerEvent, useRef } from "react";
import { moved } from "./draft";

interface Props {
  names: string[];
  /** Percent of each. */
  traffic: readonly number[];
  /** Without it, the bar is only looked at. */
  change?: ((traffic: number[]) => void) | undefined;
}

/** The split as a bar; the borders between entities are dragged, or moved by the arrow keys. */
export function TrafficBar({ names, traffic, change }: Props) {
  const bar = useRef<HTMLDivElement>(null);
  const drag = (event: PointerEvent, index: number) => {
    const width = bar.current?.getBoundingClientRect().width;
    if (!change || !width) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const [from, start] = [event.clientX, [...traffic]];
    const handle = event.currentTarget as HTMLElement;
    handle.onpointermove = (now) => change(moved(start, index, ((now.clientX - from) / width) * 100));
    handle.onpointerup = handle.onpointercancel = () => {
      handle.onpointermove = null;
    };
  };
  const press = (event: KeyboardEvent, index: number) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!step || !change) return;
    event.preventDefault();
    change(moved(traffic, index, step));
  };
  return (
    <div className="traffic" ref={bar} role="group" aria-label="Traffic">
      {names.map((name, index) => (
        <div key={index} className={`part back-${index % 8}`} style={{ flexGrow: traffic[index] ?? 0 }} title={`${name}: ${traffic[index] ?? 0} %`}>
          {(traffic[index] ?? 0) >= 10 && (
            <span>
              {name} {traffic[index]} %
            </span>
          )}
          {change && index < names.length - 1 && (
            <div
              className="handle"
              role="slider"
              tabIndex={0}
              aria-label={`Traffic of ${name}, against ${names[index + 1] ?? ""}`}
              aria-valuemin={0}
              aria-valuemax={(traffic[index] ?? 0) + (traffic[index + 1] ?? 0)}
              aria-valuenow={traffic[index] ?? 0}
              aria-valuetext={`${traffic[index] ?? 0} %`}
              onPointerDown={(event) => drag(event, index)}
              onKeyDown={(event) => press(event, index)}
            />
          )}
        </div>
      ))}
    </div>
  );
}
