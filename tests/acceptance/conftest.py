"""The servers of the acceptance tests. Starting one costs ten seconds and more, so tests share them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.models import Models, register
from support.server import TrackingServer


@pytest.fixture(scope="session")
def served(models: Models) -> Iterator[TrackingServer]:
    """uvicorn with three web workers, all settings as they are by default; ``iris`` is served in one version."""
    with TrackingServer("uvicorn", workers=3) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        yield server


@pytest.fixture(scope="session")
def strict(models: Models) -> Iterator[TrackingServer]:
    """uvicorn with one web worker and little patience, so that every limit can be hit; ``iris`` is served."""
    settings = {"hold_timeout_s": 1, "max_in_flight": 4, "overdue_grace_s": 1, "backoff_base_s": 3600}
    with TrackingServer("uvicorn", settings=settings | {"backoff_cap_s": 3600}) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        yield server
