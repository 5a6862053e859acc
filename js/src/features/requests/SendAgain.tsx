import { useState } from "react";
import { absolute } from "../../shared/http";
import { Button } from "../../shared/ui/Button";
import { Outcome, useRequest } from "../versions/BrowserClient";
import { comparison, pathAgain } from "./kept";

/** Something that answers requests. */
export interface Line {
  label: string;
  name: string;
  /** The path of its scoring requests. */
  path: string;
}

interface Props {
  body: string;
  /** The answer in the log; null when the log has none. */
  logged: string | null;
  lines: Line[];
  /** The name of the line that answered. */
  answered: string | null | undefined;
}

/** Sends a logged request once more, to the version of one's choice, and compares the new answer with the logged one. */
export function SendAgain({ body, logged, lines, answered }: Props) {
  const [name, setName] = useState(lines.find((one) => one.name === answered)?.name ?? lines[0]?.name ?? "");
  const { request, abort } = useRequest();
  const line = lines.find((one) => one.name === name);
  const verdict = request.data && logged !== null ? comparison(request.data.body, logged) : "";
  return (
    <>
      <div className="line">
        <Button
          kind="primary"
          refused={line ? null : "Nothing is served now."}
          disabled={request.isPending}
          onClick={() => line && request.mutate({ url: absolute(pathAgain(line.path, { request: body, response: logged })), body })}
        >
          {request.isPending ? "Waiting for the model…" : "Send Again"}
        </Button>
        {request.isPending && <Button onClick={abort}>Cancel</Button>}
        <label>
          to
          <select value={name} onChange={(event) => setName(event.target.value)}>
            {lines.map((one) => (
              <option key={one.name} value={one.name}>
                {one.label}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p role="status">{verdict && <strong>{verdict}</strong>}</p>
      {!request.isIdle && (
        <section aria-label="New answer" className="response">
          <Outcome of={request} />
        </section>
      )}
    </>
  );
}
