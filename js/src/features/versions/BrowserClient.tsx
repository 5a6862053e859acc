import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { Version } from "../../shared/api";
import { score } from "../../shared/http";
import { Button } from "../../shared/ui/Button";
import { Notice } from "../../shared/ui/Loaded";
import { pretty } from "./layout";
import { complaint } from "./replies";
import { Response } from "./Response";

interface Props {
  url: string;
  body: string;
  setBody: (body: string) => void;
  example: string | undefined;
  version: Version;
}

/** Sends a request to the model and shows what comes back. */
export function BrowserClient({ url, body, setBody, example, version }: Props) {
  const running = useRef<AbortController | null>(null);
  const request = useMutation({
    networkMode: "always",
    mutationFn: () => {
      running.current = new AbortController();
      return score(url, body, running.current.signal);
    },
  });
  useEffect(() => () => running.current?.abort(), []);
  const wrong = body.trim() ? complaint(body) : null;
  return (
    <div className="client">
      <div>
        <div className="line">
          <Button refused={exampleRefusal(version, example)} onClick={() => setBody(pretty(example ?? ""))}>
            Load Example
          </Button>
          <Button disabled={!body.trim() || wrong !== null} onClick={() => setBody(pretty(body))}>
            Format
          </Button>
        </div>
        <label htmlFor="request-body">Request (JSON)</label>
        <textarea
          id="request-body"
          spellCheck={false}
          rows={12}
          value={body}
          aria-invalid={wrong !== null}
          aria-describedby="request-problem"
          placeholder='{"dataframe_records": [{"column": 1.0}]}'
          onChange={(event) => setBody(event.target.value)}
        />
        <p id="request-problem" className={wrong ? "problem" : "muted"} role="status">
          {wrong ? `Not JSON: ${wrong}` : body.trim() ? "Valid JSON" : ""}
        </p>
        <div className="line">
          <Button
            kind="primary"
            refused={!body.trim() ? "Write a request, or load the example." : wrong ? "The request is not JSON." : null}
            disabled={request.isPending}
            onClick={() => request.mutate()}
          >
            {request.isPending ? "Waiting for the model…" : "Send Request"}
          </Button>
          {request.isPending && <Button onClick={() => running.current?.abort()}>Cancel</Button>}
        </div>
      </div>
      <section aria-label="Response" aria-live="polite" className="response">
        {request.data && <Response reply={request.data} />}
        {request.error && <Notice tone="error">{sentence(request.error)}</Notice>}
        {request.isIdle && <p className="muted">The response will be shown here.</p>}
      </section>
    </div>
  );
}

const sentence = (error: Error): string =>
  error.name === "AbortError" ? "The request was cancelled." : "The server did not answer.";

function exampleRefusal(version: Version, example: string | undefined): string | null {
  if (!version.has_example) return "No input example was logged with this version.";
  return example === undefined ? "The example is being fetched." : null;
}
