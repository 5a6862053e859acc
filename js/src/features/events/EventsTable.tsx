import { useState } from "react";
import type { Target } from "../../shared/history";
import type { ServingEvent } from "../../shared/api";
import { ago, dateTime, words } from "../../shared/format";
import { useEvents } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Loaded } from "../../shared/ui/Loaded";
import { useNow } from "../../shared/ui/Status";

interface Props {
  target: Target;
  /** Versions to choose from; without any, there is no choice. */
  versions: number[];
}

/** Events of an endpoint and its versions, newest first. */
export function EventsTable({ target, versions }: Props) {
  const [only, setOnly] = useState("");
  const [type, setType] = useState("");
  const [pages, setPages] = useState(1);
  const events = useEvents(target, only ? Number(only) : undefined, pages);
  return (
    <Loaded of={events}>
      {(page) => (
        <>
          <div className="filters">
            {versions.length > 0 && (
              <Filter label="Version" all="All versions" values={versions.map(String)} value={only} choose={setOnly} />
            )}
            <Filter label="Type" all="All types" values={typesOf(page.events, type)} value={type} choose={setType} show={nameOf} />
          </div>
          <Rows events={page.events.filter((event) => !type || event.event_type === type)} />
          {page.next_page_token && (
            <Button disabled={events.isPlaceholderData} onClick={() => setPages(pages + 1)}>
              Older events
            </Button>
          )}
        </>
      )}
    </Loaded>
  );
}

/** Types whose own words say nothing to a reader. */
const NAMES: Record<string, string> = {
  VERSION_ENVIRONMENT: "Version environment chosen",
  VERSION_BATCHING: "Version batching decided",
  VERSION_PLACED: "Version's workers placed",
};

const nameOf = (type: string): string => NAMES[type] ?? words(type);

const typesOf = (events: ServingEvent[], chosen: string): string[] =>
  [...new Set([...events.map((event) => event.event_type), ...(chosen ? [chosen] : [])])].sort();

function Rows({ events }: { events: ServingEvent[] }) {
  const now = useNow();
  if (events.length === 0) return <p className="muted">No events yet.</p>;
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls where the page is narrow
    <div className="scroll" tabIndex={0} role="region" aria-label="Events">
      <table className="events">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Type</th>
            <th scope="col">Version</th>
            <th scope="col">Message</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event, index) => (
            <tr key={`${event.timestamp}-${events.length - index}`}>
              <td className="nowrap" title={dateTime(event.timestamp)}>
                {ago(now - event.timestamp)}
              </td>
              <td className={/_(FAILED|DEGRADED)$/.test(event.event_type) ? "nowrap problem" : "nowrap"}>
                {nameOf(event.event_type)}
              </td>
              <td>{event.endpoint_version_name ?? "all"}</td>
              <td className="message">{event.message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface FilterProps {
  label: string;
  all: string;
  values: string[];
  value: string;
  choose: (value: string) => void;
  show?: (value: string) => string;
}

function Filter({ label, all, values, value, choose, show = (text) => text }: FilterProps) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => choose(event.target.value)}>
        <option value="">{all}</option>
        {values.map((one) => (
          <option key={one} value={one}>
            {show(one)}
          </option>
        ))}
      </select>
    </label>
  );
}
