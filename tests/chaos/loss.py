"""Workers that are lost, in every way, beside requests that did nothing: each gets its own answer all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from dataclasses import dataclass

from support import eventually
from support.models import register
from support.server import TrackingServer

from .client import ConnectionPool, Request, Response
from .loops import fatal
from .report import Report, Size
from .world import models, ready_workers, worker_pids

TIMEOUT_S = 8.0
_LONGEST_S = 1.5
"""Of a neighbour's prediction: what is left of its time is for the machine."""

_SPREAD_S = 2.0
_PROVED = 12
"""Answers after which the death of a worker says nothing against its model."""

BY_REQUEST = {"overdue": ("hang", {504}), "exit": ("exit", {502}), "leave": ("leave", {400, 500})}
"""Faults that a request brings about: what it says, and how it may be answered."""

BY_REQUEST["memory"] = ("allocate", {400, 500, 502})
BY_SIGNAL = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "all killed": signal.SIGKILL}
FAULTS = (*BY_REQUEST, *BY_SIGNAL)


@dataclass(frozen=True, slots=True)
class Round:
    """One fault on an endpoint ``name`` with so many replicas, and so many requests beside it."""

    name: str
    fault: str
    replicas: int
    neighbours: int
    seed: int

    def __str__(self) -> str:
        return f"{self.fault}, replicas {self.replicas}, neighbours {self.neighbours}, seed {self.seed}"


def lost_workers(report: Report, size: Size) -> None:
    """Workers are lost with 1 to 64 neighbours in hand, in random rounds: no neighbour notices."""
    seed = random.randrange(1 << 32)
    report.say(f"seed {seed}")
    choose = random.Random(seed)
    with TrackingServer(settings={"backoff_base_s": 0.2}) as server:
        for replicas in range(1, 5):
            serve_lossy(server, f"lossy-{replicas}", replicas)
        end, number = time.monotonic() + size.seconds, 0
        while time.monotonic() < end:
            replicas = choose.randint(1, 4)
            fault = FAULTS[number % len(FAULTS)]
            neighbours = choose.choice((1, 2, 4, 8, 16, 32, 64))
            play(report, server, Round(f"lossy-{replicas}", fault, replicas, neighbours, choose.randrange(1 << 32)))
            number += 1


def serve_lossy(server: TrackingServer, name: str, replicas: int) -> None:
    """Have the fatal model served under a name, with a thread for each neighbour."""
    register(server.client, name, models().path("fatal"))
    server.enable(name, replicas=replicas, max_concurrency=64, request_timeout_s=TIMEOUT_S, memory_limit_mb=1500)
    server.wait_ready(name, 1)


def play(report: Report, server: TrackingServer, *rounds: Round) -> None:
    """Play rounds, all at the same time, and check what every request of theirs got."""
    for one in rounds:
        eventually(lambda one=one: ready_workers(server, one.name) == one.replicas, within_s=90, tail=server.tail)
    wrong = asyncio.run(_play(server, rounds))
    for one, found in zip(rounds, wrong, strict=True):
        report.check(f"{one}: each gets its own answer", not found, " | ".join(found[:3]))


async def _play(server: TrackingServer, rounds: tuple[Round, ...]) -> list[list[str]]:
    pool = ConnectionPool(server.port)
    try:
        return list(await asyncio.gather(*(_play_one(server, pool, one) for one in rounds)))
    finally:
        pool.close()


async def _play_one(server: TrackingServer, pool: ConnectionPool, one: Round) -> list[str]:
    proved = (_neighbour(pool, one.name, 0.0, 0.0, f"proof-{number}") for number in range(_PROVED * one.replicas))
    wrong = [found for found in await asyncio.gather(*proved) if found]
    choose = random.Random(one.seed)
    spread_s = TIMEOUT_S + 1.0 if one.fault == "overdue" else _SPREAD_S
    fault = _fault(server, pool, one, 0.0 if one.fault == "overdue" else choose.uniform(0, spread_s))
    neighbours = (
        _neighbour(pool, one.name, choose.uniform(0, spread_s), choose.uniform(0, _LONGEST_S), f"{number}")
        for number in range(one.neighbours)
    )
    wrong += [found for found in await asyncio.gather(fault, *neighbours) if found]
    return wrong


async def _neighbour(pool: ConnectionPool, name: str, after_s: float, length_s: float, token: str) -> str | None:
    """What is wrong with the answer to a request that does nothing; None: nothing."""
    await asyncio.sleep(after_s)
    said = f"sleep {length_s:.3f} {token}"
    sent_at = time.monotonic()
    response = await pool.send(Request(f"/model/{name}/1/invocations", fatal(said)))
    if response.status == 200 and json.loads(response.body) == {"predictions": [said]}:
        return None
    return f"'{said}' sent after {after_s:.2f} s: {_described(response)} after {time.monotonic() - sent_at:.2f} s"


async def _fault(server: TrackingServer, pool: ConnectionPool, one: Round, after_s: float) -> str | None:
    await asyncio.sleep(after_s)
    if one.fault in BY_SIGNAL:
        pids = sorted(worker_pids(server, one.name))
        for pid in pids if one.fault == "all killed" else random.Random(one.seed).sample(pids, 1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, BY_SIGNAL[one.fault])
        return None
    says, allowed = BY_REQUEST[one.fault]
    response = await pool.send(Request(f"/model/{one.name}/1/invocations", fatal(says)))
    return None if response.status in allowed else f"'{says}' itself: {_described(response)}"


def _described(response: Response) -> str:
    return f"{response.status} {response.body[:200].decode(errors='replace')}"
