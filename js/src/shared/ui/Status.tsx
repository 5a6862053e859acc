import { useEffect, useState } from "react";
import type { State, Tone } from "../api";
import { duration } from "../format";

/** A shape for each tone: colour alone does not tell states apart. */
const SHAPES: Record<Tone, string> = { ready: "●", busy: "◐", degraded: "▲", failed: "■", idle: "○" };

/** States of one tone that mean different things. */
const OF_LABELS: Record<string, string | undefined> = { Asleep: "☾", Draining: "◌" };

/** A state as a shape and a word; with `since`, in milliseconds since 1970, also for how long while it is busy. */
export function Status({ of: { label, tone }, since }: { of: State; since?: number }) {
  return (
    <>
      <span className={`status ${tone}`}>
        <span className="shape" aria-hidden="true">
          {OF_LABELS[label] ?? SHAPES[tone]}
        </span>
        {label}
      </span>
      {tone === "busy" && since !== undefined && <Elapsed since={since} />}
    </>
  );
}

function Elapsed({ since }: { since: number }) {
  return <span className="muted elapsed">for {duration(useNow() - since)}</span>;
}

/** When the next try is. `at`: milliseconds since 1970. */
export function NextTry({ at }: { at: number }) {
  const left = at - useNow();
  return <span>{left > 0 ? `Next try in ${duration(left)}.` : "Trying again now."}</span>;
}

/** The time, in milliseconds since 1970, anew each second. */
export function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
