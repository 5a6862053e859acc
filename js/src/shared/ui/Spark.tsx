import type { Column } from "../history";

const WIDTH = 80;
const HEIGHT = 20;

/** So many steps are shown at least: of a server that has just started, the line is not a speck at the edge. */
const FEWEST = 8;

/** A small line without axes; nothing where nothing was measured. The number beside says what the line shows. */
export function Spark({ of: all }: { of: Column | undefined }) {
  const values = all && sinceMeasured(all);
  const known = values?.filter((one) => one !== null) ?? [];
  if (!values || known.length < 2) return <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />;
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" preserveAspectRatio="none">
      <path d={pathOf(values)} />
    </svg>
  );
}

/** The steps since something was measured. */
export function sinceMeasured(values: Column): Column {
  const first = values.findIndex((one) => one !== null);
  return values.slice(Math.max(0, Math.min(first, values.length - FEWEST)));
}

/** The line from left to right, with a gap where nothing was measured. Begins at zero, so that noise looks small. */
export function pathOf(values: Column): string {
  const top = Math.max(...values.map((one) => one ?? 0)) || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  let pen = "M";
  const parts = values.map((value, index) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const point = `${pen}${(index * step).toFixed(1)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`;
    pen = "L";
    return point;
  });
  return parts.join("");
}
