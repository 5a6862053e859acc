/** A serving endpoint's configuration while a person edits it. Pure. */

import type { ConfigInput, EntityInput, ServedConfig, Shadow } from "../../shared/servingApi";
import { textOf, toValue, told } from "../settings/fields";
import { LOG_RULES } from "../settings/logRules";
import { sizeOf } from "./states";

export interface Draft {
  entities: EntityInput[];
  /** Percent of each entity, in the same order. */
  traffic: number[];
  shadow: Shadow | null;
  /** The keys of `request_log` as texts of their fields; a key that was never set is not there. */
  log: Record<string, string>;
}

export const newEntity = (name = ""): EntityInput => ({
  name,
  entity_name: "",
  entity_version: "",
  workload_size: "Small",
  scale_to_zero_enabled: false,
});

export const EMPTY: Draft = { entities: [newEntity()], traffic: [100], shadow: null, log: {} };

/** What a client may send, of what the server has answered. */
const KEYS = [
  "name", "entity_name", "entity_version", "workload_size", "min_provisioned_concurrency",
  "max_provisioned_concurrency", "scale_to_zero_enabled", "environment_vars", "config",
] as const;

export function toDraft(config: ServedConfig): Draft {
  const percent = new Map(config.traffic_config?.routes.map((one) => [one.served_model_name, one.traffic_percentage]));
  const entities = config.served_entities.map(
    (one) => Object.fromEntries(KEYS.filter((key) => one[key] !== undefined).map((key) => [key, one[key]])) as unknown as EntityInput,
  );
  const log = Object.fromEntries(Object.entries(config.request_log ?? {}).map(([key, value]) => [key, textOf(value)]));
  return { entities, traffic: entities.map((one) => percent.get(one.name) ?? 0), shadow: config.shadow ?? null, log };
}

/** The configuration for the API. */
export function toBody(draft: Draft): ConfigInput {
  const { entities, traffic, log } = draft;
  const shadow = keptShadow(draft);
  return {
    served_entities: entities.map((one) => ({ ...one, name: nameOf(one) })),
    traffic_config: {
      routes: entities.map((one, index) => ({ served_model_name: nameOf(one), traffic_percentage: traffic[index] ?? 0 })),
    },
    ...(shadow ? { shadow } : {}),
    ...(Object.keys(log).length > 0 ? { request_log: logOf(log) } : {}),
  };
}

/** The shadow, which ends when its entity gets all the traffic: there is nobody left whose requests it could score. */
const keptShadow = ({ entities, traffic, shadow }: Draft): Shadow | null =>
  traffic[entities.findIndex((one) => nameOf(one) === shadow?.served_model_name)] === 100 ? null : shadow;

/** The keys of the log as values. Empty: null, which resets a key. */
const logOf = (log: Draft["log"]): Record<string, unknown> => Object.fromEntries(Object.entries(log).map(([key, text]) => [key, toValue(text, LOG_RULES[key])]));

/** The name of an entity; without one, the name that the server gives. */
export const nameOf = (entity: EntityInput): string =>
  entity.name || `${entity.entity_name}-${entity.entity_version.replace(/^@/, "")}`.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 63);

/** What is missing in a draft; null when the draft can be sent. */
export function problemOf({ entities, traffic, shadow }: Draft): string | null {
  if (entities.length === 0) return "Add an entity.";
  const without = entities.findIndex((one) => !one.entity_name.trim() || !one.entity_version.trim());
  if (without >= 0) return `Choose the model and the version of entity ${without + 1}.`;
  const names = entities.map(nameOf);
  const twice = names.find((one, index) => names.indexOf(one) !== index);
  if (twice) return `Two entities are named '${twice}'.`;
  if (shadow && !names.includes(shadow.served_model_name)) return "Choose the entity that gets the shadow requests.";
  const all = traffic.reduce((sum, one) => sum + one, 0);
  return all === 100 ? null : `The traffic adds up to ${all} %, not 100 %.`;
}

