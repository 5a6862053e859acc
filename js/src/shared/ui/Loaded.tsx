import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { duration, sentence } from "../format";
import { useNow } from "./Status";

/** A message in a box. */
export function Notice({ tone, children }: { tone: "error" | "warning" | "info"; children: ReactNode }) {
  return (
    <div className={`notice ${tone}`} role={tone === "error" ? "alert" : "status"}>
      {children}
    </div>
  );
}

function Age({ since }: { since: number }) {
  return <span aria-hidden="true">What is shown is {duration(useNow() - since)} old.</span>;
}

/** The data of a query once it is loaded; before that, or when loading fails, a message. */
export function Loaded<Data>({
  of: query,
  children,
}: {
  of: UseQueryResult<Data>;
  children: (data: Data) => ReactNode;
}) {
  const problem = query.error ?? query.failureReason;
  if (query.data === undefined) {
    return problem ? (
      <Notice tone="error">{problem.message}</Notice>
    ) : (
      <p className="muted" role="status">
        Loading…
      </p>
    );
  }
  return (
    <>
      {problem && (
        <Notice tone="error">
          Not up to date: {sentence(problem.message)} Trying again. <Age since={query.dataUpdatedAt} />
        </Notice>
      )}
      <div className={problem ? "stale" : undefined}>{children(query.data)}</div>
    </>
  );
}
