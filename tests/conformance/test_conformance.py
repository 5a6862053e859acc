"""What a served model answers is what ``mlflow models serve`` answers, called directly for the same model.

With the differences that the scoring contract names: ``null`` for NaN and infinities, no traceback and nothing
of the caller's data in an error, and words for what the stock server fails on without any.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import stock_answers
from conformance_inputs import CASES, INPUTS, SECRET, Input
from stock_answers import LiveAnswers, Recording, StockAnswers
from support.server import TrackingServer

_MODELS_OWN_WORDS = "Encountered an unexpected error while evaluating the model."
_CHECKED_LIVE = "iris"


@pytest.mark.parametrize("runtime, item", CASES, ids=str)
def test_answers_as_the_stock_server_does(
    serving: TrackingServer, stock: StockAnswers, runtime: str, item: Input
) -> None:
    expected = stock.answer(item)
    response = serving.score(f"{item.model}-{runtime}/1", item.body, item.content_type)
    shown = f"served: {response.status_code} {response.content[:600]!r}\nstock: {str(expected)[:600]}"
    assert response.status_code == expected.status, shown
    if expected.status == 200:
        assert written(loads_strictly(response.content)) == written(loads_with_null(expected.body)), shown
        return
    # What a model says in its own words is passed on, whatever it quotes.
    assert SECRET not in response.text or _MODELS_OWN_WORDS in response.text, shown
    assert "Traceback" not in response.text, shown
    if expected.status == 415:
        assert response.headers["Content-Type"].startswith("text/plain"), shown
        return
    answer = loads_strictly(response.content)
    assert answer["error_code"] == (expected.error_code or "INTERNAL_ERROR"), shown
    assert answer.keys() == {"error_code", "message"}, shown
    assert answer["message"].strip(), shown


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
