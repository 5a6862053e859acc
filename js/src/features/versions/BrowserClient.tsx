import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { Sample } from "../../shared/api";
import { duration } from "../../shared/format";
import { type Scored, score } from "../../shared/http";
import { Button } from "../../shared/ui/Button";
import { Notice } from "../../shared/ui/Loaded";
import { useNow } from "../../shared/ui/Status";
import { pretty } from "./layout";
import { complaint } from "./replies";
import { Response } from "./Response";

interface Props {
  url: string;
  body: string;
  setBody: (body: string) => void;
  sample: Sample | null;
  /** Why there is no sample. */
  noSample: string | null;
  /** Other addresses to compare with. */
  others: { label: string; url: string }[];
}

/** Sends a request to the model and shows what comes back. */
export function BrowserClient({ url, body, setBody, sample, noSample, others }: Props) {
  const [against, setAgainst] = useState("");
  const other = others.find((one) => one.label === against);
  const { request, abort } = useRequest();
  const second = useRequest();
  const wrong = body.trim() ? complaint(body) : null;
  const refused = !body.trim() ? "Write a request, or load the example." : wrong ? "The request is not JSON." : null;
  const send = () => {
    if (refused || request.isPending) return;
    request.mutate({ url, body });
    if (other) second.request.mutate({ url: other.url, body });
    else second.request.reset();
  };
  const sent = request.variables;
  const outdated = sent !== undefined && (sent.body !== body || sent.url !== url);
  return (
    <div className="client">
      <div>
        <div className="line">
          <Button refused={noSample} onClick={() => setBody(pretty(sample?.body ?? ""))}>
            Load Example
          </Button>
          <Button disabled={!body.trim() || wrong !== null} onClick={() => setBody(pretty(body))}>
            Format
          </Button>
          <span className="muted small">{noSample ?? (sample?.source === "signature" && "Made from the signature.")}</span>
        </div>
        <label htmlFor="request-body">Request (JSON)</label>
        <textarea
          id="request-body"
          spellCheck={false}
          rows={12}
          value={body}
          aria-invalid={wrong !== null}
          aria-describedby="request-problem"
          placeholder={sample ? pretty(sample.body).slice(0, 400) : '{"dataframe_records": [{"column": 1.0}]}'}
          onChange={(event) => setBody(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
          }}
        />
        <p id="request-problem" className={wrong ? "problem" : "muted"} role="status">
          {wrong ? `Not JSON: ${wrong}` : (refused ?? "Valid JSON")}
        </p>
        <div className="line">
          <Button kind="primary" refused={refused} disabled={request.isPending} onClick={send}>
            {request.isPending ? "Waiting for the model…" : "Send Request"}
          </Button>
          {request.isPending && <Button onClick={() => (abort(), second.abort())}>Cancel</Button>}
          <span className="muted small">Ctrl+Enter</span>
          {others.length > 0 && (
            <label className="chooser">
              Compare with
              <select value={against} onChange={(event) => setAgainst(event.target.value)}>
                <option value="">nothing</option>
                {others.map((one) => (
                  <option key={one.label}>{one.label}</option>
                ))}
              </select>
            </label>
          )}
        </div>
      </div>
      <section aria-label="Response" aria-live="polite" className={outdated ? "response outdated" : "response"}>
        {outdated && !request.isPending && <p className="muted small">The request was changed after this answer.</p>}
        <Outcome of={request} />
        {!second.request.isIdle && (
          <div className="second">
            <h4>{against || "Compared"}</h4>
            <Outcome of={second.request} />
            <Agreement one={request.data} other={second.request.data} />
          </div>
        )}
      </section>
    </div>
  );
}

/** Sends a request; the page that is left does not wait for the answer. */
export function useRequest() {
  const running = useRef<AbortController | null>(null);
  const request = useMutation({
    networkMode: "always",
    mutationFn: (sent: { url: string; body: string }) => {
      running.current = new AbortController();
      return score(sent.url, sent.body, running.current.signal);
    },
  });
  useEffect(() => () => running.current?.abort(), []);
  return { request, abort: () => running.current?.abort() };
}

/** The answer, or what there is in its place. */
export function Outcome({ of: request }: { of: ReturnType<typeof useRequest>["request"] }) {
  return (
    <>
      {request.data && <Response reply={request.data} />}
      {request.error && <Notice tone="error">{sentence(request.error)}</Notice>}
      {request.isPending && <Waiting since={request.submittedAt} />}
      {request.isIdle && <p className="muted">The response will be shown here.</p>}
    </>
  );
}

function Agreement({ one, other }: { one: Scored | undefined; other: Scored | undefined }) {
  if (!one || !other) return null;
  return <p className="muted">{pretty(one.body) === pretty(other.body) ? "Both answers are equal." : "The answers differ."}</p>;
}

function Waiting({ since }: { since: number }) {
  return (
    <p className="muted">
      <span className="spinner" aria-hidden="true" /> Waiting for the model…{" "}
      <span aria-hidden="true">{duration(useNow() - since)}</span>
    </p>
  );
}

const sentence = (error: Error): string =>
  error.name === "AbortError" ? "The request was cancelled." : "The server did not answer.";
