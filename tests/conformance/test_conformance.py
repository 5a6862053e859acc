"""What a served model answers is what ``mlflow models serve`` answers, called directly for the same model.

With the differences that ``differences`` lists and no others.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import stock_answers
from conformance_inputs import CASES, FLAVORS, INPUTS, MORE_FLAVORS, SECRET, Input
from differences import DIFFERENCES, JSON_ERROR, OLD_FORMATS, documented
from stock_answers import Answer, LiveAnswers, Recording, StockAnswers
from support import eventually
from support.server import TrackingServer

from mlflow_serving_plugin.worker.batching import same

_MODELS_OWN_WORDS = "Encountered an unexpected error while evaluating the model."
_CHECKED_LIVE = "iris"


@pytest.mark.parametrize("runtime, item", CASES)
def test_answers_as_the_stock_server_does(
    serving: TrackingServer, stock: StockAnswers, runtime: str, item: Input
) -> None:
    assert_as_stock(serving, stock, runtime, item)


def assert_as_stock(serving: TrackingServer, stock: StockAnswers, runtime: str, item: Input) -> None:
    """The endpoint of a model under a runtime answers a request as the stock server does."""
    expected = stock.answer(item)
    response = serving.score(f"{item.model}-{runtime}/1", item.body, item.content_type)
    shown = f"served: {response.status_code} {response.content[:600]!r}\nstock: {str(expected)[:600]}"
    if OLD_FORMATS.applies(item, expected):
        assert expected.status in (400, 415), shown
        assert (response.status_code, response.json()) == (200, [0]), shown
        return
    assert response.status_code == expected.status, shown
    if expected.status == 200:
        served, wanted = loads_strictly(response.content), loads_with_null(expected.body)
        # The recording may come from another processor, whose libraries round in another way.
        alike = item.model in (*FLAVORS, *MORE_FLAVORS) and same(served, wanted)
        assert alike or written(served) == written(wanted), shown
    else:
        assert_error(item, expected, response, shown)


def assert_error(item: Input, expected: Answer, response: requests.Response, shown: str) -> None:
    # What a model says in its own words is passed on, whatever it quotes.
    assert SECRET not in response.text or _MODELS_OWN_WORDS in response.text, shown
    assert "Traceback" not in response.text, shown
    if expected.status == 415:
        assert response.headers["Content-Type"].startswith("text/plain"), shown
        return
    answer = loads_strictly(response.content)
    code = "INTERNAL_ERROR" if JSON_ERROR.applies(item, expected) else expected.error_code
    assert answer["error_code"] == code, shown
    assert answer.keys() == {"error_code", "message"}, shown
    assert answer["message"].strip(), shown


@pytest.mark.parametrize("flavor", ["iris", *FLAVORS])
def test_models_of_library_flavors_are_batched(serving: TrackingServer, flavor: str) -> None:
    def told() -> bool:
        history = serving.api("GET", "get-event-history", registered_model_name=f"{flavor}-native")
        return "Batching on: verified on" in json.dumps(history)

    eventually(told)


def test_the_documentation_lists_the_differences_and_no_others() -> None:
    assert documented() == [difference.sentence for difference in DIFFERENCES]


def test_each_difference_is_there(stock: StockAnswers) -> None:
    answers = [(item, stock.answer(item)) for item in INPUTS if item.model in ("iris", "shapes")]
    there = [difference for difference in DIFFERENCES if any(difference.applies(*answer) for answer in answers)]
    assert there == list(DIFFERENCES)


def test_a_real_stock_server_answers_as_recorded(stock: StockAnswers, live: LiveAnswers) -> None:
    if not isinstance(stock, Recording):
        pytest.skip(
            f"Nothing is recorded for {stock_answers.installed()}; every answer was compared with a live stock server. "
            "Record them: pytest tests/conformance --record"
        )
    items = [item for item in INPUTS if item.model == _CHECKED_LIVE]
    assert {item.name: live.answer(item) for item in items} == {item.name: stock.answer(item) for item in items}


def test_every_recorded_answer_belongs_to_an_input(stock: StockAnswers) -> None:
    if isinstance(stock, Recording):
        recorded = {(model, name) for model, answers in stock.answers.items() for name in answers}
        assert recorded == {(item.model, item.name) for item in INPUTS}


def loads_strictly(body: bytes) -> Any:
    """JSON as the standard has it: no NaN."""
    return json.loads(body, parse_constant=refuse)


def loads_with_null(body: str) -> Any:
    """What Python's JSON writer made, with null for what JSON cannot hold."""
    return json.loads(body, parse_constant=lambda _: None)


def written(document: Any) -> str:
    """A document as text, so that 1 is not 1.0 and the order of keys counts."""
    return json.dumps(document)


def refuse(name: str) -> Any:
    """For a constant that JSON does not know."""
    raise AssertionError(f"{name} is not JSON")
