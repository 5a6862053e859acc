/** Which of MLflow's pages is open, by its address. Pure. */

export type Route =
  | { kind: "model"; name: string; version: number | undefined; open: boolean }
  | { kind: "endpoint"; name: string }
  | { kind: "overview" }
  | { kind: "other" };

const MODEL = /^\/models\/([^/]+)(?:\/versions\/(\d+))?\/?$/;
const ENDPOINT = /^\/serving\/([^/]+)\/?$/;
const TAB = "serving";

export function parseRoute(hash: string): Route {
  const { path, query } = split(hash);
  const model = MODEL.exec(path);
  if (model?.[1]) {
    const version = model[2] === undefined ? undefined : Number(model[2]);
    return { kind: "model", name: decoded(model[1]), version, open: query.get("tab") === TAB };
  }
  const endpoint = ENDPOINT.exec(path);
  if (endpoint?.[1]) return { kind: "endpoint", name: decoded(endpoint[1]) };
  return /^\/serving\/?$/.test(path) ? { kind: "overview" } : { kind: "other" };
}

/** The address with the Serving tab open or closed, otherwise unchanged. */
export function withTab(hash: string, open: boolean): string {
  const { path, query } = split(hash);
  if (open) query.set("tab", TAB);
  else query.delete("tab");
  const text = query.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

/** The address of a model's Serving tab. */
export const modelAddress = (name: string): string => `#/models/${encodeURIComponent(name)}?tab=${TAB}`;

/** The address of a model's own serving page. */
export const endpointAddress = (name: string): string => `#/serving/${encodeURIComponent(name)}`;

function split(hash: string): { path: string; query: URLSearchParams } {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  return { path, query: new URLSearchParams(query) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
