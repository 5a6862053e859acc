import { type FormEvent, useState } from "react";
import { useDraft } from "../../shared/drafts";
import { type Access, type ConfigReply, type FieldRule, updateConfig } from "../../shared/api";
import { useChange, useConfig } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Changes } from "../../shared/ui/Changes";
import { Loaded, Notice } from "../../shared/ui/Loaded";
import { refusal } from "../endpoint/NotEnabled";
import { Field } from "./Field";
import { type Draft, type Form, changes, flat, toDraft, toForm, told, withDraft } from "./fields";
import { grouped } from "./groups";
import { withLogRules } from "./logRules";
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
  const rules = withLogRules(reply.schema.properties);
  // Changes that are not saved yet survive another tab of the page. Not in the browser's storage: variables are secrets.
  const [draft, setDraft] = useDraft(`settings ${name}`, false);
  const [saved, setSaved] = useState("");
  const form = draft ? withDraft(reply.config, JSON.parse(draft) as Draft) : toForm(reply.config);
  const setForm = (changed: Form) => {
    setDraft(JSON.stringify(toDraft(changed, reply.config)));
    setSaved("");
  };
  const save = useChange((changed: object) => updateConfig(name, { ...changed }), [["config", name], ["overview", name], ["requests"]]);
  const changed = changes(form, reply.config, rules);
  const nothing = Object.keys(changed).length === 0;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (refused || nothing) return;
    const titles = Object.keys(flat(changed)).map((field) => rules[field]?.title ?? field);
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
