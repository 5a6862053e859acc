import { useState } from "react";
import { ServingTable } from "../serving/ServingTable";
import { OverviewTable } from "./OverviewTable";

interface Props {
  /** The addresses of a model's page, of a serving endpoint's page, and of the form for a new serving endpoint. */
  ofModel: (name: string) => string;
  ofEndpoint: (name: string) => string;
  ofNew: string;
}

/** Everything that is served: serving endpoints, and registered models with serving enabled. */
export function OverviewPage({ ofModel, ofEndpoint, ofNew }: Props) {
  const [search, setSearch] = useState("");
  const wanted = search.trim().toLowerCase();
  return (
    <div className="page">
      <div className="section-title">
        <h2>Serving</h2>
        <span className="grow" />
        <a className="button" href={ofNew}>
          Create Serving Endpoint
        </a>
      </div>
      <div className="filters">
        <label>
          Search
          <input type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
        </label>
      </div>
      <ServingTable address={ofEndpoint} wanted={wanted} />
      <OverviewTable address={ofModel} wanted={wanted} />
    </div>
  );
}
