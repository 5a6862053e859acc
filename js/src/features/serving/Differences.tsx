import { useState } from "react";
import { ago, dateTime } from "../../shared/format";
import { useDifferences } from "../../shared/queries";
import type { Difference } from "../../shared/servingApi";
import { Loaded } from "../../shared/ui/Loaded";
import { useNow } from "../../shared/ui/Status";
import { Body } from "../requests/Body";
import { comparison } from "../requests/kept";

const NAMES = { one: "The shadow's answer", other: "the caller's answer" };

/** The last requests that the shadow answered otherwise, newest first. */
export function Differences({ name }: { name: string }) {
  const found = useDifferences(name);
  return (
    <Loaded of={found}>
      {({ differences }) =>
        differences.length === 0 ? (
          <p className="muted">No pair is kept on this host.</p>
        ) : (
          <div className="pairs">
            {differences.map((one) => (
              <Pair key={one.request_id} of={one} />
            ))}
          </div>
        )
      }
    </Loaded>
  );
}

function Pair({ of: pair }: { of: Difference }) {
  const [open, setOpen] = useState(false);
  const now = useNow();
  const both = pair.response !== null && pair.shadow_response !== null;
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary title={dateTime(pair.request_time)}>
        {ago(now - pair.request_time)}: {both && comparison(pair.shadow_response ?? "", pair.response ?? "", NAMES)} <code>{pair.request_id}</code>
      </summary>
      {open && (
        <>
          <Body title="Request" text={pair.request} note={noteOf(pair.request)} />
          <div className="client">
            <Body title={`Answer of ${pair.served_model_name}`} text={pair.response} note={noteOf(pair.response)} />
            <Body title={`Answer of the shadow ${pair.shadow_model_name}`} text={pair.shadow_response} note={noteOf(pair.shadow_response)} />
          </div>
        </>
      )}
    </details>
  );
}

const noteOf = (text: string | null): string | null => (text === null ? "Binary: not kept." : text.endsWith("…") ? "Cut: the first 16,384 characters." : null);
