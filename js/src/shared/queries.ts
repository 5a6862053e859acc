/** One hook per resource. A visible page polls its resources every two seconds. */

import { QueryClient, useIsMutating, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import * as api from "./api";
import { type Target, getHistory } from "./history";
import { type Range, boundsOf } from "./ranges";
import { ApiError } from "./http";
import * as log from "./requestsApi";
import * as serving from "./servingApi";

const POLL_MS = 2000;
const SLOWEST_MS = 30_000;

/** Delay before the next retry after `failures` in a row, in milliseconds. */
export const pauseAfter = (failures: number): number => Math.min(SLOWEST_MS, POLL_MS * 2 ** failures);

/** Polls, with longer and longer delays while the server fails; a hidden page does not poll. */
const LIVE = { refetchInterval: POLL_MS, retry: true, retryDelay: pauseAfter } as const;

export function makeClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      // A server on the user's own machine answers without a network too.
      queries: { networkMode: "always", refetchOnWindowFocus: true, retryDelay: pauseAfter },
      mutations: { networkMode: "always" },
    },
  });
}

export const useOverview = (name: string) =>
  useQuery({ queryKey: ["overview", name], queryFn: () => api.getOverview(name), ...LIVE });

export const useOverviews = () =>
  useQuery({
    queryKey: ["overviews"],
    queryFn: api.listOverviews,
    ...LIVE,
    // A long list is a large reply: no more than a few endpoints' worth of work each second.
    refetchInterval: ({ state }) => POLL_MS * (1 + Math.floor((state.data?.overviews.length ?? 0) / 250)),
  });

const CHANGE = ["change"];
const MEASURED_MS = 10_000;
const DAY_MS = 86_400_000;

/**
 * What was measured in a time range: anew as often as the server measures, of long ranges less often. `at`: when the server last
 * said that the endpoint is served, in milliseconds since 1970. Only then is the history asked for: each refusal is an error in the
 * browser's console.
 */
export function useHistory(target: Target, range: Range, at: number) {
  const changing = useIsMutating({ mutationKey: CHANGE }) > 0;
  const pause = range.length < DAY_MS ? MEASURED_MS : 6 * MEASURED_MS;
  const tick = range.fixed ? 0 : Math.floor(at / pause);
  const query = useQuery({
    queryKey: ["history", target, range.key],
    queryFn: () => {
      const { from, to } = boundsOf(range, Date.now());
      return getHistory(target, from, to);
    },
    placeholderData: (before) => before,
    enabled: !changing,
    retry: (_, error) => !(error instanceof ApiError && error.status >= 400 && error.status < 500),
    staleTime: pause / 2,
  });
  const { refetch, dataUpdatedAt } = query;
  useEffect(() => {
    if (dataUpdatedAt && dataUpdatedAt < tick * pause && !changing) void refetch();
  }, [tick, pause, dataUpdatedAt, changing, refetch]);
  return query;
}

export const useAccess = (name: string) =>
  useQuery({ queryKey: ["access", name], queryFn: () => api.getAccess(name), ...LIVE, refetchInterval: SLOWEST_MS });

/** `there`: whether the version's files have been fetched; before that there is no sample. */
export const useSample = (name: string, version: number, there: boolean) =>
  useQuery({
    queryKey: ["sample", name, version],
    queryFn: () => api.getSample(name, version),
    enabled: there,
    staleTime: Infinity,
    retry: 2,
  });

export const useEvents = (target: Target, version: number | undefined, pages: number) =>
  useQuery({
    queryKey: ["events", target, version ?? null, pages],
    queryFn: () => newestEvents(target, version, pages),
    placeholderData: (before) => before,
    ...LIVE,
  });

async function newestEvents(target: Target, version: number | undefined, pages: number): Promise<api.EventPage> {
  const read = (token?: string) =>
    "serving_endpoint_name" in target
      ? serving.getEndpointEvents(target.serving_endpoint_name, token)
      : api.getEvents(target.registered_model_name, version, token);
  let found = await read();
  let events = found.events;
  for (let page = 1; page < pages && found.next_page_token; page += 1) {
    found = await read(found.next_page_token);
    events = [...events, ...found.events];
  }
  return { ...found, events };
}

