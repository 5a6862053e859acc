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
  children?: ReactNode;
}

/** A row of tabs and the body of the chosen tab; arrow keys move between tabs. */
export function Tabs<Key extends string>({ label, tabs, chosen, choose, children }: Props<Key>) {
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
      {children && (
        <div role="tabpanel" id={`${id}-body`} aria-labelledby={`${id}-${chosen}`} className="tab-body">
          {children}
        </div>
      )}
    </>
  );
}
