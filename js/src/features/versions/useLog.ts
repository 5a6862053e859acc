import { useEffect, useState } from "react";
import { getLogs } from "../../shared/api";
import { pauseAfter } from "../../shared/queries";

const POLL_MS = 2000;
const LONGEST_CHARACTERS = 2_000_000;

export interface Log {
  text: string | null;
  problem: string | null;
}

/** A version's log, which grows while `follow` holds and the page is visible. */
export function useLog(name: string, version: number, follow: boolean): Log {
  const [log, setLog] = useState<Log>({ text: null, problem: null });
  const [offset, setOffset] = useState<number | undefined>(undefined);
  const [round, setRound] = useState(0);
  const [failures, setFailures] = useState(0);
  useEffect(() => {
    let current = true;
    const read = async () => {
      try {
        const reply = await getLogs(name, version, offset);
        if (!current) return;
        setLog((before) => ({ text: joined(before.text, reply.logs, reply.next_offset, offset), problem: null }));
        setOffset(reply.next_offset);
        setFailures(0);
      } catch (error) {
        if (!current) return;
        setLog((before) => ({ ...before, problem: error instanceof Error ? error.message : String(error) }));
        setFailures((count) => count + 1);
      }
      if (current) setRound((count) => count + 1);
    };
    const wait = round === 0 ? 0 : failures > 0 ? pauseAfter(failures - 1) : POLL_MS;
    const wanted = follow || round === 0;
    const timer = wanted ? setTimeout(() => void (document.hidden ? setRound(round + 1) : read()), wait) : undefined;
    return () => {
      current = false;
      clearTimeout(timer);
    };
    // `offset` and `failures` change with `round`, which is what starts the next read.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [name, version, follow, round]);
  return log;
}

/** An offset smaller than the requested one means that the file was rotated. */
function joined(before: string | null, added: string, next: number, asked: number | undefined): string {
  const anew = asked === undefined || next < asked;
  return ((anew ? "" : (before ?? "")) + added).slice(-LONGEST_CHARACTERS);
}
