import { useId } from "react";
import { useModelNames, useModelVersions } from "../../shared/queries";
import type { EntityInput } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { KEPT, type Variable } from "../settings/fields";
import { Variables } from "../settings/Variables";
import { nameOf } from "./draft";

const SIZES = ["Small", "Medium", "Large"];
const VARIABLES = {
  title: "Environment variables",
  description: "Of this entity's workers. Stored values are never shown.",
  type: "object",
  default: null,
} as const;

interface Props {
  entity: EntityInput;
  percent: number;
  /** Its place in the list, from 1. */
  number: number;
  change: (entity: EntityInput) => void;
  setPercent: (percent: number) => void;
  /** Null for the only entity. */
  remove: (() => void) | null;
}

/** One entity of a serving endpoint as a form. */
export function EntityFields({ entity, percent, number, change, setPercent, remove }: Props) {
  const id = useId();
  const set = (part: Partial<EntityInput>) => change({ ...entity, ...part });
  return (
    <fieldset className="entity">
      <legend>Entity {number}</legend>
      <div className="grid">
        <Text label="Name" id={`${id}n`} value={entity.name} placeholder={entity.entity_name ? nameOf(entity) : "from model and version"} set={(name) => set({ name })} />
        <ModelFields id={id} entity={entity} set={set} />
        <div>
          <label htmlFor={`${id}t`}>Traffic, percent</label>
          <input id={`${id}t`} type="number" min={0} max={100} value={percent} onChange={(event) => setPercent(Number(event.target.value))} />
        </div>
        {entity.max_provisioned_concurrency === undefined && (
          <div>
            <label htmlFor={`${id}s`}>Size</label>
            <select id={`${id}s`} value={entity.workload_size ?? "Small"} onChange={(event) => set({ workload_size: event.target.value })}>
              {SIZES.map((size) => (
                <option key={size}>{size}</option>
              ))}
            </select>
          </div>
        )}
        <label className="check">
          <input type="checkbox" checked={entity.scale_to_zero_enabled ?? false} onChange={(event) => set({ scale_to_zero_enabled: event.target.checked })} />
          May sleep while nobody asks
        </label>
      </div>
      <details>
        <summary>{VARIABLES.title}</summary>
        <Variables rule={VARIABLES} disabled={false} variables={variablesOf(entity)} change={(variables) => set({ environment_vars: toObject(variables) })} />
      </details>
      {remove && (
        <Button onClick={remove} aria-label={`Remove entity ${number}`}>
          Remove
        </Button>
      )}
    </fieldset>
  );
}

/** The registered model and its version, with suggestions. */
function ModelFields({ id, entity, set }: { id: string; entity: EntityInput; set: (part: Partial<EntityInput>) => void }) {
  const models = useModelNames(entity.entity_name).data?.registered_models ?? [];
  const versions = useModelVersions(entity.entity_name).data?.model_versions ?? [];
  const aliases = versions.flatMap((one) => (one.aliases ?? []).map((alias) => `@${alias}`));
  return (
    <>
      <Text label="Registered model" id={`${id}m`} value={entity.entity_name} list={models.map((one) => one.name)} set={(text) => set({ entity_name: text })} />
      <Text
        label="Version, @alias or stage"
        id={`${id}v`}
        value={entity.entity_version}
        list={[...versions.map((one) => one.version), ...aliases]}
        set={(text) => set({ entity_version: text })}
      />
    </>
  );
}

interface TextProps {
  label: string;
  id: string;
  value: string;
  set: (text: string) => void;
  placeholder?: string;
  list?: string[];
}

export function Text({ label, id, value, set, placeholder, list }: TextProps) {
  return (
    <div>
      <label htmlFor={id}>{label}</label>
      <input id={id} value={value} placeholder={placeholder} list={list && `${id}-list`} autoComplete="off" onChange={(event) => set(event.target.value)} />
      {list && (
        <datalist id={`${id}-list`}>
          {list.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      )}
    </div>
  );
}

const variablesOf = (entity: EntityInput): Variable[] =>
  Object.entries(entity.environment_vars ?? {}).map(([name, value]) => ({ name, value: value === KEPT ? null : value }));

const toObject = (variables: Variable[]): Record<string, string> =>
  Object.fromEntries(variables.map(({ name, value }) => [name, value ?? KEPT]));
