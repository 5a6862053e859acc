"""The answers of workers on other nodes of a Ray cluster, by both kinds of gateways, are the stock server's too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance_inputs import INPUTS, MORE_FLAVORS, RUNTIMES, Input
from stock_answers import StockAnswers
from support.models import Models, register
from support.ray_cluster import RayCluster
from support.server import TrackingServer
from test_conformance import assert_as_stock

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.matrix, pytest.mark.xdist_group("ray")]
PLACED = [item for item in INPUTS if item.model not in MORE_FLAVORS]
MODELS = tuple(dict.fromkeys(item.model for item in PLACED))


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn"])
def placed(request: pytest.FixtureRequest, models: Models) -> Iterator[TrackingServer]:
    """Serves each model from another node than the server's."""
    with RayCluster(2, cpus=len(MODELS)) as cluster:
        settings = {**cluster.settings, "max_concurrent_starts": 2}
        with TrackingServer(request.param, settings=settings) as server:
            for model in MODELS:
                register(server.client, f"{model}-native", models.path(model))
                server.enable(f"{model}-native", placement="ray", **RUNTIMES["native"])
            for model in MODELS:
                server.wait_ready(f"{model}-native", 1)
            assert not list((server.state / "workers").iterdir())
            yield server


@pytest.mark.parametrize("item", PLACED, ids=str)
def test_a_worker_on_another_node_answers_as_the_stock_server_does(
    placed: TrackingServer, stock: StockAnswers, item: Input
) -> None:
    assert_as_stock(placed, stock, "native", item)
