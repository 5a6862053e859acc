import type { Access, Overview, Version } from "../../shared/api";
import { absolute } from "../../shared/http";
import { Copy } from "../../shared/ui/Copy";
import { Notice } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";
import { type Address, addressesOf } from "./addresses";
import { CallModel } from "./CallModel";
import { Libraries } from "./Libraries";

interface Props {
  overview: Overview;
  version: Version;
  access: Access | undefined;
}

/** One version: its state, its addresses, and requests to it from the page and from programs. */
export function TryIt({ overview, version, access }: Props) {
  const addresses = addressesOf(overview, version.version, absolute);
  const told = overview.reason?.endpoint_version_name === String(version.version);
  return (
    <section aria-label={`Version ${version.version}`}>
      <div className="section-title">
        <h3>Version {version.version}</h3>
        <Status of={version} since={version.since} />
        {version.tone !== "failed" && <span className="muted">{version.message}</span>}
      </div>
      {/* The reason of the endpoint's state stands above, once. */}
      {version.tone === "failed" && !told && <Notice tone="error">{version.message}</Notice>}
      <Addresses addresses={addresses} />
      {version.placement && <p className="muted small">{version.placement}</p>}
      {(version.environment || version.note || version.libraries.length > 0) && (
        <details open={version.libraries.some((one) => one.differs)}>
          <summary>Environment and batching</summary>
          <Libraries libraries={version.libraries} />
          {version.environment && <p className="muted small">Environment: {version.environment}.</p>}
          {version.note && <p className="muted small">{version.note}</p>}
        </details>
      )}
      <CallModel key={version.version} overview={overview} version={version} addresses={addresses} access={access} />
    </section>
  );
}

function Addresses({ addresses }: { addresses: Address[] }) {
  return (
    <dl className="addresses">
      {addresses.map(({ label, url }) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>
            <Copy text={url} what={`the URL of ${label}`} />
            <code title={url}>{readable(url)}</code>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** The address as people read it; what is copied is the address that programs need. */
function readable(url: string): string {
  try {
    return decodeURI(url);
  } catch {
    return url;
  }
}
