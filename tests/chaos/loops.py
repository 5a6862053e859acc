"""Models that kill their workers: at each load, at each request, at some requests."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections import Counter

from support import eventually
from support.models import register
from support.server import TrackingServer

from .client import Request, Response
from .load import Load
from .report import Report, Size
from .world import matches_header, models, scoring, serving

_BASE_S, _CAP_S = 1.0, 4.0
_STARTED = re.compile(r"^--- (\S+ \S+) worker \S+ started$", re.MULTILINE)


def fatal(do: str) -> bytes:
    """A request to the fatal model."""
    return json.dumps({"dataframe_split": {"columns": ["do"], "data": [[do]]}}).encode()


def serve_fatal(server: TrackingServer, **config: object) -> None:
    """Have the fatal model served."""
    register(server.client, "fatal", models().path("fatal"))
    server.enable("fatal", **config)


def crash_loops(report: Report, size: Size) -> None:
    """A model that dies at each load or request is FAILED with its last words, and tried again by one call."""
    settings = {"backoff_base_s": _BASE_S, "backoff_cap_s": _CAP_S}
    with serving(1, settings=settings) as server:
        marker = server.shared / "fatal"
        marker.touch()
        with Load(server.port, scoring("iris/1"), matches_header, rate=50) as load:
            serve_fatal(server, environment={"FATAL_FILE": str(marker)})
            _dies_at_load(report, size, server)
            marker.unlink()
            _one_call(report, server)
            _dies_at_each_request(report, server)
            _one_call(report, server)
        report.none_failed("another model meanwhile", load.figures)


def _dies_at_load(report: Report, size: Size, server: TrackingServer) -> None:
    server.wait_state("fatal", "FAILED", 1)
    message = server.api("GET", "list-versions", registered_model_name="fatal")["endpoint_versions"][0]["state_message"]
    report.check("its last words are in the message", "The licence server said no." in message, message)
    wanted = 5 if size.strict else 4
    eventually(lambda: len(_starts(server)) >= wanted, within_s=60, tail=server.tail)
    waits = [after - before for before, after in itertools.pairwise(_starts(server))]
    report.say(f"seconds between its starts: {', '.join(f'{wait:.1f}' for wait in waits)}")
    report.check("the waits grow", waits[2] > waits[0] + 0.5, str(waits))
    report.check("and stay below the cap", max(waits) < _CAP_S + 5.0, str(waits))
    events = server.api("GET", "get-event-history", registered_model_name="fatal")["events"]
    failed = [event["message"] for event in events if event["event_type"] == "VERSION_FAILED"]
    report.check("the event has them too", any("The licence server said no." in text for text in failed), str(failed))
    answer = server.score("fatal/1", fatal("x"))
    report.check("requests get 503 at once, with the reason", answer.status_code == 503, answer.text)


def _starts(server: TrackingServer) -> list[float]:
    """When workers of the fatal model were started, in seconds, oldest first."""
    log = server.api("GET", "get-version-logs", registered_model_name="fatal", endpoint_version_name="1")["logs"]
    return [time.mktime(time.strptime(when, "%Y-%m-%d %H:%M:%S")) for when in _STARTED.findall(log)]


def _one_call(report: Report, server: TrackingServer) -> None:
    asked_at = time.monotonic()
    server.enable("fatal")
    server.wait_ready("fatal", 1)
    took_s = time.monotonic() - asked_at
    report.say(f"ready {took_s:.1f} s after one call of enable")
    answer = server.score("fatal/1", fatal("x"))
    report.check("it serves", answer.status_code == 200, answer.text)


def _dies_at_each_request(report: Report, server: TrackingServer) -> None:
    statuses: Counter[int] = Counter()
    deadline = time.monotonic() + 60
    while server.states("fatal")["1"] != "FAILED" and time.monotonic() < deadline:
        statuses[server.score("fatal/1", fatal("segfault")).status_code] += 1
    report.say(f"answers while it died: {dict(statuses)}")
    report.check("FAILED", server.states("fatal")["1"] == "FAILED")
    report.check("502 or 503 only, 502 at first", set(statuses) <= {502, 503} and statuses[502] > 0, str(statuses))
    message = server.api("GET", "list-versions", registered_model_name="fatal")["endpoint_versions"][0]["state_message"]
    report.check("the message tells of the crash", "SIGSEGV" in message or "Segmentation" in message, message)


def guilty_requests(report: Report, size: Size) -> None:
    """Some requests kill their workers or cut connections mid-frame: they get 502, and no other request does."""
    with serving(1, workers=2) as server:
        serve_fatal(server)
        server.wait_ready("fatal", 1)
        _guilty(report, size, server)
        _guilty_together(report, server)


def _guilty(report: Report, size: Size, server: TrackingServer) -> None:
    good = Request("/model/fatal/1/invocations", fatal("x"))
    kinds = itertools.cycle(("segfault", "cut", "exit", "kill"))
    statuses: Counter[int] = Counter()

    def check(request: Request, response: Response) -> str | None:
        statuses[response.status] += 1
        return None if response.status == 502 else f"{response.status} {response.body[:200]!r}"

    with Load(server.port, lambda _: good, rate=size.rate / 4) as load:
        time.sleep(1.0)
        end = time.monotonic() + size.seconds / 2
        sent = 0
        while time.monotonic() < end:
            bad = Request("/model/fatal/1/invocations", fatal(next(kinds)))
            with Load(server.port, lambda _, r=bad: r, check, total=1) as guilty:
                guilty.join()
            report.none_failed(
                f"{json.loads(bad.body)['dataframe_split']['data'][0][0]} is answered 502", guilty.figures
            )
            sent += 1
            time.sleep(1.0)
    report.none_failed(f"the innocent beside {sent} guilty ones", load.figures)
    report.check("several guilty ones", sent > 2)


def _guilty_together(report: Report, server: TrackingServer) -> None:
    """Nobody else asks meanwhile, so nothing but the requests themselves tells that the version can score others."""
    eventually(lambda: server.score("fatal/1", fatal("x")).status_code == 200, within_s=60, tail=server.tail)
    with Load(
        server.port, lambda _: Request("/model/fatal/1/invocations", fatal("exit")), _is_502, clients=3, total=3
    ) as guilty:
        guilty.join()
    report.none_failed("three guilty ones together are answered 502", guilty.figures)
    answer = server.score("fatal/1", fatal("x"))
    report.check("the next request is scored", answer.status_code == 200, answer.text)
    events = server.api("GET", "get-event-history", registered_model_name="fatal", max_results=1000)["events"]
    failed = [event["message"] for event in events if event["event_type"] == "VERSION_FAILED"]
    report.check("the version was never FAILED", not failed, str(failed))


def _is_502(request: Request, response: Response) -> str | None:
    return None if response.status == 502 else f"{response.status} {response.body[:200]!r}"
