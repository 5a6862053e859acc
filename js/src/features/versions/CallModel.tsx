import { useState } from "react";
import type { Access, Overview, Version } from "../../shared/api";
import { useExample } from "../../shared/queries";
import { Copy } from "../../shared/ui/Copy";
import { Tabs } from "../../shared/ui/Tabs";
import type { Address } from "./addresses";
import { BrowserClient } from "./BrowserClient";
import { type Call, TOKEN_VARIABLE, curl, powerBi, python } from "./snippets";

const TABS = [
  { key: "browser", label: "Browser" },
  { key: "curl", label: "Curl" },
  { key: "python", label: "Python" },
  { key: "power-bi", label: "Power BI" },
] as const;

type Key = (typeof TABS)[number]["key"];

/** Shown where no input example was logged: a request of the right form with one empty row. */
const NO_EXAMPLE = '{"dataframe_records": [{}]}';

interface Props {
  overview: Overview;
  version: Version;
  addresses: Address[];
  access: Access | undefined;
}

/** Calls a version from the page, and shows how to call it from programs. */
export function CallModel({ overview, version, addresses, access }: Props) {
  const [tab, setTab] = useState<Key>("browser");
  const [chosen, setChosen] = useState("");
  const [body, setBody] = useState("");
  const example = useExample(overview.registered_model_name, version.version, version.has_example);
  const url = (addresses.find((one) => one.label === chosen) ?? addresses[0])?.url ?? "";
  const call: Call = { url, body: body.trim() || example.data?.input_example || NO_EXAMPLE, auth: access?.auth ?? false };
  const hint = hints(call, version, access);
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
      <Tabs label="Ways to call the model" tabs={TABS} chosen={tab} choose={setTab}>
        {tab === "browser" && (
          <BrowserClient url={url} body={body} setBody={setBody} example={example.data?.input_example} version={version} />
        )}
        {tab === "curl" && <Snippet text={curl(call)} what="the curl line" hint={hint} />}
        {tab === "python" && <Snippet text={python(call)} what="the Python program" hint={hint} />}
        {tab === "power-bi" && <Snippet text={powerBi(call)} what="the Power BI query" hint={POWER_BI_STEPS} />}
      </Tabs>
    </section>
  );
}

const POWER_BI_STEPS =
  "In Transform Data, make a blank query, paste this into its Advanced Editor, choose Anonymous when asked how to connect, and invoke the function on your table.";

function hints({ body }: Call, version: Version, access: Access | undefined): string {
  const where = access?.tokens ? "Create a token on the Tokens tab" : "Take a token that this server accepts";
  const token = access?.auth ? `${where} and put it into ${TOKEN_VARIABLE}.` : "";
  const rows = body === NO_EXAMPLE && !version.has_example ? "No input example was logged: replace the empty row." : "";
  return [token, rows].filter(Boolean).join(" ");
}

function Snippet({ text, what, hint }: { text: string; what: string; hint: string }) {
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
