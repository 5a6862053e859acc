import { useState } from "react";
import { useDraft } from "../../shared/drafts";
import { absolute } from "../../shared/http";
import { useEntitySample } from "../../shared/queries";
import { type ServedConfig, type ServingEndpoint, scoringPath } from "../../shared/servingApi";
import { Copy } from "../../shared/ui/Copy";
import { Tabs } from "../../shared/ui/Tabs";
import { BrowserClient } from "../versions/BrowserClient";
import { Snippet } from "../versions/CallModel";
import { pretty } from "../versions/layout";
import { complaint } from "../versions/replies";
import { TOKEN_VARIABLE, curl } from "../versions/snippets";
import { deployments, sdk } from "./snippets";

const TABS = [
  { key: "browser", label: "Browser" },
  { key: "curl", label: "Curl" },
  { key: "sdk", label: "Databricks SDK" },
  { key: "deployments", label: "mlflow.deployments" },
] as const;

type Key = (typeof TABS)[number]["key"];

const BY_TRAFFIC = "";

/** Calls a serving endpoint from the page, and shows how to call it from programs. */
export function CallEndpoint({ endpoint, config, auth }: { endpoint: ServingEndpoint; config: ServedConfig; auth: boolean }) {
  const { name } = endpoint;
  const [tab, setTab] = useState<Key>("browser");
  const [entity, setEntity] = useState(BY_TRAFFIC);
  const [body, setBody] = useDraft(`serving request ${name}`);
  const entities = config.served_entities.map((one) => one.name);
  const sample = useEntitySample(name, entity || (entities[0] ?? "")).data;
  const url = absolute(scoringPath(name, entity || undefined));
  const own = body.trim() !== "" && complaint(body) === null;
  const call = { url, host: absolute(""), endpoint: name, auth, body: own ? body : (sample?.sample?.body ?? '{"dataframe_records": [{"column": 1.0}]}') };
  const others = ["", ...entities].filter((one) => one !== entity).map((one) => ({ label: one || "by traffic", url: absolute(scoringPath(name, one || undefined)) }));
  const noSample = sample?.sample ? null : sample ? "The model has neither an input example nor a signature." : "The example is being fetched.";
  const hint = auth ? `Put a token into ${TOKEN_VARIABLE}.` : "";
  return (
    <>
      <div className="line">
        <Copy text={url} what="the URL" />
        <code className="name">{url}</code>
      </div>
      <label className="by">
        Answered by
        <select value={entity} onChange={(event) => setEntity(event.target.value)}>
          <option value={BY_TRAFFIC}>the traffic split</option>
          {entities.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <Tabs label="Ways to call the endpoint" tabs={TABS} chosen={tab} choose={setTab} small>
        {tab === "browser" && <BrowserClient url={url} body={body} setBody={setBody} sample={sample?.sample ?? null} noSample={noSample} others={others} />}
        {tab === "curl" && <Snippet text={curl({ ...call, body: pretty(call.body) })} what="the curl line" hint={hint} />}
        {tab === "sdk" && <Snippet text={sdk(call)} what="the program for databricks-sdk" hint={hint} />}
        {tab === "deployments" && <Snippet text={deployments(call)} what="the program for mlflow.deployments" hint={hint} />}
      </Tabs>
    </>
  );
}
