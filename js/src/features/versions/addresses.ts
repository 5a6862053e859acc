/** The scoring addresses of a version. Pure. */

import type { Overview } from "../../shared/api";

export interface Address {
  /** How the address refers to the version: "Version 3", "Stage Production", "Alias @champion". */
  label: string;
  url: string;
}

/** Every address at which this version answers now. `absolute` puts the server's address before a path. */
export function addressesOf(overview: Overview, version: number, absolute: (path: string) => string): Address[] {
  const name = encodeURIComponent(overview.registered_model_name);
  const made = (label: string, reference: string) => ({
    label,
    url: absolute(`/model/${name}${reference}/invocations`),
  });
  const held = (names: Record<string, string>) => Object.keys(names).filter((one) => names[one] === `${version}`);
  return [
    made(`Version ${version}`, `/${version}`),
    ...held(overview.stages).map((stage) => made(`Stage ${stage}`, `/${encodeURIComponent(stage)}`)),
    ...held(overview.aliases).map((alias) => made(`Alias @${alias}`, `@${encodeURIComponent(alias)}`)),
    ...(overview.latest === String(version) ? [made("Latest", "/latest")] : []),
  ];
}
