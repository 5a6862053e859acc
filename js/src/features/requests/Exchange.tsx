import { useEffect, useRef } from "react";
import { dateTime } from "../../shared/format";
import type { Target } from "../../shared/history";
import { useLoggedRequest } from "../../shared/queries";
import type { LoggedExchange, LoggedRequest } from "../../shared/requestsApi";
import { Button } from "../../shared/ui/Button";
import { Loaded } from "../../shared/ui/Loaded";
import { Body } from "./Body";
import { missing, refusal } from "./kept";
import { answeredBy, took } from "./RequestRows";
import { type Line, SendAgain } from "./SendAgain";

interface Props {
  target: Target;
  of: LoggedRequest;
  lines: Line[];
  close: () => void;
}

/** One logged request with its answer, to be read and to be sent again. */
export function Exchange({ target, of: opened, lines, close }: Props) {
  const title = useRef<HTMLHeadingElement>(null);
  const exchange = useLoggedRequest(target, opened);
  const opener = useRef<Element | null>(null);
  useEffect(() => {
    opener.current = (title.current?.getRootNode() as Document | ShadowRoot | undefined)?.activeElement ?? null;
    title.current?.focus();
  }, []);
  const leave = () => {
    close();
    if (opener.current instanceof HTMLElement) opener.current.focus();
  };
  return (
    <section className="exchange" aria-label="Logged request">
      <div className="section-title">
        <h4 ref={title} tabIndex={-1}>
          {opened.status_code}, {answeredBy(opened)}
        </h4>
        <span className="muted">
          {dateTime(opened.request_time)}, {took(opened)}
          {opened.requester && `, ${opened.requester}`}
        </span>
        <span className="grow" />
        <Button onClick={leave}>Close</Button>
      </div>
      <p className="muted small name">
        Request id <code>{opened.request_id}</code>
        {opened.client_request_id && (
          <>
            , client request id <code>{opened.client_request_id}</code>
          </>
        )}
      </p>
      <Loaded of={exchange}>{(found) => <Bodies exchange={found} lines={lines} />}</Loaded>
    </section>
  );
}

function Bodies({ exchange, lines }: { exchange: LoggedExchange; lines: Line[] }) {
  const refused = refusal(exchange);
  return (
    <>
      <Body title="Request" text={exchange.request} note={missing(exchange, "request")} />
      <div className="client">
        <Body title="Logged answer" text={exchange.response} note={missing(exchange, "response")} />
        <div>
          <h4>New answer</h4>
          {refused || exchange.request === null ? (
            <p className="muted">{refused}</p>
          ) : (
            <SendAgain body={exchange.request} logged={exchange.response} lines={lines} answered={exchange.endpoint_version_name} />
          )}
        </div>
      </div>
    </>
  );
}
