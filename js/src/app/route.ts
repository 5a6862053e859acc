/** Which of MLflow's pages is open, by its address. Pure. */

/** What is shown of an endpoint: the chosen version and tab. */
export interface Place {
  version: number | undefined;
  view: string | undefined;
  /** The time that charts show: see shared/ranges. */
  range: string | undefined;
}

export type Route =
  | ({ kind: "model"; name: string; open: boolean } & Place)
  | ({ kind: "endpoint"; name: string } & Place)
  | ({ kind: "serving-endpoint"; name: string } & Place)
  | { kind: "new-endpoint" }
  | { kind: "overview" }
  | { kind: "other" };

const MODEL = /^\/models\/([^/]+)(?:\/versions\/(\d+))?\/?$/;
const ENDPOINT = /^\/serving\/([^/]+)\/?$/;
const SERVING_ENDPOINT = /^\/serving-endpoints\/([^/]+)\/?$/;
const TAB = "serving";

export function parseRoute(hash: string): Route {
  const { path, query } = split(hash);
  const model = MODEL.exec(path);
  if (model?.[1]) {
    const { version = model[2] === undefined ? undefined : Number(model[2]), view, range } = place(query);
    return { kind: "model", name: decoded(model[1]), version, view, range, open: query.get("tab") === TAB };
  }
  const endpoint = ENDPOINT.exec(path);
  if (endpoint?.[1]) return { kind: "endpoint", name: decoded(endpoint[1]), ...place(query) };
  const serving = SERVING_ENDPOINT.exec(path);
  if (serving?.[1]) return { kind: "serving-endpoint", name: decoded(serving[1]), ...place(query) };
  if (/^\/serving-endpoints\/?$/.test(path)) return { kind: "new-endpoint" };
  return /^\/serving\/?$/.test(path) ? { kind: "overview" } : { kind: "other" };
}

function place(query: URLSearchParams): Place {
  const version = query.get("version") ?? "";
  return {
    version: /^\d{1,15}$/.test(version) ? Number(version) : undefined,
    view: query.get("view") ?? undefined,
    range: query.get("range") ?? undefined,
  };
}

/** The address with another version or tab of the endpoint, otherwise unchanged. */
export function withPlace(hash: string, change: Partial<Place>): string {
  const { path, query } = split(hash);
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) query.delete(name);
    else query.set(name, String(value));
  }
  return joined(path, query);
}

/** The address with the Serving tab open or closed, otherwise unchanged. */
export function withTab(hash: string, open: boolean): string {
  const { path, query } = split(hash);
  if (open) query.set("tab", TAB);
  else query.delete("tab");
  return joined(path, query);
}

function joined(path: string, query: URLSearchParams): string {
  const text = query.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

/** The address of a model's Serving tab. */
export const modelAddress = (name: string): string => `#/models/${encodeURIComponent(name)}?tab=${TAB}`;

export const OVERVIEW = "#/serving";
export const NEW_ENDPOINT = "#/serving-endpoints";

/** The address of a serving endpoint's page. */
export const servingAddress = (name: string): string => `${NEW_ENDPOINT}/${encodeURIComponent(name)}`;

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
