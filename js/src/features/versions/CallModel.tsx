import { useState } from "react";
import type { Access, Overview, Sample, Version } from "../../shared/api";
import { absolute } from "../../shared/http";
import { useDraft } from "../../shared/drafts";
import { useSample } from "../../shared/queries";
import { Copy } from "../../shared/ui/Copy";
import { Tabs } from "../../shared/ui/Tabs";
import { type Address, addressesOf } from "./addresses";
import { BrowserClient } from "./BrowserClient";
import { pretty } from "./layout";
import { complaint } from "./replies";
import { TOKEN_VARIABLE, curl, powerBi, python } from "./snippets";

const TABS = [
  { key: "browser", label: "Browser" },
  { key: "curl", label: "Curl" },
  { key: "python", label: "Python" },
  { key: "power-bi", label: "Power BI" },
] as const;

type Key = (typeof TABS)[number]["key"];

/** Shown where nothing is known of the model's input. */
const UNKNOWN = '{\n  "dataframe_records": [\n    {"column": 1.0}\n  ]\n}';

interface Props {
  overview: Overview;
  version: Version;
  addresses: Address[];
  access: Access | undefined;
}

/** Calls a version from the page, and shows how to call it from programs. */
export function CallModel({ overview, version, addresses, access }: Props) {
  const name = overview.registered_model_name;
  const [tab, setTab] = useState<Key>("browser");
  const [chosen, setChosen] = useState("");
  // The request belongs to the endpoint: another tab, another version or a restart leaves it alone.
  const [body, setBody] = useDraft(`request ${name}`);
  const loaded = useSample(name, version.version, version.sample !== null);
  const sample = loaded.data?.sample ?? null;
  const url = (addresses.find((one) => one.label === chosen) ?? addresses[0])?.url ?? "";
  const others = overview.versions
    .filter((one) => one.version !== version.version)
    .flatMap((one) => addressesOf(overview, one.version, absolute).slice(0, 1));
  const own = body.trim() !== "" && complaint(body) === null;
  const call = { url, body: own ? body : pretty(sample?.body ?? UNKNOWN), auth: access?.auth ?? false };
  const hint = [tokenHint(access), bodyHint(body.trim() !== "", own, sample)].filter(Boolean).join(" ");
  return (
    <section aria-label="Call the model">
      <div className="section-title">
        <h4>Call the model</h4>
        <label>
          by
          <select value={chosen} onChange={(event) => setChosen(event.target.value)}>
            {addresses.map((one) => (
              <option key={one.label} value={one.label}>
                {one.label}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Tabs label="Ways to call the model" tabs={TABS} chosen={tab} choose={setTab} small>
        {tab === "browser" && (
          <BrowserClient url={url} body={body} setBody={setBody} sample={sample} noSample={refusal(version, sample)} others={others} />
        )}
        {tab === "curl" && <Snippet text={curl(call)} what="the curl line" hint={hint} />}
        {tab === "python" && <Snippet text={python(call)} what="the Python program" hint={hint} />}
        {tab === "power-bi" && <Snippet text={powerBi(call)} what="the Power BI query" hint={POWER_BI_STEPS} />}
      </Tabs>
    </section>
  );
}

function refusal(version: Version, sample: Sample | null): string | null {
  if (sample) return null;
  if (version.sample !== null) return "The example is being fetched.";
  if (version.fetched) return "The version has neither an input example nor a signature.";
  return "The version's files are not fetched yet.";
}

const POWER_BI_STEPS =
  "In Transform Data, make a blank query, paste this into its Advanced Editor, choose Anonymous when asked how to connect, and invoke the function on your table.";

function tokenHint(access: Access | undefined): string {
  const where = access?.tokens ? "Create a token on the Tokens tab" : "Take a token that this server accepts";
  return access?.auth ? `${where} and put it into ${TOKEN_VARIABLE}.` : "";
}

function bodyHint(typed: boolean, own: boolean, sample: Sample | null): string {
  if (own) return "";
  const why = typed ? "Your request is not valid JSON. " : "";
  if (!sample) return `${why}The model has neither an input example nor a signature: put the model's columns into the body.`;
  if (sample.source === "signature") return `${why}The body is made from the signature: put your values into it.`;
  return typed ? `${why}The body is the model's input example.` : "";
}

export function Snippet({ text, what, hint }: { text: string; what: string; hint: string }) {
  return (
    <>
      {hint && <p className="muted">{hint}</p>}
      <div className="snippet">
        {/* Long lines scroll, for those without a mouse too. */}
        {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
        <pre tabIndex={0} role="region" aria-label={`Text of ${what}`}>
          {text}
        </pre>
        <Copy text={text} what={what} />
      </div>
    </>
  );
}
