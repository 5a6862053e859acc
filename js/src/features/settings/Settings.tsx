import { type FormEvent, useState } from "react";
import { useDraft } from "../../shared/drafts";
import { type Access, type ConfigReply, type FieldRule, updateConfig } from "../../shared/api";
import { useChange, useConfig } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Changes } from "../../shared/ui/Changes";
import { Loaded, Notice } from "../../shared/ui/Loaded";
import { refusal } from "../endpoint/NotEnabled";
import { type Draft, type Form, changes, toDraft, toForm, told, withDraft } from "./fields";
import { grouped } from "./groups";
import { Variables } from "./Variables";

/** The endpoint's configuration as a form. */
export function Settings({ name, access }: { name: string; access: Access | undefined }) {
  const config = useConfig(name);
  return (
    <Loaded of={config}>
      {(reply) => <Fields name={name} reply={reply} refused={refusal(access)} />}
    </Loaded>
  );
}

function Fields({ name, reply, refused }: { name: string; reply: ConfigReply; refused: string | null }) {
  const rules = reply.schema.properties;
  // Changes that are not saved yet survive another tab of the page. Not in the browser's storage: variables are secrets.
  const [draft, setDraft] = useDraft(`settings ${name}`, false);
  const [saved, setSaved] = useState("");
  const form = draft ? withDraft(reply.config, JSON.parse(draft) as Draft) : toForm(reply.config);
  const setForm = (changed: Form) => {
    setDraft(JSON.stringify(toDraft(changed, reply.config)));
    setSaved("");
  };
  const save = useChange((changed: object) => updateConfig(name, { ...changed }), [["config", name], ["overview", name]]);
  const changed = changes(form, reply.config, rules);
  const nothing = Object.keys(changed).length === 0;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (refused || nothing) return;
    const titles = Object.keys(changed).map((field) => rules[field]?.title ?? field);
    save.mutate(changed, {
      onSuccess: () => {
        setDraft("");
        setSaved(`Saved: ${titles.join(", ")}.`);
      },
    });
  };
  const shown = Object.keys(rules).filter((field) => rules[field]?.type !== "object");
  return (
    <form className="settings" onSubmit={submit} noValidate>
      {refused && <Notice tone="info">{refused} The settings are read-only.</Notice>}
      {grouped(shown).map(([title, fields]) => (
        <section key={title} aria-label={title}>
          <h4>{title}</h4>
          {fields.map((field) => (
            <Field
              key={field}
              id={field}
              rule={rules[field] as FieldRule}
              disabled={refused !== null}
              value={form.texts[field] ?? ""}
              change={(text) => setForm({ ...form, texts: { ...form.texts, [field]: text } })}
            />
          ))}
        </section>
      ))}
      <Variables
        rule={rules.environment}
        disabled={refused !== null}
        variables={form.variables}
        change={(variables) => setForm({ ...form, variables })}
      />
      <Changes list={told(changed, reply.config, rules)} />
      {save.error && <Notice tone="error">{save.error.message}</Notice>}
      <div className="actions">
        <Button type="submit" kind="primary" refused={refused} disabled={nothing || save.isPending}>
          {save.isPending ? "Saving…" : "Save"}
        </Button>
        <Button disabled={nothing} onClick={() => setDraft("")}>
          Discard changes
        </Button>
        <span role="status" className="good">
          {saved}
        </span>
        <span className="muted small">Workers are replaced one by one if the change requires it.</span>
      </div>
    </form>
  );
}

interface FieldProps {
  id: string;
  rule: FieldRule;
  value: string;
  disabled: boolean;
  change: (text: string) => void;
}

function Field({ id, rule, value, disabled, change }: FieldProps) {
  return (
    <div className="field">
      <label htmlFor={id}>{rule.title}</label>
      {rule.enum ? (
        <select id={id} value={value} disabled={disabled} aria-describedby={`${id}-help`} onChange={(event) => change(event.target.value)}>
          {rule.enum.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      ) : (
        <input
          id={id}
          type={rule.type === "string" ? "text" : "number"}
          min={rule.minimum ?? rule.exclusiveMinimum}
          max={rule.maximum}
          step={rule.type === "integer" ? 1 : "any"}
          placeholder={rule.default == null ? "" : String(rule.default)}
          value={value}
          disabled={disabled}
          aria-describedby={`${id}-help`}
          onChange={(event) => change(event.target.value)}
        />
      )}
      <p className="muted" id={`${id}-help`}>
        {rule.description} {limits(rule)}
      </p>
    </div>
  );
}

function limits(rule: FieldRule): string {
  if (rule.maximum === undefined) return "";
  const most = rule.maximum.toLocaleString();
  if (rule.minimum !== undefined) return `${rule.minimum} to ${most}.`;
  return rule.exclusiveMinimum !== undefined ? `Above ${rule.exclusiveMinimum}, at most ${most}.` : `At most ${most}.`;
}
