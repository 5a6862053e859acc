/** The state of the configuration form, and its changes. Pure. */

import type { Config, FieldRule } from "../../shared/api";

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

export function toForm(config: Config): Form {
  const { environment, ...rest } = config;
  return {
    texts: Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, value == null ? "" : String(value)])),
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
    texts: Object.fromEntries(Object.entries(form.texts).filter(([name, text]) => text !== before.texts[name])),
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
  for (const [name, text] of Object.entries(form.texts)) {
    if (text !== before.texts[name]) changed[name] = text === "" ? null : toValue(text, rules[name]);
  }
  const variables = form.variables.filter((one) => one.name.trim() !== "");
  if (JSON.stringify(variables) !== JSON.stringify(before.variables)) {
    changed.environment = Object.fromEntries(variables.map((one) => [one.name.trim(), one.value ?? KEPT]));
  }
  return changed;
}

/** What a change of fields does, in sentences: "Replicas: 1 → 2." */
export function told(changed: Config, before: Config, rules: Record<string, FieldRule>): string[] {
  const shown = (field: string, value: unknown) => {
    const fallback = rules[field]?.default;
    if (value != null) return String(value);
    return fallback == null ? "the default" : `the default, ${String(fallback)}`;
  };
  return Object.entries(changed).map(([field, value]) => {
    const title = rules[field]?.title ?? field;
    return typeof value === "object" && value !== null ? `${title}: changed.` : `${title}: ${shown(field, before[field])} → ${shown(field, value)}.`;
  });
}

const toValue = (text: string, rule: FieldRule | undefined): unknown =>
  rule?.type === "integer" || rule?.type === "number" ? Number(text) : text;
