/** One hook per resource. A visible page polls its resources every two seconds. */

import { QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import * as api from "./api";

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

export const useOverviews = () => useQuery({ queryKey: ["overviews"], queryFn: api.listOverviews, ...LIVE });

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

export const useEvents = (name: string, version: number | undefined, pages: number) =>
  useQuery({
    queryKey: ["events", name, version ?? null, pages],
    queryFn: () => newestEvents(name, version, pages),
    placeholderData: (before) => before,
    ...LIVE,
  });

async function newestEvents(name: string, version: number | undefined, pages: number): Promise<api.EventPage> {
  let found = await api.getEvents(name, version);
  let events = found.events;
  for (let page = 1; page < pages && found.next_page_token; page += 1) {
    found = await api.getEvents(name, version, found.next_page_token);
    events = [...events, ...found.events];
  }
  return { ...found, events };
}

export const useConfig = (name: string) =>
  useQuery({ queryKey: ["config", name], queryFn: () => api.getConfig(name), retry: 2 });

export const useTokens = () => useQuery({ queryKey: ["tokens"], queryFn: api.listTokens, ...LIVE, refetchInterval: SLOWEST_MS });

/** A change on the server, after which the `stale` queries are fetched again. */
export function useChange<Input, Reply>(work: (input: Input) => Promise<Reply>, stale: readonly unknown[][]) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: work,
    onSettled: () => Promise.all(stale.map((queryKey) => client.invalidateQueries({ queryKey }))),
  });
}
