import { useSyncExternalStore } from "react";
import { OverviewTable } from "../features/overview/OverviewTable";
import { Tabs } from "../shared/ui/Tabs";
import type { Page } from "./mount";
import { modelAddress } from "./route";
import { ServingView } from "./ServingView";

const TABS = [
  { key: "details", label: "Details" },
  { key: "serving", label: "Serving" },
] as const;

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
        <p className="crumbs">
          <a href="#/serving">Serving</a> <span aria-hidden="true">›</span>
        </p>
        <h2>{route.name}</h2>
        <ServingView key={route.name} name={route.name} place={route} go={page.go} />
      </div>
    );
  }
  if (route.kind === "overview") {
    return (
      <div className="page">
        <h2>Serving</h2>
        <OverviewTable address={modelAddress} />
      </div>
    );
  }
  return null;
}
