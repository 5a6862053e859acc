from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from support.routes import endpoint_of

from mlflow_serving_plugin.controller.transitions import transitions
from mlflow_serving_plugin.domain.entity import EntityKey, ModelRef
from mlflow_serving_plugin.domain.reference import ENTITY, TRAFFIC, Reference
from mlflow_serving_plugin.domain.routes import EntityRoute, Routes, serving_key
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.domain.traffic import pick, point_of
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.gateway.choice import choose, renew
from mlflow_serving_plugin.gateway.spread import Spread, point_in_body

SPLIT = (("a.1", 70), ("b.1", 25), ("c.1", 5), ("d.1", 0))
ALL = {name for name, _ in SPLIT}


def shares(points, usable=ALL):
    points = list(points)
    counted = Counter(pick(SPLIT, usable, point) for point in points)
    return {name: 100 * count / len(points) for name, count in counted.items()}


def routes(*, failed=(), message="", traffic=SPLIT):
    entities = {}
    for name in ALL:
        state = EntityState.FAILED if name in failed else EntityState.READY
        key, served = EntityKey("e1", name), name.partition(".")[0]
        entities[f"e1/{name}"] = EntityRoute(
            key, ModelRef("default", "iris", 1), state, message if name in failed else "", "None", 0, served_name=served
        )
    endpoint = replace(
        endpoint_of(*entities.values(), name="split"),
        traffic=traffic,
        served={name.partition(".")[0]: name for name in ALL},
        models=("iris",),
    )
    return Routes(written_ms=1, endpoints={serving_key("default", "split"): endpoint}, entities=entities)


@pytest.mark.parametrize("keyed", [False, True])
def test_of_10000_requests_each_entity_gets_its_percentage_within_a_point(keyed):
    spread = Spread()
    headers = [{"x-client-request-id": f"user {number}"} if keyed else {} for number in range(10_000)]
    found = shares(spread.point(header, "split") for header in headers)
    assert found == pytest.approx({"a.1": 70, "b.1": 25, "c.1": 5}, abs=1)


def test_a_hundred_requests_without_a_key_are_split_evenly_already():
    spread = Spread()
    assert shares(spread.point({}, "split") for _ in range(100)) == pytest.approx(
        {"a.1": 70, "b.1": 25, "c.1": 5}, abs=2
    )


def test_a_key_has_one_point_everywhere_and_another_one_on_another_endpoint():
    assert Spread().point({"x-client-request-id": "me"}, "split") == point_of("split", "me") == point_of("split", "me")
    assert point_of("split", "me") != point_of("other", "me")
    assert point_in_body({}, "split", b'{"inputs": [1], "client_request_id": "me"}') == point_of("split", "me")


@pytest.mark.parametrize(
    "body",
    [
        b'{"client_request_id": 7}',
        # As Python writes what is missing in a table, and text that no UTF-8 has.
        b'{"client_request_id": "7", "inputs": [NaN, -Infinity]}',
        b'{"client_request_id": "7", "inputs": ["\\ud800"]}',
        b'\xef\xbb\xbf{"client_request_id": "7"}',
    ],
)
def test_a_key_in_any_body_that_workers_read_has_a_point(body):
    assert point_in_body({}, "split", body) == point_of("split", "7")


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [1]}',
        b'{"client_request_id": true}',
        b'{"client_request_id": 7.5}',
        b'{"client_request_id": ""}',
        b'["client_request_id"]',
        b'"client_request_id"{',
    ],
)
def test_a_body_without_a_readable_key_has_no_point(body):
    assert point_in_body({}, "split", body) is None


def test_the_key_in_the_headers_goes_before_that_in_the_body():
    assert point_in_body({"x-client-request-id": "me"}, "split", b'{"client_request_id": "you"}') is None


def test_the_share_of_a_failed_entity_goes_to_the_others_and_nobody_else_moves():
    points = [point_of("split", str(number)) for number in range(10_000)]
    assert shares(points, ALL - {"a.1"}) == pytest.approx({"b.1": 83.3, "c.1": 16.7}, abs=1.5)
    for point in points:
        before = pick(SPLIT, ALL, point)
        assert before == "a.1" or pick(SPLIT, ALL - {"a.1"}, point) == before


def test_without_any_usable_entity_requests_wait_for_the_one_they_belong_to():
    points = [point_of("split", str(number)) for number in range(100)]
    assert [pick(SPLIT, set(), point) for point in points] == [pick(SPLIT, ALL, point) for point in points]
    assert pick((), ALL, 0.5) is None


@pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
def test_both_ends_of_the_range_have_an_entity(point):
    assert pick(SPLIT, ALL, point) in {"a.1", "c.1"}


def test_an_entity_without_traffic_answers_by_its_own_name():
    choice = choose(routes(), "default", Reference("split", ENTITY, "d"))
    assert (choice.entity.served_name, choice.version) == ("d", "1")
    with pytest.raises(NotFoundError, match="Entities of the endpoint"):
        choose(routes(), "default", Reference("split", ENTITY, "nobody"))


def test_a_held_request_goes_to_another_entity_when_its_own_has_failed():
    chosen = choose(routes(), "default", Reference("split", TRAFFIC, ""), 0.1)
    assert chosen.entity.served_name == "a"
    assert renew(chosen, routes(failed=("a.1",))).entity.served_name in {"b", "c"}


def test_a_serving_endpoint_is_no_registered_model_of_that_name():
    for reference in (Reference("split", "latest", "latest"), Reference("iris", TRAFFIC, "")):
        with pytest.raises(NotFoundError):
            choose(routes(), "default", reference)


def test_events_tell_when_a_share_moves_and_when_it_comes_back():
    well, ill = routes(), routes(failed=("b.1",), message="It broke.")

    def told(before, after):
        return [event.message for _, event in transitions(before, after, 1) if event.type.startswith("TRAFFIC")]

    assert told(well, ill) == ["The 25 % of entity 'b' go to the other entities: It broke."]
    assert told(ill, well) == ["Entity 'b' has its 25 % again."]
    assert told(well, well) == told(Routes(), well) == told(Routes(), ill) == []
