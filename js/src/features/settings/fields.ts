/** What the form holds, and what of it has changed. Pure. */

import type { Config, FieldRule } from "../../shared/api";

/** One environment variable in the form; a value of null stands for the one that the server keeps. */
export interface Variable {
  name: string;
  value: string | null;
}

/** The server shows this instead of a variable's value, and keeps the value when it comes back. */
const KEPT = "********";

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

/** The fields that differ from `config`, as the API takes them; an emptied one is null, which means its default. */
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

const toValue = (text: string, rule: FieldRule | undefined): unknown =>
  rule?.type === "integer" || rule?.type === "number" ? Number(text) : text;
