import { useSyncExternalStore } from "react";
import { OverviewPage } from "../features/overview/OverviewPage";
import { NewEndpoint } from "../features/serving/NewEndpoint";
import { Tabs } from "../shared/ui/Tabs";
import type { Page } from "./mount";
import { NEW_ENDPOINT, OVERVIEW, modelAddress, servingAddress } from "./route";
import { ServingEndpointView } from "./ServingEndpointView";
import { ServingView } from "./ServingView";

const TABS = [
  { key: "details", label: "Details" },
  { key: "serving", label: "Serving" },
] as const;

function Crumbs() {
  return (
    <p className="crumbs">
      <a href={OVERVIEW}>Serving</a> <span aria-hidden="true">›</span>
    </p>
  );
}

/** Our content in MLflow's page: the two tabs of a model, or a page of its own. */
export function App({ page }: { page: Page }) {
  const route = useSyncExternalStore(page.subscribe, page.route);
  if (route.kind === "model") {
    return (
      <Tabs
        label="Parts of this page"
        tabs={TABS}
        chosen={route.open ? "serving" : "details"}
        choose={(key) => page.openTab(key === "serving")}
      >
        {route.open && <ServingView key={route.name} name={route.name} place={route} go={page.go} />}
      </Tabs>
    );
  }
  if (route.kind === "endpoint") {
    return (
      <div className="page">
        <Crumbs />
        <h2>{route.name}</h2>
        <ServingView key={route.name} name={route.name} place={route} go={page.go} />
      </div>
    );
  }
  if (route.kind === "serving-endpoint") {
    return (
      <div className="page">
        <Crumbs />
        <h2>{route.name}</h2>
        <ServingEndpointView key={route.name} name={route.name} place={route} go={page.go} leave={() => page.open(OVERVIEW)} />
      </div>
    );
  }
  if (route.kind === "new-endpoint") {
    return (
      <div className="page">
        <Crumbs />
        <h2>Create a serving endpoint</h2>
        <NewEndpoint created={(name) => page.open(servingAddress(name))} />
      </div>
    );
  }
  if (route.kind === "overview") return <OverviewPage ofModel={modelAddress} ofEndpoint={servingAddress} ofNew={NEW_ENDPOINT} />;
  return null;
}
