/** The keys of `request_log` as fields of a form. The server checks the values. Pure. */

import type { FieldRule } from "../../shared/api";

export const LOG = "request_log";

/** By key. Units and defaults are those of the server. */
export const LOG_RULES: Record<string, FieldRule> = {
  enabled: {
    title: "Log requests and answers",
    description: "Who may manage the model can read what callers send and what the model answers.",
    type: "boolean",
    default: null,
  },
  location: {
    title: "Location",
    description:
      "A directory, or an s3://, gs:// or abfss:// URI, below a place that the server's operator names in MLFLOW_SERVING_REQUEST_LOG_ROOTS. Empty: the first of these places.",
    type: "string",
    default: null,
  },
  format: { title: "Format", description: "Parquet files, or a Delta table.", type: "string", enum: ["parquet", "delta"], default: "parquet" },
  sampling_fraction: { title: "Sampling fraction", description: "Share of the requests that is logged.", type: "number", minimum: 0, maximum: 1, default: 1 },
  max_payload_bytes: {
    title: "Longest body (bytes)",
    description: "The log leaves out the text of longer requests and answers.",
    type: "integer",
    minimum: 0,
    maximum: 67_108_864,
    default: 1_048_576,
  },
  redact: {
    title: "Redact",
    description: "Fields and columns whose values are left out, one name a line. $request and $response leave out whole bodies.",
    type: "array",
    default: null,
  },
  retention_days: { title: "Retention (days)", description: "Older days are removed.", type: "number", exclusiveMinimum: 0, maximum: 3650, default: 30 },
  max_bytes: {
    title: "Largest log (bytes)",
    description: "The oldest files are removed first. Not for the format delta.",
    type: "integer",
    minimum: 1_048_576,
    maximum: 1_125_899_906_842_624,
    default: 10_737_418_240,
  },
};

/** The rules of a whole configuration, with one for each key of the log, such as "request_log.enabled". */
export function withLogRules(rules: Record<string, FieldRule>): Record<string, FieldRule> {
  const { [LOG]: log, ...others } = rules;
  return log ? { ...others, ...Object.fromEntries(Object.entries(LOG_RULES).map(([key, rule]) => [`${LOG}.${key}`, rule])) } : rules;
}
