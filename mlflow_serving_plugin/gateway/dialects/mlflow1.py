"""The dialect of MLflow 1, called ``legacy`` in settings and headers: bare data frames in, bare predictions out.

Bodies are turned into MLflow 2's form by joining bytes, once they are known to be one JSON document.
"""

from __future__ import annotations

import json
import re
from typing import Any

from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects.base import Failure, Refusal, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.failures import as_document, refusal
from mlflow_serving_plugin.gateway.dialects.json_text import parse, require_brackets

LARGE_BYTES = 256 * 1024
"""Of larger bodies only the brackets are looked at: parsing takes up to 30 times their size, here and in the worker."""

_OPENING = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"predictions"[ \t\r\n]*:[ \t\r\n]*')


class Mlflow1:
    """Replies as bare predictions; errors with the one code that MLflow 1 has for status 400."""

    def answer(self, body: bytes) -> bytes:
        """The bare predictions, without bare NaN."""
        return null_for_nan(unwrap(body))

    def refuse(self, failure: Failure) -> Refusal:
        """The error. "Try again" (503) becomes 404, on which the clients of the first MLflow Model Serving poll."""
        if failure.status == 400:
            failure = failure._replace(error_code=BadRequestError.error_code)
        elif failure.status == 503 and failure.retryable:
            failure = failure._replace(status=404)
        return refusal(failure)

    def event(self, event: bytes) -> bytes:
        """The event as the model gave it."""
        return event

    def error_event(self, failure: Failure) -> object:
        """The error in MLflow's shape. MLflow 1 has no streams."""
        return as_document(failure)


MLFLOW1 = Mlflow1()


def read_split(needed: tuple[str, ...], body: bytes) -> ScoringRequest:
    """A body in split format, which must have the fields ``needed``; BadRequestError."""
    if len(body) > LARGE_BYTES:
        require_brackets(body, b"{")
        return to_mlflow2(b"dataframe_split", body)
    document = parse(body)
    if not isinstance(document, dict) or any(field not in document for field in needed):
        names = " and ".join(", ".join(f"'{field}'" for field in needed).rsplit(", ", 1))
        raise BadRequestError(f"A body in split format must be a JSON object with the fields {names}.")
    return to_mlflow2(b"dataframe_split", body)


def read_records(body: bytes) -> ScoringRequest:
    """A body of format ``pandas-records``; BadRequestError."""
    if len(body) > LARGE_BYTES:
        require_brackets(body, b"[")
        return to_mlflow2(b"dataframe_records", body)
    if not isinstance(parse(body), list):
        raise BadRequestError("A body of format pandas-records must be a JSON list of records.")
    return to_mlflow2(b"dataframe_records", body)


def read_bare(document: Any, body: bytes) -> ScoringRequest | None:
    """A JSON body without a declared format, parsed before; None when MLflow 1 alone would not know the body."""
    if isinstance(document, list) and all(isinstance(row, (dict, list)) for row in document):
        return to_mlflow2(b"dataframe_records", body)
    if isinstance(document, dict) and "columns" in document and "data" in document:
        return to_mlflow2(b"dataframe_split", body)
    return None


def to_mlflow2(field: bytes, body: bytes) -> ScoringRequest:
    """Put the body under a field. Only for a body that was looked at: it must be one JSON document and no more."""
    # One copy of the body; adding the parts one by one makes two.
    return ScoringRequest(JSON, b"".join((b'{"', field, b'": ', body, b"}")), MLFLOW1)


def unwrap(body: bytes) -> bytes:
    """``X`` from ``{"predictions": X}``: cut out, since workers write just that with ``json.dump``.

    A body of another shape is parsed; a body without predictions is returned unchanged.
    """
    opening = _OPENING.match(body)
    if opening:
        end = body.rstrip()
        if end.endswith(b"}"):
            return end[opening.end() : -1]
    try:
        document = json.loads(body)
    except ValueError:
        return body
    if isinstance(document, dict) and "predictions" in document:
        return json.dumps(document["predictions"]).encode()
    return body
