"""Scores requests: by calling the environment's own MLflow scoring server, and faster where that is the same.

The reference is ``mlflow.pyfunc.scoring_server.invocations``. For most models there is a fast path: what MLflow would
hand to the model after parsing, casting and enforcing is built directly. The fast path is used only for bodies of
kinds for which the worker has seen, when it started, that MLflow builds the very same input (``fast_path``).
"""

from __future__ import annotations

import functools
import json
import os
import time
from typing import Any, Callable, NamedTuple

from . import cells, failures, fast_path
from .collector import Collector
from .csv_table import CSV, CsvDecoder, csv_decoder
from .decoding import Batchable, BodyDecoder, in_short
from .flask_server import FlaskServer
from .loaders import LIBRARY_LOADERS
from .model_call import ModelCall
from .model_code import ModelCode
from .tables import SignatureTable
from .tensor_body import TENSORS, as_json

JSON = "application/json"
_collector = Collector()


class Answer(NamedTuple):
    """What one request is answered."""

    status: int
    content_type: str
    body: bytes
    decode_ns: int = 0
    predict_ns: int = 0
    encode_ns: int = 0
    short_of_memory: bool = False
    """Whether the model could not be asked to the end, for want of memory."""


class Scorer:
    """One loaded model. Not thread-safe by itself: exactly as thread-safe as the model."""

    def __init__(self, model: Any, code: ModelCode | None = None, max_cells: int = cells.MOST_CELLS) -> None:
        from mlflow.pyfunc import scoring_server

        self.code = code or ModelCode()
        """The context of every call of the model."""
        self._server: Any = scoring_server
        failures.drop_advice_on_instances()
        if not hasattr(scoring_server, "invocations"):
            from mlflow.version import VERSION

            self._server = FlaskServer(scoring_server, model, VERSION)
        self.model = model
        self._schema = model.metadata.get_input_schema()
        self._max_cells = max_cells
        named = self._schema is not None and self._schema.has_input_names()
        self._columns: list[str] = self._schema.input_names() if named else []
        self._required: list[str] = getattr(self._schema, "required_input_names", list)() if named else []
        self.encode = _encoder()
        """From a model's output to the body that MLflow answers."""
        self.library_flavor = _loader_module(model) in LIBRARY_LOADERS
        self.decoder: BodyDecoder | None = None
        """Decodes bodies on the fast path; None without a fast path."""
        self.why_no_fast_path: str | None = None
        self._call: ModelCall
        self._csv: CsvDecoder | None = None

    @classmethod
    def load(cls, model_dir: str, code: ModelCode, max_cells: int = cells.MOST_CELLS) -> Scorer:
        """Load a model as ``mlflow models serve`` does."""
        from mlflow.pyfunc import scoring_server

        # As scoring_server.init() does.
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        load = getattr(scoring_server, "load_model_with_mlflow_config", scoring_server.load_model)
        try:
            with code:
                model = load(model_dir)
        except SystemExit:
            print("Ending: the model called sys.exit() while it loaded.", flush=True)
            raise
        return cls(model, code, max_cells)

    def score(self, content_type: str, body: bytes, model: Any = None) -> Answer:
        """One request, as MLflow itself scores it. ``model``: another than the one that is loaded."""
        from mlflow.exceptions import MlflowException

        start, short = time.perf_counter_ns(), False
        try:
            content_type, body = self._as_json(content_type, body)
            with _collector.during(body):
                body = cells.bounded(content_type, body, self._columns, self._max_cells, self._required)
                with self.code:
                    result = self._server.invocations(body, content_type, model or self.model, self._schema)
            status, mimetype, text = result.status, result.mimetype, result.response
        except cells.TooManyCells as error:
            status, mimetype = 400, JSON
            text = json.dumps({"error_code": "BAD_REQUEST", "message": str(error)})
            failures.log(error, caller=True)
        except MlflowException as error:
            status, mimetype, text = error.get_http_status_code(), JSON, _written(error)
            short = failures.is_short_of_memory(error)
            failures.log(error)
        except Exception as error:
            status, text = failures.explain(error)
            mimetype, short = JSON, failures.is_short_of_memory(error)
            failures.log(error, caller=status == 400)
        except BaseException as error:  # a model that calls exit() ends a request, not the worker
            status, mimetype, text = 500, JSON, json.dumps({"error_code": "INTERNAL_ERROR", "message": _ended(error)})
            failures.log(error, caller=False)
        took_ns = time.perf_counter_ns() - start
        return Answer(status, mimetype, text.encode(), predict_ns=took_ns, short_of_memory=short)

    def prepare_fast_path(self) -> str | None:
        """Compile the signature; None when the fast path may be used, else why not."""
        try:
            decoder = fast_path.compile_model(self.model, self._schema, self._max_cells)
            why, arguments = fast_path.prove(decoder, self._input_by_mlflow)
            self._call = ModelCall(self.model, arguments)
            if why is None:
                fast_path.prove_params(decoder, self._call, self._input_by_mlflow)
        except fast_path.NotCompilable as error:
            why = str(error)
        except AttributeError as error:
            # MLflow's internals differ between its versions; MLflow's own way is always there.
            why = f"this version of MLflow has other internals: {error}"
        self.decoder, self.why_no_fast_path = (decoder, None) if why is None else (None, why)
        self._csv = self._csv_decoder(decoder) if why is None else None
        return why

    def decode(self, content_type: str, body: bytes) -> Batchable | None:
        """The input of a body that the fast path can take; None for any other body."""
        if self._csv is not None and content_type == CSV:
            return self._csv.decode(body)
        if self.decoder is not None and content_type == TENSORS:
            found = self.decoder.decode_tensors(body)
            return self.decoder.decode(as_json(body)) if found is None else found
        if self.decoder is None or content_type != JSON:
            return None
        with _collector.during(body):
            return self.decoder.decode(body)

    def _as_json(self, content_type: str, body: bytes) -> tuple[str, bytes]:
        """The same request in a form that MLflow takes."""
        return (JSON, as_json(body)) if content_type == TENSORS else (content_type, body)

    def _csv_decoder(self, decoder: fast_path.JsonDecoder) -> CsvDecoder | None:
        table, parse = decoder.shapes[0], getattr(self._server, "parse_csv_input", None)
        if not isinstance(table, SignatureTable) or parse is None:
            return None
        return csv_decoder(
            self._schema, table.columns, parse, table.probes()[0], lambda body: self._input_by_mlflow(body, CSV)
        )

    def predict(self, decoded: Batchable) -> Any:
        """The model's own output for a decoded input; raises whatever the model raises."""
        arguments = self._call.arguments(decoded.params)
        with self.code:
            return self._call(decoded.model_input(), arguments)

    def answer(self, content_type: str, body: bytes) -> Answer:
        """One request, on the fast path if possible."""
        start = time.perf_counter_ns()
        return self.answer_decoded(content_type, body, self.decode(content_type, body), start)

    def answer_decoded(self, content_type: str, body: bytes, decoded: Batchable | None, start: int = 0) -> Answer:
        """One request whose body was decoded. The model is called once, also where the model raises an error."""
        start = start or time.perf_counter_ns()
        if decoded is None or isinstance(self._server, FlaskServer):
            return self.score(content_type, body)
        try:
            data, arguments = decoded.model_input(), self._call.arguments(decoded.params)
        except Exception:  # MLflow's own way says what is wrong
            return self.score(content_type, body)
        ready = time.perf_counter_ns()
        try:
            with self.code:
                output = self._call(data, arguments)
        except BaseException as error:  # MLflow's own way reports the error in MLflow's words
            return self.score(*in_short(content_type, body, self.decoder), self._call.repeating(error=error))
        predicted = time.perf_counter_ns()
        try:
            written = self.encode(output)
        except BaseException:
            return self.score(*in_short(content_type, body, self.decoder), self._call.repeating(output))
        encode_ns = time.perf_counter_ns() - predicted
        return Answer(200, JSON, written, ready - start, predicted - ready, encode_ns)

    def jsonable(self, output: Any) -> Any:
        """A model's output as MLflow puts it into JSON."""
        return json.loads(self.encode(output))["predictions"]

    def _input_by_mlflow(self, body: bytes, content_type: str = JSON) -> tuple[Any, dict[str, Any]] | None:
        """What MLflow hands to the model for a body: the input and the keyword arguments."""
        seen: list[tuple[Any, dict[str, Any]]] = []
        original = self.model._predict_fn

        @functools.wraps(original)  # MLflow passes only what the signature takes
        def record(data: Any, **arguments: Any) -> list[int]:
            seen.append((data, arguments))
            return [0] * len(data)

        self.model._predict_fn = record
        try:
            with self.code:
                self._server.invocations(body, content_type, self.model, self._schema)
        except Exception:
            return None
        finally:
            self.model._predict_fn = original
        return seen[0] if seen else None


def _ended(error: BaseException) -> str:
    """The message about what is no error of a prediction, but ends a process."""
    if isinstance(error, SystemExit):
        return "The model called sys.exit() instead of returning a prediction."
    return f"The model raised {type(error).__name__} instead of returning a prediction."


def _written(error: Any) -> str:
    """An error in MLflow's shape. What the model has added to the error may have no JSON form."""
    try:
        text: str = error.serialize_as_json()
    except Exception:
        return failures.document(error.error_code, error.message, failures.trace_of(error))
    return text


def _loader_module(model: Any) -> Any:
    """What loads the model; in MLflow 1 only its metadata says so."""
    return getattr(model, "loader_module", None) or model.metadata.flavors.get("python_function", {}).get(
        "loader_module"
    )


def _encoder() -> Callable[[Any], bytes]:
    """``predictions_to_json`` of the scoring server, but with the C encoder: the same text, many times faster."""
    from mlflow.utils.proto_json_utils import NumpyEncoder, _get_jsonable_obj

    def encode(output: Any) -> bytes:
        predictions = _get_jsonable_obj(output, pandas_orient="records")
        return json.dumps({"predictions": predictions}, cls=NumpyEncoder).encode()

    return encode
