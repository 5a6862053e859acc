/** What the log holds of a request, and why not all. Pure. */

import type { LoggedExchange } from "../../shared/requestsApi";
import { asTable, complaint } from "../versions/replies";
import { pretty } from "../versions/layout";

/** Stands in place of a value that the configuration leaves out. */
const REDACTED = '"[REDACTED]"';

const REASONS: Record<string, string> = {
  MAX_REQUEST_SIZE_EXCEEDED: "Too large: the request is longer than max_payload_bytes.",
  MAX_RESPONSE_SIZE_EXCEEDED: "Too large: the answer is longer than max_payload_bytes.",
  REQUEST_NOT_TEXT: "The request is binary, and the log holds text only.",
  RESPONSE_NOT_TEXT: "The answer is binary, and the log holds text only.",
  RESPONSE_STREAMED: "The answer was a stream. The log holds no streams.",
};

type Side = "request" | "response";

/** Why a body is missing in the log, or what is missing in the body; null when the body is whole. */
export function missing(exchange: LoggedExchange, side: Side): string | null {
  const text = exchange[side];
  if (text !== null) return text.includes(REDACTED) ? "Some values are redacted." : null;
  const code = exchange.logging_error_codes?.find((one) => one.includes(side.toUpperCase()));
  if (code) return REASONS[code] ?? code;
  if (side === "response" && exchange.status_code === 499) return "The client left before the answer.";
  return side === "request" ? "Redacted: the log holds no request bodies." : "Redacted: the log holds no answers.";
}

/** Why a logged request cannot be sent again; null when it can. */
export function refusal({ request }: LoggedExchange): string | null {
  if (request === null) return "The request cannot be sent again, as the log has no body.";
  if (request.includes(REDACTED)) return "The request cannot be sent again, as values are redacted.";
  return complaint(request) ? "The request cannot be sent again from the page, as the body is not JSON." : null;
}

/** A body as JSON, when it is an object. */
function parsed(text: string | null): Record<string, unknown> | null {
  try {
    const found: unknown = JSON.parse(text ?? "");
    return typeof found === "object" && found !== null && !Array.isArray(found) ? (found as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

const isTensor = (one: unknown): boolean => typeof one === "object" && one !== null && "name" in one && "datatype" in one && "shape" in one;

/** Paths of OpenAI's API, by what their answers say of themselves. */
const OF_OPENAI: Record<string, string> = { "chat.completion": "chat/completions", response: "responses", list: "embeddings" };

/** Where a logged request goes once more: by the protocol that its body is written in. `path`: of a version's invocations. */
export function pathAgain(path: string, { request, response }: Pick<LoggedExchange, "request" | "response">): string {
  const [, version] = /^\/model\/(.+)\/invocations$/.exec(path) ?? [];
  const body = parsed(request);
  if (!version || !body) return path;
  if (Array.isArray(body.inputs) && body.inputs.length > 0 && body.inputs.every(isTensor)) return `/v2/models/${version.replace("/", "/versions/")}/infer`;
  const answered = parsed(response)?.object;
  const api = typeof body.model === "string" && typeof answered === "string" ? OF_OPENAI[answered] : undefined;
  return api ? `/model/${version}/v1/${api}` : path;
}

/** How two answers to one request differ, in one sentence. `one` begins the sentence: "The new answer". */
export function comparison(one: string, other: string, names = { one: "The new answer", other: "the logged answer" }): string {
  if (pretty(one) === pretty(other)) return `${names.one} equals ${names.other}.`;
  const [after, before] = [asTable(one)?.rows, asTable(other)?.rows];
  if (!before || !after || before.length !== after.length) return `${names.one} differs from ${names.other}.`;
  const changed = before.filter((row, index) => JSON.stringify(row) !== JSON.stringify(after[index])).length;
  return changed === 0 ? "The predictions are equal, and the rest of the answers differs." : `${changed} of ${before.length} predictions differ.`;
}
