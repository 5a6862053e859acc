import type { Shadow } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { Field } from "../settings/Field";
import { LOG_RULES } from "../settings/logRules";
import { type Draft, nameOf, newEntity, typed, without } from "./draft";
import { EntityFields } from "./EntityFields";
import { TrafficBar } from "./TrafficBar";

interface Props {
  draft: Draft;
  change: (draft: Draft) => void;
}

/** A serving endpoint's configuration as a form: entities, the split among them, a shadow, and the log of requests. */
export function ConfigForm({ draft, change }: Props) {
  const { entities, traffic, shadow } = draft;
  const names = entities.map((one, index) => (one.name || one.entity_name ? nameOf(one) : `Entity ${index + 1}`));
  return (
    <>
      {entities.map((entity, index) => (
        <EntityFields
          key={index}
          number={index + 1}
          entity={entity}
          percent={traffic[index] ?? 0}
          change={(one) => change({ ...draft, entities: entities.map((old, at) => (at === index ? one : old)), shadow: renamed(shadow, nameOf(entity), nameOf(one)) })}
          setPercent={(percent) => change({ ...draft, traffic: typed(traffic, index, percent) })}
          remove={entities.length > 1 ? () => change(without(draft, index)) : null}
        />
      ))}
      <Button onClick={() => change({ ...draft, entities: [...entities, newEntity()], traffic: [...traffic, 0] })}>Add Entity</Button>
      {entities.length > 1 && (
        <section aria-label="Split" className="split">
          <h4>Traffic</h4>
          <p className="muted small">Drag a border, move a border by the arrow keys, or type a percentage above.</p>
          <TrafficBar names={names} traffic={traffic} change={(shares) => change({ ...draft, traffic: shares })} />
        </section>
      )}
      {entities.length > 1 && <ShadowFields names={names} shadow={shadow} change={(one) => change({ ...draft, shadow: one })} />}
      <LogFields log={draft.log} change={(log) => change({ ...draft, log })} />
    </>
  );
}

const renamed = (shadow: Shadow | null, before: string, after: string): Shadow | null =>
  shadow?.served_model_name === before ? { ...shadow, served_model_name: after } : shadow;

interface ShadowProps {
  names: string[];
  shadow: Shadow | null;
  change: (shadow: Shadow | null) => void;
}

function ShadowFields({ names, shadow, change }: ShadowProps) {
  const set = (part: Partial<Shadow>) => shadow && change({ ...shadow, ...part });
  return (
    <section aria-label="Shadow" className="split">
      <h4>Shadow requests</h4>
      <p className="muted small">One more entity scores a share of the requests after the answer has left. Callers never wait for the shadow.</p>
      <div className="line">
        <label>
          Entity
          <select
            value={shadow?.served_model_name ?? ""}
            onChange={(event) => change(event.target.value ? { percentage: 100, ...shadow, served_model_name: event.target.value } : null)}
          >
            <option value="">none</option>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        {shadow && (
          <>
            <label>
              Percent of the requests
              <input type="number" min={0} max={100} value={shadow.percentage} onChange={(event) => set({ percentage: Number(event.target.value) })} />
            </label>
            <label>
              Tolerance
              <input type="number" min={0} step="any" value={shadow.tolerance ?? ""} placeholder="default" onChange={(event) => set({ tolerance: Number(event.target.value) })} />
            </label>
          </>
        )}
      </div>
    </section>
  );
}

function LogFields({ log, change }: { log: Draft["log"]; change: (log: Draft["log"]) => void }) {
  return (
    <details className="settings" open={log.enabled === "true" || undefined}>
      <summary>Request log</summary>
      {Object.entries(LOG_RULES).map(([key, rule]) => (
        <Field key={key} id={`log-${key}`} rule={rule} disabled={false} value={log[key] ?? ""} change={(text) => change({ ...log, [key]: text })} />
      ))}
    </details>
  );
}
