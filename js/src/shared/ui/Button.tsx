import type { ButtonHTMLAttributes } from "react";

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "primary" | "plain" | "danger" | "link";
  /** Why it cannot be used; it stays in the tab order, so that everybody learns it. */
  refused?: string | null | undefined;
}

/** A button that can say why it does nothing. */
export function Button({ kind = "plain", refused, className = "", onClick, ...rest }: Props) {
  return (
    <button
      type="button"
      {...rest}
      className={`button ${kind} ${className}`}
      aria-disabled={refused ? true : undefined}
      title={refused ?? rest.title}
      onClick={refused ? (event) => event.preventDefault() : onClick}
    />
  );
}
