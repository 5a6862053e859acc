import type { ButtonHTMLAttributes } from "react";

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "primary" | "plain" | "danger" | "link";
  /** Why the button is disabled. It stays in the tab order, so that screen readers announce the reason. */
  refused?: string | null | undefined;
}

/** A button that can tell why it is disabled. */
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
