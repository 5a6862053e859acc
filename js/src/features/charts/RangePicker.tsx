import { dateTime } from "../../shared/format";
import { RANGES, type Range, beside } from "../../shared/ranges";
import { Button } from "../../shared/ui/Button";

interface Props {
  range: Range;
  setRange: (key: string) => void;
}

/** Which time is shown: one that ends now, or any other. */
export function RangePicker({ range, setRange }: Props) {
  return (
    <span className="line">
      <Button aria-label="Earlier" title="Earlier" onClick={() => setRange(beside(range, -1, Date.now()))}>
        ‹
      </Button>
      <RangeSelect range={range} setRange={setRange} />
      <Button aria-label="Later" title="Later" disabled={!range.fixed} onClick={() => setRange(beside(range, 1, Date.now()))}>
        ›
      </Button>
    </span>
  );
}

/** The choice alone. */
export function RangeSelect({ range, setRange }: Props) {
  return (
    <select aria-label="Time range" value={range.key} onChange={(event) => setRange(event.target.value)}>
      {range.fixed && (
        <option value={range.key}>
          {dateTime(range.fixed.from)} – {dateTime(range.fixed.to)}
        </option>
      )}
      {RANGES.map(({ key, label }) => (
        <option key={key} value={key}>
          Last {label}
        </option>
      ))}
    </select>
  );
}
