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

/** The caller's tokens: made, listed, revoked. */
export function Tokens() {
  const tokens = useTokens();
  return (
    <>
      <p>A token lets a program score models as you: it sends “Authorization: Bearer” and the token.</p>
      <NewToken />
      <Loaded of={tokens}>{(reply) => <Rows tokens={reply.token_infos ?? []} />}</Loaded>
    </>
  );
}

function NewToken() {
  const [comment, setComment] = useState("");
  const [lifetime, setLifetime] = useState(LIFETIMES[0]?.[1] ?? 0);
  const create = useChange(() => createToken(comment.trim(), lifetime), [["tokens"]]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(undefined, { onSuccess: () => setComment("") });
  };
  return (
    <>
      <form className="filters" onSubmit={submit}>
        <label>
          What it is for
          <input value={comment} maxLength={200} onChange={(event) => setComment(event.target.value)} />
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

function Rows({ tokens }: { tokens: TokenInfo[] }) {
  const [revoking, setRevoking] = useState<TokenInfo | null>(null);
  const revoke = useChange((id: string) => deleteToken(id), [["tokens"]]);
  if (tokens.length === 0) return <p className="muted">You have no tokens.</p>;
  return (
    <div className="scroll">
      {revoke.error && <Notice tone="error">{revoke.error.message}</Notice>}
      <table>
        <thead>
          <tr>
            <th scope="col">What it is for</th>
            <th scope="col">Created</th>
            <th scope="col">Expires</th>
            <th scope="col">
              <span className="unseen">Revoke</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {tokens.map((token) => (
            <tr key={token.token_id}>
              <td className="message">{token.comment || "–"}</td>
              <td className="nowrap">{dateTime(token.creation_time)}</td>
              <td className="nowrap">{token.expiry_time < 0 ? "Never" : dateTime(token.expiry_time)}</td>
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
          Programs that use it will be refused.
        </Dialog>
      )}
    </div>
  );
}
