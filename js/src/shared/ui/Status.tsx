import { useEffect, useState } from "react";
import type { VersionState } from "../api";
import { duration } from "../format";

export type Tone = "ready" | "busy" | "failed" | "idle";

const WORDS: Record<VersionState, [string, Tone]> = {
  PENDING: ["Pending", "busy"],
  BUILDING: ["Building environment", "busy"],
  LAUNCHING: ["Loading model", "busy"],
  READY: ["Ready", "ready"],
  DRAINING: ["Stopping", "idle"],
  FAILED: ["Failed", "failed"],
};

/** A dot and a word. */
export function Status({ tone, children }: { tone: Tone; children: string }) {
  return (
    <span className="status">
      <span className={`dot ${tone}`} aria-hidden="true" />
      {children}
    </span>
  );
}

/** Where a version stands. `since` is given where it matters for how long, in milliseconds since 1970. */
export function VersionStatus({ state, since }: { state: VersionState; since?: number }) {
  const [word, tone] = WORDS[state];
  return (
    <>
      <Status tone={tone}>{word}</Status>
      {tone === "busy" && since !== undefined && <Elapsed since={since} />}
    </>
  );
}

function Elapsed({ since }: { since: number }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return <span className="muted elapsed">for {duration(now - since)}</span>;
}

/** The state of an endpoint as a whole. */
export function EndpointStatus({ state }: { state: string }) {
  const plain = state.replace("ENDPOINT_STATE_", "") as VersionState;
  const [word, tone] = WORDS[plain] ?? WORDS.PENDING;
  return <Status tone={tone}>{word}</Status>;
}
