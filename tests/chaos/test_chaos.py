"""A minute of chaos in every run of the tests; all of it: ``python -m tests.chaos``."""

from __future__ import annotations

from .report import Report, Size
from .smoke import smoke


def test_killed_workers_leaders_and_servers_lose_no_request() -> None:
    report = Report("smoke")
    smoke(report, Size(strict=False))
    assert not report.failed
