/** The state of the configuration form, and its changes. Pure. */

import type { Config, FieldRule } from "../../shared/api";
import { LOG } from "./logRules";

/** One environment variable in the form; null stands for the value that the server stores. */
export interface Variable {
  name: string;
  value: string | null;
}

/** The server shows this instead of a variable's value, and keeps the value when it comes back. */
export const KEPT = "********";

export interface Form {
  texts: Record<string, string>;
  variables: Variable[];
}

/** The configuration with the keys of the log beside the others, such as "request_log.enabled". */
export function flat(config: Config): Config {
  const { [LOG]: log, ...others } = config;
  const keys = Object.entries((log as object | null | undefined) ?? {});
  return { ...others, ...Object.fromEntries(keys.map(([key, value]) => [`${LOG}.${key}`, value as unknown])) };
}

/** A value as the text of its field: several names one a line, and nothing for what is off. */
export function textOf(value: unknown): string {
  if (value == null || value === false) return "";
  return Array.isArray(value) ? value.join("\n") : String(value);
}

export function toForm(config: Config): Form {
  const { environment, ...rest } = config;
  return {
    texts: Object.fromEntries(Object.entries(flat(rest)).map(([name, value]) => [name, textOf(value)])),
    variables: Object.keys((environment as object | null) ?? {}).map((name) => ({ name, value: null })),
  };
}

/** What a person changed and has not saved: only that, so that what another window saves meanwhile is not undone. */
export interface Draft {
  texts: Record<string, string>;
  /** Null: the variables were not changed. */
  variables: Variable[] | null;
}

export const toDraft = (form: Form, config: Config): Draft => {
  const before = toForm(config);
  const same = JSON.stringify(form.variables) === JSON.stringify(before.variables);
  return {
    texts: Object.fromEntries(Object.entries(form.texts).filter(([name, text]) => text !== (before.texts[name] ?? ""))),
    variables: same ? null : form.variables,
  };
};

/** The configuration as a form, with what a person changed. */
export function withDraft(config: Config, draft: Draft): Form {
  const { texts, variables } = toForm(config);
  return { texts: { ...texts, ...draft.texts }, variables: draft.variables ?? variables };
}

/** The fields that differ from `config`, for the API; an emptied field is null, which resets it to its default. */
export function changes(form: Form, config: Config, rules: Record<string, FieldRule>): Config {
  const before = toForm(config);
  const changed: Config = {};
  const log: Config = {};
  for (const [name, text] of Object.entries(form.texts)) {
    if (text === (before.texts[name] ?? "")) continue;
    const [key, to] = name.startsWith(`${LOG}.`) ? [name.slice(LOG.length + 1), log] : [name, changed];
    to[key] = toValue(text, rules[name]);
  }
  if (Object.keys(log).length > 0) changed[LOG] = log;
  const variables = form.variables.filter((one) => one.name.trim() !== "");
  if (JSON.stringify(variables) !== JSON.stringify(before.variables)) {
    changed.environment = Object.fromEntries(variables.map((one) => [one.name.trim(), one.value ?? KEPT]));
  }
  return changed;
}

/** What a change of fields does, in sentences: "Replicas: 1 → 2." */
export function told(changed: Config, before: Config, rules: Record<string, FieldRule>): string[] {
  const was = flat(before);
  return Object.entries(flat(changed)).map(([field, value]) => {
    const rule = rules[field];
    const title = rule?.title ?? field;
    if (rule?.type !== "array" && typeof value === "object" && value !== null) return `${title}: changed.`;
    return `${title}: ${shown(rule, was[field])} → ${shown(rule, value)}.`;
  });
}

function shown(rule: FieldRule | undefined, value: unknown): string {
  if (rule?.type === "boolean") return value === true ? "on" : "off";
  if (rule?.type === "array") return Array.isArray(value) && value.length > 0 ? value.join(", ") : "nothing";
  if (value != null) return String(value);
  return rule?.default == null ? "the default" : `the default, ${String(rule.default)}`;
}

/** The value that a field's text stands for; null, which resets to the default, for an empty one. */
export function toValue(text: string, rule: FieldRule | undefined): unknown {
  if (text.trim() === "") return null;
  if (rule?.type === "integer" || rule?.type === "number") return Number(text);
  if (rule?.type === "boolean") return text === "true";
  return rule?.type === "array" ? text.split("\n").map((line) => line.trim()).filter(Boolean) : text;
}
