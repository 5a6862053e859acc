import { afterEach, beforeEach, vi } from "vitest";

/** Replies by method and path; whatever a test did not say is asked fails it. */
const replies = new Map<string, { body: unknown; status: number }>();
let unexpected: string[] = [];

export function reply(method: string, path: string, body: unknown, status = 200): void {
  replies.set(`${method} ${path}`, { body, status });
}

export const asked: string[] = [];

// The drawing library asks for the screen's density as soon as it is loaded.
globalThis.matchMedia = () => Object.assign(new EventTarget(), { matches: false }) as MediaQueryList;

beforeEach(() => {
  replies.clear();
  unexpected = [];
  asked.length = 0;
  vi.stubGlobal("fetch", (address: string, options: RequestInit = {}) => {
    const request = `${options.method ?? "GET"} ${new URL(address).pathname}`;
    asked.push(`${request} ${typeof options.body === "string" ? options.body : ""}`.trim());
    const found = replies.get(request);
    if (!found) {
      unexpected.push(request);
      return Promise.reject(new Error(`nobody said what ${request} answers`));
    }
    return Promise.resolve(new Response(JSON.stringify(found.body), { status: found.status }));
  });
});

afterEach(() => {
  if (unexpected.length) throw new Error(`requests that the test did not expect: ${unexpected.join(", ")}`);
});
