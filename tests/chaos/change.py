"""What people change while it serves: stages, aliases, configurations, versions."""

from __future__ import annotations

import contextlib
import itertools
import json
import time

from support import eventually
from support.models import move_stage, register

from .client import Request, Response
from .load import Load
from .report import Report, Size
from .world import in_production, matches_header, models, move_production, scoring, serving, worker_pids

_SLEEP_S = 1.5


def moved_stage(report: Report, size: Size) -> None:
    """Production and an alias go to and fro between two versions every second; each answer is of the version named."""
    with serving(1, 2, workers=2) as server:
        move_production(server, 1)
        server.client.set_registered_model_alias("iris", "champion", "1")
        eventually(lambda: server.score("iris/Production", b"{}").status_code != 404, within_s=10)
        eventually(lambda: server.score("iris@champion", b"{}").status_code != 404, within_s=10)
        make = scoring("iris/Production", "iris@champion")
        seen: set[str] = set()

        def check(request: Request, response: Response) -> str | None:
            seen.add(response.headers.get("x-mlflow-model-version", ""))
            return matches_header(request, response)

        moves, acted_ms = 0, []
        with Load(server.port, make, check, rate=size.rate) as load:
            end = time.monotonic() + size.seconds
            for version in itertools.cycle((2, 1)):
                next_at = time.monotonic() + 1.0
                if next_at > end:
                    break
                move_production(server, version)
                server.client.set_registered_model_alias("iris", "champion", str(version))
                moved_at = time.monotonic()
                eventually(lambda holder=version: _holder(server) == holder, within_s=10, tail=server.tail)
                acted_ms.append((time.monotonic() - moved_at) * 1000)
                moves += 1
                time.sleep(max(0.0, next_at - time.monotonic()))
        report.none_failed(f"{moves} moves", load.figures)
        report.none_lost(f"{moves} moves", load.figures)
        report.check("both versions answered", seen == {"1", "2"}, str(seen))
        report.say(f"acted on within {max(acted_ms):.0f} ms at most")


def _holder(server) -> int:
    """The version that the routes give to the alias and to the stage; 0 while they differ."""
    champion = server.routes()["endpoints"]["default/iris"]["aliases"].get("champion", 0)
    return int(champion) if in_production(server) == [int(champion)] else 0


def changed_config(report: Report, size: Size) -> None:
    """The configuration changes under load: new workers are ready before old ones drain, requests in flight finish."""
    with serving(1, config={"replicas": 2}, settings={"stop_grace_s": 10}) as server:
        register(server.client, "slow", models().path("slow"))
        server.enable("slow")
        server.wait_ready("slow", 1)
        body = json.dumps({"dataframe_split": {"columns": ["seconds"], "data": [[_SLEEP_S]]}}).encode()
        slow = Request("/model/slow/1/invocations", body)
        rolls = 0
        with (
            Load(server.port, scoring("iris/1"), matches_header, rate=size.rate / 2) as load,
            Load(server.port, lambda _: slow, clients=4) as slow_load,
        ):
            end = time.monotonic() + size.seconds
            for rows in itertools.count(100):
                if time.monotonic() > end:
                    break
                for name in ("iris", "slow"):
                    before = set(worker_pids(server, name))
                    server.enable(name, max_batch_rows=rows)
                    eventually(lambda n=name, b=before: _all_new(server, n, b), within_s=60, tail=server.tail)
                rolls += 1
        report.check(f"{rolls} rolling changes", rolls >= 2)
        report.none_failed("quick requests", load.figures)
        report.none_failed(f"requests of {_SLEEP_S} s", slow_load.figures)
        report.none_lost("quick requests", load.figures)


def _all_new(server, name: str, before: set[int]) -> bool:
    now = set(worker_pids(server, name))
    return not now & before and len(now) == len(before)


def new_versions(report: Report, size: Size) -> None:
    """Versions are registered, archived and deleted under load on ``latest`` and on one that stays."""
    with serving(1) as server:

        def check(request: Request, response: Response) -> str | None:
            if response.status == 404 and "latest" in request.path:
                return f"latest: {response.body[:200]!r}"
            return None if response.status == 200 else f"{request.path}: {response.status} {response.body[:300]!r}"

        numbers = []
        with Load(server.port, scoring("iris/1", "iris/latest"), check, rate=size.rate) as load:
            end = time.monotonic() + size.seconds
            while time.monotonic() < end:
                number = register(server.client, "iris", models().path("iris-2"))
                server.wait_ready("iris", number)
                numbers.append(number)
                if len(numbers) > 1:
                    gone = numbers.pop(0)
                    with contextlib.suppress(Exception):
                        move_stage(server.client, "iris", gone, "Archived")
                    eventually(lambda g=gone: str(g) not in server.states("iris"), within_s=20)
        report.check(f"{number} versions in all", number > 3)
        report.none_failed("versions come and go", load.figures)
        report.none_lost("versions come and go", load.figures)
