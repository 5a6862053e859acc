"""One serving server with every model under every runtime, and the stock server's answers to compare with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stock_answers
from conformance_inputs import INPUTS, RUNTIMES
from stock_answers import LiveAnswers, StockAnswers
from support.models import Models, register
from support.server import TrackingServer

AT_ONCE = 2
"""Workers starting at the same time: a stock server takes ten seconds of processor time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/conformance --record``: ask live stock servers, and keep what they answer."""
    parser.addoption("--record", action="store_true", help="record the stock server's answers anew")


@pytest.fixture(scope="session")
def live(models: Models) -> Iterator[LiveAnswers]:
    """Live stock servers, started as they are asked."""
    answers = LiveAnswers(models)
    yield answers
    answers.close()


@pytest.fixture(scope="session")
def stock(request: pytest.FixtureRequest, live: LiveAnswers) -> StockAnswers:
    """The recorded answers; live ones where none are recorded for the installed MLflow."""
    if request.config.getoption("--record", default=False):
        stock_answers.write(live, INPUTS)
        live.close()
    return stock_answers.load() or live


@pytest.fixture(scope="session")
def serving(request: pytest.FixtureRequest, models: Models) -> Iterator[TrackingServer]:
    """Serves each model under each runtime that a test of this run asks for, as ``<model>-<runtime>``."""
    tests = [test for test in request.session.items if "serving" in test.fixturenames and hasattr(test, "callspec")]
    asked = [test.callspec.params for test in tests]
    endpoints = dict.fromkeys((params["item"].model, params["runtime"]) for params in asked if "item" in params)
    with TrackingServer("uvicorn", settings={"max_concurrent_starts": AT_ONCE}) as server:
        for model, runtime in endpoints:
            register(server.client, f"{model}-{runtime}", models.path(model))
            server.enable(f"{model}-{runtime}", **RUNTIMES[runtime])
        for model, runtime in endpoints:
            server.wait_ready(f"{model}-{runtime}", 1)
        yield server
