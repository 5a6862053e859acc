/**
 * The only file that touches MLflow's own DOM (3.10 to 3.18). Our one element is put beside MLflow's, which are never
 * moved or changed: React leaves foreign siblings alone. What ours covers is hidden by a rule of style.
 */

import { type Place, type Route, endpointAddress, parseRoute, withPlace, withTab } from "./route";

const TAG = "mlflow-serving";
const LINK_MARK = "data-mlflow-serving-link";
const PLACE_TIMEOUT_MS = 4000;
const ICON = "M3 3h10v4H3zM3 9h10v4H3zM5 5h1M5 11h1";

/** Our element and the route that it shows. */
export interface Page {
  root: ShadowRoot;
  /** Calls back whenever the address changes. Returns the function that unsubscribes. */
  subscribe: (changed: () => void) => () => void;
  /** The route: the same object until the address changes. */
  route: () => Route;
  openTab: (open: boolean) => void;
  /** Shows another version or tab of the endpoint, as an address of its own: Back leads to the one before. */
  go: (change: Partial<Place>) => void;
  /** Goes to another of our pages. */
  open: (address: string) => void;
}

/** Insert our element at its place, and keep it there while MLflow renders and navigates. */
export function takePlace(): Page {
  const host = document.createElement(TAG);
  const root = host.attachShadow({ mode: "open" });
  const listeners = new Set<() => void>();
  let hash: string | null = null;
  let route: Route = { kind: "other" };
  let since = Date.now();
  const look = () => {
    if (location.hash !== hash) {
      hash = location.hash;
      route = parseRoute(hash);
      since = Date.now();
      // The page's next changes may not bring the place: look again later.
      setTimeout(look, PLACE_TIMEOUT_MS + 100);
      listeners.forEach((changed) => changed());
    }
    const placed = place(host, route, Date.now() - since > PLACE_TIMEOUT_MS);
    showLink(route, placed, Date.now() - since > PLACE_TIMEOUT_MS);
  };
  addHidingRule();
  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
  addEventListener("hashchange", look);
  addEventListener("popstate", look);
  followTheme(host);
  look();
  return {
    root,
    route: () => route,
    subscribe: (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    openTab: (open) => {
      history.replaceState(history.state, "", withTab(location.hash, open));
      look();
    },
    open: (address) => {
      location.hash = address;
    },
    go: (change) => {
      const address = withPlace(location.hash, change);
      if (address !== location.hash) history.pushState(history.state, "", address);
      look();
    },
  };
}

/** Inserts our element where the route wants it; whether that place exists. */
function place(host: HTMLElement, route: Route, late: boolean): boolean {
  if (route.kind === "other") {
    host.remove();
    return true;
  }
  if (route.kind === "model") return placeBelowHeader(host, route.open);
  host.dataset.open = "";
  const main = document.querySelector("main");
  host.toggleAttribute("data-overlay", !main);
  if (main) {
    if (main.firstElementChild !== host) main.prepend(host);
  } else if (late && document.body.lastElementChild !== host) {
    document.body.append(host);
  }
  return true;
}

function placeBelowHeader(host: HTMLElement, open: boolean): boolean {
  const header = headerOfPage();
  if (!header) {
    host.remove();
    return false;
  }
  host.removeAttribute("data-overlay");
  host.toggleAttribute("data-open", open);
  if (header.nextElementSibling !== host) header.after(host);
  return true;
}

/** The block with the page's title: the ancestor of its heading that has the page's other blocks beside it. */
function headerOfPage(): Element | null {
  let block = document.querySelector("main h2");
  while (block?.parentElement && block.tagName !== "MAIN") {
    const beside = [...block.parentElement.children].filter((one) => one.localName !== TAG);
    if (beside.length >= 3) return block;
    block = block.parentElement;
  }
  return null;
}

/** Adds an entry to MLflow's side bar; without a side bar and a place for the tab, a floating link. */
function showLink(route: Route, placed: boolean, late: boolean): void {
  const list = document.querySelector("aside nav ul, nav ul");
  const like = list?.querySelector<HTMLAnchorElement>(`li:not([${LINK_MARK}]) a`);
  const shown = document.querySelector<HTMLElement>(`[${LINK_MARK}]`);
  if (!list || !like) {
    if (shown?.localName === "li") shown.remove();
    if (!placed && late && !document.querySelector(`[${LINK_MARK}]`)) floatLink(route);
    else if (placed) shown?.remove();
    return;
  }
  if (shown && shown.localName !== "li") shown.remove();
  const entry = shown?.localName === "li" && shown.parentElement === list ? shown : newEntry(list);
  const link = entry.firstElementChild as HTMLAnchorElement;
  const label = like.textContent?.trim() ? "Serving" : "";
  setIfOther(link, "class", like.className);
  setIfOther(link, "href", target(route, placed));
  setIfOther(link, "aria-current", route.kind === "other" || route.kind === "model" ? null : "page");
  setIfOther(link, "aria-label", label ? null : "Serving");
  if (link.lastChild && link.lastChild.textContent !== label) link.lastChild.textContent = label;
  const icon = like.querySelector("span[role=img]");
  if (icon) setIfOther(link.firstElementChild as Element, "class", icon.className);
}

const target = (route: Route, placed: boolean): string =>
  route.kind === "model" && !placed ? endpointAddress(route.name) : "#/serving";

function newEntry(list: Element): HTMLElement {
  document.querySelectorAll(`[${LINK_MARK}]`).forEach((old) => old.remove());
  const entry = document.createElement("li");
  entry.setAttribute(LINK_MARK, "");
  entry.innerHTML = `<a><span aria-hidden="true"><svg width="1em" height="1em" viewBox="0 0 16 16" fill="none"
    stroke="currentColor" stroke-width="1.5"><path d="${ICON}"/></svg></span><span></span></a>`;
  list.append(entry);
  return entry;
}

function floatLink(route: Route): void {
  const link = document.createElement("a");
  link.setAttribute(LINK_MARK, "");
  link.href = target(route, false);
  link.textContent = "Serving";
  link.style.cssText =
    "position:fixed;right:16px;bottom:16px;padding:8px 16px;border-radius:4px;background:#2272b4;color:#fff;z-index:1000";
  document.body.append(link);
}

// Writes differences only: each write triggers the observer again.
function setIfOther(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

function addHidingRule(): void {
  const style = document.createElement("style");
  style.textContent = `${TAG}{display:block}${TAG}[data-open]~*{display:none!important}
    ${TAG}[data-overlay]{position:fixed;inset:0;overflow:auto;z-index:999}`;
  document.head.append(style);
}

function followTheme(host: HTMLElement): void {
  const follow = () => {
    host.dataset.theme = document.body.classList.contains("dark-mode") ? "dark" : "light";
  };
  follow();
  new MutationObserver(follow).observe(document.body, { attributes: true, attributeFilter: ["class"] });
}
