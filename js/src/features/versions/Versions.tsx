import { useState } from "react";
import type { Access, Overview, Version } from "../../shared/api";
import { absolute } from "../../shared/http";
import { Copy } from "../../shared/ui/Copy";
import { Notice } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";
import { Tabs } from "../../shared/ui/Tabs";
import { EventsTable } from "../events/EventsTable";
import { addressesOf } from "./addresses";
import { CallModel } from "./CallModel";
import { Libraries } from "./Libraries";
import { BuildLog, Logs } from "./Logs";

interface Props {
  overview: Overview;
  access: Access | undefined;
  /** The version that is chosen at first. */
  first: number | undefined;
}

/** The list of served versions, and the details of the chosen version. */
export function Versions({ overview, access, first }: Props) {
  const [chosen, setChosen] = useState(first);
  const version = overview.versions.find((one) => one.version === chosen) ?? overview.versions[0];
  if (!version) {
    return (
      <section className="empty">
        <h3>No active version</h3>
        <p>A version is served as soon as it is registered, unless it is archived.</p>
      </section>
    );
  }
  return (
    <div className="versions">
      <ul aria-label="Served versions">
        {overview.versions.map((one) => (
          <li key={one.version}>
            <button
              type="button"
              aria-current={one.version === version.version ? "true" : undefined}
              onClick={() => setChosen(one.version)}
            >
              <span className="line">
                <strong>Version {one.version}</strong>
                <Tags version={one} />
              </span>
              <span className="line">
                <Status of={one} since={one.since} />
              </span>
              {one.tone === "failed" && <span className="problem clipped">{one.message}</span>}
            </button>
          </li>
        ))}
      </ul>
      <Chosen key={version.version} overview={overview} version={version} access={access} />
    </div>
  );
}

function Tags({ version }: { version: Version }) {
  return (
    <>
      {version.stage.toLowerCase() !== "none" && <span className="tag">{version.stage}</span>}
      {version.aliases.map((alias) => (
        <span className="tag" key={alias}>
          @ {alias}
        </span>
      ))}
    </>
  );
}

const TABS = [
  { key: "call", label: "Call" },
  { key: "logs", label: "Logs" },
  { key: "build", label: "Build Log" },
  { key: "events", label: "Version Events" },
] as const;

type Key = (typeof TABS)[number]["key"];

function Chosen({ overview, version, access }: { overview: Overview; version: Version; access: Access | undefined }) {
  const [tab, setTab] = useState<Key>(version.tone === "failed" ? "logs" : "call");
  const name = overview.registered_model_name;
  const addresses = addressesOf(overview, version.version, absolute);
  return (
    <section aria-label={`Version ${version.version}`} className="chosen">
      <div className="section-title">
        <h3>Version {version.version}</h3>
        <Status of={version} since={version.since} />
        {version.tone !== "failed" && <span className="muted">{version.message}</span>}
      </div>
      {version.tone === "failed" && <Notice tone="error">{version.message}</Notice>}
      {version.environment && <p className="muted small">Environment: {version.environment}.</p>}
      {version.note && <p className="muted small">{version.note}</p>}
      <Libraries libraries={version.libraries} />
      <dl className="addresses">
        {addresses.map(({ label, url }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              <code>{url}</code>
              <Copy text={url} what={`the URL of ${label}`} />
            </dd>
          </div>
        ))}
      </dl>
      <Tabs label={`About version ${version.version}`} tabs={TABS} chosen={tab} choose={setTab}>
        {tab === "call" && <CallModel overview={overview} version={version} addresses={addresses} access={access} />}
        {tab === "logs" && <Logs name={name} version={version.version} />}
        {tab === "build" && <BuildLog name={name} version={version.version} />}
        {tab === "events" && <EventsTable name={name} version={version.version} />}
      </Tabs>
    </section>
  );
}
