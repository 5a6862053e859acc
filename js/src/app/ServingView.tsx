import { useState } from "react";
import { Charts } from "../features/charts/Charts";
import { FiguresRow } from "../features/charts/FiguresRow";
import { EndpointHeader } from "../features/endpoint/EndpointHeader";
import { NotEnabled } from "../features/endpoint/NotEnabled";
import { EventsTable } from "../features/events/EventsTable";
import { Requests } from "../features/requests/Requests";
import { Settings } from "../features/settings/Settings";
import { NoTokens, Tokens } from "../features/tokens/Tokens";
import { Logs } from "../features/versions/Logs";
import { TryIt } from "../features/versions/TryIt";
import { NotServed, VersionsTable } from "../features/versions/VersionsTable";
import type { Access, Overview } from "../shared/api";
import { useAccess, useOverview } from "../shared/queries";
import { rangeOf } from "../shared/ranges";
import { Loaded } from "../shared/ui/Loaded";
import { Tabs } from "../shared/ui/Tabs";
import type { Place } from "./route";

type Key = "try" | "charts" | "requests" | "logs" | "events" | "settings" | "tokens";

interface Shown {
  place: Place;
  go: (change: Partial<Place>) => void;
}

/** Everything about the serving of one registered model. `go` changes the place in the page's address. */
export function ServingView({ name, ...shown }: Shown & { name: string }) {
  const overview = useOverview(name);
  const access = useAccess(name).data;
  return (
    <Loaded of={overview}>
      {(reply) =>
        reply.overview ? (
          <Enabled overview={reply.overview} at={overview.dataUpdatedAt} access={access} {...shown} />
        ) : (
          <NotEnabled name={name} access={access} />
        )
      }
    </Loaded>
  );
}

interface Served extends Shown {
  overview: Overview;
  access: Access | undefined;
  /** When the overview came, in milliseconds since 1970. */
  at: number;
}

function Enabled({ overview, access, at, place, go }: Served) {
  const [chart, setChart] = useState<string>();
  const name = overview.registered_model_name;
  const number = place.version ?? overview.versions[0]?.version;
  const version = overview.versions.find((one) => one.version === number);
  const first = useFirstView(number, version?.tone === "failed" ? "logs" : "try");
  const tabs: { key: Key; label: string }[] = [
    { key: "try", label: "Try It" },
    { key: "charts", label: "Charts" },
    // What callers sent is for who may manage the model.
    ...(access?.permission === "MANAGE" ? [{ key: "requests" as const, label: "Requests" }] : []),
    { key: "logs", label: "Logs" },
    { key: "events", label: "Events" },
    { key: "settings", label: "Settings" },
    // A server without users has no tokens.
    ...(access?.auth ? [{ key: "tokens" as const, label: "Tokens" }] : []),
  ];
  const tab = tabs.find((one) => one.key === place.view)?.key ?? first;
  const target = { registered_model_name: name };
  const time = { range: rangeOf(place.range), setRange: (range: string) => go({ range }) };
  const open = (key: string) => {
    setChart(key);
    go({ view: "charts" });
  };
  const ofVersion = tab === "try" || tab === "logs";
  return (
    <>
      <EndpointHeader overview={overview} access={access} />
      {overview.versions.length > 0 && <FiguresRow target={target} replicas={replicasOf(overview)} memory={overview.memory_bytes} lately={overview.figures} {...time} at={at} open={open} />}
      <VersionsTable overview={overview} chosen={number} choose={(one) => go({ version: one })} />
      <Tabs
        label="Parts of serving"
        tabs={tabs}
        chosen={tab}
        choose={(key) => {
          setChart(undefined);
          go({ view: key });
        }}
        beside={ofVersion && number !== undefined && <Chooser overview={overview} number={number} go={go} />}
      >
        {ofVersion && !version && <NotServed overview={overview} number={number} />}
        {tab === "try" && version && <TryIt overview={overview} version={version} access={access} />}
        {tab === "charts" && <Charts target={target} {...time} at={at} first={chart} />}
        {tab === "requests" && <Requests target={target} lines={linesOf(overview)} {...time} configure={() => go({ view: "settings" })} />}
        {tab === "logs" && version && <Logs key={version.version} name={name} version={version} />}
        {tab === "events" && <EventsTable target={target} versions={overview.versions.map((one) => one.version)} />}
        {tab === "settings" && <Settings name={name} access={access} />}
        {tab === "tokens" && (access?.tokens ? <Tokens name={name} user={access.user} /> : <NoTokens />)}
      </Tabs>
    </>
  );
}

const linesOf = ({ versions, registered_model_name: name }: Overview) =>
  versions.map(({ version }) => ({
    label: `Version ${version}`,
    name: String(version),
    path: `/model/${encodeURIComponent(name)}/${version}/invocations`,
  }));

const replicasOf = ({ versions }: Overview) => ({
  ready: versions.reduce((sum, one) => sum + one.ready_replicas, 0),
  wanted: versions.reduce((sum, one) => sum + one.replicas, 0),
});

/** The tab for a version without a tab in the address: decided once, so that no tab closes while it is used. */
function useFirstView(version: number | undefined, view: Key): Key {
  const [first, setFirst] = useState({ version, view });
  if (first.version !== version) setFirst({ version, view });
  return first.version === version ? first.view : view;
}

function Chooser({ overview, number, go }: { overview: Overview; number: number; go: Shown["go"] }) {
  const served = overview.versions.map((one) => one.version);
  const numbers = served.includes(number) ? served : [number, ...served];
  return (
    <label className="chooser">
      of
      <select value={number} onChange={(event) => go({ version: Number(event.target.value) })} aria-label="Version">
        {numbers.map((one) => (
          <option key={one} value={one}>
            Version {one}
            {served.includes(one) ? "" : " (not served)"}
          </option>
        ))}
      </select>
    </label>
  );
}
