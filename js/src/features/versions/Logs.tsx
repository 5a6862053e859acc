import { useEffect, useRef, useState } from "react";
import type { LogKind, Version } from "../../shared/api";
import { bytes, withoutColours } from "../../shared/format";
import { Button } from "../../shared/ui/Button";
import { Notice } from "../../shared/ui/Loaded";
import { type Log, readAll, useLog } from "./useLog";

const KINDS: Record<LogKind, { label: string; file: string; none: string }> = {
  "get-version-logs": { label: "Log", file: "log", none: "No output yet." },
  "get-version-build-logs": { label: "Build log", file: "build.log", none: "No environment was built for this version." },
};

const NEAR_END_PX = 24;

/** The output of the version's workers, or of the build of its environment. */
export function Logs({ name, version }: { name: string; version: Version }) {
  // A version whose environment could not be built has no other log.
  const [kind, setKind] = useState<LogKind>(
    version.tone === "failed" && version.build_log && !version.environment ? "get-version-build-logs" : "get-version-logs",
  );
  const [follow, setFollow] = useState(true);
  const [search, setSearch] = useState("");
  const [all, setAll] = useState(false);
  const log = useLog(kind, name, version.version, follow, all || search !== "");
  const { label, file, none } = KINDS[kind];
  return (
    <>
      <div className="filters">
        <label>
          Show
          <select value={kind} onChange={(event) => setKind(event.target.value as LogKind)}>
            <option value="get-version-logs">Output of the workers</option>
            <option value="get-version-build-logs">Build of the environment</option>
          </select>
        </label>
        <label>
          Search
          <input type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
        </label>
        <label className="check">
          <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} />
          Follow
        </label>
        <Download kind={kind} name={name} version={version.version} file={`${name}-${version.version}.${file}`} />
      </div>
      {log.problem && <Notice tone="error">{log.problem}</Notice>}
      {log.text === null && !log.problem && <p className="muted">Loading…</p>}
      {log.text === "" && <p className="muted">{none}</p>}
      {log.text && <LogText log={{ ...log, text: log.text }} search={search} label={label} end={follow} all={() => setAll(true)} />}
    </>
  );
}

interface TextProps {
  log: Log & { text: string };
  search: string;
  label: string;
  /** Stay at the end as the text grows, unless a person has scrolled away from the end. */
  end: boolean;
  all: () => void;
}

function LogText({ log, search, label, end, all }: TextProps) {
  const box = useRef<HTMLPreElement>(null);
  const shown = matching(withoutColours(log.text), search);
  const atEnd = useRef(true);
  useEffect(() => {
    if (end) atEnd.current = true;
  }, [end]);
  // At each poll, not only when the text grows: MLflow puts its page together anew, and what is moved scrolls to its top.
  useEffect(() => {
    if (end && atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  });
  return (
    <>
      {log.start > 0 && (
        <p className="line muted" role="status">
          {search ? "Reading the whole log…" : `The last ${bytes(log.total - log.start)} of ${bytes(log.total)}.`}
          {!search && <Button onClick={all}>Show All</Button>}
        </p>
      )}
      <pre
        ref={box}
        className="log"
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls
        tabIndex={0}
        role="region"
        aria-label={label}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
        }}
      >
        {shown || (log.start > 0 ? "Reading the whole log…" : "No line matches the search.")}
      </pre>
    </>
  );
}

function Download({ kind, name, version, file }: { kind: LogKind; name: string; version: number; file: string }) {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const load = async () => {
    setBusy(true);
    setProblem("");
    try {
      download(await readAll(kind, name, version), file);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };
  return (
    <>
      <Button disabled={busy} onClick={() => void load()}>
        {busy ? "Downloading…" : "Download"}
      </Button>
      {problem && <span className="problem">{problem}</span>}
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
