import { useEffect, useRef, useState } from "react";
import { useBuildLogs } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Loaded, Notice } from "../../shared/ui/Loaded";
import { useLog } from "./useLog";

interface Props {
  name: string;
  version: number;
}

/** The output of the version's workers. */
export function Logs({ name, version }: Props) {
  const [follow, setFollow] = useState(true);
  const { text, problem } = useLog(name, version, follow);
  return (
    <>
      {problem && <Notice tone="error">{problem}</Notice>}
      {text === null && !problem && <p className="muted">Loading…</p>}
      {text === "" && <p className="muted">No output yet.</p>}
      {text && (
        <LogText text={text} file={`${name}-${version}.log`} label="Log" end={follow}>
          <label className="check">
            <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} />
            Follow
          </label>
        </LogText>
      )}
    </>
  );
}

/** The build log of the version's environment. */
export function BuildLog({ name, version }: Props) {
  const log = useBuildLogs(name, version);
  return (
    <Loaded of={log}>
      {({ logs }) =>
        logs ? (
          <LogText text={logs} file={`${name}-${version}.build.log`} label="Build log" end={false} />
        ) : (
          <p className="muted">No environment was built for this version: it runs in an existing environment.</p>
        )
      }
    </Loaded>
  );
}

interface TextProps {
  text: string;
  file: string;
  label: string;
  /** Scroll to the end as the text grows. */
  end: boolean;
  children?: React.ReactNode;
}

function LogText({ text, file, label, end, children }: TextProps) {
  const [search, setSearch] = useState("");
  const box = useRef<HTMLPreElement>(null);
  const shown = matching(text, search);
  useEffect(() => {
    if (end && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [end, shown]);
  return (
    <>
      <div className="filters">
        <label>
          Search
          <input type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
        </label>
        {children}
        <Button onClick={() => download(text, file)}>Download</Button>
      </div>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls */}
      <pre ref={box} className="log" tabIndex={0} role="region" aria-label={label}>
        {shown || "No line matches the search."}
      </pre>
    </>
  );
}

function matching(text: string, search: string): string {
  if (!search) return text;
  const wanted = search.toLowerCase();
  return text
    .split("\n")
    .filter((line) => line.toLowerCase().includes(wanted))
    .join("\n");
}

function download(text: string, file: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = file;
  link.click();
  URL.revokeObjectURL(address);
}
