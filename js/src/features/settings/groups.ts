/** Which settings stand together. Pure. */

import { LOG, LOG_RULES } from "./logRules";

const GROUPS: readonly (readonly [string, readonly string[]])[] = [
  ["Capacity", ["replicas", "min_replicas", "max_replicas", "target_requests", "idle_timeout_s"]],
  ["Batching and threads", ["batching", "max_batch_rows", "max_concurrency", "max_streams", "threads"]],
  ["Requests", ["request_timeout_s", "calls_per_minute", "calls_per_minute_per_user", "max_cells", "default_dialect"]],
  ["Request log", Object.keys(LOG_RULES).map((key) => `${LOG}.${key}`)],
  ["Traces", ["trace_experiment", "trace_sampling", "context_headers"]],
  ["Environment", ["env_manager", "runtime"]],
  ["Limits of a worker", ["memory_limit_mb", "cpus", "priority", "cache_mb", "max_processes", "max_open_files"]],
  ["Isolation", ["sandbox", "network", "tracking"]],
];

/** The fields by group; a field that no group names, such as a new one, stands under "More". */
export function grouped(fields: readonly string[]): [string, string[]][] {
  const named = GROUPS.flatMap(([, names]) => names);
  const all: [string, readonly string[]][] = [...GROUPS.map(([title, names]): [string, readonly string[]] => [title, names]), ["More", fields.filter((one) => !named.includes(one))]];
  return all.map(([title, names]): [string, string[]] => [title, names.filter((one) => fields.includes(one))]).filter(([, names]) => names.length > 0);
}
