import { useState } from "react";
import { withoutColours } from "../../shared/format";
import { useEntityLog } from "../../shared/queries";
import type { EntityLog, ServedConfig } from "../../shared/servingApi";
import { Loaded } from "../../shared/ui/Loaded";

/** The end of what an entity's workers have printed, or of the build of its environment. */
export function EntityLogs({ name, configs }: { name: string; configs: ServedConfig[] }) {
  const entities = [...new Set(configs.flatMap((config) => config.served_entities.map((one) => one.name)))];
  const [chosen, setChosen] = useState(entities[0] ?? "");
  const [kind, setKind] = useState<EntityLog>("logs");
  const log = useEntityLog(name, chosen, kind);
  return (
    <>
      <div className="filters">
        <label>
          Entity
          <select value={chosen} onChange={(event) => setChosen(event.target.value)}>
            {entities.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <label>
          Show
          <select value={kind} onChange={(event) => setKind(event.target.value as EntityLog)}>
            <option value="logs">Output of the workers</option>
            <option value="build-logs">Build of the environment</option>
          </select>
        </label>
        <span className="muted small">The end of the log</span>
      </div>
      <Loaded of={log}>
        {({ logs }) =>
          logs ? (
            // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls
            <pre className="log" tabIndex={0} role="region" aria-label="Log">
              {withoutColours(logs)}
            </pre>
          ) : (
            <p className="muted">No output yet.</p>
          )
        }
      </Loaded>
    </>
  );
}
