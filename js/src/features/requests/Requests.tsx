import { useState } from "react";
import type { Target } from "../../shared/history";
import { useRequests } from "../../shared/queries";
import type { Range } from "../../shared/ranges";
import type { LoggedRequest, RequestPage } from "../../shared/requestsApi";
import { Button } from "../../shared/ui/Button";
import { Loaded, Notice } from "../../shared/ui/Loaded";
import { RangePicker } from "../charts/RangePicker";
import { Drift } from "./Drift";
import { Exchange } from "./Exchange";
import { RequestRows } from "./RequestRows";
import type { Line } from "./SendAgain";

interface Props {
  target: Target;
  /** What may answer: the versions of a model, or the entities of a serving endpoint. */
  lines: Line[];
  range: Range;
  setRange: (key: string) => void;
  /** Opens the form that turns the log on. */
  configure: () => void;
}

const STATUSES = ["2xx", "4xx", "5xx", "400", "404", "429", "499", "500", "503", "504"];

interface Filter {
  status: string;
  name: string;
  least: string;
}

const ALL: Filter = { status: "", name: "", least: "" };

/** The log of an endpoint's requests: found by status, version, time and duration, opened, and sent again. */
export function Requests({ target, lines, range, setRange, configure }: Props) {
  const [chosen, setChosen] = useState(ALL);
  const [pages, setPages] = useState(1);
  const [open, setOpen] = useState<LoggedRequest | null>(null);
  const page = useRequests(target, asked(chosen), range, pages);
  return (
    <>
      <div className="filters">
        <RangePicker range={range} setRange={setRange} />
        <Choice label="Status code" chosen={chosen.status} all={STATUSES.map((one) => ({ name: one, label: one }))} choose={(status) => setChosen({ ...chosen, status })} />
        <Choice label="Answered by" chosen={chosen.name} all={lines} choose={(name) => setChosen({ ...chosen, name })} />
        <label>
          Took at least (ms)
          <input type="number" min={0} className="short" value={chosen.least} onChange={(event) => setChosen({ ...chosen, least: event.target.value })} />
        </label>
      </div>
      <Loaded of={page}>
        {(found) => (
          <>
            <Empty page={found} all={chosen === ALL} configure={configure} />
            <RequestRows requests={found.requests} open={open?.request_id} setOpen={setOpen} />
            {found.next_page_token && (
              <Button disabled={page.isPlaceholderData} onClick={() => setPages(pages + 1)}>
                Older Requests
              </Button>
            )}
          </>
        )}
      </Loaded>
      {open && <Exchange key={open.request_id} target={target} of={open} lines={lines} close={() => setOpen(null)} />}
      {page.data?.enabled && <Drift target={target} lines={lines} range={range} />}
    </>
  );
}

const asked = ({ status, name, least }: Filter) => ({
  status: status || undefined,
  name: name || undefined,
  min_ms: Number(least) >= 1 ? Math.round(Number(least)) : undefined,
});

interface ChoiceProps {
  label: string;
  chosen: string;
  all: { name: string; label: string }[];
  choose: (name: string) => void;
}

function Choice({ label, chosen, all, choose }: ChoiceProps) {
  return (
    <label>
      {label}
      <select value={chosen} onChange={(event) => choose(event.target.value)}>
        <option value="">all</option>
        {all.map((one) => (
          <option key={one.name} value={one.name}>
            {one.label}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Why there is nothing to see, or nothing new. */
function Empty({ page: { enabled, requests }, all, configure }: { page: RequestPage; all: boolean; configure: () => void }) {
  if (!enabled) {
    return (
      <Notice tone="info">
        <div className="line">
          <span className="grow">
            Requests are not logged. {requests.length > 0 && "These requests are from before. "}
            The log keeps what callers send and what the models answer.
          </span>
          <Button onClick={configure}>Set Up the Log</Button>
        </div>
      </Notice>
    );
  }
  if (requests.length > 0) return null;
  return (
    <p className="muted" role="status">
      {all ? "No request was logged in this time." : "No logged request matches."} A request is in the log within a minute.
    </p>
  );
}
