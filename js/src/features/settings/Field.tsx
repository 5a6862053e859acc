import type { FieldRule } from "../../shared/api";

interface Props {
  id: string;
  rule: FieldRule;
  /** Empty: the default. "true" for what is on; several names, one a line. */
  value: string;
  disabled: boolean;
  change: (text: string) => void;
}

/** One setting with its title, its limits and what it does. */
export function Field(props: Props) {
  const { id, rule } = props;
  return (
    <div className="field">
      <label htmlFor={id}>{rule.title}</label>
      <Control {...props} />
      <p className="muted" id={`${id}-help`}>
        {rule.description} {limits(rule)}
      </p>
    </div>
  );
}

function Control({ id, rule, value, disabled, change }: Props) {
  const common = { id, disabled, "aria-describedby": `${id}-help` };
  if (rule.type === "boolean") {
    return <input {...common} type="checkbox" checked={value === "true"} onChange={(event) => change(event.target.checked ? "true" : "")} />;
  }
  if (rule.type === "array") return <textarea {...common} rows={3} value={value} onChange={(event) => change(event.target.value)} />;
  if (rule.enum) {
    return (
      <select {...common} value={value || String(rule.default)} onChange={(event) => change(event.target.value)}>
        {rule.enum.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    );
  }
  return (
    <input
      {...common}
      type={rule.type === "string" ? "text" : "number"}
      min={rule.minimum ?? rule.exclusiveMinimum}
      max={rule.maximum}
      step={rule.type === "integer" ? 1 : "any"}
      placeholder={rule.default == null ? "" : String(rule.default)}
      value={value}
      onChange={(event) => change(event.target.value)}
    />
  );
}

function limits(rule: FieldRule): string {
  if (rule.maximum === undefined) return "";
  const most = rule.maximum.toLocaleString();
  if (rule.minimum !== undefined) return `${rule.minimum.toLocaleString()} to ${most}.`;
  return rule.exclusiveMinimum !== undefined ? `Above ${rule.exclusiveMinimum}, at most ${most}.` : `At most ${most}.`;
}