/** What differs between two configurations, in sentences; `before` is null for a new endpoint. */
export function changes(before: Draft | null, after: Draft): string[] {
  const old = new Map(before?.entities.map((one, index) => [nameOf(one), { entity: one, share: before.traffic[index] ?? 0 }]));
  const names = after.entities.map(nameOf);
  const removed = [...old.keys()].filter((name) => !names.includes(name)).map((name) => `Remove ${name}.`);
  const others = after.entities.flatMap((entity, index) => {
    const known = old.get(nameOf(entity));
    const share = after.traffic[index] ?? 0;
    if (!known) return [`Add ${nameOf(entity)}: ${entity.entity_name}, version ${entity.entity_version}, ${share} % of the traffic.`];
    return [
      ...differences(known.entity, entity),
      ...(known.share === share ? [] : [`${nameOf(entity)}: traffic ${known.share} % → ${share} %.`]),
    ];
  });
  const shadows = [before?.shadow ?? null, keptShadow(after)].map(shadowOf);
  return [...removed, ...others, ...(shadows[0] === shadows[1] ? [] : [`Shadow: ${shadows[0]} → ${shadows[1]}.`]), ...changesOfLog(before?.log ?? {}, after.log)];
}

function changesOfLog(before: Draft["log"], after: Draft["log"]): string[] {
  const changed = Object.entries(after).filter(([key, text]) => text !== (before[key] ?? ""));
  return told(logOf(Object.fromEntries(changed)), logOf(before), LOG_RULES);
}

function differences(before: EntityInput, after: EntityInput): string[] {
  const name = nameOf(after);
  const told = (what: string, a: string, b: string) => (a === b ? [] : [`${name}: ${what} ${a} → ${b}.`]);
  const variables = [before, after].map((one) => JSON.stringify(one.environment_vars ?? {}));
  const same = JSON.stringify(before.config ?? {}) === JSON.stringify(after.config ?? {});
  return [
    ...told("model", before.entity_name, after.entity_name),
    ...told("version", before.entity_version, after.entity_version),
    ...told("size", sizeOf(before), sizeOf(after)),
    ...(variables[0] === variables[1] ? [] : [`${name}: other environment variables.`]),
    ...(same ? [] : [`${name}: other configuration keys.`]),
  ];
}

const shadowOf = (shadow: Shadow | null): string =>
  shadow ? `${shadow.served_model_name}, ${shadow.percentage} %${shadow.tolerance ? `, tolerance ${shadow.tolerance}` : ""}` : "none";

/** Traffic after one share was typed: the others share what is left as they shared before. */
export function typed(traffic: readonly number[], index: number, percent: number): number[] {
  const value = Math.max(0, Math.min(100, Math.round(percent)));
  const rest = 100 - value;
  const others = traffic.reduce((sum, one, at) => (at === index ? sum : sum + one), 0);
  const first = traffic.findIndex((_, at) => at !== index);
  const shares = traffic.map((one, at) => {
    if (at === index) return value;
    return others ? Math.floor((one / others) * rest) : at === first ? rest : 0;
  });
  const largest = shares.reduce((best, one, at) => (at !== index && (best < 0 || one > (shares[best] ?? 0)) ? at : best), -1);
  const missing = 100 - shares.reduce((sum, one) => sum + one, 0);
  return shares.map((one, at) => (at === largest ? one + missing : one));
}

/** Traffic after the border behind entity `index` was moved by some percent. */
export function moved(traffic: readonly number[], index: number, percent: number): number[] {
  const [left, right] = [traffic[index] ?? 0, traffic[index + 1] ?? 0];
  const by = Math.max(-left, Math.min(right, Math.round(percent)));
  return traffic.map((one, at) => (at === index ? one + by : at === index + 1 ? one - by : one));
}

/** Without one entity, whose traffic goes to the first of the others. */
export function without(draft: Draft, index: number): Draft {
  const kept = typed(draft.traffic, index, 0).filter((_, at) => at !== index);
  return { ...draft, entities: draft.entities.filter((_, at) => at !== index), traffic: kept.length === 1 ? [100] : kept };
}
