"""The dialect of MLflow 2 and 3 (``mlflow/pyfunc/scoring_server``), which is also what workers take.

Bodies are passed on as they are; the worker judges them.
"""

from __future__ import annotations

import re

from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.gateway.dialects.base import Failure, Refusal
from mlflow_serving_plugin.gateway.dialects.failures import as_document, refusal

TENSOR_FIELDS = frozenset({"instances", "inputs"})
"""Top-level fields that MLflow 1 knows too."""

FIELDS = TENSOR_FIELDS | {"dataframe_split", "dataframe_records", "messages", "prompt", "input"}
"""Top-level fields of a body, exactly one of which holds the data."""

FIRST_FIELD = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"(dataframe_split|dataframe_records|instances|inputs|messages|prompt|input)"[ \t\r\n]*:'
)
"""The beginning of a body whose first field says that the body is of this dialect."""


class Mlflow2:
    """Replies as ``{"predictions": …}``; errors as ``{"error_code", "message"}``."""

    def answer(self, body: bytes) -> bytes:
        """The worker's body, without bare NaN."""
        return null_for_nan(body)

    def refuse(self, failure: Failure) -> Refusal:
        """The error in MLflow's shape."""
        return refusal(failure)

    def event(self, event: bytes) -> bytes:
        """The event as the model gave it."""
        return event

    def error_event(self, failure: Failure) -> object:
        """The error in MLflow's shape."""
        return as_document(failure)


MLFLOW2 = Mlflow2()
