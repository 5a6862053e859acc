import { type FormEvent, useState } from "react";
import { useChange } from "../../shared/queries";
import { type RateLimit, type ServingEndpoint, limitEndpoint } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { Notice } from "../../shared/ui/Loaded";

const KEYS = [
  { key: "endpoint", label: "Calls a minute, all callers together" },
  { key: "user", label: "Calls a minute of each user" },
] as const;

type Texts = Partial<Record<RateLimit["key"], string>>;

/** The limits on calls a minute. They hold at once: no worker is replaced. */
export function RateLimits({ endpoint }: { endpoint: ServingEndpoint }) {
  const { name, rate_limits: present = [] } = endpoint;
  const [typed, setTyped] = useState<Texts>({});
  const [saved, setSaved] = useState("");
  const save = useChange((limits: RateLimit[]) => limitEndpoint(name, limits), [["serving-endpoint", name]]);
  const before = (key: RateLimit["key"]) => textOf(present, key);
  const text = (key: RateLimit["key"]) => typed[key] ?? before(key);
  const wrong = KEYS.some(({ key }) => text(key) !== "" && !/^\d{1,10}$/.test(text(key)));
  const same = KEYS.every(({ key }) => text(key) === before(key));
  const refused =
    endpoint.permission_level !== "CAN_MANAGE"
      ? "You need MANAGE permission on every registered model of the endpoint."
      : wrong
        ? "A limit is a whole number."
        : same
          ? "Nothing is changed."
          : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (refused) return;
    const limits = KEYS.flatMap(({ key }) => (text(key) === "" ? [] : [{ key, calls: Number(text(key)), renewal_period: "minute" as const }]));
    save.mutate(limits, {
      onSuccess: () => {
        setTyped({});
        setSaved("Saved: the limits hold now.");
      },
    });
  };
  return (
    <form className="split" aria-label="Rate limits" onSubmit={submit} noValidate>
      <h4>Rate limits</h4>
      <p className="muted small">Further calls get 429 until the minute is over. Empty: no limit. Without authentication all callers count as one user.</p>
      <div className="line">
        {KEYS.map(({ key, label }) => (
          <label key={key}>
            {label}
            <input
              className="short"
              inputMode="numeric"
              value={text(key)}
              placeholder="none"
              onChange={(event) => {
                setSaved("");
                setTyped({ ...typed, [key]: event.target.value.trim() });
              }}
            />
          </label>
        ))}
      </div>
      {save.error && <Notice tone="error">{save.error.message}</Notice>}
      <div className="actions">
        <Button type="submit" refused={refused} disabled={save.isPending}>
          {save.isPending ? "Saving…" : "Save Limits"}
        </Button>
        <span role="status" className={saved ? "good" : "muted"}>
          {saved || refused}
        </span>
      </div>
    </form>
  );
}

const textOf = (limits: RateLimit[], key: RateLimit["key"]): string => String(limits.find((one) => one.key === key)?.calls ?? "");
