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

/** How two answers to one request differ, in one sentence. `one` begins the sentence: "The new answer". */
export function comparison(one: string, other: string, names = { one: "The new answer", other: "the logged answer" }): string {
  if (pretty(one) === pretty(other)) return `${names.one} equals ${names.other}.`;
  const [after, before] = [asTable(one)?.rows, asTable(other)?.rows];
  if (!before || !after || before.length !== after.length) return `${names.one} differs from ${names.other}.`;
  const changed = before.filter((row, index) => JSON.stringify(row) !== JSON.stringify(after[index])).length;
  return changed === 0 ? "The predictions are equal, and the rest of the answers differs." : `${changed} of ${before.length} predictions differ.`;
}
