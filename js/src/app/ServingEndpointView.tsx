import { useState } from "react";
import { Charts } from "../features/charts/Charts";
import { FiguresRow } from "../features/charts/FiguresRow";
import { EventsTable } from "../features/events/EventsTable";
import { Requests } from "../features/requests/Requests";
import { CallEndpoint } from "../features/serving/CallEndpoint";
import { EditConfig } from "../features/serving/EditConfig";
import { Entities } from "../features/serving/Entities";
import { EntityLogs } from "../features/serving/EntityLogs";
import { ServingHeader } from "../features/serving/ServingHeader";
import { ShadowPanel } from "../features/serving/ShadowPanel";
import { TrafficBar } from "../features/serving/TrafficBar";
import { useAccess, useServingEndpoint } from "../shared/queries";
import { rangeOf } from "../shared/ranges";
import { type ServedConfig, type ServingEndpoint, scoringPath } from "../shared/servingApi";
import { dateTime } from "../shared/format";
import { Loaded, Notice } from "../shared/ui/Loaded";
import { Tabs } from "../shared/ui/Tabs";
import { type Place, modelAddress } from "./route";

const TABS = [
  { key: "try", label: "Try It" },
  { key: "charts", label: "Charts" },
  { key: "requests", label: "Requests" },
  { key: "logs", label: "Logs" },
  { key: "events", label: "Events" },
  { key: "config", label: "Configuration" },
] as const;

interface Shown {
  place: Place;
  go: (change: Partial<Place>) => void;
  /** Leaves the page of an endpoint that is no more. */
  leave: () => void;
}

/** Everything about one serving endpoint. `go` changes the place in the page's address. */
export function ServingEndpointView({ name, ...shown }: Shown & { name: string }) {
  const endpoint = useServingEndpoint(name);
  return <Loaded of={endpoint}>{(found) => <Endpoint endpoint={found} at={endpoint.dataUpdatedAt} {...shown} />}</Loaded>;
}

function Endpoint({ endpoint, at, place, go, leave }: Shown & { endpoint: ServingEndpoint; at: number }) {
  const [chart, setChart] = useState<string>();
  const { name, config, pending_config: pending } = endpoint;
  const present = config ?? pending;
  const auth = useAccess(present?.served_entities[0]?.entity_name ?? "").data?.auth ?? false;
  // What callers sent is for who may manage the endpoint.
  const tabs = TABS.filter((one) => one.key !== "requests" || endpoint.permission_level === "CAN_MANAGE");
  const tab = tabs.find((one) => one.key === place.view)?.key ?? "try";
  const target = { serving_endpoint_name: name };
  const time = { range: rangeOf(place.range), setRange: (range: string) => go({ range }) };
  const open = (view: string, key?: string) => {
    setChart(key);
    go({ view });
  };
  return (
    <>
      <ServingHeader endpoint={endpoint} deleted={leave} />
      {config && <FiguresRow target={target} {...time} at={at} open={(key) => open("charts", key)} />}
      {config && <Entities label="Entities" config={config} ofModel={modelAddress} />}
      {config && config.served_entities.length > 1 && <Traffic config={config} />}
      {pending && <Pending config={pending} />}
      {config?.shadow && <ShadowPanel name={name} manages={endpoint.permission_level === "CAN_MANAGE"} />}
      <Tabs label="Parts of the endpoint" tabs={tabs} chosen={tab} choose={(view) => open(view)}>
        {tab === "try" && present && <CallEndpoint endpoint={endpoint} config={present} auth={auth} />}
        {tab === "charts" && <Charts target={target} {...time} at={at} first={chart} />}
        {tab === "requests" && <Requests target={target} lines={linesOf(name, present)} {...time} configure={() => open("config")} />}
        {tab === "logs" && <EntityLogs name={name} configs={[config, pending].filter((one) => one !== undefined)} />}
        {tab === "events" && <EventsTable target={target} versions={[]} />}
        {tab === "config" && <EditConfig endpoint={endpoint} />}
      </Tabs>
    </>
  );
}

const linesOf = (endpoint: string, config: ServedConfig | undefined) =>
  (config?.served_entities ?? []).map(({ name }) => ({ label: name, name, path: scoringPath(endpoint, name) }));

function Traffic({ config }: { config: ServedConfig }) {
  const percent = new Map(config.traffic_config?.routes.map((one) => [one.served_model_name, one.traffic_percentage]));
  const names = config.served_entities.map((one) => one.name);
  return <TrafficBar names={names} traffic={names.map((one) => percent.get(one) ?? 0)} />;
}

function Pending({ config }: { config: ServedConfig }) {
  return (
    <Notice tone="info">
      An update is under way{config.start_time !== undefined && ` since ${dateTime(config.start_time)}`}. The present configuration answers until these
      entities are ready.
      <Entities label="Entities of the update" config={config} ofModel={modelAddress} />
    </Notice>
  );
}
