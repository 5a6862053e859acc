import { type KeyboardEvent, type ReactNode, useId, useRef } from "react";

export interface Tab<Key extends string> {
  key: Key;
  label: string;
}

interface Props<Key extends string> {
  label: string;
  tabs: readonly Tab<Key>[];
  chosen: Key;
  choose: (key: Key) => void;
  /** Stands at the end of the row. */
  beside?: ReactNode;
  /** Tabs inside a tab look less than those around them. */
  small?: boolean;
  children?: ReactNode;
}

/** A row of tabs and the body of the chosen tab; arrow keys move between tabs. */
export function Tabs<Key extends string>({ label, tabs, chosen, choose, beside, small, children }: Props<Key>) {
  const id = useId();
  const row = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const index = (tabs.findIndex((tab) => tab.key === chosen) + step + tabs.length) % tabs.length;
    const next = tabs[index];
    if (!next) return;
    event.preventDefault();
    choose(next.key);
    row.current?.querySelectorAll("button")[index]?.focus();
  };
  return (
    <>
      <div className={small ? "tab-row small-tabs" : "tab-row"}>
      <div className="tabs" role="tablist" aria-label={label} ref={row}>
        {tabs.map((tab) => (
          <button
            key={tab.key}
            type="button"
            role="tab"
            id={`${id}-${tab.key}`}
            aria-selected={tab.key === chosen}
            aria-controls={children && tab.key === chosen ? `${id}-body` : undefined}
            tabIndex={tab.key === chosen ? 0 : -1}
            onClick={() => choose(tab.key)}
            onKeyDown={move}
          >
            {tab.label}
          </button>
        ))}
      </div>
      {beside}
      </div>
      {children && (
        <div role="tabpanel" id={`${id}-body`} aria-labelledby={`${id}-${chosen}`} className="tab-body">
          {children}
        </div>
      )}
    </>
  );
}
