import { useEffect, useState } from "react";
import type { State } from "../api";
import { duration } from "../format";

/** A state as a dot and a word; with `since`, in milliseconds since 1970, also for how long while it is busy. */
export function Status({ of: { label, tone }, since }: { of: State; since?: number }) {
  return (
    <>
      <span className="status">
        <span className={`dot ${tone}`} aria-hidden="true" />
        {label}
      </span>
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
