"""The Open Inference Protocol (V2): tensors in and out, as JSON or as bytes behind the JSON (``binary_tensor_data``).

How inputs become what the model takes is told by ``parameters.content_type``, as MLServer's runtime for MLflow reads it
(``pd``: each input a column; ``np``; ``str``; ``dict``: named tensors), else by the model's signature.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects.base import Failure, Reader, Refusal, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.json_text import parse
from mlflow_serving_plugin.gateway.dialects.v2_signature import Declared
from mlflow_serving_plugin.gateway.dialects.v2_tensors import (
    Tensor,
    infer_tensor,
    raw_tensor,
    read_tensor,
    write_bytes,
)
from mlflow_serving_plugin.worker.tensor_body import TENSORS, write_body

LENGTH_HEADER = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
_OURS = frozenset({"content_type", "binary_data_output", "headers"})
"""Parameters of a request that are not for the model."""


class V2:
    """Errors in V2's shape."""

    def reader(self, headers: Mapping[str, str], default: str) -> Reader:
        """No body is read before the model is known: see ``V2Model``."""
        raise NotImplementedError

    def answer(self, body: bytes) -> bytes:
        """As above."""
        return body

    def event(self, event: bytes) -> bytes:
        """V2 has no streams."""
        return event

    def refuse(self, failure: Failure) -> Refusal:
        """``{"error": …}``."""
        return Refusal(failure.status, JSON, json.dumps({"error": failure.message}).encode())

    def error_event(self, failure: Failure) -> object:
        """The error as a text."""
        return failure.message


class V2Model(V2):
    """Reads requests for one version, and writes its answers. ``most``: values of a request."""

    def __init__(self, name: str, version: str, inputs: list[Declared], outputs: list[Declared], most: int) -> None:
        self.name = name
        self.version = version
        self.inputs = inputs
        self.outputs = outputs
        self._most = most

    def reader(self, headers: Mapping[str, str], default: str) -> Reader:
        """The reader of a body; BadRequestError for a header that says nonsense."""
        length = headers.get(LENGTH_HEADER.lower())
        if length is not None and not (length.isascii() and length.isdigit()):
            raise BadRequestError(f"The header {LENGTH_HEADER} must be the length of the JSON in bytes.")
        return lambda body: self._read(body, None if length is None else int(length[:20]))

    def _read(self, body: bytes, length: int | None) -> ScoringRequest:
        document = parse(body if length is None else body[:length])
        if not isinstance(document, dict) or not isinstance(document.get("inputs"), list) or not document["inputs"]:
            raise BadRequestError("The body must be a JSON object with the field 'inputs', a list of tensors.")
        names = [str(one.get("name")) for one in document["inputs"] if isinstance(one, dict)]
        if len(set(names)) < len(names):
            raise BadRequestError("Two inputs have the same name: only one of them would reach the model.")
        parameters = document.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise BadRequestError("The parameters of a request must be an object.")
        # A view, so that only one copy of the bytes is made: the one that goes to the worker.
        rest = memoryview(body)[len(body) if length is None else length :]
        params = {name: value for name, value in parameters.items() if name not in _OURS}
        if raw := self._as_bytes(document["inputs"], rest, parameters, params):
            return ScoringRequest(TENSORS, raw, V2Answer(self, document, parameters))
        made = self._canonical(self._tensors(document["inputs"], rest), parameters)
        return ScoringRequest(
            JSON,
            json.dumps({**made, "params": params} if params else made).encode(),
            V2Answer(self, document, parameters),
        )

    def _as_bytes(
        self, given: list[Any], rest: memoryview, parameters: Mapping[str, Any], params: Mapping[str, Any]
    ) -> bytes | None:
        """The worker's body of inputs that all are numbers; None for any others, and for wrong ones."""
        tensors, raws, at = [], [], 0
        found = None
        for one in given:
            found = raw_tensor(one, self._most)
            if found is None:
                return None
            tensors.append((found.name, found.dtype, found.shape))
            raws.append(rest[at : at + found.size] if found.values is None else found.values)
            if len(raws[-1]) < found.size:
                return None
            at += 0 if found.values is not None else found.size
        kind = self._kind(parameters, len(given), found and found.content_type)
        if kind == "pd":
            alike = len({shape[0] for _, _, shape in tensors}) == 1
            return write_body(kind, tensors, raws, params) if alike and all(map(_is_column, tensors)) else None
        if kind == "dict" or (kind == "np" and len(given) == 1):
            return write_body(kind, tensors, raws, params)
        return None

    def _tensors(self, given: list[Any], rest: memoryview) -> list[Tensor]:
        tensors = []
        for one in given:
            parameters = one.get("parameters") if isinstance(one, dict) else None
            size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
            raw = None
            if size is not None:
                if not isinstance(size, int) or not 0 <= size <= len(rest):
                    raise BadRequestError("The body is shorter than the binary_data_size of its inputs.")
                raw, rest = bytes(rest[:size]), rest[size:]
            tensors.append(read_tensor(one, raw, self._most))
        return tensors

    def _kind(self, parameters: Mapping[str, Any], number: int, of_tensor: str | None) -> str:
        """What the inputs are to the model: by the request, by its only tensor, by the signature."""
        kind = parameters.get("content_type") or (of_tensor if number == 1 else None)
        if kind in ("pd", "np", "str", "dict"):
            return str(kind)
        known = self.inputs[0] if self.inputs else None
        if known is not None and not known.tensor and known.named:
            return "pd"
        return "dict" if (known.named if known is not None else number > 1) else "np"

    def _canonical(self, tensors: list[Tensor], parameters: Mapping[str, Any]) -> dict[str, Any]:
        kind = self._kind(parameters, len(tensors), tensors[0].content_type)
        if kind == "pd":
            return {"dataframe_split": _frame(tensors)}
        if kind == "dict":
            return {"inputs": {one.name: one.nested() for one in tensors}}
        if len(tensors) != 1:
            raise BadRequestError(f"This model takes one input, and the request has {len(tensors)}.")
        (only,) = tensors
        return {"inputs": only.values if kind == "str" else only.nested()}


