"""One serving server with every model under every runtime, and a stock server for each model to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance_inputs import MODELS
from conformance_pair import Pair
from support.models import Models, register
from support.server import StockServer, TrackingServer

RUNTIMES = {
    "native": {"runtime": "native", "batching": "auto"},
    "native-unbatched": {"runtime": "native", "batching": "off"},
    "mlflow": {"runtime": "mlflow"},
}
AT_ONCE = 2
"""Stock servers starting at the same time: they take ten seconds of processor time each."""


@pytest.fixture(scope="session")
def pair(models: Models) -> Iterator[Pair]:
    """Both, once a session."""
    stock: dict[str, StockServer] = {}
    try:
        with TrackingServer("uvicorn", settings={"max_concurrent_starts": AT_ONCE}) as serving:
            for model in MODELS:
                for runtime, config in RUNTIMES.items():
                    register(serving.client, f"{model}-{runtime}", models.path(model))
                    serving.enable(f"{model}-{runtime}", **config)
            for model in MODELS:
                if len(stock) >= AT_ONCE:
                    list(stock.values())[-AT_ONCE].wait_ready()
                stock[model] = StockServer(models.path(model))
            for model in MODELS:
                stock[model].wait_ready()
                for runtime in RUNTIMES:
                    serving.wait_ready(f"{model}-{runtime}", 1)
            yield Pair(serving, stock)
    finally:
        for server in stock.values():
            server.close()


@pytest.fixture(scope="session", params=list(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> str:
    """How the endpoint runs its models."""
    return request.param


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These have their turn after all that is quicker to fail."""
    items.sort(key=lambda item: Path(item.fspath).parent.name == "conformance")
