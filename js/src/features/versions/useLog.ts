import { useEffect, useRef, useState } from "react";
import { type LogKind, type LogPiece, getLogs } from "../../shared/api";
import { pauseAfter } from "../../shared/queries";

const POLL_MS = 2000;

export interface Log {
  text: string | null;
  /** Where the text begins in the whole log, in bytes; 0 when the text is the whole log. */
  start: number;
  /** The size of the whole log, in bytes. */
  total: number;
  problem: string | null;
}

const NOTHING: Log = { text: null, start: 0, total: 0, problem: null };

/** Reads on from byte `offset` to the end of the log; undefined: from near its end. */
async function readOn(kind: LogKind, name: string, version: number, offset: number | undefined): Promise<LogPiece> {
  let piece = await getLogs(kind, name, version, offset);
  let { logs } = piece;
  const start = piece.offset;
  while (piece.logs && piece.next_offset < piece.total_bytes) {
    const asked = piece.next_offset;
    piece = await getLogs(kind, name, version, asked);
    // The log was rotated meanwhile: what follows is another file.
    if (piece.offset !== asked) return { ...piece, offset: piece.offset };
    logs += piece.logs;
  }
  return { ...piece, logs, offset: start };
}

/** The whole log of a version. */
export const readAll = async (kind: LogKind, name: string, version: number): Promise<string> =>
  (await readOn(kind, name, version, 0)).logs;

/** A log of a version, or with `whole` false its end; it grows while `follow` holds and the page is visible. */
export function useLog(kind: LogKind, name: string, version: number, follow: boolean, whole: boolean): Log {
  const [log, setLog] = useState<Log>(NOTHING);
  const following = useRef(follow);
  useEffect(() => {
    following.current = follow;
  }, [follow]);
  useEffect(() => {
    let current = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let offset = whole ? 0 : undefined;
    let failures = 0;
    let first = true;
    const read = async () => {
      const piece = await readOn(kind, name, version, offset);
      if (!current) return;
      // Read from elsewhere than asked: the file is another one.
      const anew = first || piece.offset !== offset;
      offset = piece.next_offset;
      setLog((before) => ({
        text: anew ? piece.logs : (before.text ?? "") + piece.logs,
        start: anew ? piece.offset : before.start,
        total: piece.total_bytes,
        problem: null,
      }));
      first = false;
      failures = 0;
    };
    const turn = async () => {
      if (first || (following.current && !document.hidden)) {
        await read().catch((error: unknown) => {
          failures += 1;
          const problem = error instanceof Error ? error.message : String(error);
          if (current) setLog((before) => ({ ...before, problem }));
        });
      }
      if (current) timer = setTimeout(() => void turn(), failures ? pauseAfter(failures - 1) : POLL_MS);
    };
    void turn();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [kind, name, version, whole]);
  return log;
}
