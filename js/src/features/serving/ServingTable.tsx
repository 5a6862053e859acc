import { dateTime } from "../../shared/format";
import { useServingEndpoints } from "../../shared/queries";
import type { ServingEndpoint } from "../../shared/servingApi";
import { Notice } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";
import { entitiesOf, stateOf } from "./states";

interface Props {
  address: (name: string) => string;
  /** What a person looks for, in lower case. */
  wanted: string;
}

const TONES = ["failed", "degraded", "busy", "ready", "idle"];

/** The serving endpoints that the user may query, those first that need a person. Nothing while there are none. */
export function ServingTable({ address, wanted }: Props) {
  const { data, error } = useServingEndpoints();
  if (!data) return error && <Notice tone="error">The serving endpoints cannot be listed: {error.message}</Notice>;
  if (data.endpoints.length === 0) return null;
  const found = data.endpoints
    .filter((one) => `${one.name} ${entitiesOf(one)}`.toLowerCase().includes(wanted))
    .sort((a, b) => TONES.indexOf(stateOf(a).tone) - TONES.indexOf(stateOf(b).tone) || a.name.localeCompare(b.name));
  return (
    <section className="kind">
      <h3>Serving endpoints</h3>
      {found.length === 0 ? (
        <p className="muted">No serving endpoint matches.</p>
      ) : (
        <table className="overview" aria-label="Serving endpoints">
          <thead>
            <tr>
              <th scope="col" className="name">
                Endpoint
              </th>
              <th scope="col" className="state">
                Status
              </th>
              <th scope="col">Entities</th>
              <th scope="col" className="changed wide">
                Changed
              </th>
              <th scope="col" className="wide">
                Details
              </th>
            </tr>
          </thead>
          <tbody>
            {found.map((one) => (
              <Row key={one.id} endpoint={one} address={address(one.name)} />
            ))}
          </tbody>
        </table>
      )}
      <h3>Registered models</h3>
    </section>
  );
}

function Row({ endpoint, address }: { endpoint: ServingEndpoint; address: string }) {
  const details = endpoint.state.config_update_message ?? endpoint.description;
  return (
    <tr>
      <td className="name">
        <a href={address}>{endpoint.name}</a>
      </td>
      <td className="state">
        <Status of={stateOf(endpoint)} />
      </td>
      <td className="cut" title={entitiesOf(endpoint)}>
        {entitiesOf(endpoint)}
      </td>
      <td className="changed wide">{dateTime(endpoint.last_updated_timestamp)}</td>
      <td className="cut wide" title={details}>
        {details}
      </td>
    </tr>
  );
}
