import { useState } from "react";
import { EndpointHeader } from "../features/endpoint/EndpointHeader";
import { NotEnabled } from "../features/endpoint/NotEnabled";
import { EventsTable } from "../features/events/EventsTable";
import { Settings } from "../features/settings/Settings";
import { NoTokens, Tokens } from "../features/tokens/Tokens";
import { Versions } from "../features/versions/Versions";
import type { Access, Overview } from "../shared/api";
import { useAccess, useOverview } from "../shared/queries";
import { Loaded } from "../shared/ui/Loaded";
import { Tabs } from "../shared/ui/Tabs";

type Key = "versions" | "events" | "settings" | "tokens";

/** Everything about the serving of one registered model. */
export function ServingView({ name, version }: { name: string; version: number | undefined }) {
  const overview = useOverview(name);
  const access = useAccess(name).data;
  return (
    <Loaded of={overview}>
      {(reply) =>
        reply.overview ? (
          <Enabled overview={reply.overview} access={access} version={version} />
        ) : (
          <NotEnabled name={name} access={access} />
        )
      }
    </Loaded>
  );
}

interface Props {
  overview: Overview;
  access: Access | undefined;
  version: number | undefined;
}

function Enabled({ overview, access, version }: Props) {
  const [tab, setTab] = useState<Key>("versions");
  const name = overview.registered_model_name;
  const tabs: { key: Key; label: string }[] = [
    { key: "versions", label: "Model Versions" },
    { key: "events", label: "Model Events" },
    { key: "settings", label: "Settings" },
    // A server without users has no tokens.
    ...(access?.auth ? [{ key: "tokens" as const, label: "Tokens" }] : []),
  ];
  return (
    <>
      <EndpointHeader overview={overview} access={access} />
      <Tabs label="Parts of serving" tabs={tabs} chosen={tab} choose={setTab}>
        {tab === "versions" && <Versions overview={overview} access={access} first={version} />}
        {tab === "events" && <EventsTable name={name} versions={overview.versions.map((one) => one.version)} />}
        {tab === "settings" && <Settings name={name} access={access} />}
        {tab === "tokens" && (access?.tokens ? <Tokens name={name} user={access.user} /> : <NoTokens />)}
      </Tabs>
    </>
  );
}
