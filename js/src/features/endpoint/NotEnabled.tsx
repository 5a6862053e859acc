import type { Access } from "../../shared/api";
import { enable } from "../../shared/api";
import { useChange } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Notice } from "../../shared/ui/Loaded";

/** Why the user may not change a model's serving; null when the user may. */
export function refusal(access: Access | undefined): string | null {
  if (access === undefined) return "Checking your permissions…";
  if (access.permission === "MANAGE") return null;
  return "You need MANAGE permission on this registered model.";
}

/** The page of a model on which serving is not enabled. */
export function NotEnabled({ name, access }: { name: string; access: Access | undefined }) {
  const start = useChange(() => enable(name), [["overview", name]]);
  const refused = refusal(access);
  return (
    <section className="empty">
      <h3>Serve this model</h3>
      <p>
        Each version that is not archived answers at a URL of its own on this server, and new versions do as soon as they
        are registered.
      </p>
      <Button kind="primary" refused={refused} disabled={start.isPending} onClick={() => start.mutate(undefined)}>
        {start.isPending ? "Enabling…" : "Enable Serving"}
      </Button>
      {access && refused && <p className="muted">{refused}</p>}
      {start.error && <Notice tone="error">{start.error.message}</Notice>}
    </section>
  );
}
