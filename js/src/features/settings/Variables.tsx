import type { FieldRule } from "../../shared/api";
import { Button } from "../../shared/ui/Button";
import type { Variable } from "./fields";

interface Props {
  rule: FieldRule | undefined;
  variables: Variable[];
  disabled: boolean;
  change: (variables: Variable[]) => void;
}

/** Environment variables of the workers. Stored values are never shown, only replaced. */
export function Variables({ rule, variables, disabled, change }: Props) {
  if (!rule) return null;
  const replace = (index: number, one: Partial<Variable>) =>
    change(variables.map((old, at) => (at === index ? { ...old, ...one } : old)));
  return (
    <fieldset disabled={disabled}>
      <legend>{rule.title}</legend>
      <p className="muted">{rule.description}</p>
      {variables.map((variable, index) => (
        <div className="line" key={index}>
          <input
            aria-label={`Name of variable ${index + 1}`}
            placeholder="NAME"
            value={variable.name}
            onChange={(event) => replace(index, { name: event.target.value, value: variable.value ?? "" })}
          />
          <input
            aria-label={`Value of variable ${index + 1}`}
            type="password"
            autoComplete="off"
            placeholder={variable.value === null ? "unchanged" : "value"}
            value={variable.value ?? ""}
            onChange={(event) => replace(index, { value: event.target.value })}
          />
          <Button aria-label={`Remove variable ${index + 1}`} onClick={() => change(variables.filter((_, at) => at !== index))}>
            Remove
          </Button>
        </div>
      ))}
      <Button onClick={() => change([...variables, { name: "", value: "" }])}>Add variable</Button>
    </fieldset>
  );
}
