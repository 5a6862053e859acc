import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { Sample, Version } from "../../shared/api";
import { duration } from "../../shared/format";
import { score } from "../../shared/http";
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
  version: Version;
}

/** Sends a request to the model and shows what comes back. */
export function BrowserClient({ url, body, setBody, sample, version }: Props) {
  const running = useRef<AbortController | null>(null);
  const request = useMutation({
    networkMode: "always",
    mutationFn: (sent: { url: string; body: string }) => {
      running.current = new AbortController();
      return score(sent.url, sent.body, running.current.signal);
    },
  });
  useEffect(() => () => running.current?.abort(), []);
  const wrong = body.trim() ? complaint(body) : null;
  const refused = !body.trim() ? "Write a request, or load the example." : wrong ? "The request is not JSON." : null;
  const send = () => {
    if (!refused && !request.isPending) request.mutate({ url, body });
  };
  const sent = request.variables;
  const outdated = sent !== undefined && (sent.body !== body || sent.url !== url);
  const noSample = sampleRefusal(version, sample);
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
          {request.isPending && <Button onClick={() => running.current?.abort()}>Cancel</Button>}
          <span className="muted small">Ctrl+Enter</span>
        </div>
      </div>
      <section aria-label="Response" aria-live="polite" className={outdated ? "response outdated" : "response"}>
        {outdated && !request.isPending && <p className="muted small">The request was changed after this answer.</p>}
        {request.data && <Response reply={request.data} />}
        {request.error && <Notice tone="error">{sentence(request.error)}</Notice>}
        {request.isPending && <Waiting since={request.submittedAt} />}
        {request.isIdle && <p className="muted">The response will be shown here.</p>}
      </section>
    </div>
  );
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

function sampleRefusal(version: Version, sample: Sample | null): string | null {
  if (sample) return null;
  if (version.sample !== null) return "The example is being fetched.";
  if (version.fetched) return "The version has neither an input example nor a signature.";
  return "The version's files are not fetched yet.";
}
