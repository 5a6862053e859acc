"""The events of one streamed answer, as MLflow's ``PyFuncModel.predict_stream`` gives them.

The body is read, and an error before the first event is answered, by MLflow's scoring server: it is asked to score the
body with a stand-in for the model, whose ``predict`` begins the stream.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator

from . import failures
from .scoring import JSON, Answer, Scorer

CANNOT = (
    "This model cannot stream its answer: it has no predict_stream, or its MLflow is too old. Send the request without "
    '"stream": true.'
)
SEVERAL_ROWS = "A stream answers a single input, and the request has several rows."
_SEVERAL_ROWS = "'predict_stream' requires single input"
"""How MLflow (2.20 to 3.17 at least) begins what it says of several rows."""

_OVER = Answer(200, JSON, b"")


class ModelStream:
    """Takes events one by one. All calls come from one thread, since a model may keep things by thread."""

    def __init__(self, scorer: Scorer, encode: Callable[[Any], bytes], content_type: str, body: bytes) -> None:
        self._scorer = scorer
        self._encode = encode
        self._content_type = content_type
        self._body = body
        self._events: Iterator[Any] | None = None

    def next(self) -> bytes | Answer:
        """The next event as JSON; at the end an answer: of status 200, or the error's."""
        if self._events is None:
            return self._begin()
        try:
            with self._scorer.code:
                event = next(self._events)
        except StopIteration:
            return _OVER
        except BaseException as error:
            return self._failed(error)
        return self._written(event)

    def close(self) -> None:
        """End the model's generator; an error that the model raises meanwhile goes to the log."""
        end = getattr(self._events, "close", None)
        if end is not None:
            try:
                with self._scorer.code:
                    end()
            except BaseException as error:
                failures.log(error, caller=False)

    def _begin(self) -> bytes | Answer:
        if not can_stream(self._scorer):
            return Answer(400, JSON, failures.document("BAD_REQUEST", CANNOT, "").encode())
        beginning = _Beginning(self._scorer.model)
        answer = self._scorer.score(self._content_type, _without_stream(self._body, self._scorer), beginning)
        if answer.status != 200:
            return answer
        self._events = beginning.events
        return _OVER if beginning.empty else self._written(beginning.first)

    def _written(self, event: Any) -> bytes | Answer:
        try:
            return self._encode(event)
        except Exception as error:
            self.close()
            failures.log(error, caller=False)
            said = failures.unwritable(error, event)
            return Answer(500, JSON, failures.document("INTERNAL_ERROR", said, failures.trace_of(error)).encode())

    def _failed(self, error: BaseException) -> Answer:
        """In MLflow's words, which MLflow has for a prediction that fails."""
        return self._scorer.score(self._content_type, self._body, _Failed(self._scorer.model, error))


class _StandIn:
    """A model with another ``predict``."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class _Beginning(_StandIn):
    """Begins the stream and keeps the first event."""

    events: Iterator[Any]
    first: Any = None
    empty = False

    def predict(self, data: Any, params: Any = None) -> list[Any]:
        """What MLflow calls once it has read the body."""
        from mlflow.exceptions import MlflowException

        self.events = iter(self._model.predict_stream(data, **({"params": params} if params is not None else {})))
        try:
            self.first = next(self.events)
        except StopIteration:
            self.empty = True
        except MlflowException as error:
            if not error.message.startswith(_SEVERAL_ROWS):
                raise
            # MLflow quotes the rows, and calls this an internal error.
            from mlflow.protos.databricks_pb2 import BAD_REQUEST

            raise MlflowException(SEVERAL_ROWS, error_code=BAD_REQUEST) from None
        return []


class _Failed(_StandIn):
    """Raises what the model has raised."""

    def __init__(self, model: Any, error: BaseException) -> None:
        super().__init__(model)
        self._error = error

    def predict(self, *_: Any, **__: Any) -> Any:
        """What MLflow calls once it has read the body."""
        raise self._error


def can_stream(scorer: Scorer) -> bool:
    """Whether the model was logged with a ``predict_stream``, and this MLflow knows of such (2.12.2 and later)."""
    flavor = scorer.model.metadata.flavors.get("python_function", {})
    return bool(flavor.get("streamable")) and hasattr(scorer.model, "predict_stream")


def event_encoder() -> Callable[[Any], bytes]:
    """From an event to its JSON: as predictions are written, with null for NaN and the infinities."""
    from mlflow.utils.proto_json_utils import NumpyEncoder, _get_jsonable_obj

    def encode(event: Any) -> bytes:
        document = _get_jsonable_obj(event, pandas_orient="records")
        try:
            return json.dumps(document, cls=NumpyEncoder, allow_nan=False).encode()
        except ValueError:
            text = json.dumps(document, cls=NumpyEncoder)
            return json.dumps(json.loads(text, parse_constant=lambda _: None)).encode()

    return encode


def _without_stream(body: bytes, scorer: Scorer) -> bytes:
    """The body without its field ``stream``, unless the model's signature has such an input."""
    schema = scorer.model.metadata.get_input_schema()
    if schema is not None and schema.has_input_names() and "stream" in schema.input_names():
        return body
    try:
        document = json.loads(body)
    except ValueError:
        return body
    if isinstance(document, dict):
        document.pop("stream", None)
    return json.dumps(document).encode()
