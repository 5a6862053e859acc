import { useState } from "react";
import { milliseconds } from "../../shared/format";
import { useAgreement } from "../../shared/queries";
import type { Agreement } from "../../shared/servingApi";
import { Notice } from "../../shared/ui/Loaded";
import { Differences } from "./Differences";

interface Props {
  name: string;
  /** Whether the user may see what callers sent. */
  manages: boolean;
}

/** How the answers of the shadow agree with those that callers got. */
export function ShadowPanel({ name, manages }: Props) {
  const [open, setOpen] = useState(false);
  const { data, error } = useAgreement(name);
  if (!data) return error && <Notice tone="error">The shadow's agreement cannot be read: {error.message}</Notice>;
  const compared = data.equal + data.within_tolerance + data.differs + data.errors;
  return (
    <section className="split" aria-label="Shadow">
      <h4>
        Shadow: {data.served_model_name}, {data.percentage} % of the requests
      </h4>
      {compared === 0 ? (
        <p className="muted">No request was compared yet.</p>
      ) : (
        <>
          <Bar data={data} compared={compared} />
          <p>
            {share(data.equal, compared)} equal · {share(data.within_tolerance, compared)} within the tolerance ·{" "}
            <span className={data.differs ? "problem" : ""}>{share(data.differs, compared)} differ</span> ·{" "}
            <span className={data.errors ? "problem" : ""}>{share(data.errors, compared)} failed</span>, of {compared.toLocaleString()} compared.
            {data.dropped > 0 && ` ${data.dropped.toLocaleString()} were dropped under load.`}
          </p>
        </>
      )}
      <Latencies of={data.latency} shadow={data.served_model_name} />
      {manages && data.differs > 0 && (
        <details onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>Last answers that differ</summary>
          {open && <Differences name={name} />}
        </details>
      )}
    </section>
  );
}

function Latencies({ of: { primary, shadow }, shadow: name }: { of: Agreement["latency"]; shadow: string }) {
  return (
    <div className="scroll">
      <table className="libraries" aria-label="Latency">
        <thead>
          <tr>
            <th scope="col">Latency</th>
            <th scope="col">p50</th>
            <th scope="col">p95</th>
          </tr>
        </thead>
        <tbody>
          {[
            { label: "Answers to callers", of: primary },
            { label: `Shadow ${name}`, of: shadow },
          ].map((row) => (
            <tr key={row.label}>
              <th scope="row">{row.label}</th>
              <td>{time(row.of.p50_ms)}</td>
              <td>{time(row.of.p95_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const time = (value: number | null): string => (value === null ? "–" : milliseconds(value));
const share = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(1)} %`;

function Bar({ data, compared }: { data: Agreement; compared: number }) {
  const parts = { equal: data.equal, within: data.within_tolerance, differs: data.differs, errors: data.errors };
  return (
    <div className="timing" aria-hidden="true">
      {Object.entries(parts).map(([name, count]) => (
        <span key={name} className={`agree-${name}`} style={{ flexGrow: count / compared }} />
      ))}
    </div>
  );
}
