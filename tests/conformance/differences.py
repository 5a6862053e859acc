"""Where an answer differs from that of ``mlflow models serve``, as the sentences of the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance_inputs import MLFLOW_1, Input
from stock_answers import Answer

_PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "clients.md"


@dataclass(frozen=True)
class Difference:
    """``applies(item, stock)``: whether the answer to an input differs in this way, given the stock server's."""

    sentence: str
    applies: Callable[[Input, Answer], bool]


NULL = Difference(
    "`NaN`, `Infinity` and `-Infinity` in an answer are `null`: JSON has no other form for them.",
    lambda item, stock: stock.status == 200 and has_constants(stock.body),
)
NO_TRACE = Difference(
    "An error has no `stack_trace`. A traceback stands in the log of the version.",
    lambda item, stock: stock.status >= 400 and stock.error_code != "",
)
JSON_ERROR = Difference(
    "An error that is the text *Internal Server Error* there is JSON here, with `INTERNAL_ERROR` and a reason.",
    lambda item, stock: stock.status == 500 and stock.error_code == "",
)
OLD_FORMATS = Difference(
    "The formats of MLflow 1 are answered, with the bare predictions as MLflow 1 answered them.",
    lambda item, stock: item.name.startswith(MLFLOW_1),
)
DIFFERENCES = (NULL, NO_TRACE, JSON_ERROR, OLD_FORMATS)


def documented() -> list[str]:
    """The sentences of the list in the documentation."""
    section = _PAGE.read_text().partition("## Differences from `mlflow models serve`")[2].partition("\n## ")[0]
    return [re.sub(r"\s+", " ", item).strip() for item in re.findall(r"^- (.*(?:\n  .*)*)", section, re.MULTILINE)]


def has_constants(text: str) -> bool:
    """Whether JSON holds NaN or an infinity."""
    found: list[str] = []
    json.loads(text, parse_constant=found.append)
    return bool(found)
