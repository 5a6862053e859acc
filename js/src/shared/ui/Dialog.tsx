import { type ReactNode, useEffect, useId, useRef } from "react";
import { Button } from "./Button";

interface Props {
  title: string;
  children: ReactNode;
  confirm: string;
  busy?: boolean;
  onConfirm: () => void;
  onCancel: () => void;
}

/** A modal question. */
export function Dialog({ title, children, confirm, busy = false, onConfirm, onCancel }: Props) {
  const id = useId();
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    // The page has removed the dialog by the time the dialog is closed: the browser gives no focus back then.
    const opener = (dialog?.getRootNode() as Document | ShadowRoot | undefined)?.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog ref={element} aria-labelledby={id} onCancel={(event) => (event.preventDefault(), onCancel())}>
      <h3 id={id}>{title}</h3>
      <div>{children}</div>
      <div className="actions">
        <Button onClick={onCancel}>Cancel</Button>
        <Button kind="danger" onClick={onConfirm} disabled={busy}>
          {confirm}
        </Button>
      </div>
    </dialog>
  );
}
