import { useState } from "react";
import { milliseconds, serverTiming } from "../../shared/format";
import type { Scored } from "../../shared/http";
import { Copy } from "../../shared/ui/Copy";
import { Notice } from "../../shared/ui/Loaded";
import { Tabs } from "../../shared/ui/Tabs";
import { pretty } from "./layout";
import { type Table, asTable } from "./replies";

const VIEWS = [
  { key: "table", label: "Table" },
  { key: "json", label: "JSON" },
] as const;

const MOST_ROWS = 200;

/** One answer: its status, its timings and the predictions. */
export function Response({ reply }: { reply: Scored }) {
  const [view, setView] = useState<"table" | "json">("table");
  const ok = reply.status === 200;
  const table = ok ? asTable(reply.body) : null;
  return (
    <>
      <p className="line">
        <strong className={ok ? "good" : "problem"}>
          {reply.status} {ok ? "OK" : "Failed"}
        </strong>
        <span>{milliseconds(reply.milliseconds)}</span>
        {reply.entity && <span className="muted">answered by {reply.entity}</span>}
        {reply.version && !reply.entity && <span className="muted">answered by version {reply.version}</span>}
        <span className="grow" />
        <Copy text={pretty(reply.body)} what="the response" />
      </p>
      {!ok && <Notice tone="error">{messageOf(reply.body)}</Notice>}
      <Timing header={reply.timing} />
      {table && table.rows.length > MOST_ROWS && (
        <p className="muted small">
          The table shows the first {MOST_ROWS} of {table.rows.length.toLocaleString()} rows; JSON shows all.
        </p>
      )}
      {table && <Tabs label="Views of the response" tabs={VIEWS} chosen={view} choose={setView} small />}
      {table && view === "table" ? <Rows table={table} /> : <Text text={pretty(reply.body)} />}
    </>
  );
}

/** The sentence of an error in MLflow's shape; else the beginning of what was answered. */
function messageOf(body: string): string {
  try {
    const found: unknown = JSON.parse(body);
    if (typeof found === "object" && found !== null && "message" in found) return String(found.message);
  } catch {
    // Not JSON: a proxy answers as it likes.
  }
  return body.slice(0, 500);
}

function Text({ text }: { text: string }) {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- long ones scroll
    <pre className="wrapped" tabIndex={0} role="region" aria-label="Response body">
      {text}
    </pre>
  );
}

function Timing({ header }: { header: string | null }) {
  const steps = serverTiming(header);
  const total = steps.reduce((sum, step) => sum + step.milliseconds, 0);
  if (steps.length === 0) return null;
  return (
    <>
      <div className="timing" aria-hidden="true">
        {steps.map((step) => (
          <span key={step.name} className={`part-${step.name}`} style={{ flexGrow: total ? step.milliseconds / total : 0 }} />
        ))}
      </div>
      <p className="muted small" data-timing="">
        In the server: {steps.map((step) => `${step.name} ${milliseconds(step.milliseconds)}`).join(" · ")}
      </p>
    </>
  );
}

function Rows({ table }: { table: Table }) {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- long ones scroll
    <div className="scroll tall" tabIndex={0} role="region" aria-label="Predictions">
      <table>
        <thead>
          <tr>
            <th scope="col">Row</th>
            {table.columns.map((column) => (
              <th scope="col" key={column}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.slice(0, MOST_ROWS).map((row, index) => (
            <tr key={index}>
              <td className="muted">{index}</td>
              {row.map((cell, at) => (
                <td key={at}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
