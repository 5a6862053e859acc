import { useEffect, useState } from "react";
import { Button } from "./Button";

const SHOWN_MS = 2000;

/** Copies a text. `what` completes the label "Copy …" for screen readers. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [outcome, setOutcome] = useState("");
  useEffect(() => {
    if (!outcome) return;
    const timer = setTimeout(() => setOutcome(""), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [outcome]);
  const copy = async () => setOutcome((await toClipboard(text)) ? "Copied" : "Press Ctrl+C");
  return (
    <Button className="copy" onClick={() => void copy()} aria-label={`Copy ${what}`}>
      <span aria-live="polite">{outcome || "Copy"}</span>
    </Button>
  );
}

/** Puts a text on the clipboard; false when the browser refuses. */
async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text);
  }
}

// Browsers offer no clipboard API to pages over plain HTTP from another machine.
function copyTheOldWay(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  area.style.opacity = "0";
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
