import { type KeyboardEvent, useRef } from "react";
import { ago, dateTime } from "../../shared/format";
import type { LoggedRequest } from "../../shared/requestsApi";
import { useNow } from "../../shared/ui/Status";

interface Props {
  requests: LoggedRequest[];
  /** The id of the request that is open. */
  open: string | undefined;
  setOpen: (request: LoggedRequest) => void;
}

/** Requests, newest first, one of which may be open; arrow keys move between them. */
export function RequestRows({ requests, open, setOpen }: Props) {
  const now = useNow();
  const rows = useRef<HTMLTableSectionElement>(null);
  const move = (event: KeyboardEvent, index: number) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const button = step && rows.current?.querySelectorAll("button")[index + step];
    if (!button) return;
    event.preventDefault();
    button.focus();
  };
  const reachable = Math.max(0, requests.findIndex((one) => one.request_id === open));
  if (requests.length === 0) return null;
  return (
    <div className={open === undefined ? "scroll" : "scroll tall"}>
      <table className="rows requests" aria-label="Logged requests">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Status</th>
            <th scope="col">Took</th>
            <th scope="col">Answered by</th>
            <th scope="col" className="wide">
              User
            </th>
            <th scope="col" className="wide">
              Request id
            </th>
          </tr>
        </thead>
        <tbody ref={rows}>
          {requests.map((one, index) => (
            <tr key={one.request_id} aria-current={one.request_id === open ? "true" : undefined}>
              <td title={dateTime(one.request_time)}>
                <button type="button" tabIndex={index === reachable ? 0 : -1} onClick={() => setOpen(one)} onKeyDown={(event) => move(event, index)}>
                  {ago(now - one.request_time)}
                </button>
              </td>
              <td className={one.status_code < 400 ? "good" : "problem"}>{one.status_code}</td>
              <td>{took(one)}</td>
              <td>{answeredBy(one)}</td>
              <td className="wide">{one.requester || "–"}</td>
              <td className="wide cut">
                <code>{one.client_request_id || one.request_id}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The version or the entity that answered. */
export const answeredBy = ({ endpoint_version_name: name }: LoggedRequest): string => (/^\d+$/.test(name ?? "") ? `Version ${name}` : name || "–");

/** How long the answer took; the log has whole milliseconds. */
export const took = ({ execution_duration_ms: duration }: LoggedRequest): string => (duration === null ? "–" : `${duration.toLocaleString()} ms`);