export const useConfig = (name: string) =>
  useQuery({ queryKey: ["config", name], queryFn: () => api.getConfig(name), retry: 2 });

/** Logged requests, newest first, in a time range. */
export const useRequests = (target: Target, filter: log.RequestFilter, range: Range, pages: number) =>
  useQuery({
    queryKey: ["requests", target, filter, range.key, pages],
    queryFn: async () => {
      const asked = { ...filter, ...(range.fixed ?? { from: Date.now() - range.length }) };
      let found = await log.listRequests(target, asked);
      let { requests } = found;
      for (let page = 1; page < pages && found.next_page_token; page += 1) {
        found = await log.listRequests(target, asked, found.next_page_token);
        requests = [...requests, ...found.requests];
      }
      return { ...found, requests };
    },
    placeholderData: (before) => before,
    ...LIVE,
    // The server reads files for the answer.
    refetchInterval: range.fixed ? false : MEASURED_MS,
  });

export const useDrift = (target: Target, name: string, range: Range) =>
  useQuery({
    queryKey: ["drift", target, name, range.key],
    queryFn: () => {
      const { from, to } = range.fixed ?? { from: Date.now() - range.length, to: undefined };
      return log.getDrift(target, name, from, to);
    },
    retry: 1,
    staleTime: 60_000,
  });

export const useLoggedRequest = (target: Target, opened: log.LoggedRequest) =>
  useQuery({
    queryKey: ["request", target, opened.request_id],
    queryFn: () => log.getRequest(target, opened),
    retry: 2,
    staleTime: Infinity,
  });

export const useServingEndpoints = () =>
  useQuery({ queryKey: ["serving-endpoints"], queryFn: serving.listEndpoints, ...LIVE });

/** Not while a change is under way, such as a deletion: a refusal is an error in the browser's console. */
export function useServingEndpoint(name: string) {
  const changing = useIsMutating({ mutationKey: CHANGE }) > 0;
  return useQuery({ queryKey: ["serving-endpoint", name], queryFn: () => serving.getEndpoint(name), ...LIVE, enabled: !changing });
}

export const useEntityLog = (name: string, entity: string, kind: serving.EntityLog) =>
  useQuery({ queryKey: ["entity-log", name, entity, kind], queryFn: () => serving.getEntityLog(name, entity, kind), ...LIVE });

export const useEntitySample = (name: string, entity: string) =>
  useQuery({
    queryKey: ["entity-sample", name, entity],
    queryFn: () => serving.getEntitySample(name, entity),
    staleTime: Infinity,
    // The entity's files may not be on the server yet.
    refetchInterval: ({ state }) => (state.data?.sample ? false : POLL_MS),
    retry: 2,
  });

export const useAgreement = (name: string) =>
  useQuery({ queryKey: ["shadow", name], queryFn: () => serving.getAgreement(name), ...LIVE });

export const useDifferences = (name: string) =>
  useQuery({ queryKey: ["differences", name], queryFn: () => serving.getDifferences(name), ...LIVE, refetchInterval: MEASURED_MS });
export const useModelNames = (text: string) =>
  useQuery({ queryKey: ["models", text], queryFn: () => serving.findModels(text), staleTime: 10_000, placeholderData: (before) => before });

export const useModelVersions = (model: string) =>
  useQuery({ queryKey: ["versions", model], queryFn: () => serving.findVersions(model), enabled: model !== "", staleTime: 10_000, retry: false });

export const useTokens = () => useQuery({ queryKey: ["tokens"], queryFn: api.listTokens, ...LIVE, refetchInterval: SLOWEST_MS });

/** A change on the server, after which the `stale` queries are fetched again. */
export function useChange<Input, Reply>(work: (input: Input) => Promise<Reply>, stale: readonly unknown[][]) {
  const client = useQueryClient();
  return useMutation({
    mutationKey: CHANGE,
    mutationFn: work,
    onSettled: () => Promise.all(stale.map((queryKey) => client.invalidateQueries({ queryKey }))),
  });
}
