import { type KeyboardEvent, useRef } from "react";
import type { Overview, Version } from "../../shared/api";
import { ago, bytes, dateTime } from "../../shared/format";
import { FIGURES, FigureCells, SPARK_TITLE } from "../../shared/ui/Figures";
import { Notice } from "../../shared/ui/Loaded";
import { Status, useNow } from "../../shared/ui/Status";

interface Props {
  overview: Overview;
  chosen: number | undefined;
  choose: (version: number) => void;
}

/** The served versions, newest first, one of which is chosen; arrow keys move between them. */
export function VersionsTable({ overview, chosen, choose }: Props) {
  const now = useNow();
  const rows = useRef<HTMLTableSectionElement>(null);
  const numbers = overview.versions.map((one) => one.version);
  const move = (event: KeyboardEvent, index: number) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && numbers[index + step];
    if (!next) return;
    event.preventDefault();
    choose(next);
    rows.current?.querySelectorAll("button")[index + step]?.focus();
  };
  const reachable = numbers.includes(chosen ?? 0) ? chosen : numbers[0];
  return (
    <>
      {numbers.length > 0 && (
        <div className="scroll">
        <table className="rows" aria-label="Served versions">
          <thead>
            <tr>
              <th scope="col">Version</th>
              <th scope="col">Also called</th>
              <th scope="col">State</th>
              <th scope="col" className="wide">Replicas</th>
              <th scope="col" className="wide">Requests</th>
              {FIGURES.map(({ key, label, title }) => (
                <th key={key} scope="col" className="figure" title={title}>
                  {label}
                </th>
              ))}
              <th scope="col" className="figure line-cell" title={SPARK_TITLE}>
                Trend
              </th>
              <th scope="col" className="wide">Memory</th>
              <th scope="col" className="wide">Since</th>
            </tr>
          </thead>
          <tbody ref={rows}>
            {overview.versions.map((one, index) => (
              <tr key={one.version} aria-current={one.version === chosen ? "true" : undefined}>
                <td>
                  <button
                    type="button"
                    tabIndex={one.version === reachable ? 0 : -1}
                    aria-pressed={one.version === chosen}
                    onClick={() => choose(one.version)}
                    onKeyDown={(event) => move(event, index)}
                  >
                    Version {one.version}
                  </button>
                </td>
                <td>
                  <Names version={one} latest={overview.latest === String(one.version)} />
                </td>
                <td>
                  <Status of={one} />
                </td>
                <td className="wide">
                  {one.ready_replicas} of {one.replicas}
                </td>
                <td className="wide">{one.requests.toLocaleString()}</td>
                <FigureCells of={one.figures} />
                <td className="wide nowrap">{one.memory_bytes ? bytes(one.memory_bytes) : "–"}</td>
                <td className="wide nowrap" title={dateTime(one.since)}>
                  {ago(now - one.since)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        </div>
      )}
      <Inactive inactive={overview.inactive} />
    </>
  );
}

function Names({ version, latest }: { version: Version; latest: boolean }) {
  const names = [
    ...(latest ? ["latest"] : []),
    ...(version.stage.toLowerCase() === "none" ? [] : [version.stage]),
    ...version.aliases.map((alias) => `@${alias}`),
  ];
  return (
    <span className="line">
      {names.map((name) => (
        <span className="tag" key={name}>
          {name}
        </span>
      ))}
    </span>
  );
}

/** Why versions are missing in the table. */
function Inactive({ inactive }: { inactive: Record<string, string> }) {
  const reasons = [...new Set(Object.values(inactive))];
  return reasons.map((reason) => {
    const numbers = Object.keys(inactive).filter((number) => inactive[number] === reason);
    return (
      <p className="muted small" key={reason}>
        Not served, because {reason}: {numbers.length === 1 ? "version" : "versions"} {numbers.join(", ")}.
      </p>
    );
  });
}

/** In place of a version that is not served, or of all versions. */
export function NotServed({ overview, number }: { overview: Overview; number: number | undefined }) {
  if (number !== undefined) {
    const reason = overview.inactive[String(number)];
    return (
      <Notice tone="info">
        Version {number} is not served{reason ? `: it is ${reason}` : ""}.
        {overview.versions.length > 0 && " Choose a served version in the table above."}
      </Notice>
    );
  }
  if (overview.serving_state !== "EMPTY") {
    return (
      <section className="empty" role="status">
        <h3>Starting…</h3>
        <p>{overview.state_message}</p>
      </section>
    );
  }
  return (
    <section className="empty">
      <h3>No active version</h3>
      <p>A version is served as soon as it is registered, unless it is archived.</p>
    </section>
  );
}
