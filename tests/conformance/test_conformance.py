"""What a served model answers is what ``mlflow models serve`` answers, called directly for the same model.

With the differences that the scoring contract names: ``null`` for NaN and infinities, no traceback and nothing
of the caller's data in an error, and 400 for what the stock server fails on with 500.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from conformance_inputs import INPUTS, SECRET, Input
from conformance_pair import Pair

_MODELS_OWN_WORDS = "Encountered an unexpected error while evaluating the model."


@pytest.mark.parametrize("item", INPUTS, ids=str)
def test_answers_as_the_stock_server_does(pair: Pair, runtime: str, item: Input) -> None:
    status, body = pair.stock[item.model].score(item.body, item.content_type)
    response = pair.serving.score(f"{item.model}-{runtime}/1", item.body, item.content_type)
    shown = f"served: {response.status_code} {response.content[:600]!r}\nstock: {status} {body[:600]!r}"
    assert response.status_code == (400 if status == 500 else status), shown
    if status == 200:
        assert written(loads_strictly(response.content)) == written(loads_with_null(body)), shown
        return
    # What a model says in its own words is passed on, whatever it quotes.
    assert SECRET not in response.text or _MODELS_OWN_WORDS in response.text, shown
    assert "Traceback" not in response.text, shown
    if status == 415:
        assert response.headers["Content-Type"].startswith("text/plain"), shown
        return
    answer = loads_strictly(response.content)
    assert answer["error_code"] == (error_code(body) if status != 500 else "BAD_REQUEST"), shown
    assert answer.keys() == {"error_code", "message"}, shown
    assert answer["message"].strip(), shown


def loads_strictly(body: bytes) -> Any:
    """JSON as the standard has it: no NaN."""
    return json.loads(body, parse_constant=refuse)


def loads_with_null(body: bytes) -> Any:
    """What Python's JSON writer made, with null for what JSON cannot hold."""
    return json.loads(body, parse_constant=lambda _: None)


def written(document: Any) -> str:
    """A document as text, so that 1 is not 1.0 and the order of keys counts."""
    return json.dumps(document)


def error_code(body: bytes) -> str:
    """The code in an error of MLflow's."""
    return str(json.loads(body)["error_code"])


def refuse(name: str) -> Any:
    """For a constant that JSON does not know."""
    raise AssertionError(f"{name} is not JSON")