class V2Answer(V2):
    """Writes the answer to one request. ``json_length``: of an answer with bytes behind the JSON."""

    def __init__(self, model: V2Model, request: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._model = model
        self._id = request.get("id")
        wanted = request.get("outputs")
        self._wanted = wanted if isinstance(wanted, list) else []
        self._all_binary = parameters.get("binary_data_output") is True
        self.json_length: int | None = None

    def answer(self, body: bytes) -> bytes:
        """The predictions as tensors."""
        tensors = self._tensors(json.loads(null_for_nan(body)))
        outputs, raw = [], []
        for tensor, binary in tensors:
            output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
            if binary:
                raw.append(write_bytes(tensor))
                output["parameters"] = {"binary_data_size": len(raw[-1])}
            else:
                output["data"] = tensor.values
            outputs.append(output)
        whole = {"model_name": self._model.name, "model_version": self._model.version, "outputs": outputs}
        text = json.dumps(whole if self._id is None else {**whole, "id": self._id}).encode()
        self.json_length = len(text) if raw else None
        return b"".join((text, *raw))

    def _tensors(self, answer: Any) -> list[tuple[Tensor, bool]]:
        predictions = answer["predictions"] if isinstance(answer, dict) and "predictions" in answer else answer
        types = {one.name: one.datatype for one in self._model.outputs}
        if isinstance(predictions, list) and predictions and all(isinstance(row, dict) for row in predictions):
            columns = {name: [row.get(name) for row in predictions] for name in predictions[0]}
        else:
            columns = predictions if isinstance(predictions, dict) else {"output-1": predictions}
        if len(columns) == len(types) == 1:
            # MLflow's answer has no name where the signature has one.
            columns = dict(zip(types, columns.values(), strict=True))
        made = {name: infer_tensor(name, value, types.get(name)) for name, value in columns.items()}
        if not self._wanted:
            return [(tensor, self._all_binary) for tensor in made.values()]
        return [self._chosen(made, one) for one in self._wanted]

    def _chosen(self, made: Mapping[str, Tensor], wanted: Any) -> tuple[Tensor, bool]:
        name = wanted.get("name") if isinstance(wanted, dict) else None
        if not isinstance(wanted, dict) or not isinstance(name, str) or name not in made:
            raise BadRequestError(f"The model has the outputs {', '.join(made)}, and the request asks for another.")
        parameters = wanted.get("parameters")
        binary = parameters.get("binary_data") if isinstance(parameters, dict) else None
        return made[name], self._all_binary if binary is None else binary is True


def _frame(tensors: list[Tensor]) -> dict[str, Any]:
    """The data frame whose columns are tensors of the shapes ``[n]`` or ``[n, 1]``."""
    rows = {len(one.values) if one.shape[1:] in ([], [1]) else -1 for one in tensors}
    if len(rows) != 1 or -1 in rows:
        raise BadRequestError("Each input is a column, so all inputs must have the same shape, [n] or [n, 1].")
    columns = [list(map(_from_json, one.values)) if one.content_type == "pd_json" else one.values for one in tensors]
    return {"columns": [one.name for one in tensors], "data": [list(row) for row in zip(*columns, strict=True)]}


def _is_column(tensor: tuple[str, str, list[int]]) -> bool:
    return tensor[2][1:] in ([], [1])


def _from_json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        raise BadRequestError("A value of content_type pd_json must be JSON.") from None
