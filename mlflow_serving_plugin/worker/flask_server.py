"""Scoring with an MLflow whose scoring server is one Flask app (before 2.4): the app itself is asked, in this process.

What comes in is MLflow 2's format, whichever MLflow the model pins. MLflow 1 knows another, so for it the body is put
into MLflow 1's, and its bare predictions into MLflow 2's. Its errors are passed on as they are.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

_JSON = "application/json"
_FORMATS = {"dataframe_split": "pandas-split", "dataframe_records": "pandas-records"}


class Result(NamedTuple):
    """What ``scoring_server.invocations`` of a later MLflow returns."""

    response: str
    status: int
    mimetype: str


class FlaskServer:
    """Stands in for the module ``mlflow.pyfunc.scoring_server`` of a later MLflow."""

    def __init__(self, server: Any, model: Any, mlflow_version: str) -> None:
        self._app = server.init(model)
        # Else Flask answers 500 in HTML for errors that MLflow does not catch, and the error is lost.
        self._app.config["PROPAGATE_EXCEPTIONS"] = True
        self._is_mlflow1 = mlflow_version.startswith("1.")

    def invocations(self, data: bytes, content_type: str, model: Any, input_schema: Any) -> Result:
        """Score one request. ``model`` and ``input_schema`` are those that the app was made with."""
        body = data if isinstance(data, bytes) else data.encode()
        if self._is_mlflow1:
            body, content_type = to_mlflow1(body, content_type)
        with self._app.test_client() as client:
            answer = client.post("/invocations", data=body, content_type=content_type)
            text, status, mimetype = answer.get_data(as_text=True), answer.status_code, answer.mimetype
        if self._is_mlflow1 and status == 200:
            text = '{"predictions": ' + text + "}"
        return Result(text, status, mimetype)


def to_mlflow1(body: bytes, content_type: str) -> tuple[bytes, str]:
    """A request in MLflow 1's format. A request without a counterpart stays as it is, and MLflow 1 refuses it."""
    if content_type.partition(";")[0].strip() != _JSON:
        return body, content_type
    try:
        document = json.loads(body)
    except ValueError:
        return body, content_type
    if not isinstance(document, dict):
        return body, content_type
    # MLflow 1's models take no parameters.
    document.pop("params", None)
    if len(document) == 1:
        ((kind, content),) = document.items()
        if kind in _FORMATS:
            return json.dumps(content).encode(), f"{_JSON}; format={_FORMATS[kind]}"
    return json.dumps(document).encode(), content_type
