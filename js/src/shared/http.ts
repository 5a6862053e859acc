/** The one place that sends requests to the control API. */

/** A refusal or a failure, with MLflow's own code and sentence. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let prefix = "";

/** Where the server's paths begin: what stands before `/static-files/` in the address of our own script. */
export function setPrefixFrom(scriptAddress: string): void {
  const { pathname } = new URL(scriptAddress, document.baseURI);
  prefix = pathname.slice(0, Math.max(0, pathname.lastIndexOf("/static-files/")));
}

/** The absolute address of a path on this server, for clients elsewhere. */
export function absolute(path: string): string {
  return `${window.location.origin}${prefix}${path}`;
}

/** On a server with workspaces, MLflow puts the workspace into the query of its pages' addresses. */
function workspaceHeader(): Record<string, string> {
  const name = new URLSearchParams(window.location.hash.split("?")[1] ?? "").get("workspace");
  return name ? { "X-MLFLOW-WORKSPACE": name } : {};
}

type Fields = Record<string, unknown>;

/** GET with the fields in the query; undefined fields are left out. */
export function get<Reply>(path: string, fields: Fields = {}, signal?: AbortSignal): Promise<Reply> {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return send<Reply>(query ? `${path}?${query}` : path, { method: "GET", ...(signal ? { signal } : {}) });
}

/** A change, with the fields as a JSON body. */
export function change<Reply>(method: "POST" | "PUT" | "DELETE", path: string, fields: Fields): Promise<Reply> {
  return send<Reply>(path, {
    method,
    body: JSON.stringify(fields),
    headers: { "Content-Type": "application/json" },
  });
}

async function send<Reply>(path: string, options: RequestInit): Promise<Reply> {
  let response: Response;
  try {
    response = await fetch(absolute(path), {
      ...options,
      credentials: "same-origin",
      headers: { ...options.headers, ...workspaceHeader() },
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "UNREACHABLE", "The server did not answer.");
  }
  const reply: unknown = await response.json().catch(() => null);
  if (response.ok && reply !== null) return reply as Reply;
  throw failure(response.status, reply);
}

function failure(status: number, reply: unknown): ApiError {
  if (typeof reply === "object" && reply !== null && "message" in reply) {
    const { error_code: code, message } = reply as { error_code?: unknown; message: unknown };
    return new ApiError(status, String(code ?? ""), String(message));
  }
  return new ApiError(status, "", `The server answered with status ${status}.`);
}

/** The outcome of a scoring request, as the test client shows it. */
export interface Scored {
  status: number;
  body: string;
  milliseconds: number;
  version: string | null;
  /** The entity of a serving endpoint that answered. */
  entity: string | null;
  timing: string | null;
}

/** POST a body to a scoring address of this server. */
export async function score(address: string, body: string, signal: AbortSignal): Promise<Scored> {
  const started = performance.now();
  const response = await fetch(address, {
    method: "POST",
    body,
    signal,
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", ...workspaceHeader() },
  });
  const text = await response.text();
  return {
    status: response.status,
    body: text,
    milliseconds: performance.now() - started,
    version: response.headers.get("X-MLflow-Model-Version"),
    entity: response.headers.get("Served-Model-Name"),
    timing: response.headers.get("Server-Timing"),
  };
}
