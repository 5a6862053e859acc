import type { ServedConfig } from "../../shared/servingApi";
import { Status } from "../../shared/ui/Status";
import { entityState, sizeOf } from "./states";

interface Props {
  label: string;
  config: ServedConfig;
  /** The address of a registered model's page. */
  ofModel: (name: string) => string;
}

/** The entities of a configuration with their states and traffic. */
export function Entities({ label, config, ofModel }: Props) {
  const percent = new Map(config.traffic_config?.routes.map((one) => [one.served_model_name, one.traffic_percentage]));
  return (
    <div className="scroll">
      <table className="rows" aria-label={label}>
        <thead>
          <tr>
            <th scope="col">Entity</th>
            <th scope="col">Serves</th>
            <th scope="col">State</th>
            <th scope="col">Traffic</th>
            <th scope="col" className="wide">
              Size
            </th>
            <th scope="col" className="wide">
              Details
            </th>
          </tr>
        </thead>
        <tbody>
          {config.served_entities.map((entity) => (
            <tr key={entity.name}>
              <td>
                <strong>{entity.name}</strong>
              </td>
              <td>
                <a href={ofModel(entity.entity_name)}>{entity.entity_name}</a> {entity.entity_version}
                {entity.model_version_now && <span className="muted"> (now {entity.model_version_now})</span>}
              </td>
              <td>
                <Status of={entityState(entity)} />
              </td>
              <td>{percent.get(entity.name) ?? 0} %</td>
              <td className="wide">{sizeOf(entity)}</td>
              <td className="wide message">{entity.state.deployment_state_message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
