/** Texts that a person typed and has not sent off: they survive everything but closing the page. */

import { useCallback, useSyncExternalStore } from "react";
import { absolute } from "./http";

const memory = new Map<string, string>();
const listeners = new Set<() => void>();

// Per server and workspace: two servers may share an origin below different prefixes.
const keyOf = (name: string): string =>
  `mlflow-serving ${absolute("")} ${new URLSearchParams(location.hash.split("?")[1] ?? "").get("workspace") ?? ""} ${name}`;

function read(key: string): string {
  const known = memory.get(key);
  if (known !== undefined) return known;
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function write(key: string, text: string, keep: boolean): void {
  memory.set(key, text);
  listeners.forEach((changed) => changed());
  if (!keep) return;
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // A browser that stores nothing, or a text beyond its quota: the text survives until the page is loaded anew.
  }
}

const subscribe = (changed: () => void): (() => void) => {
  listeners.add(changed);
  return () => listeners.delete(changed);
};

/**
 * A text under a name, and the function that changes it. The same text wherever the name is used. `keep`: also when
 * the page is loaded anew, in the browser's storage of this tab; not for texts that may hold a secret.
 */
export function useDraft(name: string, keep = true): [string, (text: string) => void] {
  const key = keyOf(name);
  const text = useSyncExternalStore(subscribe, () => read(key));
  return [text, useCallback((changed: string) => write(key, changed, keep), [key, keep])];
}
