import { type FormEvent, useState } from "react";
import { type TokenInfo, createToken, deleteToken } from "../../shared/api";
import { dateTime } from "../../shared/format";
import { useChange, useTokens } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Copy } from "../../shared/ui/Copy";
import { Dialog } from "../../shared/ui/Dialog";
import { Loaded, Notice } from "../../shared/ui/Loaded";

const DAY_S = 24 * 3600;
const LIFETIMES: [string, number][] = [
  ["30 days", 30 * DAY_S],
  ["90 days", 90 * DAY_S],
  ["1 year", 365 * DAY_S],
  ["No limit", 0],
];

interface Props {
  /** The registered model of the page. */
  name: string;
  user: string | null;
}

/** Creates, lists and revokes the user's tokens; for an admin, everybody's. */
export function Tokens({ name, user }: Props) {
  const tokens = useTokens();
  return (
    <>
      <p>A token lets a program score models as you: the program sends the header “Authorization: Bearer” with the token.</p>
      <NewToken name={name} />
      <Loaded of={tokens}>{(reply) => <Rows tokens={reply.token_infos ?? []} user={user} />}</Loaded>
    </>
  );
}

/** In place of tokens, where serving does not know the auth app: another than basic-auth and oidc-auth. */
export function NoTokens() {
  return (
    <p>
      This server’s auth app tells Serving of no users. So there are no tokens: programs send the credentials that the
      auth app takes. And there are no admins: nobody may see the metrics and the audit. Tokens and admins need basic-auth
      or oidc-auth.
    </p>
  );
}

function NewToken({ name }: { name: string }) {
  const [limited, setLimited] = useState(true);
  const [comment, setComment] = useState("");
  const [lifetime, setLifetime] = useState(LIFETIMES[0]?.[1] ?? 0);
  const create = useChange(() => createToken(comment.trim(), lifetime, limited ? name : null), [["tokens"]]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(undefined, { onSuccess: () => setComment("") });
  };
  return (
    <>
      <form className="filters" onSubmit={submit}>
        <label>
          Comment
          <input value={comment} maxLength={200} onChange={(event) => setComment(event.target.value)} />
        </label>
        <label>
          Scope
          <select value={limited ? "one" : "all"} onChange={(event) => setLimited(event.target.value === "one")}>
            <option value="one">Scoring {name}</option>
            <option value="all">Everything that you may do</option>
          </select>
        </label>
        <label>
          Valid for
          <select value={lifetime} onChange={(event) => setLifetime(Number(event.target.value))}>
            {LIFETIMES.map(([label, seconds]) => (
              <option key={label} value={seconds}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <Button type="submit" kind="primary" disabled={create.isPending}>
          Create token
        </Button>
      </form>
      {create.error && <Notice tone="error">{create.error.message}</Notice>}
      {create.data && (
        <Notice tone="info">
          Copy the token now; it is not shown again.
          <div className="line">
            <code className="grow" data-token="">
              {create.data.token_value}
            </code>
            <Copy text={create.data.token_value} what="the new token" />
          </div>
        </Notice>
      )}
    </>
  );
}

function Rows({ tokens, user }: { tokens: TokenInfo[]; user: string | null }) {
  const [revoking, setRevoking] = useState<TokenInfo | null>(null);
  const revoke = useChange((id: string) => deleteToken(id), [["tokens"]]);
  if (tokens.length === 0) return <p className="muted">You have no tokens.</p>;
  const others = tokens.some((token) => token.created_by_username !== user);
  return (
    <div className="scroll">
      {revoke.error && <Notice tone="error">{revoke.error.message}</Notice>}
      <table>
        <thead>
          <tr>
            <th scope="col">Comment</th>
            {others && <th scope="col">User</th>}
            <th scope="col">Scope</th>
            <th scope="col">Created</th>
            <th scope="col">Expires</th>
            <th scope="col">Last used</th>
            <th scope="col">
              <span className="unseen">Revoke</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {tokens.map((token) => (
            <tr key={token.token_id}>
              <td className="name">{token.comment || "–"}</td>
              {others && <td>{token.created_by_username}</td>}
              <td>{token.scope ? `Scoring ${token.scope.registered_model_name}` : "Everything that its user may do"}</td>
              <Day of={token.creation_time} />
              <Day of={token.expiry_time < 0 ? null : token.expiry_time} />
              <Day of={token.last_used_time} />
              <td>
                <Button onClick={() => setRevoking(token)} aria-label={`Revoke token ${token.comment}`}>
                  Revoke
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {revoking && (
        <Dialog
          title="Revoke this token?"
          confirm="Revoke"
          busy={revoke.isPending}
          onConfirm={() => revoke.mutate(revoking.token_id, { onSettled: () => setRevoking(null) })}
          onCancel={() => setRevoking(null)}
        >
          Programs that use this token will be refused.
        </Dialog>
      )}
    </div>
  );
}

/** A day, with the time as its tooltip. */
function Day({ of }: { of: number | null }) {
  return of === null ? (
    <td>Never</td>
  ) : (
    <td className="nowrap" title={dateTime(of)}>
      {new Date(of).toLocaleDateString()}
    </td>
  );
}
